"""The adapter of usearch, on the real thing."""

from pathlib import Path

import numpy as np
import pytest

from harness.targets.adapters.usearch import UsearchOptions, UsearchTarget
from harness.targets.base import Query
from tests.targets.store_behaviour import (
    StoreBehaviour,
    assert_hits,
    exact_hits,
    made_memory,
    opened,
    setup_in,
    unit_vector,
)


class TestUsearchStore(StoreBehaviour):
    """What every store owes."""

    place = "harness.targets.adapters.usearch:UsearchTarget"


def target() -> UsearchTarget:
    return UsearchTarget(UsearchOptions())


def test_claims_no_more_than_memory(tmp_path: Path):
    """It is not durable, says so, and leaves nothing in its folder."""
    assert not target().capabilities.durable
    assert "gone with the process" in target().prepare(setup_in(tmp_path)).durability
    with opened(target(), setup_in(tmp_path)) as store:
        store.store_many([made_memory("agent", "state", 1)])
    assert list(tmp_path.iterdir()) == []


def test_what_is_stored_again_and_again_is_found_where_it_is_now(tmp_path: Path):
    """Each of a few states is found by its newest vector, and all of them, after many stores."""
    newest = {}
    with opened(target(), setup_in(tmp_path)) as store:
        for round_number in range(30):
            again = [
                made_memory("agent", f"state_{n}", 100 * round_number + n)
                for n in range(round_number % 2, 20)
            ]
            newest |= {memory.state_id: memory for memory in again}
            store.store_many(again)
        query = Query("agent", unit_vector(7), 50)
        [hits] = store.search_many([query])
        assert_hits(hits, exact_hits(list(newest.values()), query))
        assert store.statistics() == {"memories": 20, "indexes": 1, "index": "HNSW"}


def test_a_batch_may_be_of_many_agents(tmp_path: Path):
    """Each memory goes to its agent's own index, in the order of the batch."""
    memories = [made_memory(f"agent_{n % 7}", f"state_{n}", n) for n in range(70)]
    with opened(target(), setup_in(tmp_path)) as store:
        store.store_many(memories)
        keys = [(memory.agent_id, memory.state_id) for memory in memories]
        payloads = [memory.payload for memory in memories]
        assert store.retrieve_many([*keys, ("agent_0", "state_1")]) == [*payloads, None]
        queries = [Query(f"agent_{n}", unit_vector(200 + n), 3) for n in range(8)]
        for query, hits in zip(queries, store.search_many(queries), strict=True):
            assert_hits(hits, exact_hits(memories, query))


@pytest.mark.parametrize("dtype", ["bf16", "f16", "i8"])
def test_vectors_may_be_kept_in_fewer_bits(tmp_path: Path, dtype: str):
    """Scores are then near those of the vectors that came, and the settings say so."""
    small = UsearchTarget(UsearchOptions(dtype=dtype))
    memories = [made_memory("agent", f"state_{n}", n) for n in range(30)]
    assert small.prepare(setup_in(tmp_path)).settings["dtype"] == dtype
    with opened(small, setup_in(tmp_path)) as store:
        store.store_many(memories)
        query = Query("agent", unit_vector(99), 30)
        [hits] = store.search_many([query])
        exact = dict(exact_hits(memories, query))
        assert np.allclose(
            [hit.score for hit in hits], [exact[hit.state_id] for hit in hits], atol=0.05
        )

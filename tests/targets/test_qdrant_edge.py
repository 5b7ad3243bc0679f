"""The adapter of Qdrant Edge, on the real thing."""

from pathlib import Path

import pytest

from harness.targets.adapters.qdrant_edge import QdrantEdgeOptions, QdrantEdgeTarget
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


class TestQdrantEdgeStore(StoreBehaviour):
    """What every store owes."""

    place = "harness.targets.adapters.qdrant_edge:QdrantEdgeTarget"


def target(*, sync: bool = True) -> QdrantEdgeTarget:
    return QdrantEdgeTarget(QdrantEdgeOptions(sync=sync))


@pytest.mark.parametrize(
    ("durability", "sync", "sentence"),
    [
        ("fsync", True, "followed by a flush, and on disk"),
        ("fsync", False, "but not a power cut"),
        ("os", True, "but not a power cut"),
    ],
)
def test_says_what_an_acknowledgement_means(
    tmp_path: Path, durability: str, sync: bool, sentence: str
):
    """The sentence follows durability and option, and all is there at the next open in any case."""
    setup = setup_in(tmp_path / "store", durability)
    assert sentence in target(sync=sync).prepare(setup).durability
    with opened(target(sync=sync), setup) as store:
        store.store_many([made_memory("agent", f"state_{n}", n) for n in range(5)])
    with opened(target(), setup) as store:
        assert store.statistics()["memories"] == 5


def test_searches_answer_the_same_after_a_flush(tmp_path: Path):
    """What a flush builds changes no answer of a small store, and a batch keeps its order."""
    memories = [made_memory(f"agent_{n % 2}", f"state_{n}", n) for n in range(60)]
    queries = [Query(f"agent_{n % 2}", unit_vector(100 + n), 4) for n in range(9)]
    with opened(target(), setup_in(tmp_path, "os")) as store:
        store.store_many(memories)
        for _ in range(2):
            for query, found in zip(queries, store.search_many(queries), strict=True):
                assert_hits(found, exact_hits(memories, query))
            store.flush()

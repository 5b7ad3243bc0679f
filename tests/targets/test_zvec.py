"""The adapter of zvec, on the real thing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.targets.adapters.zvec import ZvecTarget
from harness.targets.base import NoOptions, Query
from tests.targets.store_behaviour import (
    ROOT,
    StoreBehaviour,
    assert_hits,
    exact_hits,
    made_memory,
    opened,
    setup_in,
    unit_vector,
)


class TestZvecStore(StoreBehaviour):
    """What every store owes."""

    place = "harness.targets.adapters.zvec:ZvecTarget"


def target() -> ZvecTarget:
    return ZvecTarget(NoOptions())


def test_a_flush_builds_the_index(tmp_path: Path):
    """Vectors wait unindexed until a flush, and searches answer the same before and after."""
    memories = [made_memory("agent", f"state_{n}", n) for n in range(50)]
    query = Query("agent", unit_vector(99), 5)
    with opened(target(), setup_in(tmp_path)) as store:
        store.store_many(memories)
        assert store.statistics()["indexed_ratio"] == 0
        assert_hits(store.search(query), exact_hits(memories, query))
        store.flush()
        assert store.statistics()["indexed_ratio"] == 1
        assert_hits(store.search(query), exact_hits(memories, query))


@pytest.mark.parametrize("durability", ["fsync", "os"])
def test_says_what_an_acknowledgement_means(tmp_path: Path, durability: str):
    """No durability is promised that zvec has no setting for."""
    ready = target().prepare(setup_in(tmp_path, durability))
    assert "no power cut" in ready.durability
    assert not target().capabilities.durable


def test_what_zvec_refuses_is_an_error(tmp_path: Path):
    """A vector of another length is not taken for stored."""
    memory = made_memory("agent", "state", 1)
    wrong = type(memory)("agent", "state", memory.payload, memory.vector[:3])
    with opened(target(), setup_in(tmp_path)) as store:
        with pytest.raises(Exception, match="dimension"):
            store.store_many([wrong])
        assert store.retrieve_many([("agent", "state")]) == [None]


def search_much(folder: Path) -> None:
    """Search an indexed collection that has had writes since, thousands of times."""
    with opened(target(), setup_in(folder)) as store:
        for flush in [True, False]:
            store.store_many([made_memory(f"a_{n % 7}", f"state_{n}", n) for n in range(300)])
            if flush:
                store.flush()
        for n in range(3000):
            store.search(Query(f"a_{n % 7}", unit_vector(n), 5))


@pytest.mark.slow
def test_searches_end_where_libraries_are_held_to_one_thread(tmp_path: Path):
    """The environment that agents have leaves zvec no search that waits for ever."""
    script = (
        "import sys; from pathlib import Path; from tests.targets.test_zvec import search_much\n"
        "search_much(Path(sys.argv[1]))\n"
    )
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "store")],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=100,
    )

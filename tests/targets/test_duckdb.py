"""The adapter of DuckDB, on the real thing."""

from pathlib import Path

import duckdb
import msgspec
import numpy as np
import pytest

from harness.errors import UsageError
from harness.targets import load_target
from harness.targets.adapters.duckdb import DuckDBOptions, DuckDBTarget
from harness.targets.base import Memory, OpenStore, Query
from memory_core.errors import StorageFullError
from tests.targets.store_behaviour import (
    StoreBehaviour,
    assert_hits,
    exact_hits,
    made_memory,
    opened,
    setup_in,
    unit_vector,
)


class TestDuckDBStore(StoreBehaviour):
    """What every store owes."""

    place = "harness.targets.adapters.duckdb:DuckDBTarget"


def target(threads: int = 0) -> DuckDBTarget:
    return DuckDBTarget(DuckDBOptions(threads=threads))


@pytest.mark.parametrize(
    ("durability", "mode", "said"), [("fsync", "STANDARD", "synced"), ("os", "NONE", "damaged")]
)
def test_says_what_an_acknowledgement_means(tmp_path: Path, durability: str, mode: str, said: str):
    """The sentence and the settings are of the mode that the plan's durability asks for."""
    ready = target().prepare(setup_in(tmp_path, durability))
    assert said in ready.durability
    assert ready.settings["fsync_mode"] == mode
    with opened(target(), setup_in(tmp_path, durability)) as store:
        store.store_many([made_memory("agent", "state", 1)])
        assert store.statistics()["memories"] == 1


def test_refuses_a_number_of_threads_that_is_none():
    """What DuckDB would refuse when it is opened is refused before anything starts."""
    with pytest.raises(UsageError, match=r"threads=-1 is wrong.*>= 0"):
        load_target("duckdb:threads=-1")


def test_searches_of_one_call_may_differ(tmp_path: Path):
    """Each has its own agent, count and conditions, and gets what it would get alone."""
    memories = [made_memory(f"agent_{n % 3}", f"state_{n}", n, odd=n % 2 == 1) for n in range(60)]
    queries = [
        Query(f"agent_{n % 4}", unit_vector(100 + n), 1 + n % 5, {"odd": True} if n % 3 else None)
        for n in range(24)
    ]
    with opened(target(threads=1), setup_in(tmp_path)) as store:
        store.store_many(memories)
        for query, hits in zip(queries, store.search_many(queries), strict=True):
            fitting = [one for one in memories if query.where is None or one.state["odd"]]
            assert_hits(hits, exact_hits(fitting, query))


def test_attributes_may_have_any_name(tmp_path: Path):
    """A name is a name, whatever it would mean in a path or in SQL."""
    names = ["a.b", "a/b", "a~1b", 'quoted "name"', "semi'; colon", "*", "$", "ключ", ""]
    with opened(target(), setup_in(tmp_path)) as store:
        for number, name in enumerate(names):
            payload = msgspec.msgpack.encode({name: number})
            store.store_many([Memory("agent", name, payload, unit_vector(number))])
        for number, name in enumerate(names):
            query = Query("agent", unit_vector(0), 5, {name: float(number)})
            [[hit]] = store.search_many([query])
            assert hit.state_id == name


def test_goes_on_with_the_memories_that_are_there(tmp_path: Path):
    """A store that was flushed and closed has everything when it is opened again."""
    memories = [made_memory("agent", f"state_{n}", n) for n in range(3000)]
    with opened(target(), setup_in(tmp_path)) as store:
        store.store_many(memories)
        store.flush()
    with opened(target(), setup_in(tmp_path)) as store:
        payloads = store.retrieve_many([("agent", memory.state_id) for memory in memories])
        assert payloads == [memory.payload for memory in memories]
        assert store.statistics() == {"memories": 3000, "index": "none: exact"}


@pytest.mark.fault
def test_a_full_disk_is_named_as_such(tmpfs: Path):
    """A store that finds no room fails as our own does; opened again, what was there is there."""
    with opened(target(), setup_in(tmpfs / "store")) as store:
        store.store_many([made_memory("agent", "kept", 1)])
        with pytest.raises(duckdb.Error, match="No space left") as failed:
            store_what_cannot_be_compressed(store)
        meaning = store.failure(failed.value)
        assert isinstance(meaning, StorageFullError)
        assert "memories.duckdb" in str(meaning)
        assert store.failure(duckdb.CatalogException("another")) is None
    with opened(target(), setup_in(tmpfs / "store")) as store:
        [payload] = store.retrieve_many([("agent", "kept")])
        assert payload is not None


def store_what_cannot_be_compressed(store: OpenStore) -> None:
    """Store 100 MB of memories."""
    for n in range(100):
        payload = msgspec.msgpack.encode({"bytes": np.random.default_rng(n).bytes(1_000_000)})
        store.store_many([Memory("agent", f"state_{n}", payload, unit_vector(n))])

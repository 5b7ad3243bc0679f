"""The adapter of LanceDB, on the real thing."""

import asyncio
import gc
import time
from pathlib import Path
from typing import Any

import pytest

from harness.targets.adapters.lancedb import LancedbTarget
from harness.targets.adapters.lancedb_store import LancedbStore, opened_table
from harness.targets.base import NoOptions, OpenStore, Query
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


class Plainly(OpenStore):
    """An asynchronous store, called plainly."""

    def __init__(self, store: OpenStore) -> None:
        self.store = store
        self._runner = asyncio.Runner()
        for name in ["store_many", "retrieve_many", "search", "delete", "flush", "statistics"]:
            setattr(self, name, self._plain(getattr(store, name)))

    def _plain(self, method: Any) -> Any:
        return lambda *arguments: self._runner.run(method(*arguments))

    def close(self) -> None:
        self._runner.run(self.store.close())
        self._runner.close()


class PlainLancedb(LancedbTarget):
    """LanceDB behind plain methods."""

    def open(self, setup: Any, connection: Any) -> Any:
        return Plainly(super().open(setup, connection))


class TestLancedbStore(StoreBehaviour):
    """What every store owes."""

    place = "tests.targets.test_lancedb:PlainLancedb"


def test_stores_that_come_meanwhile_are_written_together(tmp_path: Path):
    """Fifty calls at once make few versions of the table, and each is found when it returns."""

    async def stored(setup: Any) -> tuple[int, int]:
        target = LancedbTarget(NoOptions())
        store = target.open(setup, target.prepare(setup).connection)
        before = await store._table.version()

        async def one(n: int) -> None:
            memory = made_memory("agent", f"state_{n}", n)
            await store.store_many([memory])
            assert await store.retrieve_many([("agent", f"state_{n}")]) == [memory.payload]

        await asyncio.gather(*(one(n) for n in range(50)))
        versions = await store._table.version() - before
        memories = (await store.statistics())["memories"]
        await store.close()
        return versions, memories

    versions, memories = asyncio.run(stored(setup_in(tmp_path)))
    assert memories == 50
    assert versions <= 5  # most often 1 or 2


def test_a_call_that_nobody_awaits_any_more_harms_no_other(tmp_path: Path):
    """Of stores that are written together one is cancelled, and the others are acknowledged."""

    async def stored(setup: Any) -> Any:
        target = LancedbTarget(NoOptions())
        store = target.open(setup, target.prepare(setup).connection)
        memories = [made_memory("agent", f"state_{n}", n) for n in range(3)]
        calls = [asyncio.ensure_future(store.store_many([memory])) for memory in memories]
        await asyncio.sleep(0)
        calls[1].cancel()
        await asyncio.gather(calls[0], calls[2])
        found = await store.retrieve_many([("agent", "state_0"), ("agent", "state_2")])
        await store.close()
        return found == [memories[0].payload, memories[2].payload]

    assert asyncio.run(stored(setup_in(tmp_path)))


def test_what_lancedb_refuses_is_an_error_of_those_who_stored_it(tmp_path: Path):
    """A vector of another length fails its own call, and the next goes on."""
    memory = made_memory("agent", "state", 1)
    wrong = type(memory)("agent", "state", memory.payload, memory.vector[:3])
    with opened(PlainLancedb(NoOptions()), setup_in(tmp_path)) as store:
        with pytest.raises(Exception, match="FixedSizeList"):
            store.store_many([wrong])
        store.store_many([memory])
        assert store.retrieve_many([("agent", "state")]) == [memory.payload]


class _NeverOptimized(LancedbStore):
    """The table cannot be compacted, as on a disk that is full."""

    async def _optimize(self, *_: Any) -> None:
        self._modifications = 0
        raise OSError("no room to compact in")


@pytest.mark.slow
def test_compaction_that_fails_fails_no_write_and_is_counted(tmp_path: Path):
    """What was written is there, nobody's exception is left lying about, and a flush raises."""

    async def live() -> None:
        lying_about: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, found: lying_about.append(found))
        store = _NeverOptimized(await opened_table(tmp_path, len(unit_vector(0))))
        for n in range(41):
            await store.store_many([made_memory("agent", f"state_{n}", n)])
        assert await store.delete("agent", "state_0")
        assert (await store.statistics())["failed_optimizations"] == 2
        with pytest.raises(OSError, match="no room"):
            await store.flush()
        await store.close()
        del store
        gc.collect()
        assert not lying_about

    asyncio.run(live())


@pytest.mark.slow
def test_the_table_is_optimized_as_it_is_modified(tmp_path: Path):
    """Compaction leaves few fragments, indexes cover the rows, and updates go on being found."""
    with opened(PlainLancedb(NoOptions()), setup_in(tmp_path)) as store:
        latest = {}
        for n in range(45):
            latest[n % 15] = made_memory("agent", f"state_{n % 15}", n)
            store.store_many([latest[n % 15]])
        assert store.delete("agent", "state_0")
        del latest[0]
        query = Query("agent", unit_vector(99), 5)
        assert_hits(store.search(query), exact_hits(list(latest.values()), query))
        runner, table = store._runner, store.store._table
        assert runner.run(table.stats())["fragment_stats"]["num_fragments"] < 20
        deadline = time.monotonic() + 60
        store.flush()
        while len(runner.run(table.list_versions())) > 6:  # it keeps those of the last second
            assert time.monotonic() < deadline
            store.flush()
        for index in runner.run(table.list_indices()):
            assert runner.run(table.index_stats(index.name)).num_unindexed_rows == 0
        assert_hits(store.search(query), exact_hits(list(latest.values()), query))
        assert store.statistics() == {"memories": 14, "index": "none (exact)"}


def test_a_full_disk_is_named(tmp_path: Path):
    """Of it only the text of LanceDB's error tells; other errors mean nothing of their own."""
    with opened(PlainLancedb(NoOptions()), setup_in(tmp_path)) as store:
        text = "lance error: LanceError(IO): No space left on device (os error 28)"
        assert isinstance(store.store.failure(RuntimeError(text)), StorageFullError)
        assert store.store.failure(RuntimeError("lance error: other")) is None


def test_says_that_nothing_is_synced(tmp_path: Path):
    """Whatever durability is asked for."""
    for durability in ["fsync", "os"]:
        ready = LancedbTarget(NoOptions()).prepare(setup_in(tmp_path, durability))
        assert "never syncs" in ready.durability

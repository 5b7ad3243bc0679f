"""What an open store says of itself: RocksDB's statistics and ours, in process and of shards."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memory_core import (
    AgentMemorySystem,
    CorruptionError,
    Describe,
    Inspect,
    MemoryConfig,
    MemoryStore,
    Retrieve,
    Statistics,
    StorageFullError,
    Store,
    UnavailableError,
    index_growth,
    snapshots,
    surveying,
)
from memory_core.client import MemoryClient
from memory_core.execution import Execution
from memory_core.local_transport import LocalTransport
from memory_core.log import Log
from memory_core.payload import pack_state
from memory_core.store_statistics import FamilyStatistics, SnapshotStatistics, summed
from memory_core.wire import Batch, Reply, decode_batch, decode_reply, encode_batch, encode_reply

WAIT_S = 30.0


def state(number: int) -> bytes:
    return pack_state({"number": number, "text": "some text"})


def stores(count: int, agents: int = 1, first: int = 0) -> list[Store]:
    return [
        Store(f"agent_{number % agents}", f"s{number}", state(number))
        for number in range(first, first + count)
    ]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., MemoryStore]]:
    """Opens a store on one folder, closing the one before."""
    opened: list[MemoryStore] = []

    def begin(**settings: Any) -> MemoryStore:
        for one in opened:
            one.close()
        settings = {"dimension": 8, "durability": "os", **settings}
        opened.append(MemoryStore(MemoryConfig(path=tmp_path / "db", **settings)))
        return opened[-1]

    yield begin
    for one in opened:
        one.close()


def until(store: MemoryStore, condition: Callable[[Statistics], bool]) -> Statistics:
    """Poll until the statistics of a store are so."""
    deadline = time.monotonic() + WAIT_S
    while not condition(said := store.statistics()):
        assert time.monotonic() < deadline, said
        time.sleep(0.01)
    return said


def test_statistics_count_memories_and_bytes_by_tier(make: Callable[..., MemoryStore]):
    """Agents, memories and bytes of packed states are those that a description gives."""
    store = make(stm_capacity=10, im_capacity=20)
    store.execute(stores(300, agents=7))
    [described] = store.execute([Describe()])
    said = store.statistics()
    assert (said.agents, said.counts, said.payload_bytes) == (
        described.agents,  # type: ignore[union-attr]
        described.counts,  # type: ignore[union-attr]
        described.payload_bytes,  # type: ignore[union-attr]
    )
    assert said.counts.ltm > 0
    assert said.indexes.indexes == 7
    assert said.indexes.approximate == 0


def test_statistics_have_rocksdbs_own_by_column_family(make: Callable[..., MemoryStore]):
    """Memtables, tables by level and keys are told for each tier, and the log's bytes for all."""
    store = make(stm_capacity=10, im_capacity=20)
    store.execute(stores(300))
    said = store.statistics()
    assert [family.name for family in said.families] == ["stm", "im", "ltm", "ids"]
    assert all(family.memtable_bytes > 0 for family in said.families)
    assert said.memory.memtable_bytes == sum(one.memtable_bytes for one in said.families)
    assert said.database.log_bytes >= said.database.written_bytes > 300 * len(state(1))
    assert said.database.write_amplification is not None
    assert said.database.write_amplification >= 1.0
    assert not said.database.is_write_stopped
    assert said.database.stalled_s == 0.0
    store = make(stm_capacity=10, im_capacity=20)  # what was in the log is in tables now
    said = store.statistics()
    for family, least in zip(said.families, (0, 0, 100, 100), strict=True):
        assert family.table_bytes > 0, family
        assert sum(family.tables_by_level) >= 1, family
        assert family.keys_estimated >= least, family
        assert family.stalls == family.pending_compaction_bytes == 0
    assert said.database.table_reader_bytes > 0


def test_what_is_read_from_the_disk_shows_in_the_block_cache(make: Callable[..., MemoryStore]):
    """A first reading misses the cache, the same again hits it, and its bytes are counted."""
    make(payload_cache_bytes=0).execute(stores(200))
    store = make(payload_cache_bytes=0)
    before = store.statistics().database
    store.execute([Retrieve("agent_0", "s7")])
    first = store.statistics().database
    store.execute([Retrieve("agent_0", "s7")])
    second = store.statistics().database
    asked = [one.block_cache_hits + one.block_cache_misses for one in (before, first, second)]
    assert asked[0] < asked[1] < asked[2]
    assert second.block_cache_misses == first.block_cache_misses
    assert second.block_cache_hits > first.block_cache_hits
    assert 0.0 < (second.block_cache_hit_ratio or 0.0) <= 1.0
    assert 0 < second.block_cache_bytes <= second.block_cache_capacity_bytes


def test_indexes_that_have_grown_are_counted(make: Callable[..., MemoryStore]):
    """An index is exact until its build has ended, and approximate from then on."""
    store = make(stm_capacity=10, exact_below=500)
    store.execute(stores(300, agents=2))
    said = store.statistics()
    assert (said.indexes.indexes, said.indexes.approximate) == (2, 0)
    store.execute([Store("agent_0", f"t{number}", state(number)) for number in range(3_000)])
    said = until(store, lambda said: said.indexes.approximate == 1 and not said.indexes.building)
    assert said.indexes.indexes == 2
    assert said.indexes.failed == 0
    assert said.indexes.index_bytes == said.memory.index_bytes > 3_000 * 8


def test_a_build_that_failed_is_told_with_its_agent(
    make: Callable[..., MemoryStore], monkeypatch: pytest.MonkeyPatch
):
    """The agent and the reason are among the build errors, and the index serves on as exact."""

    def fail(*_: object, **__: object) -> None:
        raise MemoryError("no room for lists (injected)")

    monkeypatch.setattr(index_growth.ListBuilding, "make", fail)
    store = make(stm_capacity=10, exact_below=100)
    store.execute(stores(400))
    said = until(store, lambda said: said.indexes.failed == 1)
    assert said.indexes.build_errors == ["agent_0: no room for lists (injected)"]
    assert said.indexes.approximate == 0


def test_demotions_that_wait_and_tiers_that_are_blocked_are_told(
    make: Callable[..., MemoryStore],
):
    """What is noted to move down is counted; a tier that damage blocks is named with the damage."""
    make(stm_capacity=5_000).execute(stores(3_000))
    store = make(stm_capacity=100)
    assert store.statistics().demotions_waiting == 0
    store.execute(stores(1, first=3_000))
    waiting = store.statistics().demotions_waiting
    assert 2_000 < waiting < 3_000
    store.execute(stores(200, first=3_001))
    assert store.statistics().demotions_waiting < waiting
    store._execution._mover.blocked["agent_0", 1] = CorruptionError("a/000012.sst", "is damaged")
    said = store.statistics()
    assert said.blocked_count == 1
    [blocked] = said.blocked
    assert (blocked.agent_id, blocked.tier) == ("agent_0", "im")
    assert blocked.error == "a/000012.sst: is damaged"


def test_the_last_snapshot_is_told_with_its_age_or_its_error(
    make: Callable[..., MemoryStore], monkeypatch: pytest.MonkeyPatch
):
    """There is no age before the first snapshot, then a small one; an error is told in words."""
    monkeypatch.setattr(snapshots, "_LEAST_MEMORIES", 100)
    monkeypatch.setattr(snapshots, "_LEAST_CHANGES", 100)
    store = make(stm_capacity=10)
    assert store.statistics().snapshot == SnapshotStatistics(None, None, False)
    store.execute(stores(500))
    said = until(store, lambda said: said.snapshot.age_s is not None)
    assert 0.0 <= (said.snapshot.age_s or 0.0) < WAIT_S
    assert said.snapshot.error is None
    until(store, lambda said: not said.snapshot.is_running)

    def fail(*_: object) -> None:
        raise StorageFullError("indexes", "the disk has no room (injected)")

    monkeypatch.setattr(snapshots, "write_snapshot", fail)
    store.execute(stores(500, first=500))
    said = until(store, lambda said: said.snapshot.error is not None)
    assert said.snapshot.error == "indexes: the disk has no room (injected)"


def test_held_states_and_memory_add_up(make: Callable[..., MemoryStore]):
    """The parts of what is held in memory grow with what is stored, and their sum is the total."""
    store = make(stm_capacity=50)
    empty = store.statistics().memory
    store.execute(stores(400, agents=4))
    memory = store.statistics().memory
    assert empty.short_term_bytes == empty.index_bytes == empty.payload_bytes == 0
    assert memory.short_term_bytes > 100 * (8 * 4 + 64)
    assert memory.index_bytes > 100 * 8 * 4
    assert memory.lower_bytes > 100 * 34
    assert memory.payload_bytes >= 100 * len(state(1))
    assert memory.agent_bytes >= 4 * 200
    parts = [
        *(memory.short_term_bytes, memory.index_bytes, memory.lower_bytes, memory.payload_bytes),
        *(memory.agent_bytes, memory.memtable_bytes, memory.block_cache_bytes),
        memory.table_reader_bytes,
    ]
    assert memory.total_bytes == sum(parts)
    store.execute(stores(400, agents=4))  # again, so nothing is there twice
    assert store.statistics().memory.index_bytes < 2 * memory.index_bytes


def test_statistics_are_json_with_what_follows_from_them(make: Callable[..., MemoryStore]):
    """As a mapping they go through JSON unchanged, properties by their names included."""
    store = make(stm_capacity=10)
    store.execute(stores(100, agents=3))
    plain = store.statistics().as_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["counts"]["total"] == 100
    assert plain["database"]["write_amplification"] >= 1.0
    assert plain["memory"]["total_bytes"] > plain["memory"]["index_bytes"]
    assert plain["families"][0]["name"] == "stm"
    assert plain["shards"] == []


def test_an_inspection_and_its_answer_travel_as_bytes(make: Callable[..., MemoryStore]):
    """Both are on the wire as they were."""
    said = make().statistics()
    batch = Batch("lane", 1, [Inspect()])
    assert decode_batch(encode_batch(batch)) == batch
    assert decode_reply(encode_reply(Reply(1, 2, [said]))).results == [said]


def test_an_inspection_lets_others_in_between_its_agents(
    make: Callable[..., MemoryStore], monkeypatch: pytest.MonkeyPatch
):
    """It goes on some agents at a time, and a batch that comes meanwhile is not kept waiting."""
    monkeypatch.setattr(surveying, "_SEEN_TOGETHER", 1)
    store = make()
    store.execute(stores(60, agents=30))
    real, seen = Execution.run, []
    stored = threading.Event()

    def run(execution: Execution, operations: Any, *rest: Any) -> Any:
        seen.append([type(one).__name__ for one in operations])
        if len(seen) == 5:
            thread.start()
        return real(execution, operations, *rest)

    def store_one() -> None:
        store.execute([Store("late", "s", state(1))])
        stored.set()

    thread = threading.Thread(target=store_one)
    monkeypatch.setattr(Execution, "run", run)
    said = store.statistics()
    assert stored.wait(WAIT_S)
    thread.join()
    assert said.agents == 30
    assert said.counts.total == 60
    assert sum("Survey" in names for names in seen) >= 30


def test_an_inspection_in_a_batch_sees_what_stands_before_it(make: Callable[..., MemoryStore]):
    """Results come in their order, and each inspection knows the stores before it."""
    store = make()
    results = store.execute([Inspect(), *stores(5), Inspect(), Retrieve("agent_0", "s1")])
    assert [type(one).__name__ for one in results] == [
        *("Statistics", "Done", "Done", "Done", "Done", "Done", "Statistics", "Record"),
    ]
    assert (results[0].counts.total, results[6].counts.total) == (0, 5)  # type: ignore[union-attr]


def test_a_store_that_refuses_writes_still_gives_statistics(
    make: Callable[..., MemoryStore], monkeypatch: pytest.MonkeyPatch
):
    """Why writes are refused is among them; a closed store gives none."""
    store = make()
    store.execute(stores(3))

    def fail(log: Log, _: object) -> None:
        raise StorageFullError(log.path, "the disk has no room (injected)")

    with monkeypatch.context() as patched:
        patched.setattr(Log, "write", fail)
        store.execute(stores(1, first=3))
    said = store.statistics()
    assert said.counts.total == 3
    assert "a write failed; open the store again" in (said.refusal or "")
    store.close()
    with pytest.raises(UnavailableError):
        store.statistics()


def test_the_face_gives_the_stores_statistics_when_no_agent_is_named(tmp_path: Path):
    """Counts have their names as before; one agent's statistics have nothing of the store's."""
    config = MemoryConfig(path=tmp_path, dimension=8)
    with AgentMemorySystem(config) as memory:
        memory.store_agent_state(agent_id="a", state_id="s", state_data={"x": 1})
        whole = memory.get_memory_statistics()
        assert (whole.agents, whole.counts.total) == (1, 1)
        assert whole.store is not None
        assert whole.store.database.written_bytes > 0
        one = memory.get_memory_statistics(agent_id="a")
        assert one.store is None
        assert one == whole


def test_statistics_of_shards_are_summed_and_told_by_shard(tmp_path: Path):
    """Of several shards the numbers are added up, and each is there by itself."""
    config = {"dimension": 8, "stm_capacity": 10, "memory_limit_bytes": 64 * 1024 * 1024}
    shards = [MemoryStore(MemoryConfig(path=tmp_path / str(at), **config)) for at in range(2)]

    async def ask() -> Any:
        transport = LocalTransport(shards)
        client = MemoryClient(transport, 2)
        for one in stores(300, agents=10):
            await client.call(one)
        said = await client.call(Inspect())
        await client.drain()
        transport.close()
        return said

    said = asyncio.run(ask())
    for one in shards:
        one.close()
    assert isinstance(said, Statistics)
    assert (said.agents, said.counts.total, len(said.shards)) == (10, 300, 2)
    assert all(0 < one.counts.total < 300 for one in said.shards)
    assert [one.name for one in said.families] == ["stm", "im", "ltm", "ids"]
    for field in ("total_bytes", "limit_bytes", "counted_bytes"):
        whole = getattr(said.memory, field)
        assert whole == sum(getattr(one.memory, field) for one in said.shards)
    assert said.memory.limit_bytes == 128 * 1024 * 1024
    assert said.database.written_bytes == sum(one.database.written_bytes for one in said.shards)
    assert said.snapshot == SnapshotStatistics()
    assert json.loads(json.dumps(said.as_dict()))["shards"][1]["agents"] > 0


def test_parts_are_summed_field_by_field():
    """Numbers add up, lists of numbers by place, what is known wins over None, and any over no."""
    one = FamilyStatistics("stm", 1, 2, [1, 0, 3], 4, 5, 6)
    two = FamilyStatistics("stm", 10, 20, [1], 40, 50, 60)
    assert summed([one, two]) == FamilyStatistics("stm", 11, 22, [2, 0, 3], 44, 55, 66)
    parts = [SnapshotStatistics(None, None, False), SnapshotStatistics(2.0, "full", True)]
    assert summed(parts) == SnapshotStatistics(2.0, "full", True)
    with pytest.raises(ValueError, match="nothing to sum"):
        summed([])


def test_the_age_of_the_last_snapshot_over_shards_is_the_oldest():
    """Ages are not added up, and errors of several shards are all told."""
    shards = [
        Statistics(snapshot=SnapshotStatistics(age, error))
        for age, error in [(3.0, None), (None, "full"), (5.0, "gone")]
    ]
    assert Statistics.of_shards(shards).snapshot == SnapshotStatistics(5.0, "full; gone", False)

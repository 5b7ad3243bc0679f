"""`memory_limit_bytes`: what is held, what goes first, and what is refused past it."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memory_core import (
    BadInputError,
    Delete,
    Deleted,
    Describe,
    Done,
    Failure,
    Hits,
    MemoryConfig,
    MemoryStore,
    Missing,
    Moved,
    OverloadedError,
    Record,
    Restore,
    Result,
    Retrieve,
    Search,
    Store,
    Transition,
    execution,
    memory_bound,
    memory_shares,
)
from memory_core.memory_shares import least_limit_bytes, shares_of
from memory_core.payload import pack_state

MIB = 1024 * 1024
LIMIT_BYTES = 2 * MIB
BATCH = 64
# What a batch of stores may take beyond what is counted before it.
BATCH_BYTES = 64 * 1024


def state(number: int) -> bytes:
    return pack_state({"number": number, "text": "t" * (number % 50)})


def store_of(number: int, agents: int) -> Store:
    return Store(f"agent_{number % agents}", f"state_{number}", state(number))


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., MemoryStore]]:
    """Opens a store on one folder, by default with a bound that thousands of memories reach."""
    monkeypatch.setattr(memory_shares, "_LEAST_BYTES", 64 * 1024)
    monkeypatch.setattr(memory_shares, "_STORE_BYTES", 0)
    monkeypatch.setattr(memory_bound, "_COUNT_BYTES", 0)
    # what RocksDB takes beyond its share comes and goes, which is much of so small a limit
    monkeypatch.setattr(execution, "held_bytes", lambda _: (0, 0, 0))
    opened: list[MemoryStore] = []

    def begin(limit_bytes: int | None = LIMIT_BYTES, **settings: Any) -> MemoryStore:
        for one in opened:
            one.close()
        settings = {"dimension": 8, "durability": "os", "exact_below": 10**6, **settings}
        config = MemoryConfig(path=tmp_path / "db", memory_limit_bytes=limit_bytes, **settings)
        opened.append(MemoryStore(config))
        return opened[-1]

    yield begin
    for one in opened:
        one.close()


def is_settled(store: MemoryStore) -> bool:
    """Whether nothing is under way that would make room."""
    said = store.statistics()
    return not said.demotions_waiting and not said.indexes.building


def fed(store: MemoryStore, agents: int, most: int = 80_000) -> list[Store]:
    """Store until all are refused, and nothing makes room any more; what was acknowledged."""
    kept: list[Store] = []
    refused = 0
    for first in range(0, most, BATCH):
        batch = [store_of(number, agents) for number in range(first, first + BATCH)]
        results = store.execute(batch)
        kept += [one for one, result in zip(batch, results, strict=True) if type(result) is Done]
        refused = refused + 1 if Done not in map(type, results) and is_settled(store) else 0
        if refused == 3:
            return kept
    raise AssertionError(f"some of {most:,} were still taken")


def overloaded(result: Result) -> OverloadedError:
    assert isinstance(result, Failure)
    error = result.exception()
    assert isinstance(error, OverloadedError)
    return error


def counted_anew(store: MemoryStore) -> int:
    """What the agents of a store hold, asked one by one."""
    return sum(one.memory_bytes for one in store._tables.agents.values())


def test_a_limit_too_small_to_work_with_is_refused_with_the_least(tmp_path: Path):
    """Opening names the least limit that works, and leaves no folder; with the least it works."""
    least = least_limit_bytes(8)
    path = tmp_path / "db"
    with pytest.raises(BadInputError, match=f"memory_limit_bytes: must be at least {least:,}"):
        MemoryStore(MemoryConfig(path=path, dimension=8, memory_limit_bytes=least - 1))
    assert not path.exists()
    with MemoryStore(MemoryConfig(path=path, dimension=8, memory_limit_bytes=least)) as store:
        batch = [store_of(number, 3) for number in range(2_000)]
        assert all(type(result) is Done for result in store.execute(batch))


@pytest.mark.parametrize("limit", [0, -1, True, 1.5, "300 MiB"])
def test_a_limit_that_is_no_number_of_bytes_names_the_field(limit: Any):
    """What is no positive whole number is refused where the configuration is made."""
    with pytest.raises(BadInputError, match="memory_limit_bytes"):
        MemoryConfig(memory_limit_bytes=limit)


def test_rocksdb_gets_a_part_of_the_limit_at_most():
    """Block cache and memtables have an eighth each at most, and what they were given if less."""
    shares = shares_of(MemoryConfig(memory_limit_bytes=80 * MIB))
    assert shares.block_cache_bytes == shares.memtable_bytes == 10 * MIB
    assert shares.write_buffer_bytes == 5 * MIB
    config = MemoryConfig(
        memory_limit_bytes=8_000 * MIB, block_cache_bytes=MIB, write_buffer_bytes=2 * MIB
    )
    shares = shares_of(config)
    assert shares[:3] == (MIB, 2 * MIB, 8 * MIB)
    assert shares_of(MemoryConfig()).memtable_bytes is None


def test_without_a_limit_nothing_is_refused_or_counted(make: Callable[..., MemoryStore]):
    """By default there is no bound, and what would have been beyond one is taken."""
    store = make(None)
    results = store.execute([store_of(number, 5) for number in range(10_000)])
    assert all(type(result) is Done for result in results)
    memory = store.statistics().memory
    assert (memory.limit_bytes, memory.counted_bytes, memory.is_refusing) == (None, None, False)
    assert memory.total_bytes > LIMIT_BYTES


@pytest.mark.parametrize("agents", [1, 30, 2_000])
def test_past_the_limit_stores_are_refused_and_all_else_goes_on(
    make: Callable[..., MemoryStore], agents: int
):
    """A store is told which bound it met; what was acknowledged can be read, moved and deleted."""
    store = make()
    kept = fed(store, agents)
    assert len(kept) > 600
    new, old = Store("new", "s", state(1)), kept[0]
    results = store.execute(
        [
            new,
            Restore("new", "s", state(1), 0.5, None, "state", None, None, 5, "ltm"),
            old,
            Retrieve("new", "s"),
            Search("agent_0", state(3), None, 3),
            Transition("im", 10.0),
            Describe(),
            Delete(old.agent_id, old.state_id),
        ]
    )
    for result in results[:3]:
        text = str(overloaded(result))
        assert text.startswith("memory_limit_bytes: ")
        assert f"of {LIMIT_BYTES:,} bytes are held; raise the limit, delete" in text
    assert isinstance(results[3], Missing)
    assert isinstance(results[4], Hits)
    assert results[4].hits
    assert isinstance(results[5], Moved)
    assert results[6].counts.total == len(kept)  # type: ignore[union-attr]
    assert results[7] == Deleted(1)
    found = store.execute([Retrieve(one.agent_id, one.state_id) for one in kept[1:]])
    assert [getattr(one, "payload", None) for one in found] == [one.payload for one in kept[1:]]
    memory = store.statistics().memory
    assert memory.limit_bytes == LIMIT_BYTES
    assert memory.refused >= 3
    assert (memory.counted_bytes or 0) < LIMIT_BYTES + BATCH_BYTES


def test_stores_are_taken_again_when_room_comes_back(make: Callable[..., MemoryStore]):
    """After deletions stores are acknowledged; after all was deleted, as many as at first."""
    store = make()
    kept = fed(store, 30)
    assert store.statistics().memory.is_refusing
    [deleted, *_] = store.execute([Delete(f"agent_{number}") for number in range(10)])
    assert deleted.count > 10  # type: ignore[union-attr]
    results = store.execute([store_of(number, 10) for number in range(50)])
    assert all(type(result) is Done for result in results)
    assert not store.statistics().memory.is_refusing
    store.execute([Delete(None)])
    assert len(fed(store, 30)) > 0.5 * len(kept)


def test_what_is_held_is_forgotten_first_and_then_memories_move_down_early(
    make: Callable[..., MemoryStore],
):
    """Near the limit no packed state is held any more before the first memory moves down."""
    store = make()
    has_moved = False
    for first in range(0, 40_000, BATCH):
        results = store.execute([store_of(first + at, 20) for at in range(BATCH)])
        said = store.statistics()
        if said.counts.im and not has_moved:
            has_moved = True
            assert said.memory.payload_bytes == 0
            assert (said.memory.counted_bytes or 0) > 0.85 * LIMIT_BYTES
        elif not has_moved:
            assert said.counts.stm == first + BATCH
        if any(type(result) is Failure for result in results):
            break
    assert has_moved
    assert store.statistics().counts.im > 0.2 * store.statistics().counts.total


def test_the_largest_short_term_tiers_move_down_first(make: Callable[..., MemoryStore]):
    """Agents with few memories keep them in the short-term tier while one with many gives."""
    store = make()
    store.execute([Store(f"small_{at % 50}", f"s{at}", state(at)) for at in range(500)])
    number = 0
    while not store.statistics().counts.im:
        store.execute([Store("large", f"s{number + at}", state(at)) for at in range(BATCH)])
        number += BATCH
        assert number < 40_000
        if number >= 900:  # its own capacity has no part in this
            store.execute(
                [Store(f"large_{number // 900}", f"s{number + at}", state(at)) for at in range(64)]
            )
    for at in range(50):
        [described] = store.execute([Describe(f"small_{at}")])
        assert described.counts.im == 0  # type: ignore[union-attr]


def test_what_is_counted_is_what_agents_hold(make: Callable[..., MemoryStore]):
    """Stores, overwrites, moves and deletions of all kinds keep the count true."""
    store, generator = make(stm_capacity=40, im_capacity=60), random.Random(7)
    bound = store._execution._bound
    assert bound is not None
    for step in range(150):
        agents = [f"agent_{generator.randrange(12)}" for _ in range(30)]
        batch: list[Any] = [
            Store(agent, f"s{generator.randrange(200)}", state(step)) for agent in agents
        ]
        batch += [Delete(agent, f"s{generator.randrange(200)}") for agent in agents[:10]]
        if step % 7 == 0:
            batch += [Transition("im", 50.0), Transition("ltm", 30.0, agents[0])]
        if step % 11 == 0:
            batch.append(Delete(agents[1]))
        if step == 70:
            batch.insert(30, Delete(None))
        store.execute(batch)
        bound._count()
        assert bound._counted == counted_anew(store)
        assert set(bound._bytes) == set(store._tables.agents)
    store._make_again()
    store.execute([Describe()])
    assert bound._counted == counted_anew(store)


def test_a_store_opened_past_its_limit_serves_and_refuses(make: Callable[..., MemoryStore]):
    """A database that is larger than the limit allows is read, and takes stores after deletions."""
    store = make(None)
    store.execute([store_of(number, 50) for number in range(9_000)])
    store = make()
    found, refused = store.execute([Retrieve("agent_1", "state_1"), Store("new", "s", state(1))])
    assert isinstance(found, Record)
    overloaded(refused)
    store.execute([Delete(f"agent_{number}") for number in range(45)])
    [taken] = store.execute([Store("new", "s", state(1))])
    assert isinstance(taken, Done)


def test_attempts_that_are_refused_let_memories_move_down(make: Callable[..., MemoryStore]):
    """A client that tries again gets in once moving down has made room."""
    store = make(stm_capacity=40_000)
    batch = [store_of(number, 1) for number in range(20_000)]
    results = store.execute(batch)
    assert {type(result) for result in results} == {Done, Failure}
    taken, moved = len([one for one in results if type(one) is Done]), 0
    for attempt in range(5_000):
        one = Store("agent_0", f"again_{attempt}", state(1))
        result, described = store.execute([one, Describe()])
        if isinstance(result, Done):
            taken += 1
            if moved:  # before this one got in
                break
        moved = described.counts.im  # type: ignore[union-attr]
    else:
        raise AssertionError("none got in after memories had moved down")
    assert store.statistics().counts.total == taken


_FEEDING = """
import resource, sys, tempfile
from memory_core import Done, MemoryConfig, MemoryStore, Store
from memory_core.payload import pack_state
from memory_core import execution, exchange  # RocksDB, FAISS, Arrow

def rss_bytes(name="VmRSS"):
    for line in open("/proc/self/status"):
        if line.startswith(name):
            return int(line.split()[1]) * 1024

bare = rss_bytes()
limit, agents, dimension = map(int, sys.argv[2:5])
config = MemoryConfig(
    path=sys.argv[1], durability="os", dimension=dimension, memory_limit_bytes=limit
)
with MemoryStore(config) as store:
    number, refused = 0, 0
    while refused < 5_000:
        batch = [
            Store(
                f"agent_{(number + at) % agents}",
                f"state_{number + at}",
                pack_state({"x": (number + at) * 0.001, "n": number + at, "do": "go"}),
            )
            for at in range(256)
        ]
        refused += sum(type(result) is not Done for result in store.execute(batch))
        number += 256
    print(bare, rss_bytes("VmHWM"), store.statistics().counts.total)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(("agents", "dimension"), [(300, 256), (20_000, 64)])
@pytest.mark.timeout(300)
def test_a_process_that_is_fed_until_it_refuses_stays_near_its_limit(
    tmp_path: Path, agents: int, dimension: int
):
    """Its resident memory beyond the bare interpreter is the limit and no more than 30% of it."""
    limit = 300 * MIB
    arguments = [str(tmp_path / "db"), str(limit), str(agents), str(dimension)]
    done = subprocess.run(
        [sys.executable, "-c", _FEEDING, *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=280,
    )
    bare, most, memories = map(int, done.stdout.split())
    assert most - bare < 1.3 * limit, f"{(most - bare) / MIB:.0f} MiB, {memories:,} memories"
    assert most - bare > 0.6 * limit, f"{(most - bare) / MIB:.0f} MiB, {memories:,} memories"

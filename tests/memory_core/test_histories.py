"""Sixteen threads on one store: each sees its own agents as it left them, and nothing go back.

Each thread has agents for itself, of which it knows everything, and one agent is everybody's. Of
its own agents a thread reads exactly what it wrote last. Of the shared agent each id is written by
one thread, with rising versions, and read by all: what anybody has seen or been acknowledged,
nobody sees an older one of afterwards.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from memory_core import (
    Counts,
    Delete,
    Deleted,
    Describe,
    Described,
    Done,
    Hits,
    MemoryConfig,
    MemoryStore,
    Missing,
    Moved,
    Operation,
    Record,
    Result,
    Retrieve,
    Search,
    Store,
    Transition,
)
from memory_core.client import MemoryClient
from memory_core.local_transport import LocalTransport
from memory_core.operations import Query
from memory_core.results import Memories
from tests.memory_core.promises import rounds

THREADS = 16
STEPS = 60
IDS = 60
SHARED = "shared"
SETTINGS: dict[str, Any] = {
    "dimension": 8,
    "stm_capacity": 8,
    "im_capacity": 16,
    "exact_below": 20,
    "write_buffer_bytes": 64 * 1024,
    "payload_cache_bytes": 2_000,
    "durability": "os",
}


def state(owner: int, state_id: str, version: int) -> dict[str, Any]:
    return {"owner": owner, "id": state_id, "version": version, "at": [version * 0.7, owner * 1.3]}


class SharedVersions:
    """Of each id of the shared agent, the version from which on anybody may see it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._least: dict[str, int] = {}

    def least(self) -> dict[str, int]:
        with self._lock:
            return dict(self._least)

    def seen(self, state_id: str, version: int) -> None:
        with self._lock:
            self._least[state_id] = max(version, self._least.get(state_id, 0))


class Life:
    """What one thread does, and what it must see: steps are batches, and checks of their results.

    Args:
        number: of the thread.
        seed: of its choices.
        shared: what is known of the shared agent.
    """

    def __init__(self, number: int, seed: int, shared: SharedVersions) -> None:
        self.number = number
        self.chance = random.Random(seed * 1_000 + number)
        self.agents = [f"own-{number}-{one}" for one in range(2)]
        self.own: dict[str, dict[str, int]] = {agent: {} for agent in self.agents}
        self.shared = shared
        self.version = 0

    def step(self) -> tuple[list[Operation], list[Callable[[Any], None]]]:
        """A batch, and what to make of each of its results."""
        batch: list[Operation] = []
        checks: list[Callable[[Any], None]] = []
        least = self.shared.least()  # of what is acknowledged before the batch is sent
        for _ in range(self.chance.randint(1, 5)):
            kinds = [self._store] * 4 + [self._delete, self._read, self._read, self._search]
            kinds += [self._count, self._query]
            operation, check = self.chance.choice(kinds)(self.chance.choice(self.agents))
            batch.append(operation)
            checks.append(check)
        for operation, check in (self._write_shared(), self._read_shared(least)):
            batch.append(operation)
            checks.append(check)
        if self.chance.random() < 0.15:
            agent = self.chance.choice([*self.agents, SHARED, None])
            batch.append(Transition(self.chance.choice(["im", "ltm"]), 40.0, agent))
            checks.append(_require_moved)
        return batch, checks

    def _id(self) -> str:
        return f"s{self.chance.randrange(IDS)}"

    def _store(self, agent: str) -> tuple[Operation, Callable[[Any], None]]:
        state_id, self.version = self._id(), self.version + 1
        self.own[agent][state_id] = self.version
        stored = state(self.number, state_id, self.version)
        return Store.of(agent, state_id, stored, importance=self.chance.random()), _require_done

    def _delete(self, agent: str) -> tuple[Operation, Callable[[Any], None]]:
        if self.chance.random() < 0.05:
            expected, self.own[agent] = Deleted(len(self.own[agent])), {}
            return Delete(agent), _expecting(expected)
        state_id = self._id()
        there = self.own[agent].pop(state_id, None)
        return Delete(agent, state_id), _expecting(Deleted(int(there is not None)))

    def _read(self, agent: str) -> tuple[Operation, Callable[[Any], None]]:
        state_id = self._id()
        version = self.own[agent].get(state_id)

        def check(result: Any) -> None:
            if version is None:
                assert result == Missing(), (agent, state_id, result)
            else:
                assert isinstance(result, Record), (agent, state_id, version, result)
                assert result.state == state(self.number, state_id, version)

        return Retrieve(agent, state_id), check

    def _search(self, agent: str) -> tuple[Operation, Callable[[Any], None]]:
        if not self.own[agent]:
            return Search.of(agent, {"any": 1}), _expecting(Hits([]))
        state_id = self.chance.choice(sorted(self.own[agent]))
        expected = dict(self.own[agent])
        wanted = state(self.number, state_id, expected[state_id])

        def check(result: Any) -> None:
            assert isinstance(result, Hits), result
            for hit in result.hits:
                assert hit.state == state(self.number, hit.state_id, expected[hit.state_id])
            scores = {hit.state_id: hit.score for hit in result.hits}
            assert len(scores) == len(result.hits) == min(4, len(expected))
            assert scores.get(state_id, 0) > 1 - 1e-5, (state_id, result)

        return Search.of(agent, wanted, k=4), check

    def _count(self, agent: str) -> tuple[Operation, Callable[[Any], None]]:
        count = len(self.own[agent])

        def check(result: Any) -> None:
            assert isinstance(result, Described), result
            assert (result.agents, result.counts.total) == (int(count > 0), count)

        return Describe(agent), check

    def _query(self, agent: str) -> tuple[Operation, Callable[[Any], None]]:
        expected = dict(self.own[agent])

        def check(result: Any) -> None:
            assert isinstance(result, Memories), result
            found = {memory.state_id: memory.state["version"] for memory in result.memories}
            assert (found, len(result.memories)) == (expected, len(expected))

        return Query(agent), check

    def _write_shared(self) -> tuple[Operation, Callable[[Any], None]]:
        state_id = f"t{self.number}-{self.chance.randrange(3)}"
        self.version += 1
        version = self.version

        def check(result: Any) -> None:
            _require_done(result)
            self.shared.seen(state_id, version)

        return Store.of(SHARED, state_id, state(self.number, state_id, version)), check

    def _read_shared(self, least: dict[str, int]) -> tuple[Operation, Callable[[Any], None]]:
        whose = self.chance.randrange(THREADS)
        state_id = f"t{whose}-{self.chance.randrange(3)}"

        def check(result: Any) -> None:
            if state_id not in least and result == Missing():
                return
            assert isinstance(result, Record), (state_id, least.get(state_id), result)
            version = result.state["version"]
            assert result.state == state(whose, state_id, version)
            assert version >= least.get(state_id, 0), f"{state_id} went back"
            self.shared.seen(state_id, version)

        return Retrieve(SHARED, state_id), check


def _require_done(result: Any) -> None:
    assert result == Done(), result


def _require_moved(result: Any) -> None:
    assert isinstance(result, Moved), result


def _expecting(expected: Result) -> Callable[[Any], None]:
    def check(result: Any) -> None:
        assert result == expected

    return check


def check_all(checks: Sequence[Callable[[Any], None]], results: Sequence[Result]) -> None:
    for check, result in zip(checks, results, strict=True):
        check(result)


def run_together(bodies: Sequence[Callable[[], None]]) -> None:
    """Run each in a thread, and raise what the first of them that failed raised."""
    errors: list[BaseException] = []
    together = threading.Barrier(len(bodies))

    def run(body: Callable[[], None]) -> None:
        try:
            together.wait(30)
            body()
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]


def require_agreed(stores: Sequence[MemoryStore], lives: Sequence[Life]) -> None:
    """The stores have what the lives know, and nothing else."""
    least = lives[0].shared.least()
    expected = {agent: own for life in lives for agent, own in life.own.items() if own}
    expected[SHARED] = least
    for agent, versions in expected.items():
        found = {}
        for store in stores:
            [result] = store.execute([Query(agent)])
            found |= {memory.state_id: memory.state["version"] for memory in result.memories}
        assert found == versions, agent
    counts = [store.execute([Describe()])[0].counts for store in stores]
    total = sum(one.total for one in counts)
    assert total == sum(map(len, expected.values()))
    assert min(sum(getattr(one, tier) for one in counts) for tier in Counts.__struct_fields__) > 0


@pytest.fixture
def seed() -> int:
    return random.randrange(2**32)


@pytest.mark.parametrize("at_a_time", ["batches", "operations"])
def test_each_thread_reads_its_own_writes_and_nothing_goes_back(
    tmp_path: Path, seed: int, at_a_time: str
):
    """Sixteen threads on one store, with demotion, transitions and small indexes, disagree never.

    So it is when the store is opened again.
    """
    shared = SharedVersions()
    lives = [Life(number, seed, shared) for number in range(THREADS)]
    config = MemoryConfig(path=tmp_path / "db", **SETTINGS)
    with MemoryStore(config) as store:

        def live(life: Life) -> None:
            for _ in range(STEPS * rounds(1)):
                batch, checks = life.step()
                if at_a_time == "batches":
                    check_all(checks, store.execute(batch))
                else:
                    for operation, check in zip(batch, checks, strict=True):
                        check(store.execute([operation])[0])

        run_together([lambda life=life: live(life) for life in lives])
        require_agreed([store], lives)
    with MemoryStore(config) as again:
        require_agreed([again], lives)


@pytest.fixture
def transport(tmp_path: Path) -> Iterator[tuple[LocalTransport, list[MemoryStore]]]:
    """Two stores behind a transport within the process."""
    stores = [
        MemoryStore(MemoryConfig(path=tmp_path / f"shard-{one}", **SETTINGS)) for one in range(2)
    ]
    transport = LocalTransport(stores)
    yield transport, stores
    transport.close()


@pytest.mark.slow
def test_agents_of_many_clients_read_their_own_writes(
    transport: tuple[LocalTransport, list[MemoryStore]], seed: int
):
    """Sixteen threads with a client each, on two shards, see what the threads of one store see."""
    shared = SharedVersions()
    lives = [Life(number, seed, shared) for number in range(THREADS)]

    async def live(life: Life) -> None:
        client = MemoryClient(transport[0], 2)
        for _ in range(STEPS * rounds(1)):
            batch, checks = life.step()
            results = await asyncio.gather(*(client.call(operation) for operation in batch))
            check_all(checks, results)
        await client.drain()

    def body(life: Life) -> None:
        asyncio.run(live(life))

    run_together([lambda life=life: body(life) for life in lives])
    require_agreed(transport[1], lives)


def test_agents_of_one_client_read_their_own_writes(
    transport: tuple[LocalTransport, list[MemoryStore]], seed: int
):
    """Sixteen coroutines whose operations leave together in one client's batches likewise."""
    shared = SharedVersions()
    lives = [Life(number, seed, shared) for number in range(THREADS)]

    async def live_all() -> None:
        client = MemoryClient(transport[0], 2, max_batch_ops=24)

        async def live(life: Life) -> None:
            for _ in range(STEPS * rounds(1)):
                batch, checks = life.step()
                check_all(
                    checks, await asyncio.gather(*(client.call(operation) for operation in batch))
                )

        lifetimes: list[Awaitable[None]] = [live(life) for life in lives]
        await asyncio.gather(*lifetimes)
        await client.drain()

    asyncio.run(live_all())
    require_agreed(transport[1], lives)


def test_a_history_that_goes_back_is_noticed(tmp_path: Path):
    """A store that gave an older version, or lost one, would fail these tests."""
    life = Life(0, 1, SharedVersions())
    with MemoryStore(MemoryConfig(path=tmp_path / "db", **SETTINGS)) as store:
        for _ in range(30):
            batch, checks = life.step()
            check_all(checks, store.execute(batch))
        state_id = next(one for one in life.shared.least() if one.startswith("t0"))
        store.execute([Store.of(SHARED, state_id, state(0, state_id, 0))])
        check = None
        while check is None:
            operation, one = life._read_shared(life.shared.least())
            check = one if operation.state_id == state_id else None
        with pytest.raises(AssertionError, match="went back"):
            check(store.execute([operation])[0])
        with pytest.raises(AssertionError):
            require_agreed([store], [life])

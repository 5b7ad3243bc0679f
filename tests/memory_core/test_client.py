"""`MemoryClient` over transports in memory: order, gathering, bounds, retries, bad answers."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_core import (
    BadInputError,
    Counts,
    DeadlineError,
    Describe,
    Described,
    Done,
    Failure,
    MemoryConfig,
    MemoryStore,
    Missing,
    Moved,
    OverloadedError,
    Record,
    Result,
    Retrieve,
    Search,
    Store,
    Transition,
    UnavailableError,
    retrying,
)
from memory_core.client import MemoryClient, shard_of
from memory_core.local_transport import LocalTransport, execute_encoded
from memory_core.wire import Reply, decode_batch, encode_reply

Call = Callable[[int, bytes, float], Awaitable[bytes]]


def run(body: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test's coroutine, with an end to it."""

    async def bounded() -> None:
        await asyncio.wait_for(body(), 10)

    asyncio.run(bounded())


@pytest.fixture(scope="module", autouse=True)
def _short_backoff() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(retrying, "_FIRST_BACKOFF_S", 0.0001)
        patched.setattr(retrying, "_MAX_BACKOFF_S", 0.001)
        yield


class Shards:
    """Shards that are dicts. A test may stand in between with ``before`` and ``after``.

    Each call must be alone on its shard, as long as the client pipelines.
    """

    def __init__(self, *, alone: bool = True) -> None:
        self.states: dict[int, dict[tuple[str, str], bytes]] = defaultdict(dict)
        self.batches: list[tuple[int, list[Any]]] = []
        self.sizes: list[int] = []
        self.timeouts_s: list[float] = []
        self.in_flight: dict[int, int] = defaultdict(int)
        self.most_in_flight: dict[int, int] = defaultdict(int)
        self.alone = alone

    async def before(self, shard: int) -> None:
        """What happens to a call on its way."""

    async def after(self, shard: int, reply: bytes) -> bytes:
        """What happens to the reply on its way back."""
        return reply

    async def call(self, shard: int, data: bytes, timeout_s: float) -> bytes:
        self.timeouts_s.append(timeout_s)
        self.sizes.append(len(data))
        self.in_flight[shard] += 1
        self.most_in_flight[shard] = max(self.most_in_flight[shard], self.in_flight[shard])
        try:
            await self.before(shard)
            operations = decode_batch(data).operations
            self.batches.append((shard, operations))
            results = [self.execute(shard, operation) for operation in operations]
            return await self.after(shard, encode_reply(Reply(0, 1, results)))
        finally:
            self.in_flight[shard] -= 1

    def execute(self, shard: int, operation: Any) -> Result:
        states = self.states[shard]
        if isinstance(operation, Store):
            states[operation.agent_id, operation.state_id] = operation.payload
            return Done()
        if isinstance(operation, Retrieve):
            payload = states.get((operation.agent_id, operation.state_id))
            return Missing() if payload is None else Record(payload, "stm")
        if isinstance(operation, Describe):
            chosen = [one for one in states if operation.agent_id in {None, one[0]}]
            return Described(len({agent for agent, _ in chosen}), Counts(stm=len(chosen)))
        assert isinstance(operation, Transition)
        return Moved(len(states))


class Gated(Shards):
    """Calls wait at a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def before(self, shard: int) -> None:
        await self.gate.wait()


def store(agent: str, number: int, size: int = 1) -> Store:
    return Store(agent, f"s{number}", bytes([number % 256]) * size)


async def turns(count: int = 20) -> None:
    """Let everybody else have some turns."""
    for _ in range(count):
        await asyncio.sleep(0)


async def results(*futures: asyncio.Future[Any]) -> list[Result]:
    return [answer.result for answer in await asyncio.gather(*futures)]


def error_of(result: Result) -> Exception:
    assert isinstance(result, Failure), result
    return result.exception()


def test_shards_of_agents_are_the_same_in_every_release():
    """Agents map to shards by a stable hash: a change would lose sight of what is stored."""
    agents = ["agent_0", "agent_1", "agent_499", "a", "\u00e4\U0001f600", "x" * 1024]
    assert [shard_of(agent, 2) for agent in agents] == [0, 1, 1, 0, 1, 0]
    assert [shard_of(agent, 7) for agent in agents] == [2, 6, 0, 4, 0, 1]
    spread = [shard_of(f"agent_{number}", 8) for number in range(8000)]
    assert all(800 < spread.count(shard) < 1200 for shard in range(8))
    assert {shard_of(agent, 1) for agent in agents} == {0}


def test_operations_gather_while_a_batch_is_in_flight_and_leave_together():
    """The first leaves at once; what comes while it is under way is the next batch, whole."""

    async def body() -> None:
        shards = Gated()
        client = MemoryClient(shards, 1)
        first = client.submit(store("a", 0))
        await turns()
        rest = [client.submit(store(f"a{number}", number)) for number in range(1, 100)]
        await turns()
        assert shards.in_flight == {0: 1}
        shards.gate.set()
        assert await results(first, *rest) == [Done()] * 100
        assert [len(operations) for _, operations in shards.batches] == [1, 99]
        assert shards.most_in_flight == {0: 1}
        answer = await rest[0]
        assert (answer.timing.batch_ops, answer.timing.attempts) == (99, 1)

    run(body)


def test_shards_do_not_wait_for_each_other():
    """A shard that stands still holds up its own agents only."""

    async def body() -> None:
        shards = Gated()
        stuck = shard_of("a", 4)

        async def before(shard: int) -> None:
            if shard == stuck:
                await shards.gate.wait()

        shards.before = before  # type: ignore[method-assign]
        client = MemoryClient(shards, 4)
        waiting = client.submit(store("a", 0))
        others = [f"b{n}" for n in range(40) if shard_of(f"b{n}", 4) != stuck]
        assert await results(*[client.submit(store(one, 1)) for one in others])
        assert not waiting.done()
        shards.gate.set()
        assert await results(waiting) == [Done()]

    run(body)


def test_an_agents_operations_stay_in_their_order():
    """Through gathering, bounds and retries an agent's operations arrive as they were issued."""

    async def body() -> None:
        shards = Shards()
        lost = iter([True, False, True, True] + [False] * 1000)

        async def before(shard: int) -> None:
            await asyncio.sleep(0)
            if next(lost):
                raise UnavailableError("lost on its way")

        shards.before = before  # type: ignore[method-assign]
        client = MemoryClient(shards, 2, max_batch_ops=7)
        agents = [f"agent_{number}" for number in range(6)]
        sent = []
        for number in range(30):
            sent += [client.submit(store(agent, number)) for agent in agents]
            if number % 10 == 0:
                await turns(3)
        assert set(map(type, await results(*sent))) == {Done}
        arrived = [one for _, operations in shards.batches for one in operations]
        for agent in agents:
            order = [one.state_id for one in arrived if one.agent_id == agent]
            assert order == [f"s{number}" for number in range(30)]
        assert max(len(operations) for _, operations in shards.batches) == 7
        assert set(shards.most_in_flight.values()) == {1}
        assert client.retries == 3

    run(body)


@pytest.mark.parametrize("kind", ["payload", "vector", "query"])
def test_a_batch_is_bounded_in_bytes(kind: str):
    """No batch is larger than the bound, vectors included; a larger operation goes alone."""

    async def body() -> None:
        shards = Gated()
        shards.execute = lambda shard, operation: Done()  # type: ignore[method-assign]
        client = MemoryClient(shards, 1, max_batch_bytes=10_000)
        large = bytes(3_000)
        made = {
            "payload": lambda number: Store("a", f"s{number}", large),
            "vector": lambda number: Store("a", f"s{number}", b"\x80", 0.5, large),
            "query": lambda number: Search("a", None, large, number + 1),
        }[kind]
        sent = [client.submit(made(number)) for number in range(20)]
        sent.append(client.submit(Store("a", "huge", bytes(50_000))))
        sent.append(client.submit(made(20)))
        shards.gate.set()
        assert await results(*sent) == [Done()] * 22
        sizes = [len(operations) for _, operations in shards.batches]
        assert max(sizes) == 3
        assert sum(sizes) == 22
        assert [size for size in shards.sizes if size > 10_000] == [max(shards.sizes)]

    run(body)


def test_what_waits_is_bounded():
    """Beyond max_pending_ops an operation fails at once as overloaded; later there is room."""

    async def body() -> None:
        shards = Gated()
        client = MemoryClient(shards, 2, max_pending_ops=5)
        waiting = [client.submit(store(f"a{number}", number)) for number in range(5)]
        await turns()
        for _ in range(3):
            error = error_of((await client.submit(store("b", 1))).result)
            assert isinstance(error, OverloadedError)
            assert "max_pending_ops" in str(error)
        shards.gate.set()
        assert await results(*waiting) == [Done()] * 5
        assert await results(client.submit(store("b", 1))) == [Done()]
        assert all(operation.agent_id != "b" for _, ops in shards.batches[:-1] for operation in ops)

    run(body)


def test_a_batch_is_sent_again_until_it_is_answered():
    """A shard that is away for a while costs attempts, which the answer tells."""

    async def body() -> None:
        shards = Shards()
        away = iter([True, True, False])

        async def before(shard: int) -> None:
            if next(away):
                raise UnavailableError("starting again")

        shards.before = before  # type: ignore[method-assign]
        client = MemoryClient(shards, 1)
        answer = await client.submit(store("a", 1))
        assert answer.result == Done()
        assert answer.timing.attempts == 3
        assert client.retries == 2

    run(body)


def test_a_batch_is_given_up_at_its_deadline_and_the_next_one_goes():
    """When no answer comes in time each operation fails as late; the lane is not stuck."""

    async def body() -> None:
        shards = Shards()
        dead = True

        async def before(shard: int) -> None:
            if dead:
                raise UnavailableError("the shard is down")

        shards.before = before  # type: ignore[method-assign]
        client = MemoryClient(shards, 1, deadline_s=0.1)
        late = await asyncio.gather(*[client.submit(store("a", number)) for number in range(3)])
        for answer in late:
            error = error_of(answer.result)
            assert isinstance(error, DeadlineError)
            assert "the shard is down" in str(error)
            assert answer.timing.attempts > 1
        assert max(shards.timeouts_s) <= 0.1
        dead = False
        assert await results(client.submit(store("a", 9))) == [Done()]
        assert client._pending == 0

    run(body)


def test_a_transports_own_deadline_is_not_tried_again():
    """Who has waited the whole time already is told so at once."""

    async def body() -> None:
        shards = Shards()
        calls = []

        async def before(shard: int) -> None:
            calls.append(shard)
            raise DeadlineError("no answer in 30 s")

        shards.before = before  # type: ignore[method-assign]
        client = MemoryClient(shards, 1)
        assert isinstance(error_of(await client.call(store("a", 1))), DeadlineError)
        assert len(calls) == 1

    run(body)


BAD_REPLIES: list[Any] = [
    b"",
    b"garbage",
    b"\xc1" * 100,
    encode_reply(Reply(0, 1, [])),
    encode_reply(Reply(0, 1, [Done()] * 4)),
    b"\x93\x00\x01\x93\x91\x00\x91\x00\x91\x63",
    None,
    "text",
    RuntimeError("the transport broke"),
    OSError("connection reset"),
    AttributeError("'NoneType' object has no attribute 'execute'"),
]


@pytest.mark.parametrize("reply", BAD_REPLIES, ids=repr)
@pytest.mark.parametrize("pipelining", [True, False])
def test_a_bad_answer_fails_its_batch_and_no_other(reply: Any, pipelining: bool):
    """A reply that is none, or a transport that breaks, is unavailable; the lane goes on."""

    async def body() -> None:
        shards = Shards()
        bad = True

        async def after(shard: int, good: bytes) -> bytes:
            if bad and isinstance(reply, Exception):
                raise reply
            return reply if bad else good

        shards.after = after  # type: ignore[method-assign]
        client = MemoryClient(shards, 1, pipelining=pipelining, deadline_s=0.2)
        failed = await results(*[client.submit(store(f"a{number}", number)) for number in range(3)])
        for result in failed:
            assert isinstance(error_of(result), UnavailableError)
        bad = False
        assert await results(client.submit(store("a", 1))) == [Done()]
        await client.drain()
        assert client._pending == 0

    run(body)


def test_a_failure_whose_arguments_are_wrong_is_still_an_error():
    """A reply may hold a failure of any name and arguments; reading it raises nothing strange."""
    for failure in (
        Failure("BadInputError", []),
        Failure("BadInputError", ["a", "b", "c"]),
        Failure("NoSuchError", ["text"]),
        Failure("annotations", []),
        Failure("__name__", []),
    ):
        assert str(failure.exception()) is not None


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[list[MemoryStore]]:
    """Real stores, one a shard."""
    made = [
        MemoryStore(
            MemoryConfig(path=tmp_path / str(number), dimension=8, stm_capacity=5, im_capacity=5)
        )
        for number in range(2)
    ]
    yield made
    for one in made:
        one.close()


class Unreliable:
    """Carries batches to real stores; ``lose`` tells which replies are lost."""

    def __init__(self, stores: list[MemoryStore], lose: Callable[[], bool]) -> None:
        self.stores, self.lose = stores, lose
        self.executed: list[bytes] = []

    async def call(self, shard: int, data: bytes, timeout_s: float) -> bytes:
        reply = execute_encoded(self.stores[shard], data, 0)
        self.executed.append(data)
        if self.lose():
            raise UnavailableError("the reply was lost")
        return reply


def test_a_batch_that_was_executed_and_never_answered_may_be_repeated(stores: list[MemoryStore]):
    """Repeating a batch of stores changes nothing: each state is there once, as last stored."""

    async def body() -> None:
        losses = iter([True, True, False] * 100)
        transport = Unreliable(stores, lambda: next(losses))
        client = MemoryClient(transport, 2)
        sent = []
        for number in range(40):
            sent.append(client.submit(Store.of("a", f"s{number % 8}", {"number": number})))
            if number % 5 == 0:
                await turns(3)
        assert set(map(type, await results(*sent))) == {Done}
        assert len(transport.executed) > len(set(transport.executed))
        described = await client.call(Describe("a"))
        assert isinstance(described, Described)
        assert described.counts.total == 8
        for number in range(8):
            record = await client.call(Retrieve("a", f"s{number}"))
            assert isinstance(record, Record)
            assert record.state == {"number": 32 + number}

    run(body)


@pytest.mark.parametrize("pipelining", [True, False])
def test_a_transition_is_not_repeated(stores: list[MemoryStore], pipelining: bool):
    """Moving a share twice moves more: a transition whose reply was lost is not sent again."""

    async def body() -> None:
        class LosingTransitions(Unreliable):
            async def call(self, shard: int, data: bytes, timeout_s: float) -> bytes:
                reply = await super().call(shard, data, timeout_s)
                if any(type(one) is Transition for one in decode_batch(data).operations):
                    raise UnavailableError("the reply was lost")
                return reply

        client = MemoryClient(
            LosingTransitions(stores, lambda: False), 2, pipelining=pipelining, deadline_s=1
        )
        sent = [client.submit(Store.of("a", f"s{number}", {})) for number in range(4)]
        sent.append(client.submit(Transition("im", 50.0, "a")))
        sent.append(client.submit(Store.of("a", "s3", {"x": 1})))
        *stored, moved, after = await results(*sent)
        assert [*stored, after] == [Done()] * 5
        assert isinstance(error_of(moved), UnavailableError)
        described = await client.call(Describe("a"))
        assert isinstance(described, Described)
        assert described.counts == Counts(stm=2, im=2)

    run(body)


def test_a_batch_that_comes_late_overwrites_nothing_newer(stores: list[MemoryStore]):
    """What was given up on its way and arrives after its successor is refused by the shard."""

    async def body() -> None:
        held: list[bytes] = []

        class Holding(Unreliable):
            async def call(self, shard: int, data: bytes, timeout_s: float) -> bytes:
                if not held:
                    held.append(data)
                    raise DeadlineError("no answer in time")
                return await super().call(shard, data, timeout_s)

        shard = shard_of("a", 2)
        for pipelining in (True, False):
            held.clear()
            client = MemoryClient(Holding(stores, lambda: False), 2, pipelining=pipelining)
            late = await client.call(Store.of("a", "s", {"value": "old"}))
            assert isinstance(error_of(late), DeadlineError)
            assert await client.call(Store.of("a", "s", {"value": "new"})) == Done()
            with pytest.raises(UnavailableError):
                execute_encoded(stores[shard], held[0], 0)
            record = await client.call(Retrieve("a", "s"))
            assert isinstance(record, Record)
            assert record.state == {"value": "new"}

    run(body)


def test_without_pipelining_each_operation_travels_by_itself():
    """--pipelining off is one call an operation, all agents at once."""

    async def body() -> None:
        shards = Gated()
        client = MemoryClient(shards, 1, pipelining=False)
        sent = [client.submit(store(f"a{number}", number)) for number in range(20)]
        await turns()
        assert shards.in_flight == {0: 20}
        shards.gate.set()
        assert await results(*sent) == [Done()] * 20
        assert [len(operations) for _, operations in shards.batches] == [1] * 20

    run(body)


def test_without_pipelining_an_agent_with_several_operations_at_once_is_served(
    stores: list[MemoryStore],
):
    """Operations of one agent that are under way together all succeed, the last one last."""

    async def body() -> None:
        class Reordering(Unreliable):
            calls = 0

            async def call(self, shard: int, data: bytes, timeout_s: float) -> bytes:
                Reordering.calls += 1
                await turns(200 if Reordering.calls % 2 else 1)
                return await super().call(shard, data, timeout_s)

        client = MemoryClient(Reordering(stores, lambda: False), 2, pipelining=False, deadline_s=2)
        sent = [client.submit(Store.of("a", "s", {"number": number})) for number in range(6)]
        assert await results(*sent) == [Done()] * 6
        record = await client.call(Retrieve("a", "s"))
        assert isinstance(record, Record)
        assert record.state == {"number": 5}

    run(body)


def test_an_operation_without_an_agent_goes_to_every_shard():
    """Transitions and counts of all agents are put to each shard and summed up."""

    async def body() -> None:
        shards = Shards()
        client = MemoryClient(shards, 3)
        await results(*[client.submit(store(f"a{number}", 1)) for number in range(30)])
        assert await client.call(Describe()) == Described(30, Counts(stm=30))
        assert await client.call(Transition("im", 100)) == Moved(30)
        asked = [shard for shard, ops in shards.batches if type(ops[0]) is Transition]
        assert sorted(asked) == [0, 1, 2]
        with pytest.raises(BadInputError, match="agent_id"):
            client.submit(Describe())

    run(body)


def test_an_operation_on_all_shards_fails_when_one_of_them_does():
    """A sum without one of its parts is not given as if it were whole."""

    async def body() -> None:
        shards = Shards()

        async def before(shard: int) -> None:
            if shard == 1:
                raise UnavailableError("down")

        shards.before = before  # type: ignore[method-assign]
        client = MemoryClient(shards, 3, deadline_s=0.05)
        assert isinstance(error_of(await client.call(Describe())), UnavailableError)

    run(body)


def test_bad_input_is_raised_before_anything_is_sent():
    """A wrong field is the caller's error at once, and costs no place."""

    async def body() -> None:
        shards = Shards()
        client = MemoryClient(shards, 1)
        bad = [
            Store("", "s", b""),
            Search("a", b"\x80", None, 0),
            Search("a", b"\x80", None, 2**70),
            Search("a", "text"),  # type: ignore[arg-type]
            Store("a", "s", b"\x80", 0.5, np.ones(3)),  # type: ignore[arg-type]
            Retrieve("a", "\ud800"),
        ]
        for operation in bad:
            with pytest.raises(BadInputError):
                client.submit(operation)
            with pytest.raises(BadInputError):
                await client.call(operation)
        assert not shards.batches
        assert client._pending == 0

    run(body)


def test_whatever_is_taken_can_travel(stores: list[MemoryStore]):
    """Numpy's scalars among the fields cross the wire like plain numbers and text."""

    async def body() -> None:
        client = MemoryClient(LocalTransport(stores), 2)
        assert await client.call(Store("a", "s", b"\x80", np.float64(0.7))) == Done()
        assert await client.call(Retrieve("a", "s", np.str_("stm"))) == Record(b"\x80", "stm")
        assert await client.call(Transition("im", np.float64(100.0), "a")) == Moved(1)

    run(body)


def test_an_operation_that_nobody_waits_for_any_more_disturbs_nobody():
    """A cancelled caller leaves its batch and those after it alone."""

    async def body() -> None:
        shards = Gated()
        client = MemoryClient(shards, 1)
        calls = [asyncio.ensure_future(client.call(store("a", number))) for number in range(4)]
        await turns()
        calls[0].cancel()
        calls[2].cancel()
        await turns()
        shards.gate.set()
        assert await asyncio.gather(calls[1], calls[3]) == [Done(), Done()]
        assert await client.call(store("a", 5)) == Done()
        await client.drain()
        assert client._pending == 0

    run(body)


faults = st.sampled_from(["ok", "ok", "ok", "slow", "lost before", "lost after"])
steps = st.tuples(
    st.integers(0, 5), st.sampled_from(["store", "retrieve"]), st.integers(0, 3), st.integers(0, 2)
)


@given(
    st.lists(steps, min_size=1, max_size=80),
    st.lists(faults, max_size=60),
    st.integers(1, 3),
    st.integers(1, 8),
    st.booleans(),
)
def test_each_agent_reads_its_own_writes_however_batches_travel(
    plan: list[tuple[int, str, int, int]],
    fates: list[str],
    shard_count: int,
    max_batch_ops: int,
    pipelining: bool,
):
    """Whatever is delayed, lost or repeated, a retrieval gives the agent's own latest store."""

    async def body() -> None:
        shards = Shards()
        fate = iter(fates)

        async def before(shard: int) -> None:
            now = next(fate, "ok")
            if now == "lost before":
                raise UnavailableError(now)
            if now == "slow":
                await turns(7)
            lost_after[shard] = now == "lost after"

        async def after(shard: int, reply: bytes) -> bytes:
            if lost_after.pop(shard, False):
                raise UnavailableError("lost after")
            await asyncio.sleep(0)
            return reply

        lost_after: dict[int, bool] = {}
        shards.before, shards.after = before, after  # type: ignore[method-assign]
        client = MemoryClient(
            shards, shard_count, max_batch_ops=max_batch_ops, pipelining=pipelining
        )

        async def live(agent: str, own: list[tuple[str, int, int]]) -> None:
            latest: dict[str, bytes] = {}
            for position, (kind, number, pause) in enumerate(own):
                state_id, payload = f"s{number}", f"{agent} {position}".encode()
                if kind == "store":
                    assert await client.call(Store(agent, state_id, payload)) == Done()
                    latest[state_id] = payload
                else:
                    found = await client.call(Retrieve(agent, state_id))
                    kept = latest.get(state_id)
                    assert found == (Missing() if kept is None else Record(kept, "stm"))
                await turns(pause)

        lives: dict[int, list[tuple[str, int, int]]] = defaultdict(list)
        for agent, *step in plan:
            lives[agent].append(tuple(step))  # type: ignore[arg-type]
        await asyncio.gather(*[live(f"agent_{agent}", own) for agent, own in lives.items()])
        await client.drain()
        assert client._pending == 0
        if pipelining:
            assert max(shards.most_in_flight.values()) == 1

    run(body)

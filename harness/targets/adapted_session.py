"""The session of an adapted store: what agents submit to, on a cohort's event loop.

Operations of one agent are carried out one after another, in the order of their issue, whatever
the store's ways of being called; those of different agents in any. What gathers behind an agent's
first goes together where the store has batches for it, so that one who loads much is not slowed
down. How calls are made is the matter of `CallThreads` (plain methods) and `AwaitedCalls`
(``async def``).

An operation that is not sent before its deadline is not sent any more, and of a call that takes
longer nobody awaits the answer: a timer looks for both. A plain call cannot be ended: what comes
after it on its thread waits, and is late in its turn.

Bounds: `MAX_PENDING_OPS` operations wait or are called, beyond which one fails as overloaded;
`waiting.MAX_CALL_OPS` and `waiting.MAX_CALL_BYTES` in one call.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from time import perf_counter_ns
from typing import Any, Protocol

from harness.targets.base import Capabilities, OpenStore, Scalar
from harness.targets.method_checks import OneOperation, batched_kinds
from harness.targets.refusals import refusal
from harness.targets.waiting import MAX_CALL_BYTES, MAX_CALL_OPS, Waiting, all_of
from memory_core.client import Answer, BatchTiming
from memory_core.errors import DeadlineError, MemoryCoreError, OverloadedError
from memory_core.operations import Retrieve, Store
from memory_core.results import Failure
from memory_core.validation import validate

__all__ = ["COMPLAINTS_MAX", "MAX_PENDING_OPS", "AdaptedSession", "Caller"]

MAX_PENDING_OPS = 100_000
COMPLAINTS_MAX = 5
# How many that wait are worth it: enough to fill a batch, or for vectors that are made together;
# of a slow store many more would not be sent within their deadline.
_WINDOW_IN_BATCHES = 1_000
_WINDOW_A_CALL = 64


class Caller(Protocol):
    """Makes the calls. All but what `put` leads to happens on the event loop."""

    def put(self, first: Waiting) -> None:
        """Carry out an operation, and its `Waiting.more`, when its turn comes."""

    def give_up(self, first: Waiting) -> None:
        """Nobody awaits this call any more; end it if it can be ended."""

    async def ask(self, question: Callable[[OpenStore], Any], deadline_s: float | None) -> Any:
        """What a method of the store's gives, apart from operations. Raises what it raises."""

    async def close(self) -> None:
        """Close the store, after all that was put. Raises RunFailedError."""


class AdaptedSession:
    """See the module's head and `harness.targets.driven.Session`.

    Args:
        capabilities: of the target.
        deadline_s: how long an operation may wait for its turn, and how long its call may take.

    Attributes:
        retries: nothing is sent twice.
        complaints: of failures that have no meaning of their own, what was said and how often;
            the first `COMPLAINTS_MAX` that differ.
        window: how many operations are worth it to be submitted without waiting.
    """

    retries = 0

    def __init__(self, capabilities: Capabilities, deadline_s: float) -> None:
        self.window = _window(capabilities)
        self.complaints: Counter[str] = Counter()
        self._capabilities = capabilities
        self._batched = batched_kinds(capabilities)
        self._deadline_s = deadline_s
        self._deadline_ns = round(deadline_s * 1e9)
        self._loop = asyncio.get_running_loop()
        self._create_future = self._loop.create_future
        self._under_way: dict[str, Waiting] = {}
        self._behind = 0
        self._caller: Any = None
        self._put: Callable[[Waiting], None] = _not_open
        self._look_every_s = min(max(deadline_s / 8, 0.02), 1.0)
        self._timer: asyncio.TimerHandle | None = None

    def use(self, caller: Caller) -> None:
        """Have calls made by this, whose store is open."""
        self._caller, self._put = caller, caller.put
        self._timer = self._loop.call_later(self._look_every_s, self._look)

    def submit(self, operation: OneOperation) -> asyncio.Future[Answer]:
        """Send an operation; the future never raises, a failure is its result.

        Raises:
            memory_core.BadInputError: the operation is wrong, or not for this store.
        """
        validate(operation)
        kind = type(operation)
        if kind is not Store and (kind is not Retrieve or operation.tier != "all"):  # type: ignore[union-attr]
            refused = refusal(operation, self._capabilities)
            if refused is not None:
                raise refused
        future: asyncio.Future[Answer] = self._create_future()
        waiting = Waiting(operation, future, perf_counter_ns())
        agent_id: str = operation.agent_id  # type: ignore[assignment]
        under_way = self._under_way
        first = under_way.get(agent_id)
        if len(under_way) + self._behind >= MAX_PENDING_OPS:
            future.set_result(_unsent(_OVERLOADED))
        elif first is None:
            under_way[agent_id] = waiting
            self._put(waiting)
        else:
            if first.behind is None:
                first.behind = deque()
            first.behind.append(waiting)
            self._behind += 1
        return future

    def answered(self, calls: Iterable[Waiting]) -> None:
        """Tell agents what came of their operations, and send what waited behind them."""
        under_way = self._under_way
        for first in calls:
            future = first.future
            if type(first.answer.result) is Failure:  # type: ignore[union-attr]
                self._note(all_of([first]))
            if not future.done():
                future.set_result(first.answer)  # type: ignore[arg-type]
            if first.more is not None:
                for one in first.more:
                    if not one.future.done():
                        one.future.set_result(one.answer)  # type: ignore[arg-type]
            agent_id = first.operation.agent_id
            del under_way[agent_id]
            if first.behind is not None:
                self._send_next(agent_id, first.behind)

    def _note(self, failed: Iterable[Waiting]) -> None:
        """Keep what a store said that nobody knows the meaning of."""
        for one in failed:
            result = one.answer.result if one.answer is not None else None
            if isinstance(result, Failure) and result.error == MemoryCoreError.__name__:
                words = " ".join(result.args)
                if words in self.complaints or len(self.complaints) < COMPLAINTS_MAX:
                    self.complaints[words] += 1

    def _send_next(self, agent_id: str, behind: deque[Waiting]) -> None:
        """Send the next of an agent, with those after it that may go in the same call."""
        while behind and behind[0].future.done():  # too late already
            behind.popleft()
            self._behind -= 1
        if not behind:
            return
        first = behind.popleft()
        together = [first]
        kind = type(first.operation)
        if kind in self._batched:
            keys, size = {_key(first)}, first.payload_bytes
            while behind and type(behind[0].operation) is kind and len(together) < MAX_CALL_OPS:
                size += behind[0].payload_bytes
                if (kind is Store and _key(behind[0]) in keys) or size > MAX_CALL_BYTES:
                    break
                together.append(behind.popleft())
                keys.add(_key(together[-1]))
        self._behind -= len(together)
        first.more = together[1:] or None
        first.behind = behind or None
        self._under_way[agent_id] = first
        self._put(first)

    def _look(self) -> None:
        """Answer what is too late."""
        self._timer = self._loop.call_later(self._look_every_s, self._look)
        last_ns = perf_counter_ns() - self._deadline_ns
        for first in list(self._under_way.values()):
            if self._answer_late(first, last_ns):
                self._caller.give_up(first)
            for one in first.behind or ():
                if one.issued_ns < last_ns and not one.future.done():
                    one.future.set_result(_unsent(_NOT_SENT))

    def _answer_late(self, first: Waiting, last_ns: int) -> bool:
        """Answer those of a call that are too late; whether it was sent, and takes too long."""
        is_too_long = False
        for one in all_of([first]):
            if (one.sent_ns or one.issued_ns) < last_ns and not one.future.done():
                error = self._too_long() if one.sent_ns else _NOT_SENT
                is_too_long |= one.sent_ns != 0
                one.future.set_result(_unsent(error, one))
        return is_too_long

    def _too_long(self) -> DeadlineError:
        return DeadlineError(f"the store gave no answer within {self._deadline_s:g} s")

    async def flush(self) -> None:
        """Have the store bring what waits to where it stays, after all that was issued.

        It may take long, building an index: who waits for it says how long.
        """
        await self._drain()
        await self._caller.ask(lambda store: store.flush(), None)

    async def statistics(self) -> Mapping[str, Scalar]:
        """What the store tells of itself."""
        asked = self._caller.ask(lambda store: store.statistics(), self._deadline_s)
        found: Mapping[str, Scalar] = await asked
        return dict(found)

    async def close(self) -> None:
        """Wait for what is in flight and close the store. Raises RunFailedError."""
        await self._drain()
        if self._timer is not None:
            self._timer.cancel()
        await self._caller.close()

    async def _drain(self) -> None:
        """Wait for what has been issued, each within its deadline."""
        issued = [
            one.future
            for first in self._under_way.values()
            for one in (first, *(first.more or ()), *(first.behind or ()))
        ]
        if issued:
            await asyncio.wait(issued)


_NOT_SENT = DeadlineError("was not sent before its deadline")
_OVERLOADED = OverloadedError(
    f"max_pending_ops: {MAX_PENDING_OPS:,} operations wait already; try again later"
)


def _window(capabilities: Capabilities) -> int:
    if "store" in capabilities.batch:
        return _WINDOW_IN_BATCHES
    return _WINDOW_A_CALL * capabilities.calls_at_once


def _unsent(error: MemoryCoreError, call: Waiting | None = None) -> Answer:
    """The answer of an operation that no call answered."""
    now_ns = perf_counter_ns()
    sent_ns = now_ns if call is None or not call.sent_ns else call.sent_ns
    timing = BatchTiming(0, 0 if sent_ns == now_ns else 1, 1, sent_ns, 0, now_ns - sent_ns)
    return Answer(Failure.of(error), timing)


def _key(waiting: Waiting) -> str | None:
    return getattr(waiting.operation, "state_id", None)


def _not_open(_: Waiting) -> None:
    raise RuntimeError("the session's store is not open")

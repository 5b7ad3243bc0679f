"""Calls of ``async def`` methods, awaited on the cohort's event loop.

As many coroutines as calls may be in progress at once live as long as the session, each of which
takes what waits longest, so that no task is made for an operation. A call that nobody awaits
any more is cancelled.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable
from time import perf_counter_ns
from typing import Any

from harness.errors import RunFailedError
from harness.targets.base import Capabilities, OpenStore
from harness.targets.method_checks import batched_kinds
from harness.targets.operation_calls import ENCODED_TOGETHER, StoreCalls, is_bad_input
from harness.targets.waiting import Gathered, Waiting, late
from memory_core.client import Answer, BatchTiming
from memory_core.errors import DeadlineError
from memory_core.results import Result

__all__ = ["AwaitedCalls"]

# A store whose methods never suspend would leave nobody else a turn.
_TURN_NS = 1_000_000


class AwaitedCalls:
    """See the module's head; an `harness.targets.adapted_session.Caller`.

    Args:
        store: opened.
        capabilities: of the target.
        dimension: of the vectors.
        deadline_s: an operation that waited longer is not sent.
        answered: told of operations that have their answers.
    """

    def __init__(
        self,
        store: OpenStore,
        capabilities: Capabilities,
        dimension: int,
        deadline_s: float,
        answered: Callable[[Iterable[Waiting]], None],
    ) -> None:
        self._store = store
        self._deadline_s = deadline_s
        self._deadline_ns = round(deadline_s * 1e9)
        self._answered = answered
        self._loop = asyncio.get_running_loop()
        self._gathered = Gathered(batched_kinds(capabilities))
        self._idle: list[asyncio.Future[None]] = []
        self._closing = False
        self._calls: dict[asyncio.Task[None], list[Waiting]] = {}
        self._given_up: set[asyncio.Task[None]] = set()
        self._tasks = [
            self._loop.create_task(self._work(StoreCalls(store, capabilities, dimension)))
            for _ in range(capabilities.calls_at_once)
        ]

    def put(self, first: Waiting) -> None:
        """Carry it out when its turn comes."""
        self._gathered.add(first)
        if self._idle:
            self._idle.pop().set_result(None)

    def give_up(self, first: Waiting) -> None:
        """Cancel its call."""
        for task, firsts in self._calls.items():
            if task not in self._given_up and any(one is first for one in firsts):
                self._given_up.add(task)
                task.cancel()

    async def ask(self, question: Callable[[OpenStore], Any], deadline_s: float | None) -> Any:
        """What a method gives that is no operation. Raises what it raises, and DeadlineError."""
        waiting = asyncio.timeout(deadline_s)
        try:
            async with waiting:
                given = question(self._store)
                return await given if inspect.isawaitable(given) else given
        except TimeoutError:
            if not waiting.expired():
                raise
            problem = f"the store gave no answer within {deadline_s:g} s"
            raise DeadlineError(problem) from None

    async def close(self) -> None:
        """Close the store, after all that was put. Raises RunFailedError."""
        self._closing = True
        for future in self._idle:
            future.set_result(None)
        self._idle.clear()
        _, hanging = await asyncio.wait(self._tasks, timeout=self._deadline_s)
        for task in hanging:
            task.cancel()
        try:
            await self.ask(lambda store: store.close(), self._deadline_s)
        except Exception as error:  # noqa: BLE001 - whatever the store raises
            problem = f"the store could not be closed ({type(error).__name__}: {error})"
            raise RunFailedError(problem) from None

    async def _work(self, calls: StoreCalls) -> None:
        turn_ns = 0
        while True:
            firsts = self._gathered.take()
            if firsts is None:
                if self._closing:
                    return
                idle: asyncio.Future[None] = self._loop.create_future()
                self._idle.append(idle)
                await idle
                turn_ns = perf_counter_ns()
                continue
            if type(firsts[0].operation) in calls.many:
                await self._call_many(calls, firsts)
            else:
                await self._call_single(calls, firsts[0])
            self._answered(firsts)
            now_ns = perf_counter_ns()
            if now_ns - turn_ns > _TURN_NS:
                await asyncio.sleep(0)
                turn_ns = perf_counter_ns()

    async def _call_single(self, calls: StoreCalls, one: Waiting) -> None:
        """Await a call of one operation, and give it its answer."""
        began_ns = perf_counter_ns()
        if began_ns - one.issued_ns > self._deadline_ns:
            one.answer = late(began_ns)
            return
        if one.needs_vector:
            waiting = self._gathered.next_single(ENCODED_TOGETHER - 1)
            calls.encode([one, *(other for other in waiting if other.needs_vector)])
            began_ns = perf_counter_ns()
        began_ns -= one.encoding_ns
        one.sent_ns = began_ns
        operation = one.operation
        result: Result
        try:
            method = calls.single[type(operation)]
            given = await self._awaited([one], method(*calls.arguments(one)))
            result = calls.result(operation, given)
        except Exception as error:  # noqa: BLE001 - whatever the store raises is a result
            result = calls.failure(error)
        service_ns = perf_counter_ns() - began_ns
        one.answer = Answer(result, BatchTiming(0, 1, 1, began_ns, 0, service_ns))

    async def _call_many(self, calls: StoreCalls, firsts: list[Waiting]) -> None:
        """Await one call of operations of one kind, and give them their answers."""
        began_ns = perf_counter_ns()
        good, arguments = calls.prepare_many(firsts, began_ns, self._deadline_ns)
        if not good:
            return
        operations = [one.operation for one in good]
        results = await self._results(calls, firsts, operations, arguments)
        timing = BatchTiming(0, len(good), 1, began_ns, 0, perf_counter_ns() - began_ns)
        for one, result in zip(good, results, strict=True):
            one.answer = Answer(result, timing)

    async def _results(
        self, calls: StoreCalls, firsts: list[Waiting], operations: list[Any], arguments: list[Any]
    ) -> list[Result]:
        """What a call gives, and each by itself where one of them is wrong input."""
        try:
            given = await self._awaited(firsts, calls.many[type(operations[0])](arguments))
            return calls.results_of_many(operations, given)
        except Exception as error:  # noqa: BLE001 - as above
            failure = calls.failure(error)
        if len(operations) == 1 or not is_bad_input(failure):
            return [failure] * len(operations)
        results: list[Result] = []
        for one, argument in zip(operations, arguments, strict=True):
            if all(first.future.done() for first in firsts):  # given up: nobody waits for these
                return results + [failure] * (len(operations) - len(results))
            results += await self._results(calls, firsts, [one], [argument])
        return results

    async def _awaited(self, firsts: list[Waiting], call: Any) -> Any:
        """What a call gives. Raises what it raises, and DeadlineError when it was given up."""
        task: asyncio.Task[None] = asyncio.current_task()  # type: ignore[assignment]
        self._calls[task] = firsts
        try:
            return await call
        except asyncio.CancelledError as error:
            if task not in self._given_up:
                if task.cancelling():
                    raise
                # nobody cancelled this: it is the store's own, of something inside it
                raise RuntimeError(f"CancelledError: {error}".rstrip(": ")) from None
            problem = f"the store gave no answer within {self._deadline_s:g} s"
            raise DeadlineError(problem) from None
        finally:
            del self._calls[task]
            if task in self._given_up:
                self._given_up.remove(task)
                task.uncancel()

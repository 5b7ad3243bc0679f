"""Calls of plain methods, on threads of their own.

Operations wait in one queue and are taken in the order in which they came. A store with batches
is given what waits of one kind in one call; threads take turns at gathering it. With one
thread, it is the thread that opened the store, always; of several, the first opens and closes it.

What is done goes back to the event loop in few wake-ups: while one is on its way, what is done
meanwhile goes along with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, SimpleQueue
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

__all__ = ["CallThreads"]

# How long closing may take beyond the deadline of a call, before a thread is left to itself.
_CLOSE_S = 5.0


class _Question:
    """A call that is no operation, on a thread of the store's."""

    __slots__ = ("call", "future")

    def __init__(self, call: Callable[[OpenStore], Any], future: asyncio.Future[Any]) -> None:
        self.call, self.future = call, future


class CallThreads:
    """See the module's head; an `harness.targets.adapted_session.Caller`.

    Args:
        store: what gives the open store, on the first thread; what it raises, `open` raises.
        capabilities: of the target.
        dimension: of the vectors.
        deadline_s: an operation that waited longer is not sent.
        answered: told on the event loop of operations that have their answers.
    """

    def __init__(
        self,
        store: Callable[[], OpenStore],
        capabilities: Capabilities,
        dimension: int,
        deadline_s: float,
        answered: Callable[[Iterable[Waiting]], None],
    ) -> None:
        self._open_store = store
        self._capabilities = capabilities
        self._dimension = dimension
        self._deadline_s = deadline_s
        self._deadline_ns = round(deadline_s * 1e9)
        self._answered = answered
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Waiting | _Question | None] = SimpleQueue()
        self.put: Callable[[Waiting], None] = self._queue.put
        self._gathered = Gathered(batched_kinds(capabilities))
        self._encoded: deque[Waiting | _Question | None] = deque()
        self._gathering = threading.Lock()
        self._done: deque[Waiting] = deque()
        self._woken = False
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._threads: list[threading.Thread] = []
        self._may_start = threading.Event()
        self._is_good = False

    async def open(self) -> OpenStore:
        """Open the store. Raises what opening raises."""
        opened: asyncio.Future[OpenStore] = self._loop.create_future()
        self._run(self._first, opened)
        self._store = await opened
        return self._store

    def start(self) -> None:
        """Begin with the calls, of a store that was found good."""
        for _ in range(self._capabilities.calls_at_once - 1):
            self._run(self._work, self._store)
        self._is_good = True
        self._may_start.set()

    def refuse(self) -> None:
        """Close the store that was opened, for it is not good."""
        self._may_start.set()

    def give_up(self, first: Waiting) -> None:
        """A plain call cannot be ended: its thread is waited for."""

    async def ask(self, question: Callable[[OpenStore], Any], deadline_s: float | None) -> Any:
        """What a method gives that is no operation. Raises what it raises, and DeadlineError."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._queue.put(_Question(question, future))
        try:
            async with asyncio.timeout(deadline_s):
                return await future
        except TimeoutError:
            if future.done() and not future.cancelled():
                raise
            problem = f"the store gave no answer within {deadline_s:g} s"
            raise DeadlineError(problem) from None

    async def close(self) -> None:
        """Let the threads end, and the first close the store. Raises RunFailedError."""
        for _ in self._threads:
            self._queue.put(None)
        try:
            async with asyncio.timeout(self._deadline_s + _CLOSE_S):
                await asyncio.shield(self._closed)
        except TimeoutError:
            if self._closed.done():
                raise
            problem = "a call of the store's hangs, so it could not be closed"
            raise RunFailedError(problem) from None

    def _run(self, work: Callable[..., None], *arguments: Any) -> None:
        # a thread that hangs in a store's call must not keep the process from ending
        thread = threading.Thread(target=work, args=arguments, daemon=True, name="store")
        self._threads.append(thread)
        thread.start()

    def _first(self, opened: asyncio.Future[OpenStore]) -> None:
        """The life of the thread that opens the store."""
        try:
            store = self._open_store()
        except BaseException as error:  # noqa: BLE001 - whatever it is, somebody waits for it
            self._tell(opened, None, error)
            return
        self._tell(opened, store, None)
        self._may_start.wait()
        if not self._is_good:
            with contextlib.suppress(Exception):
                closing: Any = store.close()
                if inspect.iscoroutine(closing):
                    closing.close()
            return
        self._work(store)
        deadline_s = time.monotonic() + self._deadline_s
        for thread in self._threads[1:]:
            thread.join(max(deadline_s - time.monotonic(), 0.0))
        try:
            store.close()
        except BaseException as error:  # noqa: BLE001 - as above
            problem = f"the store could not be closed ({type(error).__name__}: {error})"
            self._tell(self._closed, None, RunFailedError(problem))
        else:
            self._tell(self._closed, None, None)

    def _work(self, store: OpenStore) -> None:
        calls = StoreCalls(store, self._capabilities, self._dimension)
        if calls.many:
            self._work_in_batches(calls)
        else:
            self._work_one_by_one(calls)

    def _work_one_by_one(self, calls: StoreCalls) -> None:
        for one in self._turns(calls):
            if type(one) is Waiting:
                self._call_single(calls, one)
                self._done.append(one)
                if not self._woken:
                    self._wake()
            else:
                self._answer(calls.store, one)  # type: ignore[arg-type]

    def _turns(self, calls: StoreCalls) -> Iterator[Waiting | _Question]:
        """What goes next, until the end; vectors are made together of what waits together."""
        alone = self._capabilities.calls_at_once == 1
        encoded, queue = self._encoded, self._queue
        while True:
            with self._gathering:
                if not encoded:
                    few = [queue.get()]
                    few += [queue.get() for _ in range(min(queue.qsize(), ENCODED_TOGETHER - 1))]
                    calls.encode([one for one in few if type(one) is Waiting])
                    encoded.extend(few)
                # what one thread keeps, no other could call
                mine = [encoded.popleft() for _ in range(len(encoded) if alone else 1)]
            for one in mine:
                if one is None:
                    return
                yield one

    def _work_in_batches(self, calls: StoreCalls) -> None:
        while True:
            with self._gathering:
                taken = self._gather()
            if taken is None:
                return
            if type(taken) is _Question:
                self._answer(calls.store, taken)
                continue
            firsts: list[Waiting] = taken  # type: ignore[assignment]
            if type(firsts[0].operation) in calls.many:
                self._call_many(calls, firsts)
            else:
                self._call_single(calls, firsts[0])
            self._done.extend(firsts)
            if not self._woken:
                self._wake()

    def _gather(self) -> list[Waiting] | _Question | None:
        """What goes next: operations of one kind, those that have waited longest; or a question."""
        block = not self._gathered
        while True:
            try:
                one = self._queue.get(block=block)
            except Empty:
                return self._gathered.take()
            if type(one) is Waiting:
                self._gathered.add(one)
                block = False
            elif one is None and self._gathered:  # the end, after what waits
                self._queue.put(None)
                return self._gathered.take()
            else:
                return one  # type: ignore[return-value]

    def _call_single(self, calls: StoreCalls, one: Waiting) -> None:
        """Make a call of one operation, and give it its answer."""
        began_ns = perf_counter_ns()
        if began_ns - one.issued_ns > self._deadline_ns:
            one.answer = late(began_ns)
            return
        began_ns -= one.encoding_ns
        one.sent_ns = began_ns
        result: Result
        try:
            result = calls.call(one)
        except BaseException as error:  # noqa: BLE001 - a thread that ends would leave all waiting
            result = calls.failure(error)
        service_ns = perf_counter_ns() - began_ns
        one.answer = Answer(result, BatchTiming(0, 1, 1, began_ns, 0, service_ns))

    def _call_many(self, calls: StoreCalls, firsts: list[Waiting]) -> None:
        """Make one call of operations of one kind, and give them their answers."""
        began_ns = perf_counter_ns()
        good, arguments = calls.prepare_many(firsts, began_ns, self._deadline_ns)
        if not good:
            return
        operations = [one.operation for one in good]
        results = self._results(calls, operations, arguments)
        timing = BatchTiming(0, len(good), 1, began_ns, 0, perf_counter_ns() - began_ns)
        for one, result in zip(good, results, strict=True):
            one.answer = Answer(result, timing)

    def _results(
        self, calls: StoreCalls, operations: list[Any], arguments: list[Any]
    ) -> list[Result]:
        """What a call gives, and each by itself where one of them is wrong input."""
        try:
            given = calls.many[type(operations[0])](arguments)
            return calls.results_of_many(operations, given)
        except BaseException as error:  # noqa: BLE001 - as above
            failure = calls.failure(error)
        if len(operations) == 1 or not is_bad_input(failure):
            return [failure] * len(operations)
        pairs = zip(operations, arguments, strict=True)
        return [self._results(calls, [one], [argument])[0] for one, argument in pairs]

    def _answer(self, store: OpenStore, question: _Question) -> None:
        try:
            self._tell(question.future, question.call(store), None)
        except BaseException as error:  # noqa: BLE001 - as above
            self._tell(question.future, None, error)

    def _wake(self) -> None:
        """Have the loop take back what is done, and what is done until it does."""
        self._woken = True
        self._on_loop(self._take_back)

    def _take_back(self) -> None:
        # first this: what is done from here on wakes the loop again
        self._woken = False
        done = self._done
        self._answered([done.popleft() for _ in range(len(done))])

    def _tell(self, future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
        def tell() -> None:
            if future.done():
                return
            if error is None:
                future.set_result(value)
            elif isinstance(error, StopIteration):  # which no future takes
                future.set_exception(RuntimeError("StopIteration was raised"))
            else:
                future.set_exception(error)

        self._on_loop(tell)

    def _on_loop(self, call: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:
            if not self._loop.is_closed():  # otherwise nobody is left to be told
                raise

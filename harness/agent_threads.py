"""Agents as threads of one process: the same lives as on an event loop, each on a thread.

A life (`harness.agent.live`) is a coroutine. On a thread there is nothing to wait for but calls
that block: the session's `submit` and the clock's `sleep` never suspend, so a life runs from its
beginning to its end in one step. Threads are made before the start and wait for it together.
Rows gather in a queue that any thread may append to, and the cohort's event loop, which alone
speaks to the recorder, takes them over whenever it reports or writes.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from harness.errors import RunFailedError
from harness.recorder import Recorder, RowProgress

__all__ = ["AgentThreads", "SharedRecorder", "sleep_on_thread"]

STACK_BYTES = 1024 * 1024

Life = Callable[[], Coroutine[Any, Any, None]]


async def sleep_on_thread(seconds: float) -> None:
    """Sleep as `asyncio.sleep` does, on a thread that has no event loop."""
    time.sleep(seconds)  # noqa: ASYNC251 - blocking the thread is the point


class AgentThreads:
    """Threads that wait for lives to live. Make it, use it and close it on an event loop.

    Raises:
        RunFailedError: the system has no room for so many threads.
    """

    def __init__(self, agents: int) -> None:
        self._gate = threading.Event()
        self._lives: Sequence[Life] = ()
        self._ends: list[asyncio.Future[None]] = []
        self._loop = asyncio.get_running_loop()
        started = 0
        before = threading.stack_size(STACK_BYTES)
        try:
            for position in range(agents):
                started = position
                name = f"agent-{position}"
                threading.Thread(target=self._run, args=(position,), name=name, daemon=True).start()
        except RuntimeError:
            self.close()
            raise RunFailedError(
                f"the system let only {started:,} of {agents:,} threads start; run fewer agents"
            ) from None
        finally:
            threading.stack_size(before)

    def live(self, lives: Sequence[Life]) -> list[asyncio.Future[None]]:
        """Let each thread live one life from now on; a future of the end of each."""
        self._ends = [self._loop.create_future() for _ in lives]
        self._lives = lives
        self._gate.set()
        return self._ends

    def close(self) -> None:
        """Let threads end that were given no life."""
        self._gate.set()

    def _run(self, position: int) -> None:
        self._gate.wait()
        if position >= len(self._lives):
            return
        failure: BaseException | None = None
        try:
            _run_to_end(self._lives[position]())
        except BaseException as error:  # noqa: BLE001 - whatever ended it is told to the cohort
            failure = error
        self._loop.call_soon_threadsafe(_settle, self._ends[position], failure)


def _run_to_end(life: Coroutine[Any, Any, None]) -> None:
    try:
        life.send(None)
    except StopIteration:
        return
    life.close()
    raise RuntimeError("an agent on a thread waited for an event loop")


def _settle(end: asyncio.Future[None], failure: BaseException | None) -> None:
    if end.done():  # cancelled
        return
    if failure is None:
        end.set_result(None)
    else:
        end.set_exception(failure)


class SharedRecorder:
    """A recorder that many threads add to; the rest of it is for the event loop alone."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._rows: deque[tuple[int, ...]] = deque()
        self.stalls = 0
        self.add: Callable[[tuple[int, ...]], None] = self._rows.append

    @property
    def is_full(self) -> bool:
        """See `Recorder`."""
        self._take_over()
        return self._recorder.is_full

    def add_lag(self, at_ns: int, lag_ns: int) -> None:
        """See `Recorder`."""
        self._recorder.add_lag(at_ns, lag_ns)

    def progress(self) -> RowProgress:
        """See `Recorder`."""
        self._take_over()
        return self._recorder.progress()

    def flush(self) -> None:
        """See `Recorder`."""
        self._take_over()
        try:
            self._recorder.flush()
        finally:
            self.stalls = self._recorder.stalls

    def close(self) -> None:
        """See `Recorder`."""
        self._take_over()
        self._recorder.close()

    def _take_over(self) -> None:
        """Give the recorder the rows that were there at this moment, not those that come."""
        add, rows = self._recorder.add, self._rows
        for _ in range(len(rows)):
            add(rows.popleft())

"""Batches of many tasks of an event loop, executed together.

While a batch is on its way to the memory, on a thread, others gather; they leave as one batch when
it is back. So many tasks share a thread's work and one fsync, and a task that is alone waits for
nobody. It is what `memory_core.client` does for single operations.
"""

from __future__ import annotations

import asyncio

from langgraph.store.base import Result

from memory_core.face import MemoryFace
from memory_core.langgraph_batch import Batch

__all__ = ["Gathering"]

# Operations that leave together; a larger batch leaves alone.
_MAX_TOGETHER = 1_000

_Outcome = list[Result] | Exception


class Gathering:
    """The batches of one event loop's tasks. For use on that loop."""

    def __init__(self, memory: MemoryFace) -> None:
        self._memory = memory
        self._waiting: list[tuple[Batch, asyncio.Future[list[Result]]]] = []
        self._sending: asyncio.Task[None] | None = None

    async def executed(self, batch: Batch) -> list[Result]:
        """The results of a batch. Raises what it failed with."""
        done: asyncio.Future[list[Result]] = asyncio.get_running_loop().create_future()
        self._waiting.append((batch, done))
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())
        return await done

    async def _send(self) -> None:
        """Send what waits until nothing does."""
        some: list[tuple[Batch, asyncio.Future[list[Result]]]] = []
        try:
            while some := self._taken():
                outcomes = await asyncio.to_thread(
                    _outcomes, [batch for batch, _ in some], self._memory
                )
                for (_, done), outcome in zip(some, outcomes, strict=True):
                    if done.done():  # who waited was cancelled
                        continue
                    if isinstance(outcome, Exception):
                        done.set_exception(outcome)
                    else:
                        done.set_result(outcome)
                some = []
        finally:
            # only where this task itself was cancelled, with the loop, is anybody left
            for _, done in [*some, *self._waiting]:
                done.cancel()
            self._waiting = []
            self._sending = None

    def _taken(self) -> list[tuple[Batch, asyncio.Future[list[Result]]]]:
        """The first of those that wait and are still waited for, within the bound."""
        self._waiting = [one for one in self._waiting if not one[1].done()]
        size = count = 0
        for batch, _ in self._waiting:
            size += len(batch)
            if count and size > _MAX_TOGETHER:
                break
            count += 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken


def _outcomes(batches: list[Batch], memory: MemoryFace) -> list[_Outcome]:
    """What came of each; where they fail together, each by itself, so that none fails another."""
    if len(batches) > 1:
        whole = _outcome(Batch.joined(batches), memory)
        if not isinstance(whole, Exception):
            results = iter(whole)
            return [[next(results) for _ in range(len(batch))] for batch in batches]
    return [_outcome(batch, memory) for batch in batches]


def _outcome(batch: Batch, memory: MemoryFace) -> _Outcome:
    try:
        return batch.executed(memory)
    except Exception as error:  # noqa: BLE001 - it is raised where the batch is waited for
        return error

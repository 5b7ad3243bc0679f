"""Stores with a flaw that a benchmark has to call by its name; they go by their place."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Awaitable
from typing import Any

from harness.plan import RunPlan
from harness.targets.driven import Session
from harness.targets.embedded import EmbeddedTarget
from memory_core.client import Answer, BatchTiming
from memory_core.errors import DeadlineError, OverloadedError
from memory_core.operations import Search, Store
from memory_core.results import DONE, Failure

DROPPED_EACH = 10
REFUSED_FROM = 300
SEARCH_S_A_PAIR = 5e-9
TIMED_OUT_EACH = 8
FLUSH_S = 0.5


class _Around:
    """A session around another."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.stored: set[str] = set()

    @property
    def retries(self) -> int:
        return self._session.retries

    def submit(self, operation: Any) -> Awaitable[Answer]:
        if type(operation) is Store:
            self.stored.add(operation.state_id)
        return self._session.submit(operation)

    async def close(self) -> None:
        await self._session.close()


class _Dropping(_Around):
    def submit(self, operation: Any) -> Awaitable[Answer]:
        if type(operation) is Store and drops(operation.state_id):
            return self._acknowledge()
        return super().submit(operation)

    async def _acknowledge(self) -> Answer:
        return Answer(DONE, BatchTiming(0, 1, 1, time.perf_counter_ns(), 0, 1_000))


class _Refusing(_Around):
    def submit(self, operation: Any) -> Awaitable[Answer]:
        if type(operation) is Store and len(self.stored) >= REFUSED_FROM:
            return self._refuse()
        return super().submit(operation)

    async def _refuse(self) -> Answer:
        failure = Failure.of(OverloadedError("is full"))
        return Answer(failure, BatchTiming(0, 1, 1, time.perf_counter_ns(), 0, 1_000))


class _Slowing(_Around):
    async def _search(self, operation: Search) -> Answer:
        taken_s = SEARCH_S_A_PAIR * len(self.stored) ** 2
        time.sleep(taken_s)  # noqa: ASYNC251 - a store that works, not one that waits
        answer = await self._session.submit(operation)
        timing = answer.timing
        return Answer(
            answer.result,
            BatchTiming(
                timing.shard,
                timing.batch_ops,
                timing.attempts,
                timing.sent_ns,
                timing.shard_wait_ns,
                timing.service_ns + round(1e9 * taken_s),
            ),
        )

    def submit(self, operation: Any) -> Awaitable[Answer]:
        if type(operation) is Search:
            return self._search(operation)
        return super().submit(operation)


class _TimingOut(_Around):
    searches = 0

    def submit(self, operation: Any) -> Awaitable[Answer]:
        if type(operation) is Search:
            self.searches += 1
            if self.searches % TIMED_OUT_EACH == 0:
                return self._time_out()
        return super().submit(operation)

    async def _time_out(self) -> Answer:
        failure = Failure.of(DeadlineError("took too long"))
        return Answer(failure, BatchTiming(0, 1, 1, time.perf_counter_ns(), 0, 1_000))


class _SlowToFlush(_Around):
    async def flush(self) -> None:
        await asyncio.sleep(FLUSH_S)


def drops(state_id: str) -> bool:
    """Whether `DroppingTarget` drops a memory: about one of `DROPPED_EACH`."""
    return zlib.crc32(state_id.encode()) % DROPPED_EACH == 0


class DroppingTarget(EmbeddedTarget):
    """Acknowledges every store and drops some."""

    name = "dropping"
    description = "acknowledges and drops"

    async def connect(self, plan: RunPlan, connection: bytes, cohort: int) -> Any:
        return _Dropping(await super().connect(plan, connection, cohort))


class RefusingTarget(EmbeddedTarget):
    """Is full after `REFUSED_FROM` memories, and says so."""

    name = "refusing"
    description = "refuses what is too much"

    async def connect(self, plan: RunPlan, connection: bytes, cohort: int) -> Any:
        return _Refusing(await super().connect(plan, connection, cohort))


class SlowingTarget(EmbeddedTarget):
    """Searches by comparing every memory with every other."""

    name = "slowing"
    description = "slows down with volume"

    async def connect(self, plan: RunPlan, connection: bytes, cohort: int) -> Any:
        return _Slowing(await super().connect(plan, connection, cohort))


class TimingOutTarget(EmbeddedTarget):
    """Does not answer one of `TIMED_OUT_EACH` searches in time."""

    name = "timing-out"
    description = "answers most searches"

    async def connect(self, plan: RunPlan, connection: bytes, cohort: int) -> Any:
        return _TimingOut(await super().connect(plan, connection, cohort))


class SlowToFlushTarget(EmbeddedTarget):
    """Takes `FLUSH_S` for a flush."""

    name = "slow-to-flush"
    description = "flushes slowly"

    async def connect(self, plan: RunPlan, connection: bytes, cohort: int) -> Any:
        return _SlowToFlush(await super().connect(plan, connection, cohort))

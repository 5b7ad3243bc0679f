"""Stores with a flaw that a benchmark has to call by its name; they go by their place."""

from __future__ import annotations

import time
import zlib
from collections.abc import Awaitable
from typing import Any

from harness.plan import RunPlan
from harness.targets.base import Session
from harness.targets.embedded import EmbeddedTarget
from memory_core.client import Answer, BatchTiming
from memory_core.errors import OverloadedError
from memory_core.operations import Search, Store
from memory_core.results import DONE, Failure

DROPPED_EACH = 10
REFUSED_FROM = 300
SEARCH_S_A_MEMORY = 5e-6


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
        taken_s = SEARCH_S_A_MEMORY * len(self.stored)
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
    """Searches by looking at every memory, slowly."""

    name = "slowing"
    description = "slows down with volume"

    async def connect(self, plan: RunPlan, connection: bytes, cohort: int) -> Any:
        return _Slowing(await super().connect(plan, connection, cohort))

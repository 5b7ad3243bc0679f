"""The client of a sharded memory: it pipelines by itself.

Operations for a shard gather in a lane while a batch to that shard is on its way, and leave
together when it returns (`memory_core.lanes`). One agent so pays one round trip; five hundred
share it. An agent's own operations, which all go to one shard, stay in order, and it reads its
own writes.

A batch whose shard is unavailable is sent again until the deadline (`memory_core.retrying`):
storing the same state again changes nothing, so a batch that was executed and never answered may
be repeated.

Bounds: ``max_batch_ops`` and ``max_batch_bytes`` for a batch, ``max_pending_ops``
for all that waits (beyond it an operation fails with OverloadedError at once), ``deadline_s``
for a batch from when it is first sent.

Not thread-safe: it belongs to the event loop that runs it. `memory_core.ray_memory` has a
synchronous face.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from hashlib import blake2b
from time import perf_counter_ns
from typing import Any

from memory_core.errors import BadInputError, OverloadedError
from memory_core.lanes import Answer, BatchTiming, Lane
from memory_core.operations import (
    TIERS,
    Agents,
    Delete,
    Describe,
    Inspect,
    Maintain,
    Operation,
    Transition,
)
from memory_core.results import (
    Counts,
    Deleted,
    Described,
    Failure,
    Listed,
    Maintained,
    Move,
    Moved,
    Result,
    Statistics,
)
from memory_core.retrying import RetryingCalls, Transport
from memory_core.validation import validate

__all__ = ["Answer", "BatchTiming", "MemoryClient", "Transport", "shard_of"]

_MAX_REMEMBERED_AGENTS = 1_000_000


def shard_of(agent_id: str, shards: int) -> int:
    """The shard that has an agent's memories: a stable hash, the same in every process."""
    digest = blake2b(agent_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % shards


class MemoryClient:
    """An asyncio client of a memory of several shards; see the module's head.

    Attributes:
        watched: whether answers tell what their operations moved to another tier. What the first
            sending of a batch moved is not told where it had to be sent again.

    Args:
        transport: how batches travel.
        shards: how many shards the memory has.
        pipelining: False sends each operation by itself, all of them concurrently.
        max_batch_ops: operations in one batch.
        max_batch_bytes: size of an encoded batch; a single larger operation goes alone.
        max_pending_ops: operations that may wait or be in flight.
        deadline_s: how long a batch may take, retries included.
    """

    def __init__(
        self,
        transport: Transport,
        shards: int,
        *,
        pipelining: bool = True,
        max_batch_ops: int = 4096,
        max_batch_bytes: int = 4 * 1024 * 1024,
        max_pending_ops: int = 100_000,
        deadline_s: float = 30.0,
    ) -> None:
        self.shards = shards
        self.max_pending_ops = max_pending_ops
        self._pipelining = pipelining
        self._pending = 0
        self.watched: Callable[[], bool] = lambda: False
        self._calls = RetryingCalls(transport, deadline_s)
        self._lanes = [
            Lane(
                shard,
                self._calls,
                self._start,
                self._answered,
                self._is_watched,
                max_batch_ops=max_batch_ops,
                max_batch_bytes=max_batch_bytes,
            )
            for shard in range(shards)
        ]
        self._lane_of: dict[str, Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    @property
    def retries(self) -> int:
        """Batches that were sent again."""
        return self._calls.retries

    def submit(self, operation: Operation) -> asyncio.Future[Answer]:
        """Send an operation of one agent; the future never raises, a failure is its result.

        Raises:
            BadInputError: a field is wrong; nothing was sent.
        """
        validate(operation)
        agent_id = operation.agent_id
        if agent_id is None:
            raise BadInputError("agent_id", "is missing; `call` asks all shards")
        lane = self._lane_of.get(agent_id)
        if lane is None:
            lane = self._lane(agent_id)
        future: asyncio.Future[Answer] = self._loop.create_future()
        if self._pending >= self.max_pending_ops:
            future.set_result(self._overloaded(lane))
            return future
        self._pending += 1
        if self._pipelining:
            lane.add(operation, future)
        else:
            lane.send_alone(operation, future)
        return future

    async def call(self, operation: Operation) -> Result:
        """An operation's result; one without an agent is put to every shard and summed up.

        Raises:
            BadInputError: a field is wrong; nothing was sent.
        """
        return (await self.call_watched(operation))[0]

    async def call_watched(self, operation: Operation) -> tuple[Result, list[Move]]:
        """`call`, and what the operation moved to another tier if ``watched``."""
        validate(operation)
        if operation.agent_id is not None:
            answer = await self.submit(operation)
            return answer.result, list(answer.moves)
        futures: list[asyncio.Future[Answer]] = []
        for lane in self._lanes:
            futures.append(self._loop.create_future())
            self._pending += 1
            lane.add(operation, futures[-1])
        answers = [await future for future in futures]
        moves = [move for answer in answers for move in answer.moves]
        return _combined(operation, [answer.result for answer in answers]), moves

    async def drain(self) -> None:
        """Wait until nothing is in flight."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    def _lane(self, agent_id: str) -> Lane:
        if len(self._lane_of) >= _MAX_REMEMBERED_AGENTS:
            self._lane_of.clear()
        lane = self._lane_of[agent_id] = self._lanes[shard_of(agent_id, self.shards)]
        return lane

    def _overloaded(self, lane: Lane) -> Answer:
        error = OverloadedError(
            f"max_pending_ops: {self.max_pending_ops:,} operations wait already; try again later"
        )
        return Answer(Failure.of(error), BatchTiming(lane.shard, 0, 0, perf_counter_ns(), 0, 0))

    def _is_watched(self) -> bool:
        return self.watched()

    def _answered(self, count: int) -> None:
        self._pending -= count

    def _start(self, sending: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(sending)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _combined(operation: Operation, results: list[Result]) -> Result:
    for result in results:
        if type(result) is Failure:
            return result
    if type(operation) is Transition:
        return Moved(sum(result.count for result in results if isinstance(result, Moved)))
    if type(operation) is Describe:
        parts = [result for result in results if isinstance(result, Described)]
        counts = [part.counts for part in parts]
        sizes = [part.payload_bytes for part in parts]
        return Described(sum(part.agents for part in parts), _summed(counts), _summed(sizes))
    if type(operation) is Delete:
        return Deleted(sum(result.count for result in results if isinstance(result, Deleted)))
    if type(operation) is Inspect:
        return Statistics.of_shards([one for one in results if isinstance(one, Statistics)])
    if type(operation) is Maintain:
        done = [result for result in results if isinstance(result, Maintained)]
        names = Maintained.__struct_fields__
        return Maintained(*(sum(getattr(one, name) for one in done) for name in names))
    if type(operation) is Agents:
        listed = [one for result in results if isinstance(result, Listed) for one in result.agents]
        listed.sort(key=lambda one: one.agent_id)
        return Listed(listed[: operation.limit])
    raise BadInputError("agent_id", "is missing")


def _summed(counts: list[Counts]) -> Counts:
    return Counts(*(sum(getattr(one, tier) for one in counts) for tier in TIERS))

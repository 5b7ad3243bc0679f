"""The client of a sharded memory: it pipelines by itself.

Operations for a shard gather in a lane while a batch to that shard is on its way, and leave
together when it returns. One agent so pays one round trip; five hundred share it. A lane has
one batch in flight and sends in order, so an agent's own operations, which all go to one
shard, stay in order, and it reads its own writes.

A batch whose shard is unavailable is sent again until the deadline: storing the same state
again changes nothing, so a batch that was executed and never answered may be repeated. Batches
are numbered, and a shard refuses one that comes after a later one of its lane: what was given up
on its way overwrites nothing newer. A transition is not repeated, since twice moves more.

Bounds: `MemoryClient.max_batch_ops` and ``max_batch_bytes`` for a batch, ``max_pending_ops``
for all that waits (beyond it an operation fails with OverloadedError at once), ``deadline_s``
for a batch from when it is first sent.

Not thread-safe: it belongs to the event loop that runs it. `memory_core.ray_memory` has a
synchronous face.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine, Sequence
from hashlib import blake2b
from time import perf_counter_ns
from typing import Any, Protocol

import msgspec

from memory_core.errors import (
    BadInputError,
    DeadlineError,
    MemoryCoreError,
    OverloadedError,
    UnavailableError,
)
from memory_core.operations import TIERS, Agents, Delete, Describe, Operation, Transition
from memory_core.results import Counts, Deleted, Described, Failure, Listed, Moved, Result
from memory_core.validation import validate
from memory_core.wire import Batch, decode_reply, encode_batch

__all__ = ["Answer", "BatchTiming", "MemoryClient", "Transport", "shard_of"]

_FIRST_BACKOFF_S = 0.02
_MAX_BACKOFF_S = 1.0
_MAX_REMEMBERED_AGENTS = 1_000_000


def shard_of(agent_id: str, shards: int) -> int:
    """The shard that has an agent's memories: a stable hash, the same in every process."""
    digest = blake2b(agent_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % shards


class Transport(Protocol):
    """Carries a batch to a shard and its reply back."""

    async def call(self, shard: int, data: bytes, timeout_s: float) -> bytes:
        """The shard's reply.

        Raises:
            DeadlineError: none came in time.
            UnavailableError: the shard cannot be reached now; the call may be repeated.
        """


class BatchTiming(msgspec.Struct, gc=False, frozen=True):
    """What a batch's operations share. ``sent_ns`` is of ``time.perf_counter_ns``."""

    shard: int
    batch_ops: int
    attempts: int
    sent_ns: int
    shard_wait_ns: int
    service_ns: int


class Answer(msgspec.Struct, gc=False, frozen=True):
    """An operation's result with its batch's timing."""

    result: Result
    timing: BatchTiming


class MemoryClient:
    """An asyncio client of a memory of several shards; see the module's head.

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
        self.max_batch_ops = max_batch_ops
        self.max_batch_bytes = max_batch_bytes
        self.max_pending_ops = max_pending_ops
        self.deadline_s = deadline_s
        self.retries = 0
        self._transport = transport
        self._pipelining = pipelining
        self._pending = 0
        self._lanes = [_Lane(self, shard) for shard in range(shards)]
        self._lane_of: dict[str, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        # without pipelining: of each agent, the last operation that is under way
        self._alone: dict[str, asyncio.Task[None]] = {}
        self._loop = asyncio.get_running_loop()

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
            previous = self._alone.get(agent_id)
            task = self._start(lane.send_alone(operation, future, previous))
            self._alone[agent_id] = task
        return future

    async def call(self, operation: Operation) -> Result:
        """An operation's result; one without an agent is put to every shard and summed up.

        Raises:
            BadInputError: a field is wrong; nothing was sent.
        """
        validate(operation)
        if operation.agent_id is not None:
            return (await self.submit(operation)).result
        futures: list[asyncio.Future[Answer]] = []
        for lane in self._lanes:
            futures.append(self._loop.create_future())
            self._pending += 1
            lane.add(operation, futures[-1])
        return _combined(operation, [(await future).result for future in futures])

    async def drain(self) -> None:
        """Wait until nothing is in flight."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    def _lane(self, agent_id: str) -> _Lane:
        if len(self._lane_of) >= _MAX_REMEMBERED_AGENTS:
            self._lane_of.clear()
        lane = self._lane_of[agent_id] = self._lanes[shard_of(agent_id, self.shards)]
        return lane

    def _overloaded(self, lane: _Lane) -> Answer:
        error = OverloadedError(
            f"max_pending_ops: {self.max_pending_ops:,} operations wait already; try again later"
        )
        return Answer(Failure.of(error), BatchTiming(lane.shard, 0, 0, perf_counter_ns(), 0, 0))

    def _start(self, sending: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(sending)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _call(
        self, shard: int, data: bytes, *, repeatable: bool
    ) -> tuple[bytes | MemoryCoreError, int]:
        """The reply, or why there is none, and the number of attempts."""
        deadline = self._loop.time() + self.deadline_s
        attempts, backoff_s = 1, _FIRST_BACKOFF_S
        while True:
            remaining_s = max(deadline - self._loop.time(), 0.001)
            try:
                return await self._transport.call(shard, data, remaining_s), attempts
            except MemoryCoreError as error:
                again = isinstance(error, UnavailableError) and repeatable
                if isinstance(error, DeadlineError) or not again:
                    return error, attempts
                if deadline - self._loop.time() <= backoff_s:
                    reason = f"({attempts} attempts; the last: {error})"
                    return DeadlineError(
                        f"shard {shard} did not answer within {self.deadline_s:g} s {reason}"
                    ), attempts
            except Exception as error:  # noqa: BLE001 - whatever a transport raises, nobody may wait on
                reason = f"{type(error).__name__}: {error}"
                return UnavailableError(f"shard {shard}: the transport failed ({reason})"), attempts
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, _MAX_BACKOFF_S)
            attempts += 1
            self.retries += 1


class _Lane:
    """What waits for one shard, and the one batch that is on its way there."""

    __slots__ = (
        *("_client", "_futures", "_name", "_number", "_operations", "_running"),
        *("_transitions", "shard"),
    )

    def __init__(self, client: MemoryClient, shard: int) -> None:
        self.shard = shard
        self._client = client
        self._operations: list[Operation] = []
        self._futures: list[asyncio.Future[Answer]] = []
        self._running = False
        self._name = secrets.token_hex(8)
        self._number = 0
        self._transitions = 0

    def add(self, operation: Operation, future: asyncio.Future[Answer]) -> None:
        self._operations.append(operation)
        self._transitions += type(operation) is Transition
        self._futures.append(future)
        if not self._running:
            self._running = True
            self._client._start(self._pump())

    async def _pump(self) -> None:
        while True:
            # Whoever has just been answered, or is ready, gets a turn to join the next batch.
            await asyncio.sleep(0)
            if not self._operations:
                self._running = False
                return
            data, count = self._next_batch()
            first = self._operations[0]
            futures, self._futures = self._futures[:count], self._futures[count:]
            del self._operations[:count]
            await self._send(data, futures, repeatable=type(first) is not Transition)

    def _next_batch(self) -> tuple[bytes, int]:
        """The operations that wait, encoded, as many as one batch may hold, and how many.

        A transition travels alone: moving a percentage twice moves more, so it is not repeated.
        """
        count = min(len(self._operations), self._client.max_batch_ops)
        if self._transitions:
            kinds = [type(operation) for operation in self._operations[:count]]
            if Transition in kinds:
                count = max(kinds.index(Transition), 1)
                self._transitions -= kinds[0] is Transition
        while True:
            data = self._encode(self._operations[:count], self._name)
            if len(data) <= self._client.max_batch_bytes or count == 1:
                return data, count
            count //= 2

    def _encode(self, operations: list[Operation], lane: str) -> bytes:
        self._number += 1
        return encode_batch(Batch(lane, self._number, operations))

    async def send_alone(
        self,
        operation: Operation,
        future: asyncio.Future[Answer],
        previous: asyncio.Task[None] | None,
    ) -> None:
        """Send one operation by itself, whatever other agents have on its way."""
        agent_id, alone = operation.agent_id or "", self._client._alone
        if previous is not None:  # of the same agent: those alone have an order to keep
            await asyncio.wait([previous])
        data = self._encode([operation], f"{self._name}/{agent_id}")
        await self._send(data, [future], repeatable=type(operation) is not Transition)
        if alone.get(agent_id) is asyncio.current_task():
            del alone[agent_id]

    async def _send(
        self, data: bytes, futures: Sequence[asyncio.Future[Answer]], *, repeatable: bool
    ) -> None:
        client, count = self._client, len(futures)
        sent_ns = perf_counter_ns()
        answered, attempts = await client._call(self.shard, data, repeatable=repeatable)
        client._pending -= count
        results, wait_ns, service_ns = self._read(answered, count)
        timing = BatchTiming(self.shard, count, attempts, sent_ns, wait_ns, service_ns)
        for future, result in zip(futures, results, strict=True):
            if not future.done():
                future.set_result(Answer(result, timing))

    def _read(self, answered: object, count: int) -> tuple[Sequence[Result], int, int]:
        """Results, waiting and service time from what a shard answered."""
        if isinstance(answered, bytes):
            try:
                reply = decode_reply(answered)
            except msgspec.DecodeError as error:
                answered = UnavailableError(f"shard {self.shard} gave no valid reply: {error}")
            else:
                if len(reply.results) == count:
                    return reply.results, reply.wait_ns, reply.service_ns
                answered = UnavailableError(
                    f"shard {self.shard} answered {len(reply.results)} of {count} operations"
                )
        elif not isinstance(answered, MemoryCoreError):
            answered = UnavailableError(f"shard {self.shard} gave no reply in bytes")
        return [Failure.of(answered)] * count, 0, 0


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
    if type(operation) is Agents:
        listed = [one for result in results if isinstance(result, Listed) for one in result.agents]
        listed.sort(key=lambda one: one.agent_id)
        return Listed(listed[: operation.limit])
    raise BadInputError("agent_id", "is missing")


def _summed(counts: list[Counts]) -> Counts:
    return Counts(*(sum(getattr(one, tier) for one in counts) for tier in TIERS))

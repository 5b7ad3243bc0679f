"""Lanes: what waits for a shard gathers while a batch is on its way there, and leaves together.

A lane has one batch in flight and sends in order. Its batches are numbered, and a shard refuses
one that comes after a later one of its lane: what was given up on its way overwrites nothing
newer. A transition travels alone and is not repeated, since twice moves more.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Sequence
from time import perf_counter_ns
from typing import Any

import msgspec

from memory_core.errors import MemoryCoreError, UnavailableError
from memory_core.operations import Operation, Transition
from memory_core.results import Failure, Move, Result
from memory_core.retrying import RetryingCalls
from memory_core.wire import Batch, Reply, decode_reply, encode_batch, moves_of

__all__ = ["Answer", "BatchTiming", "Lane"]


class BatchTiming(msgspec.Struct, gc=False, frozen=True):
    """What a batch's operations share. ``sent_ns`` is of ``time.perf_counter_ns``."""

    shard: int
    batch_ops: int
    attempts: int
    sent_ns: int
    shard_wait_ns: int
    service_ns: int


class Answer(msgspec.Struct, gc=False, frozen=True):
    """An operation's result with its batch's timing, and what it moved if that was asked for."""

    result: Result
    timing: BatchTiming
    moves: Sequence[Move] = ()


class Lane:
    """What waits for one shard, and the one batch that is on its way there.

    Args:
        shard: which.
        calls: how its batches travel.
        start: makes a task of a coroutine and keeps it.
        answered: called with the number of operations whose futures are set next.
        watched: whether to ask what batches move to another tier.
        max_batch_ops: operations in one batch.
        max_batch_bytes: size of an encoded batch; a single larger operation goes alone.
    """

    __slots__ = (
        *("_alone", "_answered", "_calls", "_futures", "_max_batch_bytes", "_max_batch_ops"),
        *("_name", "_number", "_operations", "_running", "_start", "_transitions", "_watched"),
        "shard",
    )

    def __init__(
        self,
        shard: int,
        calls: RetryingCalls,
        start: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        answered: Callable[[int], None],
        watched: Callable[[], bool],
        *,
        max_batch_ops: int,
        max_batch_bytes: int,
    ) -> None:
        self.shard = shard
        self._calls = calls
        self._start = start
        self._answered = answered
        self._watched = watched
        self._max_batch_ops = max_batch_ops
        self._max_batch_bytes = max_batch_bytes
        self._operations: list[Operation] = []
        self._futures: list[asyncio.Future[Answer]] = []
        self._running = False
        self._name = secrets.token_hex(8)
        self._number = 0
        self._transitions = 0
        # of each agent, the last operation under way that was sent alone
        self._alone: dict[str, asyncio.Task[None]] = {}

    def add(self, operation: Operation, future: asyncio.Future[Answer]) -> None:
        """Let an operation leave with the next batch."""
        self._operations.append(operation)
        self._transitions += type(operation) is Transition
        self._futures.append(future)
        if not self._running:
            self._running = True
            self._start(self._pump())

    def send_alone(self, operation: Operation, future: asyncio.Future[Answer]) -> None:
        """Send one operation by itself, whatever other agents have on their way."""
        agent_id = operation.agent_id or ""
        previous = self._alone.get(agent_id)
        self._alone[agent_id] = self._start(self._send_after(previous, agent_id, operation, future))

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
        count = min(len(self._operations), self._max_batch_ops)
        if self._transitions:
            kinds = [type(operation) for operation in self._operations[:count]]
            if Transition in kinds:
                count = max(kinds.index(Transition), 1)
                self._transitions -= kinds[0] is Transition
        while True:
            data = self._encode(self._operations[:count], self._name)
            if len(data) <= self._max_batch_bytes or count == 1:
                return data, count
            count //= 2

    def _encode(self, operations: list[Operation], lane: str) -> bytes:
        self._number += 1
        return encode_batch(Batch(lane, self._number, operations, self._watched()))

    async def _send_after(
        self,
        previous: asyncio.Task[None] | None,
        agent_id: str,
        operation: Operation,
        future: asyncio.Future[Answer],
    ) -> None:
        if previous is not None:  # of the same agent: those alone have an order to keep
            await asyncio.wait([previous])
        data = self._encode([operation], f"{self._name}/{agent_id}")
        await self._send(data, [future], repeatable=type(operation) is not Transition)
        if self._alone.get(agent_id) is asyncio.current_task():
            del self._alone[agent_id]

    async def _send(
        self, data: bytes, futures: Sequence[asyncio.Future[Answer]], *, repeatable: bool
    ) -> None:
        count = len(futures)
        sent_ns = perf_counter_ns()
        answered, attempts = await self._calls.call(self.shard, data, repeatable=repeatable)
        self._answered(count)
        reply = self._read(answered, count)
        timing = BatchTiming(self.shard, count, attempts, sent_ns, reply.wait_ns, reply.service_ns)
        moved: dict[int, list[Move]] = {}
        for move in moves_of(reply) if reply.moves else ():
            moved.setdefault(move.position, []).append(move)
        for position, (future, result) in enumerate(zip(futures, reply.results, strict=True)):
            if not future.done():
                future.set_result(Answer(result, timing, moved.get(position, ())))

    def _read(self, answered: object, count: int) -> Reply:
        """What a shard answered, or failures in its place."""
        if isinstance(answered, bytes):
            try:
                reply = decode_reply(answered)
            except msgspec.DecodeError as error:
                answered = UnavailableError(f"shard {self.shard} gave no valid reply: {error}")
            else:
                if len(reply.results) == count:
                    return reply
                answered = UnavailableError(
                    f"shard {self.shard} answered {len(reply.results)} of {count} operations"
                )
        elif not isinstance(answered, MemoryCoreError):
            answered = UnavailableError(f"shard {self.shard} gave no reply in bytes")
        return Reply(0, 0, [Failure.of(answered)] * count)

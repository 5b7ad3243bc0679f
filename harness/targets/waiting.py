"""Operations on their way through an adapted session, from their issue to their answers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterable
from itertools import islice
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from memory_core.client import Answer, BatchTiming
from memory_core.errors import DeadlineError
from memory_core.operations import Search, Store
from memory_core.results import Failure

__all__ = [
    "MAX_CALL_BYTES",
    "MAX_CALL_OPS",
    "WITH_VECTOR",
    "Gathered",
    "Waiting",
    "all_of",
    "late",
]

WITH_VECTOR = frozenset({Store, Search})
MAX_CALL_OPS = 1_000
MAX_CALL_BYTES = 4 * 1024 * 1024


class Waiting(msgspec.Struct, gc=False, eq=False):
    """An operation that was issued and is not answered yet.

    Attributes:
        operation: what was asked.
        future: where the agent waits for the answer.
        issued_ns: when it was issued, of ``time.perf_counter_ns``.
        sent_ns: when its call began; 0 before.
        vector: of the state that it stores or searches with, once it is encoded.
        encoding_ns: its part of what that took.
        problem: why there is no vector.
        answer: what came of the call, once it has returned.
        more: others of the same agent and kind that are to go in the same call.
        behind: of the first of an agent, what waits for its answer, in the order of issue.
    """

    operation: Any
    future: asyncio.Future[Answer]
    issued_ns: int
    sent_ns: int = 0
    vector: npt.NDArray[np.float32] | None = None
    encoding_ns: int = 0
    problem: Exception | None = None
    answer: Answer | None = None
    more: list[Waiting] | None = None
    behind: deque[Waiting] | None = None

    @property
    def payload_bytes(self) -> int:
        """The size of the state that it stores or searches with."""
        return len(getattr(self.operation, "payload", None) or b"")

    @property
    def needs_vector(self) -> bool:
        """Whether a vector is still to be made for it."""
        return self.vector is None and self.problem is None and type(self.operation) in WITH_VECTOR


def all_of(firsts: Iterable[Waiting]) -> list[Waiting]:
    """These, each with those that go in the same call."""
    return [one for first in firsts for one in (first, *(first.more or ()))]


def late(now_ns: int) -> Answer:
    """The answer of what was not sent before its deadline."""
    error = DeadlineError("was not sent before its deadline")
    return Answer(Failure.of(error), BatchTiming(0, 0, 0, now_ns, 0, 0))


class Gathered:
    """What waits for a store with batches, by kind; each kind in the order in which it came.

    Operations of different agents have no order to keep, and of one agent only one call waits.

    Args:
        batched: kinds of which many go in one call.
    """

    def __init__(self, batched: Collection[type[Any]]) -> None:
        self._batched = batched
        self._waiting: dict[type[Any], deque[Waiting]] = {}

    def __bool__(self) -> bool:
        return any(self._waiting.values())

    def add(self, first: Waiting) -> None:
        """Let it wait."""
        self._waiting.setdefault(type(first.operation), deque()).append(first)

    def next_single(self, count: int) -> list[Waiting]:
        """The next of each kind that goes one by one; they go on waiting.

        Args:
            count: at most so many of a kind.
        """
        return [
            one
            for kind, queue in self._waiting.items()
            if kind not in self._batched
            for one in islice(queue, count)
        ]

    def take(self) -> list[Waiting] | None:
        """What goes in the next call: of the kind whose first has waited longest; None if none."""
        queues = [queue for queue in self._waiting.values() if queue]
        if not queues:
            return None
        queue = min(queues, key=lambda queue: queue[0].issued_ns)
        if type(queue[0].operation) not in self._batched:
            return [queue.popleft()]
        taken: list[Waiting] = []
        count = size = 0
        while queue:
            count += 1 + len(queue[0].more or ())
            size += sum(one.payload_bytes for one in all_of([queue[0]]))
            if taken and (count > MAX_CALL_OPS or size > MAX_CALL_BYTES):
                break
            taken.append(queue.popleft())
        return taken

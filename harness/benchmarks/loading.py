"""Loading: stores with many in flight, until every agent has what it is to have."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable

import msgspec

from harness.agent import outcome_code
from harness.benchmarks.memories import Memory, Walks
from harness.schema import OUTCOMES, SUCCESSES
from harness.targets.driven import Session
from memory_core.client import Answer
from memory_core.errors import BadInputError
from memory_core.operations import Store

__all__ = ["Load", "load"]

# With the client's batches of up to 4,096 one is on its way while the next ones gather.
BLOCK = 1_024
MAX_BLOCKS = 12
# One block is in flight at first, and one more for each that took less than this: a store that is
# slow would not answer the last of many before its deadline.
QUICK_S = 1.0
# Stores that failed are tried again this often, all of them together.
MAX_PASSES = 3

_Sent = tuple[Memory, Awaitable[Answer] | None]


class Load(msgspec.Struct):
    """What loading did.

    Attributes:
        memories: the volume it was to reach.
        stored: memories that were acknowledged.
        already_there: memories that an earlier, interrupted load had left.
        failed: stores that failed, those among them that succeeded later included.
        unstored: memories whose store failed to the last.
        outcomes: stores by outcome.
        duration_s: from the first store to the last answer.
        batch_ops_mean: operations in a batch, as stores see it.
        stopped: whether the end was asked for before it was reached.
    """

    memories: int
    stored: int = 0
    already_there: int = 0
    failed: int = 0
    unstored: int = 0
    outcomes: dict[str, int] = {}
    duration_s: float = 0.0
    batch_ops_mean: float | None = None
    stopped: bool = False


class _Loading:
    def __init__(self, session: Session, progress: Callable[[int, int], None]) -> None:
        self._session = session
        self._progress = progress
        self._blocks: deque[list[_Sent]] = deque()
        self._most_blocks = 1
        self.outcomes: Counter[str] = Counter()
        self.refused: list[Memory] = []
        self._batch_ops = 0
        self._answers = 0

    @property
    def batch_ops_mean(self) -> float | None:
        return self._batch_ops / self._answers if self._answers else None

    async def send(self, memories: list[Memory]) -> None:
        """Submit a block, once few enough are in flight."""
        submit = self._session.submit
        block: list[_Sent] = []
        for memory in memories:
            operation = Store(memory.agent_id, memory.state_id, memory.payload, step=memory.number)
            try:
                block.append((memory, submit(operation)))
            except BadInputError:
                block.append((memory, None))
        self._blocks.append(block)
        while len(self._blocks) >= self._most_blocks:
            began_s = time.monotonic()
            await self._settle(self._blocks.popleft())
            if time.monotonic() - began_s < QUICK_S:
                self._most_blocks = min(self._most_blocks + 1, MAX_BLOCKS)

    async def finish(self) -> list[Memory]:
        """Wait for what is in flight; the memories whose store has failed since last asked."""
        while self._blocks:
            await self._settle(self._blocks.popleft())
        refused, self.refused = self.refused, []
        return refused

    async def _settle(self, block: list[_Sent]) -> None:
        failures = 0
        for memory, waiting in block:
            if waiting is None:
                outcome = "bad_input"
            else:
                answer = await waiting
                self._batch_ops += answer.timing.batch_ops
                self._answers += 1
                outcome = OUTCOMES[outcome_code(answer.result)]
            self.outcomes[outcome] += 1
            if outcome not in SUCCESSES:
                failures += 1
                self.refused.append(memory)
        self._progress(len(block), failures)


async def load(
    session: Session,
    walks: Walks,
    volume: int,
    present: list[int],
    progress: Callable[[int, int], None],
    stopping: Callable[[], bool],
) -> Load:
    """Store what is missing of a volume.

    Args:
        session: to the store.
        walks: at the memory from which on something may be missing.
        volume: memories that are to be there in the end.
        present: of each agent, how many of its first memories are there already.
        progress: told how many stores have been answered, and how many of them failed.
        stopping: whether to stop.
    """
    loading = _Loading(session, progress)
    done = Load(volume, already_there=walks.position)
    started_ns = time.perf_counter_ns()
    while walks.position < volume and not stopping():
        taken = walks.take(min(BLOCK, volume - walks.position))
        missing = [memory for memory in taken if memory.number >= present[memory.agent]]
        done.already_there += len(taken) - len(missing)
        if missing:
            await loading.send(missing)
    unstored = await loading.finish()
    for _ in range(MAX_PASSES - 1):
        if not unstored or stopping():
            break
        for first in range(0, len(unstored), BLOCK):
            await loading.send(unstored[first : first + BLOCK])
        unstored = await loading.finish()
    done.duration_s = (time.perf_counter_ns() - started_ns) / 1e9
    done.outcomes = dict(loading.outcomes)
    done.stored = sum(loading.outcomes[name] for name in SUCCESSES)
    done.failed = sum(loading.outcomes.values()) - done.stored
    done.unstored = len(unstored)
    done.batch_ops_mean = loading.batch_ops_mean
    done.stopped = stopping()
    return done

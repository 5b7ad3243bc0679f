"""The prober of a comparison: what it does is bounded in time, and every store is new to it.

Stores that are probed are of new memories, the next of the volume, as agents make them. Searches
are judged against exact search among the vectors that the prober keeps, by the same encoder.
"""

from __future__ import annotations

import asyncio
import math
import time

import msgspec

from harness.benchmarks.auditing import recall
from harness.benchmarks.prober import Prober
from harness.workload import agent_id
from memory_core.operations import Search, Store
from memory_core.results import Hits, Result

__all__ = ["Found", "TargetProber"]


class Found(msgspec.Struct, frozen=True):
    """What searches found.

    Attributes:
        count: searches that were answered.
        short: those with fewer hits than there had to be.
        recall: against exact search; None when the target gives no hits.
    """

    count: int
    short: int
    recall: float | None


class TargetProber(Prober):
    """See the module's head, and `harness.benchmarks.prober.Prober`."""

    _until_s = float("inf")

    async def bound(self, time_s: float) -> None:
        """What comes next ends early when this time is over."""
        self._until_s = time.monotonic() + time_s

    def is_over(self) -> bool:
        """Whether what goes on is to end early."""
        return super().is_over() or time.monotonic() >= self._until_s

    async def flush(self) -> float | None:
        """Have the store bring what waits to where it stays; the seconds, None if it goes on."""
        began_s = time.monotonic()
        loop_began_s = asyncio.get_running_loop().time()
        until_s = loop_began_s + self._until_s - began_s
        flushing = asyncio.timeout_at(until_s if math.isfinite(until_s) else None)
        try:
            async with flushing:
                await self._open().flush()
        except TimeoutError:
            if not flushing.expired():
                raise
            return None
        return time.monotonic() - began_s

    async def store_next(self, count: int) -> int:
        """Probe by storing the next memories of the volume; how many were answered."""
        operations = [
            (one.agent, Store(one.agent_id, one.state_id, one.payload, step=one.number))
            for one in self._walks.take(count)
        ]
        return len(await self._probe(operations))

    async def find(self, count: int, k: int, least: int) -> bytes:
        """Probe by searching; a packed `Found`. ``least`` hits have to be found, each."""
        queries = self._kept.queries(count)
        operations = [(one.agent, Search(agent_id(one.agent), one.payload, k=k)) for one in queries]
        results = await self._probe(operations)
        # what failed is counted as failed; recall is of the answers
        pairs = zip(queries, results, strict=False)
        answered = [(query, one) for query, one in pairs if isinstance(one, Hits)]
        hits = [len(one.hits) for _, one in answered]
        found: list[Result] = [one for _, one in answered]
        judged = recall("all", [query for query, _ in answered], found, self._kept, None, k)
        return msgspec.msgpack.encode(
            Found(
                len(results),
                sum(one < least for one in hits),
                None if judged is None else judged.recall,
            )
        )

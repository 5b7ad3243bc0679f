"""What memories take in memory and on disk, and what larger stores do to service time.

Bytes of a memory are those of the largest volume that was measured; the range is from the least
to the most of the volumes that are large enough to tell. Service time grows as a power of the
number of memories, as ``bench memory`` fitted it: of an agent for a search, which looks at its
agent's memories only, and of a shard for the rest. Powers below 0 are taken as 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.schema import OPERATIONS
from harness.sizing.evidence import MemoryEvidence

__all__ = ["Growth", "Range", "bytes_per_memory", "growth_of"]

# Below, what the store has of its own outweighs the memories.
VOLUME_MIN = 10_000


@dataclass(frozen=True, kw_only=True)
class Range:
    """An estimate, and between what it lies as far as is known; None where nothing is."""

    estimate: float
    low: float | None = None
    high: float | None = None

    def times(self, factor: float) -> Range:
        """The range of so many times as much."""
        ends = (None if end is None else end * factor for end in (self.low, self.high))
        low, high = ends
        return Range(estimate=self.estimate * factor, low=low, high=high)


@dataclass(frozen=True, kw_only=True)
class Growth:
    """What larger stores do to service time.

    Attributes:
        factors: by type of operation, what it is multiplied by.
        beyond_ratio: how many times more memories a shard, or an agent, will have than where it
            was measured; 1 or less where it is not extrapolated.
    """

    factors: Mapping[str, float]
    beyond_ratio: float


def bytes_per_memory(evidence: Sequence[MemoryEvidence], column: str) -> Range | None:
    """Bytes of a memory, of ``memory_bytes`` or ``disk_bytes``; None where nothing tells."""
    known = sorted(
        (volume, size / volume)
        for one in evidence
        for volume, size in zip(one.volumes, getattr(one, column), strict=True)
        if size > 0
    )
    if not known:
        return None
    telling = [each for volume, each in known if volume >= VOLUME_MIN]
    estimate = known[-1][1]
    if len(telling) < 2:
        return Range(estimate=estimate)
    return Range(estimate=estimate, low=min(telling), high=max(telling))


def growth_of(
    evidence: Sequence[MemoryEvidence], wished: tuple[float, float], measured: tuple[float, float]
) -> Growth:
    """Give the growth of service time from the runs' stores to those of the cluster.

    Args:
        evidence: of ``bench memory``; the first that has an exponent of a type counts.
        wished: memories of a shard, and of an agent, in the cluster.
        measured: the same in the runs, on average over their time.
    """
    factors = dict.fromkeys(OPERATIONS, 1.0)
    exponents: dict[str, float] = {}
    beyond_ratio = 0.0
    for one in evidence:
        largest = max(one.volumes)
        of_volume = (largest / one.shards, largest / one.agents)
        beyond_ratio = max(
            beyond_ratio, *(many / most for many, most in zip(wished, of_volume, strict=True))
        )
        exponents = {name: found[0] for name, found in one.exponents.items()} | exponents
    for name, exponent in exponents.items():
        which = 1 if name == "search" else 0
        ratio = wished[which] / max(measured[which], 1.0)
        factors[name] = max(1.0, ratio ** max(exponent, 0.0))
    return Growth(factors=factors, beyond_ratio=beyond_ratio)

"""Times of batches that are given, for clusters whose answers are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FixedTimes:
    """Nothing but what is given; ``each_s`` for each operation of a batch."""

    batch_s: float = 0.0
    each_s: float = 0.0
    on_cohort_s: float = 0.0
    on_way_s: float = 0.0

    def cohort_s(self, batch_ops: int) -> float:
        return self.on_cohort_s

    def delay_s(self, counts: Sequence[int]) -> float:
        return self.on_way_s

    def call_s(self) -> float:
        return 0.0

    def service_s(self, counts: Sequence[int]) -> float:
        return self.batch_s + self.each_s * sum(counts)

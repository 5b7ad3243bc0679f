"""A view that keeps what it is told, and what counters of a run have to be like."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import pytest

from harness.live.counts import Counts, OperationCounts
from harness.live.progress import Progress
from harness.live.view import View
from harness.recorder import bucket_start_ns
from harness.runner import StopRequest
from harness.schema import SUCCESSES

__all__ = [
    "PARTS",
    "Watching",
    "assert_counters_only_grow",
    "assert_counts_are_of",
    "assert_times_are_of",
    "measured",
]

PARTS = ("queue", "transport", "shard_wait", "service")


class Watching(View):
    """Keeps what it is told; asks for the end once it has seen enough.

    Attributes:
        stop: the request for the end.
        calls: what it was told, one after the other.
        seen: snapshots of the run, or the step, that began last.
        summary: of the one that ended last.
        ended: name, snapshots and summary of each step that has ended.
        planned: how many steps there are to be, as was said last.
    """

    def __init__(self, is_enough: Callable[[Progress], bool] = lambda _: False) -> None:
        self.stop = StopRequest()
        self.seen: list[Progress] = []
        self.calls: list[str] = []
        self.summary: Mapping[str, Any] = {}
        self.planned = 0
        self.ended: list[tuple[str, list[Progress], Mapping[str, Any]]] = []
        self._is_enough = is_enough
        self._name = ""

    def step(self, name: str, number: int, planned: int) -> None:
        self.calls.append(f"step {number}")
        self.planned, self._name = planned, name

    def begin(self, plan: Mapping[str, Any], agents: int) -> None:
        self.calls.append("begin")
        self.seen = []

    def update(self, progress: Progress) -> None:
        self.calls.append("update")
        self.seen.append(progress)
        if self._is_enough(progress):
            self.stop.set()

    def end(self, status: str, summary: Mapping[str, Any]) -> None:
        self.calls.append(f"end {status}")
        self.summary = summary
        self.ended.append((self._name, self.seen, summary))


def measured(counts: Counts) -> dict[str, OperationCounts]:
    return {operation: one for (phase, operation), one in counts.items() if phase == "measure"}


def figures_of(counts: Counts) -> Counter[tuple[str, ...]]:
    """Every counter by a name of its own."""
    found: Counter[tuple[str, ...]] = Counter()
    for kind, one in counts.items():
        found.update({(*kind, "outcome", name): count for name, count in one.outcomes.items()})
        found.update({(*kind, str(bucket)): count for bucket, count in one.latencies.items()})
        found.update({(*kind, part): getattr(one, f"{part}_ns") for part in ("response", *PARTS)})
    return found


def assert_counters_only_grow(seen: list[Progress]) -> None:
    for before, after in pairwise(seen):
        lost = figures_of(before.counts) - figures_of(after.counts)
        assert not lost, lost


def assert_counts_are_of(summary: Mapping[str, Any], counts: Counts) -> None:
    """Operations and failures, in all and of each kind, are exactly those of a summary."""
    found = measured(counts)
    outcomes: Counter[str] = Counter()
    for one in found.values():
        outcomes.update(one.outcomes)
    assert outcomes.total() == summary["operations"]
    assert outcomes.total() - sum(outcomes[name] for name in SUCCESSES) == summary["failed"]


def assert_times_are_of(summary: Mapping[str, Any], counts: Counts) -> None:
    """Means are those of a summary, and histograms hold its quantiles."""
    for operation, one in measured(counts).items():
        number = summary[operation]["count"]
        assert one.operations == number
        assert sum(one.latencies.values()) == number
        assert one.response_ns / number / 1e6 == pytest.approx(summary[operation]["mean_ms"])
        service_ms = summary["service"][operation]["mean_ms"]
        assert one.service_ns / number / 1e6 == pytest.approx(service_ms)
        for name, quantile in (("p50_ms", 0.5), ("p99_ms", 0.99)):
            if summary[operation][name] is not None:
                low_ms, high_ms = quantile_bounds_ms(one.latencies, quantile)
                assert low_ms <= summary[operation][name] <= high_ms


def quantile_bounds_ms(latencies: Mapping[int, int], quantile: float) -> tuple[float, float]:
    """The outer ends of the buckets of the two latencies between which a quantile lies."""
    each = sorted(Counter(latencies).elements())
    place = quantile * (len(each) - 1)
    low, high = each[math.floor(place)], each[math.ceil(place)]
    return bucket_start_ns(low) / 1e6, bucket_start_ns(high + 1) / 1e6

"""From the control actor's snapshots to what the live view shows.

Rates and percentiles are of the last seconds; the time that is left follows from them. Counts are
the control actor's, which adds up what cohorts report: what was counted once stays.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from types import EllipsisType
from typing import Any

from harness.control import Snapshot
from harness.live.counts import Counts
from harness.live.progress import NodeFigures, Progress
from harness.node_figures import SampledNodes
from harness.operation_tally import counts_of, latencies_of
from harness.plan import RunPlan
from harness.recorder import bucket_start_ns
from harness.workload import RETRIEVES, SEARCHES, STATES

__all__ = ["ProgressMeter", "operations_total", "quantile_ms"]

WINDOW_S = 3.0
_MIN_OPERATIONS = 20


def operations_total(plan: RunPlan, agents: int) -> int | None:
    """How many operations a plan amounts to; None when time, or a trace, ends it."""
    if plan.rounds is None or plan.trace is not None:
        return None
    return agents * plan.rounds * (STATES + RETRIEVES + SEARCHES)


def quantile_ms(latencies: Mapping[int, int], quantile: float) -> float | None:
    """A quantile of a histogram, to within a bucket; None with too few operations."""
    total = sum(latencies.values())
    if total < _MIN_OPERATIONS:
        return None
    below = 0
    for bucket in sorted(latencies):
        below += latencies[bucket]
        if below >= quantile * total:
            return bucket_start_ns(bucket + 0.5) / 1e6
    return None


class ProgressMeter:
    """Takes snapshots, gives `Progress`. Holds the last few seconds.

    Args:
        plan: of the run.
        agents: of the run.
        total: operations that there will be, None for unknown; by default the plan says.
        clock: in seconds.

    Attributes:
        agents: of the run.
    """

    def __init__(
        self,
        plan: RunPlan,
        agents: int,
        *,
        total: int | EllipsisType | None = ...,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan = plan
        self.agents = agents
        self._clock = clock
        self._made_s = clock()
        self._begun_s: float | None = None
        self._total = operations_total(plan, agents) if total is ... else total
        # when, and what there was since the run's beginning: operations, and all latencies
        self._recent: deque[tuple[float, int, Counter[int]]] = deque()
        self._snapshot: Snapshot | None = None
        self._counts: Counts = {}
        self._sampled = SampledNodes()
        self._nodes: tuple[NodeFigures, ...] = ()

    @property
    def operations(self) -> int:
        """Operations so far."""
        return self._snapshot.operations if self._snapshot else 0

    @property
    def failures(self) -> int:
        """Failures so far."""
        return self._snapshot.failures if self._snapshot else 0

    @property
    def elapsed_s(self) -> float:
        """Since the barrier opened."""
        return 0.0 if self._begun_s is None else self._clock() - self._begun_s

    def begin(self) -> None:
        """The barrier opens."""
        self._begun_s = self._clock()
        self._recent.append((self._begun_s, 0, Counter()))

    def take(
        self,
        snapshot: Snapshot,
        samples: Sequence[Mapping[str, Any]],
        hosts: Mapping[str, str] | None = None,
    ) -> None:
        """Take a snapshot, the newest sample of each node, and the nodes' names by their ids."""
        now = self._clock()
        self._snapshot = snapshot
        self._counts = counts_of(snapshot.tally)
        self._nodes = self._sampled.figures(samples, hosts or {})
        self._recent.append((now, snapshot.operations, latencies_of(snapshot.tally)))
        while len(self._recent) > 2 and now - self._recent[0][0] > WINDOW_S:
            self._recent.popleft()

    def at(self, phase: str) -> Progress:
        """Where the run is now."""
        snapshot = self._snapshot
        latencies = self._recent[-1][2] - self._recent[0][2] if self._recent else Counter()
        cpu: dict[str, float] = {}
        rss: Counter[str] = Counter()
        for node in self._nodes:
            for role, figures in node.roles.items():
                cpu[role] = cpu.get(role, 0.0) + figures.cpu_percent
                rss[role] += figures.rss_bytes
        busy = [node.cpu_percent for node in self._nodes if node.cpu_percent]
        started = snapshot.agents_started if snapshot else 0
        done = snapshot.agents_done if snapshot else 0
        return Progress(
            elapsed_s=self._clock() - self._made_s,
            phase=phase,
            agents_total=self.agents,
            agents_started=started,
            agents_done=done,
            operations_done=self.operations,
            operations_total=self._total,
            ops_per_s=self._rate(),
            p50_ms=quantile_ms(latencies, 0.50),
            p99_ms=quantile_ms(latencies, 0.99),
            failures=self.failures,
            retries=snapshot.retries if snapshot else 0,
            in_flight=started - done,
            cpu_percent_by_role=cpu,
            rss_bytes_by_role=rss,
            node_cpu_percent=sum(busy) / len(busy) if busy else None,
            eta_s=self._eta_s(),
            counts=self._counts,
            nodes=self._nodes,
        )

    def _rate(self) -> float:
        if len(self._recent) < 2:
            return 0.0
        (first_s, before, _), (last_s, after, _) = self._recent[0], self._recent[-1]
        return (after - before) / (last_s - first_s) if last_s > first_s else 0.0

    def _eta_s(self) -> float | None:
        if self._begun_s is None:
            return None
        if self._plan.duration_s is not None:
            return max(0.0, self._plan.warmup_s + self._plan.duration_s - self.elapsed_s)
        rate = self._rate()
        if self._total is None or rate <= 0:
            return None
        return max(0.0, (self._total - self.operations) / rate)

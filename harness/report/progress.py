"""What a run looks like at one moment: what the live view is fed with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Progress"]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A snapshot of a run, about four a second.

    Attributes:
        elapsed_s: since the run began.
        phase: what it is doing, in a word or two (``starting``, ``warm-up``, ``measuring``).
        agents_total: agents of the plan.
        agents_started: agents that have begun.
        agents_done: agents that have ended.
        operations_done: finished so far.
        operations_total: what the plan amounts to; None when time ends the run.
        ops_per_s: operations a second over the last seconds.
        p50_ms: median response time of the last seconds; None when too few.
        p99_ms: the same for the 99th percentile.
        failures: operations so far that neither succeeded nor were not found.
        retries: attempts beyond the first so far.
        in_flight: operations under way.
        cpu_percent_by_role: of one core, summed over a role's processes.
        rss_bytes_by_role: summed over a role's processes.
        node_cpu_percent: of all cores of all machines; None before the first sample.
        eta_s: time left; None when not known.
    """

    elapsed_s: float
    phase: str
    agents_total: int = 0
    agents_started: int = 0
    agents_done: int = 0
    operations_done: int = 0
    operations_total: int | None = None
    ops_per_s: float = 0.0
    p50_ms: float | None = None
    p99_ms: float | None = None
    failures: int = 0
    retries: int = 0
    in_flight: int = 0
    cpu_percent_by_role: Mapping[str, float] = field(default_factory=dict)
    rss_bytes_by_role: Mapping[str, int] = field(default_factory=dict)
    node_cpu_percent: float | None = None
    eta_s: float | None = None

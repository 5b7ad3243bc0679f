"""One number of agents: the figures of each of its repeats, and their medians.

A repeat is a run directory. Its durations are those of a round of an agent
(`harness.analysis.rounds`), its rates and latencies those of its summary, its CPU and memory
those of all our processes together, its disk and network what its machines moved within the
measured phase. A figure of a count is the median over its repeats, each figure for itself: so
are percentiles, which are never averaged. Repeats that did not come to their end count only
where there is none that did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Any

from harness.analysis.resources import NODE, cpu_seconds_together, process_figures
from harness.analysis.rounds import COLUMNS, AgentRows, find_rounds, read_agent_rows
from harness.analysis.rows import Window
from harness.analysis.step_steady import STEP_COLUMNS, step_steady
from harness.analysis.summary import summarise
from harness.rundir_reader import RunReader
from harness.schema import OPERATIONS
from harness.workload import RETRIEVES, SEARCHES, STATES

__all__ = ["ROUND_OPERATIONS", "SCALARS", "Repeat", "count_figures", "read_repeat", "usable"]

# Of one agent in one round of the standard workload.
ROUND_OPERATIONS = STATES + RETRIEVES + SEARCHES

_DURATIONS = {
    "total_duration_seconds": "total_s",
    "avg_agent_duration_seconds": "avg_s",
    "min_agent_duration_seconds": "min_s",
    "max_agent_duration_seconds": "max_s",
    "std_deviation_duration": "std_s",
    "95th_percentile_duration": "p95_s",
}
_MOVED = (
    "disk_read_bytes",
    "disk_write_bytes",
    "network_received_bytes",
    "network_sent_bytes",
    "loopback_bytes",
)
# Figures of which each repeat has one.
SCALARS = (
    *_DURATIONS,
    "throughput_agents_per_second",
    "operations_per_second",
    "avg_cpu_percent",
    "max_cpu_percent",
    "avg_memory_bytes",
    "max_memory_bytes",
    *_MOVED,
)
_GROUPS = ("all", *OPERATIONS)
_PARTS = ("queue", "transport", "service")


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """A repeat that was read.

    Attributes:
        step: its place in the bench directory.
        status: how it ended.
        rounds: that all its agents finished.
        scalars: `SCALARS`.
        summary: of its run.
        steady: whether its throughput and its response times settled.
    """

    step: str
    status: str
    rounds: int
    scalars: Mapping[str, float | None]
    summary: Mapping[str, Any]
    steady: Mapping[str, Any] | None = None

    @property
    def ops_s(self) -> float:
        """Operations a second."""
        return self.scalars["operations_per_second"] or 0.0

    @property
    def other_cores(self) -> float | None:
        """Cores that other programs used; None of several machines, or where not measured."""
        resources, duration_s = self.summary["resources"], self.summary["duration_s"]
        node = resources[NODE]
        ours_s = cpu_seconds_together(resources)
        if node["nodes"] != 1 or not duration_s or ours_s is None:
            return None
        used = node["cpu_percent_avg"] / 100 * node["cpu_count"]
        return max(0.0, float(used - ours_s / duration_s))

    def as_dict(self) -> dict[str, Any]:
        """Give what a summary says of one repeat."""
        return {
            "step": self.step,
            "status": self.status,
            "rounds": self.rounds,
            "operations": self.summary["operations"],
            "failed": self.summary["failed"],
            "other_cores": self.other_cores,
            "settled": None if self.steady is None else self.steady["settled"],
            "cpu_count": self.summary["resources"][NODE]["cpu_count"],
            **self.scalars,
        }


def read_repeat(step: str, reader: RunReader) -> Repeat:
    """Read the run directory of a repeat; holds some 50 bytes an operation while it works."""
    run = reader.run
    summary = reader.summary or summarise(reader)
    agents = run.get("agents")
    agents = agents if isinstance(agents, int) else 0
    rows = read_agent_rows(reader.operation_batches(COLUMNS))
    rounds = find_rounds(rows, agents, ROUND_OPERATIONS)
    durations = rounds.figures()
    scalars: dict[str, float | None] = {
        name: durations[figure] for name, figure in _DURATIONS.items()
    }
    total_s = durations["total_s"]
    scalars["throughput_agents_per_second"] = agents / total_s if total_s else None
    scalars["operations_per_second"] = summary["throughput_ops_s"]
    scalars |= _used(reader, rows)
    node = summary["resources"][NODE]
    scalars |= {name: node[name] for name in _MOVED}
    return Repeat(
        step=step,
        status=str(run.get("status")),
        rounds=rounds.count,
        scalars=scalars,
        summary=summary,
        # a run is judged by its seconds, of which a step has too few
        steady=step_steady(reader.operation_batches(STEP_COLUMNS), summary["duration_s"])
        if summary["duration_s"]
        else None,
    )


def usable(repeats: Sequence[Repeat]) -> list[Repeat]:
    """Choose the repeats that figures are made of: complete ones, else what was measured."""
    measured = [one for one in repeats if one.summary["operations"]]
    complete = [one for one in measured if one.status == "complete"]
    return complete or measured


def count_figures(repeats: Sequence[Repeat]) -> dict[str, Any]:
    """Sum up the repeats of a count; every figure is None when nothing was measured.

    Args:
        repeats: at least one.
    """
    chosen = usable(repeats) or list(repeats)
    figures: dict[str, Any] = {
        name: _median([one.scalars[name] for one in chosen]) for name in SCALARS
    }
    summaries = [one.summary for one in chosen]
    figures |= _latencies(summaries)
    figures |= {part: _latencies([one[part] for one in summaries]) for part in _PARTS}
    usual = sorted(chosen, key=lambda one: one.ops_s)[(len(chosen) - 1) // 2]
    figures["limit"] = usual.summary["limit"]
    figures["steady"] = usual.steady
    figures["repeats"] = [one.as_dict() for one in repeats]
    return figures


def _used(reader: RunReader, rows: AgentRows) -> dict[str, float | None]:
    """CPU and memory of all our processes together; memory of their own where that was read."""
    window = None
    if rows.begin_ns.size:
        window = Window(int(rows.begin_ns.min()), int(rows.end_ns.max()))
    figures = process_figures(reader.processes(), window)
    kind = "rss_bytes" if figures["uss_bytes_max"] is None else "uss_bytes"
    return {
        "avg_cpu_percent": figures["cpu_percent_avg"],
        "max_cpu_percent": figures["cpu_percent_max"],
        "avg_memory_bytes": figures[f"{kind}_avg"],
        "max_memory_bytes": figures[f"{kind}_max"],
    }


def _latencies(groups: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Latencies by operation of several runs as one: medians of each figure."""
    return {
        name: {key: _median([one[name][key] for one in groups]) for key in groups[0][name]}
        for name in _GROUPS
    }


def _median(values: Sequence[float | None]) -> float | None:
    """The median of what is known; of an even number the lower, so that it is some repeat's own."""
    known = [value for value in values if value is not None]
    return median_low(known) if known else None

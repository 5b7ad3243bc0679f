"""What one operation of each type costs: CPU, memory and disk, beyond what an idle store takes.

Method. After the main steps a benchmark runs a short step of one type of operation alone, and one
in which next to nothing is done, each on a store that holds the same states (``cost-store``,
``cost-retrieve``, ``cost-search``, ``cost-idle``). Each step is cut into blocks of a second. The
cost of an operation is the difference of the steps' mean use a second over the difference of
their operations a second:

    cost = (mean use, step - mean use, idle) / (operations a second, step - idle)

Its 95% interval is Welch's for the difference of two means of unequal variance (B. L. Welch, "The
generalization of 'Student's' problem when several different population variances are involved",
Biometrika 34, 1947), with the blocks as samples. A cost whose interval includes 0 is not told
from nothing: the figure is None then, and the interval says how much it could be.

- CPU: of all our processes, the load generator's included.
- Memory: growth of the resident memory of the processes that hold the store. It is read every
  200 ms, where the USS is too rare for steps of some seconds; shared pages do not grow.
- Disk: what the machines wrote, whoever did: other programs widen the interval.

The costs are those at the rate of these steps: at a higher one operations share batches, and
each costs less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from harness.analysis.bootstrap import Estimate
from harness.analysis.operation_times import OperationTimes
from harness.analysis.process_series import NodeSeries, ProcessSeries
from harness.analysis.student import student_half_width

__all__ = [
    "COST_DURATION_MIN_S",
    "COST_FIGURES",
    "BlockUse",
    "OperationCost",
    "block_use",
    "operation_cost",
]

Floats = npt.NDArray[np.float64]

# By figure, what a block's use is multiplied by: CPU-seconds become microseconds.
COST_FIGURES = {"cpu_us": 1e6, "memory_bytes": 1.0, "disk_bytes": 1.0}
_BLOCK_S = 1.0
_BLOCKS_MIN = 3
# A step that is shorter can never tell a cost.
COST_DURATION_MIN_S = _BLOCKS_MIN * _BLOCK_S


class OperationCost(TypedDict):
    """What one operation costs; a figure is None where it is not told from nothing.

    ``intervals`` has an `harness.analysis.bootstrap.Estimate` of each figure of `COST_FIGURES`,
    or None where there is too little to say anything.
    """

    cpu_us: float | None
    memory_bytes: float | None
    disk_bytes: float | None
    rate_ops_s: float | None
    intervals: dict[str, Estimate | None]


@dataclass(frozen=True, kw_only=True)
class BlockUse:
    """What a step used, ``(n,)`` a second in each of its blocks.

    Attributes:
        rate_ops_s: operations answered a second, over all blocks.
        use: by the names of `COST_FIGURES`; CPU in seconds.
    """

    rate_ops_s: float
    use: Mapping[str, Floats]


def block_use(
    times: OperationTimes,
    processes: list[ProcessSeries],
    nodes: list[NodeSeries],
    *,
    in_process: bool,
) -> BlockUse | None:
    """Cut a step into blocks of a second; None where there are not enough of them.

    Args:
        times: of its measured operations.
        processes: its processes.
        nodes: its machines.
        in_process: the store lives in the agents' processes.
    """
    blocks = int(times.duration_s / _BLOCK_S)
    if blocks < _BLOCKS_MIN or not processes:
        return None
    edges = times.begin_ns + np.arange(blocks + 1) * round(_BLOCK_S * 1e9)
    answered = np.count_nonzero((times.finished_ns >= edges[0]) & (times.finished_ns < edges[-1]))
    role = "cohort" if in_process else "shard"
    cpu_s, memory, disk = (np.zeros(blocks) for _ in range(3))
    for process in processes:
        cpu_s += np.diff(process.cpu_seconds_at(edges))
        if process.role == role:
            memory += np.diff(process.rss_bytes_at(edges))
    for node in nodes:
        disk += np.diff(node.counter_at("disk_write_bytes", edges))
    use = dict(zip(COST_FIGURES, (cpu_s, memory, disk), strict=True))
    return BlockUse(
        rate_ops_s=answered / (blocks * _BLOCK_S),
        use={name: values / _BLOCK_S for name, values in use.items()},
    )


def operation_cost(step: BlockUse | None, idle: BlockUse | None) -> OperationCost:
    """Give what an operation of a step costs beyond the idle step."""
    more_ops_s = step.rate_ops_s - idle.rate_ops_s if step and idle else 0.0
    intervals: dict[str, Estimate | None] = dict.fromkeys(COST_FIGURES)
    if step is not None and idle is not None and more_ops_s > 0:
        for name, unit in COST_FIGURES.items():
            scale = unit / more_ops_s
            intervals[name] = _difference(step.use[name] * scale, idle.use[name] * scale)
    return OperationCost(
        cpu_us=_told_from_nothing(intervals["cpu_us"]),
        memory_bytes=_told_from_nothing(intervals["memory_bytes"]),
        disk_bytes=_told_from_nothing(intervals["disk_bytes"]),
        rate_ops_s=step.rate_ops_s if step is not None else None,
        intervals=intervals,
    )


def _difference(new: Floats, base: Floats) -> Estimate:
    """The difference of two means, ``new - base``, with Welch's 95% interval."""
    estimate = float(new.mean() - base.mean())
    parts = [float(one.var(ddof=1)) / one.size for one in (new, base)]
    variance = sum(parts)
    if variance <= 0:
        return Estimate(estimate=estimate, low=estimate, high=estimate)
    freedom = variance**2 / sum(
        part**2 / (one.size - 1) for part, one in zip(parts, (new, base), strict=True)
    )
    half_width = student_half_width(max(1, int(freedom))) * sqrt(variance)
    return Estimate(estimate=estimate, low=estimate - half_width, high=estimate + half_width)


def _told_from_nothing(found: Estimate | None) -> float | None:
    if found is None or found["low"] is None or found["high"] is None:
        return None
    return None if found["low"] <= 0 <= found["high"] else found["estimate"]

"""What a run used of its machines within a window: CPU, memory, disk and network, by role.

The window is the measured phase on the wall clock. A tick is one pass of a node's sampler; all
rows of a pass carry the same ``wall_ns``. A role's value at a tick is the sum over its
processes. Over several nodes, whose ticks fall at different moments, a role's average is the
sum of its nodes' averages and its maximum that of the sum of each node's latest value.

Counters (CPU-seconds, disk, network) are read at the window's two ends by linear interpolation
between the samples on either side, so that nothing used before or after is counted. The kernel
counts a process's CPU in steps of 10 ms, and nothing is seen between two samples: in a window
under `CPU_WINDOW_MIN_S`, or of fewer ticks than `CPU_TICKS_MIN`, CPU-seconds and what follows from
them are None rather than a number that means nothing.

Every role of `harness.schema.ROLES` and every figure is always there, with None for what was
not sampled, so that the paths of a summary do not depend on the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from harness.analysis.rows import Window
from harness.schema import ROLES

__all__ = [
    "CPU_TICKS_MIN",
    "CPU_WINDOW_MIN_S",
    "NODE",
    "ROLE_FIGURES",
    "cpu_seconds_together",
    "process_figures",
    "resource_figures",
]

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]
Figures = dict[str, int | float | None]
_Columns = dict[str, npt.NDArray[Any]]
_Mask = npt.NDArray[np.bool_]

NODE = "node"
ROLE_FIGURES = (
    "processes",
    "cpu_percent_avg",
    "cpu_percent_max",
    "cpu_seconds",
    "process_cpu_percent_avg",
    "process_cpu_percent_max",
    "rss_bytes_avg",
    "rss_bytes_max",
    "uss_bytes_avg",
    "uss_bytes_max",
)
_NODE_GAUGES = ("memory_used_bytes", "load_average_1m")
_NODE_CPU = ("cpu_percent_avg", "cpu_percent_max", "cpu_percent_busiest")
_NODE_COUNTERS = (
    "disk_read_bytes",
    "disk_write_bytes",
    "network_received_bytes",
    "network_sent_bytes",
    "loopback_bytes",
)
# Below either, steps of 10 ms and a sample every 200 ms say little of what was used.
CPU_WINDOW_MIN_S = 1.0
CPU_TICKS_MIN = 3
# A short window may fall between two ticks; the first tick after it still speaks of it.
_TICK_SLACK_NS = 250_000_000


@dataclass(frozen=True)
class _Series:
    """Values of something on one node, ``(n,)`` each, in the order of time."""

    at_ns: Times
    values: Floats


def resource_figures(
    nodes: pa.Table, processes: pa.Table, window: Window | None
) -> dict[str, Figures]:
    """Sum up samples within a window.

    Args:
        nodes: rows of `harness.schema.NODES_SCHEMA`.
        processes: rows of `harness.schema.PROCESSES_SCHEMA`.
        window: on the wall clock; None when nothing was measured.

    Returns:
        For each role `ROLE_FIGURES`: ``cpu_percent`` is of one core and summed over the role's
        processes, ``process_cpu_percent`` the mean CPU of one process over the window (average
        and busiest), ``cpu_seconds`` what the role used within the window; both are None where
        the window is too short to tell. Under `NODE`: ``nodes, cpu_count``, ``cpu_percent`` of a
        whole machine (mean over the machines, the maximum of any, and ``cpu_percent_busiest``,
        the busiest machine's average), memory and load summed over machines, and bytes moved
        within the window.
    """
    columns = _process_columns(processes)
    figures = {role: _group_figures(columns, columns["role"] == role, window) for role in ROLES}
    figures[NODE] = _node_figures(_arrays(nodes), window)
    return figures


def process_figures(processes: pa.Table, window: Window | None) -> Figures:
    """Sum up the samples of all processes together within a window: `ROLE_FIGURES`.

    The maximum is that of the sum at one moment, which maxima of roles do not tell.
    """
    columns = _process_columns(processes)
    return _group_figures(columns, np.isin(columns["role"], ROLES), window)


def cpu_seconds_together(resources: Mapping[str, Mapping[str, Any]]) -> float | None:
    """Add up the CPU-seconds of all roles, of figures by `resource_figures`.

    None where there is none, or where a role that has processes was sampled too little to tell.
    """
    present = [resources[role] for role in ROLES if resources[role]["processes"]]
    used_s = [one["cpu_seconds"] for one in present]
    return None if not used_s or None in used_s else float(sum(used_s))


def _process_columns(processes: pa.Table) -> _Columns:
    columns = _arrays(processes)
    columns["uss_bytes"] = _carried(columns, "uss_bytes")
    return columns


def _group_figures(columns: _Columns, of_group: _Mask, window: Window | None) -> Figures:
    figures: Figures = dict.fromkeys(ROLE_FIGURES)
    figures["processes"] = 0
    if window is None:
        return figures
    ticks = _inside(columns["wall_ns"], window)
    if not (ticks & of_group).any():
        return figures
    for name in ("cpu_percent", "rss_bytes", "uss_bytes"):
        series = _summed_by_tick(columns, ticks & of_group, name, ticks)
        figures[f"{name}_avg"], figures[f"{name}_max"] = _average_and_maximum(series)
    used_s = _cpu_seconds_by_process(columns, of_group, window)
    figures["processes"] = len(used_s)
    if _tells_cpu(columns, ticks & of_group, window):
        figures["cpu_seconds"] = float(used_s.sum())
        percents = 100 * used_s / window.duration_s
        figures["process_cpu_percent_avg"] = float(percents.mean())
        figures["process_cpu_percent_max"] = float(percents.max())
    return figures


def _tells_cpu(columns: _Columns, inside: _Mask, window: Window) -> bool:
    """Whether a group was seen long and often enough, on each of its nodes, to tell its CPU."""
    if window.duration_s < CPU_WINDOW_MIN_S:
        return False
    nodes = columns["node_id"][inside]
    at_ns = columns["wall_ns"][inside]
    return all(np.unique(at_ns[nodes == node]).size >= CPU_TICKS_MIN for node in np.unique(nodes))


def _summed_by_tick(columns: _Columns, inside: _Mask, name: str, ticks: _Mask) -> list[_Series]:
    """Give, for each node, the role's sum at each tick; 0 at ticks that saw none of it."""
    values = columns[name]
    known = inside & ~np.isnan(values)
    result = []
    for node in np.unique(columns["node_id"][known]):
        of_node = columns["node_id"] == node
        at_ns = np.unique(columns["wall_ns"][of_node & ticks])
        mine = of_node & known
        tick = np.searchsorted(at_ns, columns["wall_ns"][mine])
        sums = np.bincount(tick, values[mine], at_ns.size).astype(np.float64)
        result.append(_Series(at_ns, sums))
    return result


def _carried(columns: _Columns, name: str) -> Floats:
    """Fill the gaps of a column that is read at some ticks only, each process for itself.

    A process has its last known value until the next, and its first one before that: processes
    need not be read at the same ticks, and their sum is of all of them all the same.
    """
    values: Floats = columns[name]
    rows = np.arange(values.size)
    _, node = np.unique(columns["node_id"], return_inverse=True)
    order = np.lexsort((columns["wall_ns"], columns["pid"], node))
    process = np.stack([node[order], columns["pid"][order]])
    begins = np.concatenate([[True], (process[:, 1:] != process[:, :-1]).any(axis=0)])[: rows.size]
    ends = np.concatenate([begins[1:], [True]])[: rows.size]
    sorted_values = values[order]
    known = ~np.isnan(sorted_values)
    # A process's first and last rows bound the filling, so nothing crosses to another.
    before = np.maximum.accumulate(np.where(known | begins, rows, 0))
    after = np.minimum.accumulate(np.where(known | ends, rows, rows.size)[::-1])[::-1]
    filled = np.empty_like(values)
    earlier = sorted_values[before]
    filled[order] = np.where(np.isnan(earlier), sorted_values[after], earlier)
    return filled


def _average_and_maximum(series: list[_Series]) -> tuple[float | None, float | None]:
    if not series:
        return None, None
    moments = np.unique(np.concatenate([one.at_ns for one in series]))
    total = np.zeros(moments.size)
    for one in series:
        latest = np.searchsorted(one.at_ns, moments, side="right") - 1
        total += np.where(latest >= 0, one.values[np.maximum(latest, 0)], 0.0)
    return float(sum(one.values.mean() for one in series)), float(total.max())


def _cpu_seconds_by_process(columns: _Columns, of_role: _Mask, window: Window) -> Floats:
    near = of_role & _inside(columns["wall_ns"], window)
    used = []
    for node in np.unique(columns["node_id"][near]):
        of_node = of_role & (columns["node_id"] == node)
        for pid in np.unique(columns["pid"][near & of_node]):
            mine = of_node & (columns["pid"] == pid)
            used.append(_used(columns["wall_ns"][mine], columns["cpu_seconds"][mine], window))
    return np.array(used, np.float64)


def _used(at_ns: Times, counter: Floats, window: Window) -> float:
    """How far a counter went within the window; clamped where samples do not reach."""
    order = np.argsort(at_ns, kind="stable")
    ends = np.array([window.begin_ns, window.end_ns])
    first, last = np.interp(ends, at_ns[order], counter[order])
    return max(0.0, float(last - first))


def _node_figures(columns: _Columns, window: Window | None) -> Figures:
    figures: Figures = {"nodes": 0, "cpu_count": None}
    figures |= dict.fromkeys(_NODE_CPU)
    for name in _NODE_GAUGES:
        figures[f"{name}_avg"] = figures[f"{name}_max"] = None
    figures["memory_available_bytes_min"] = None
    figures |= dict.fromkeys(_NODE_COUNTERS)
    inside = _inside(columns["wall_ns"], window) if window else np.zeros(0, np.bool_)
    if window is None or not inside.any():
        return figures
    names = np.unique(columns["node_id"][inside])
    of_nodes = [columns["node_id"] == name for name in names]
    figures["nodes"] = int(names.size)
    figures["cpu_count"] = sum(int(columns["cpu_count"][one & inside].max()) for one in of_nodes)
    busy = [columns["cpu_percent"][one & inside] for one in of_nodes]
    averages = [float(one.mean()) for one in busy]
    percents = (float(np.mean(averages)), float(max(one.max() for one in busy)), max(averages))
    figures |= dict(zip(_NODE_CPU, percents, strict=True))
    for name in _NODE_GAUGES:
        series = [_series(columns, one & inside, name) for one in of_nodes]
        figures[f"{name}_avg"], figures[f"{name}_max"] = _average_and_maximum(series)
    figures["memory_available_bytes_min"] = float(columns["memory_available_bytes"][inside].min())
    for name in _NODE_COUNTERS:
        moved = [_used(columns["wall_ns"][one], columns[name][one], window) for one in of_nodes]
        figures[name] = round(sum(moved))
    return figures


def _series(columns: _Columns, of_node: _Mask, name: str) -> _Series:
    order = np.argsort(columns["wall_ns"][of_node], kind="stable")
    return _Series(columns["wall_ns"][of_node][order], columns[name][of_node][order])


def _inside(wall_ns: Times, window: Window) -> _Mask:
    """Which rows are of the window's ticks: a tick speaks of the time before it."""
    inside: _Mask = (wall_ns > window.begin_ns) & (wall_ns <= window.end_ns)
    if inside.any():
        return inside
    slack: _Mask = wall_ns > window.end_ns
    slack &= wall_ns <= window.end_ns + _TICK_SLACK_NS
    return slack


def _arrays(table: pa.Table) -> _Columns:
    """Give columns as numpy arrays: text as text, clocks as int64, the rest as float64."""
    arrays: _Columns = {}
    for name in table.column_names:
        column = table[name]
        if pa.types.is_string(column.type):
            arrays[name] = np.asarray(column.fill_null("").to_pylist(), dtype=np.str_)
        elif name.endswith("_ns"):
            arrays[name] = column.to_numpy()
        else:
            arrays[name] = column.to_numpy().astype(np.float64)
    return arrays

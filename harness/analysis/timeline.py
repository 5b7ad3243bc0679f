"""How a run went over time: throughput, response time, CPU, memory, disk and network.

One entry a second of the measured phase, coarser where that would be more than `ENTRIES_MAX`. An
entry counts the operations that were answered within it; a percentile of too few operations is
None, as in a summary. CPU is what the processes of a role used within it, in percent of one
core. Memory is what they held at its end: their own memory (USS) where that is read, else
resident. Disk and network are the machines', whoever moved the bytes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.analysis.latency import fewest_samples
from harness.analysis.operation_times import OperationTimes
from harness.analysis.process_series import NODE_COUNTERS, NodeSeries, ProcessSeries
from harness.schema import ROLES

__all__ = ["ENTRIES_MAX", "series_by_node", "time_edges_ns", "time_series"]

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]

ENTRIES_MAX = 600


def time_edges_ns(times: OperationTimes) -> Times:
    """Give the ``(n + 1,)`` moments between the entries; none where nothing was measured.

    The last entry is between half and one and a half times as long as the others.
    """
    duration_s = times.duration_s
    if duration_s <= 0:
        return np.empty(0, np.int64)
    width_s = max(1, math.ceil(duration_s / ENTRIES_MAX))
    entries = max(1, round(duration_s / width_s))
    edges = times.begin_ns + np.arange(entries + 1) * width_s * 1_000_000_000
    edges[-1] = times.end_ns
    return edges


def time_series(
    times: OperationTimes, processes: Sequence[ProcessSeries], nodes: Sequence[NodeSeries]
) -> list[dict[str, Any]]:
    """Give one entry for each stretch of time, over all nodes.

    Returns:
        For each entry ``t_s`` (its beginning), ``ops_s`` (operations that succeeded),
        ``mean_ms, p95_ms, max_ms`` of the response time, ``cpu_percent`` and ``memory_bytes`` by
        role, ``machine_cpu_percent`` (mean over the machines), ``disk_read_bytes_s``,
        ``disk_write_bytes_s``, ``network_bytes_s`` (received and sent) and ``loopback_bytes_s``.
    """
    edges = time_edges_ns(times)
    if not edges.size:
        return []
    spans_s = np.diff(edges) / 1e9
    columns = {"t_s": np.round((edges[:-1] - edges[0]) / 1e9, 3)} | _operations(times, edges)
    moved = {name: _moved(nodes, name, edges) / spans_s for name in NODE_COUNTERS}
    columns["disk_read_bytes_s"] = np.round(moved["disk_read_bytes"])
    columns["disk_write_bytes_s"] = np.round(moved["disk_write_bytes"])
    network = moved["network_received_bytes"] + moved["network_sent_bytes"]
    columns["network_bytes_s"] = np.round(network)
    columns["loopback_bytes_s"] = np.round(moved["loopback_bytes"])
    columns["machine_cpu_percent"] = _machine_cpu(nodes, edges)
    roles = _by_role(processes, edges)
    entries = []
    for place in range(spans_s.size):
        entry: dict[str, Any] = {name: _plain(values[place]) for name, values in columns.items()}
        for name in ("cpu_percent", "memory_bytes"):
            entry[name] = {role: _plain(found[name][place]) for role, found in roles.items()}
        entries.append(entry)
    return entries


def series_by_node(
    times: OperationTimes, processes: Sequence[ProcessSeries], nodes: Sequence[NodeSeries]
) -> dict[str, dict[str, Any]]:
    """Give for each node its columns, one value an entry of `time_series`.

    Returns:
        By node id ``cpu_percent`` (of the whole machine), ``memory_used_bytes``, the counters of
        `harness.analysis.process_series.NODE_COUNTERS` a second (``disk_write_bytes_s``), and
        ``roles``: by role ``cpu_percent`` of one core and ``memory_bytes``.
    """
    edges = time_edges_ns(times)
    if not edges.size:
        return {}
    spans_s = np.diff(edges) / 1e9
    found = {}
    for node in nodes:
        mine = [one for one in processes if one.node_id == node.node_id]
        used = np.interp(edges[1:], node.at_ns, node.memory_used_bytes)
        columns: dict[str, Any] = {
            "cpu_percent": _listed(_machine_cpu([node], edges)),
            "memory_used_bytes": _listed(np.round(used)),
        }
        for name in NODE_COUNTERS:
            moved = _moved([node], name, edges) / spans_s
            columns[f"{name}_s"] = _listed(np.round(moved))
        columns["roles"] = {
            role: {name: _listed(values) for name, values in figures.items()}
            for role, figures in _by_role(mine, edges).items()
        }
        found[node.node_id] = columns
    return found


def _operations(times: OperationTimes, edges: Times) -> dict[str, Floats]:
    """Throughput and response time of what was answered in each entry."""
    entries = edges.size - 1
    order = np.argsort(times.finished_ns, kind="stable")
    finished, response_ms = times.finished_ns[order], times.response_ns[order] / 1e6
    bounds = np.searchsorted(finished, edges)
    bounds[-1] = finished.size  # the last answer is at the very end
    succeeded = np.concatenate([[0], np.cumsum(times.succeeded[order])])
    rates = np.diff(succeeded[bounds]) / (np.diff(edges) / 1e9)
    parts = [response_ms[first:last] for first, last in itertools.pairwise(bounds)]

    def each(figure: Callable[[Floats], float], fewest: int = 1) -> Floats:
        values = [figure(part) if part.size >= fewest else math.nan for part in parts]
        return np.round(np.array(values, np.float64).reshape(entries), 4)

    return {
        "ops_s": np.round(rates, 2),
        "mean_ms": each(lambda part: float(part.mean())),
        "p95_ms": each(lambda part: float(np.quantile(part, 0.95)), fewest_samples(0.95)),
        "max_ms": each(lambda part: float(part.max())),
    }


def _by_role(processes: Sequence[ProcessSeries], edges: Times) -> dict[str, dict[str, Floats]]:
    """CPU within and memory at the end of each entry, of the roles that there are."""
    spans_s = np.diff(edges) / 1e9
    found = {}
    for role in ROLES:
        mine = [one for one in processes if one.role == role]
        if not mine:
            continue
        cpu_s = sum(np.diff(one.cpu_seconds_at(edges)) for one in mine)
        held = sum(one.memory_bytes_at(edges[1:]) for one in mine)
        found[role] = {
            "cpu_percent": np.round(100 * cpu_s / spans_s, 2),
            "memory_bytes": np.round(held),
        }
    return found


def _moved(nodes: Sequence[NodeSeries], name: str, edges: Times) -> Floats:
    """Bytes that all nodes moved within each entry."""
    moved = np.zeros(edges.size - 1)
    for node in nodes:
        # a counter that was reset has moved nothing that is known
        moved += np.maximum(np.diff(node.counter_at(name, edges)), 0.0)
    return moved


def _machine_cpu(nodes: Sequence[NodeSeries], edges: Times) -> Floats:
    """The mean CPU of the machines in each entry, NaN without a sample in it."""
    found = []
    for node in nodes:
        place = np.searchsorted(edges, node.at_ns) - 1
        inside = (place >= 0) & (place < edges.size - 1)
        counts = np.bincount(place[inside], minlength=edges.size - 1)
        sums = np.bincount(place[inside], node.cpu_percent[inside], edges.size - 1)
        found.append(np.where(counts > 0, sums / np.maximum(counts, 1), np.nan))
    if not found:
        return np.full(edges.size - 1, np.nan)
    table = np.stack(found)
    known = ~np.isnan(table)
    count = known.sum(axis=0)
    total: Floats = np.where(known, table, 0.0).sum(axis=0)
    mean: Floats = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return np.round(mean, 2)


def _listed(values: Floats) -> list[float | int | None]:
    return [_plain(value) for value in values]


def _plain(value: float) -> float | int | None:
    """A number as JSON has it: None for NaN, whole where it is."""
    if math.isnan(value):
        return None
    return int(value) if float(value).is_integer() else float(value)

"""What a run used of its machines: CPU, memory, disk and network over time, by role and node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from harness.report.document import Block, Cell, Chart, Mark, Note, Quantity, Section, Series, Table
from harness.report.fields import group, number
from harness.report.figures import plain
from harness.report.moments import event_marks
from harness.report.quantities import figure
from harness.report.role_series import carried_sum, floats, rows_by_role, summed
from harness.report.run_data import RunData
from harness.report.timelines import per_second, thin
from harness.schema import ROLES

__all__ = ["ROLE_COLOURS", "resource_section"]

Floats = npt.NDArray[np.float64]

# Nodes that get charts of their own; of the others the totals say enough.
NODES_SHOWN_MAX = 8
# Roles of a chart: a run has seven, and a file may name any number.
ROLES_SHOWN_MAX = 10
ROLE_COLOURS = {
    "shard": "teal",
    "cohort": "blue",
    "sampler": "pink",
    "control": "sky",
    "driver": "olive",
    "raylet": "orange",
    "gcs": "red",
}
_X_LABEL = "seconds since the first measured operation"
_MOVED = {
    "disk_read_bytes": "disk read",
    "disk_write_bytes": "disk written",
    "network_received_bytes": "network received",
    "network_sent_bytes": "network sent",
    "loopback_bytes": "within the machine",
}


@dataclass(frozen=True)
class _Node:
    """The samples of one node; `suffix` names it in titles, and is "" where there is one."""

    key: str
    suffix: str
    nodes: pa.Table
    processes: pa.Table


def resource_section(data: RunData) -> Section | None:
    """Tables of what each role used, and its timelines on each node."""
    blocks: list[Block] = []
    if table := _roles_table(data.summary):
        blocks.append(table)
    nodes = list(_nodes(data))
    marks = event_marks(data)
    for node in nodes[:NODES_SHOWN_MAX]:
        blocks += _node_charts(data, node, marks)
    if len(nodes) > NODES_SHOWN_MAX:
        left_out = len(nodes) - NODES_SHOWN_MAX
        blocks.append(Note(f"{left_out} more nodes are in the table and in the run's files."))
    if not blocks:
        return None
    return Section("resources", "Resources", _in_words(data.summary), blocks)


def _in_words(summary: Mapping[str, Any]) -> str:
    operations = figure(number(summary, "efficiency", "operations_per_cpu_second"), "number")
    if operations.value is None:
        return "CPU is in percent of one core unless it is said to be of a machine."
    return (
        f"A second of CPU carried {operations.shown} operations, of all processes together. "
        "CPU is in percent of one core unless it is said to be of a machine."
    )


def _roles_table(summary: Mapping[str, Any]) -> Table | None:
    rows: list[list[Cell]] = []
    for role in ROLES:
        used = group(summary, "resources", role)
        if number(used, "processes"):
            rows.append(
                [
                    role,
                    figure(number(used, "processes"), "count"),
                    figure(number(used, "cpu_percent_avg"), "percent"),
                    figure(number(used, "cpu_percent_max"), "percent"),
                    figure(number(used, "cpu_seconds"), "seconds"),
                    figure(_ms(number(summary, "cpu_us_per_operation", role)), "milliseconds"),
                    figure(number(used, "rss_bytes_max"), "bytes"),
                    figure(number(used, "uss_bytes_max"), "bytes"),
                ]
            )
    if not rows:
        return None
    node = group(summary, "resources", "node")
    if number(node, "nodes"):
        machine: list[Cell] = [
            "machine" if number(node, "nodes") == 1 else "machines",
            f"{figure(number(node, 'cpu_count'), 'count').shown} cores",
            figure(number(node, "cpu_percent_avg"), "percent"),
            figure(number(node, "cpu_percent_max"), "percent"),
            "",
            "",
            figure(number(node, "memory_used_bytes_max"), "bytes"),
            "",
        ]
        rows.append(machine)
    return Table(
        title="By role",
        columns=[
            "role",
            "processes",
            "CPU, mean",
            "CPU, most",
            "CPU time",
            "CPU an operation",
            "memory (RSS), most",
            "own memory (USS), most",
        ],
        rows=rows,
        caption="Of the measured phase. A machine's CPU is in percent of all its cores.",
    )


def _ms(microseconds: float | None) -> float | None:
    return None if microseconds is None else microseconds / 1e3


def _nodes(data: RunData) -> Iterator[_Node]:
    of_node = dict(_split(data.nodes, "node_id"))
    of_process = dict(_split(data.processes, "node_id"))
    names = sorted(of_node.keys() | of_process.keys())
    hosts = _host_names(data.run)
    for place, name in enumerate(names):
        shown = hosts.get(name) or plain(name)[:12] or f"node {place + 1}"
        yield _Node(
            f"-{place}" if len(names) > 1 else "",
            f" on {shown}" if len(names) > 1 else "",
            of_node.get(name, data.nodes.slice(0, 0)),
            of_process.get(name, data.processes.slice(0, 0)),
        )


def _host_names(run: Mapping[str, Any]) -> dict[str, str]:
    """Addresses of the nodes by their id, for what people know a machine by."""
    found = {}
    nodes = group(run, "topology").get("nodes")
    for node in nodes if isinstance(nodes, list) else []:
        if isinstance(node, Mapping) and isinstance(node.get("node_id"), str):
            found[node["node_id"]] = plain(node.get("address") or "")[:60]
    return found


def _split(table: pa.Table, column: str) -> Iterator[tuple[str, pa.Table]]:
    """A table by the texts of a column, each part in the order of time."""
    encoded = table[column].combine_chunks().dictionary_encode()
    if not len(encoded):
        return
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    wall_ns = table["wall_ns"].to_numpy()
    for code, name in enumerate(encoded.dictionary.to_pylist()):
        places = np.flatnonzero(codes == code)
        ordered = places[np.argsort(wall_ns[places], kind="stable")]
        yield str(name), table.take(pa.array(ordered))


def _node_charts(data: RunData, node: _Node, marks: list[Mark]) -> Iterator[Chart]:
    origin_ns = data.origin_ns or 0
    key = node.key
    at_s = _seconds(node.processes, origin_ns)
    if at_s.size:
        ticks, place = np.unique(at_s, return_inverse=True)
        roles = list(rows_by_role(node.processes))[:ROLES_SHOWN_MAX]
        cpu = [
            (name, summed(node.processes, "cpu_percent", rows, place, ticks.size))
            for name, rows in roles
        ]
        yield _lines(f"cpu{key}", f"CPU by role{node.suffix}", ticks, cpu, "percent", marks)
        name = "uss_bytes" if node.processes["uss_bytes"].null_count < at_s.size else "rss_bytes"
        own = "Own memory (USS)" if name == "uss_bytes" else "Memory (RSS)"
        memory = [
            (role, carried_sum(node.processes, name, rows, place, ticks.size))
            for role, rows in roles
        ]
        yield _lines(f"memory{key}", f"{own} by role{node.suffix}", ticks, memory, "bytes", marks)
    at_s = _seconds(node.nodes, origin_ns)
    if at_s.size:
        yield from _machine_charts(node, key, at_s, marks)


def _machine_charts(node: _Node, key: str, at_s: Floats, marks: list[Mark]) -> Iterator[Chart]:
    busy = [("whole machine", floats(node.nodes, "cpu_percent"))]
    yield _lines(f"machine{key}", f"Machine CPU{node.suffix}", at_s, busy, "percent", marks)
    moved = [(words, per_second(at_s, floats(node.nodes, name))) for name, words in _MOVED.items()]
    moved = [(words, values) for words, values in moved if np.nansum(values) > 0]
    if moved:
        title = f"Disk and network{node.suffix}"
        yield _lines(f"moved{key}", title, at_s, moved, "bytes_s", marks)


def _lines(
    key: str,
    title: str,
    at_s: Floats,
    named: list[tuple[str, Floats]],
    quantity: Quantity,
    marks: list[Mark],
) -> Chart:
    thinned = [thin(at_s, values) for _, values in named]
    together = at_s.size > len(thinned[0].at)
    caption = "Samples as they were taken."
    if together:
        caption = (
            f"{at_s.size:,} samples in {len(thinned[0].at)} points: the mean, within a band from "
            "the least to the most."
        )
    return Chart(
        key=key,
        title=title,
        caption=caption,
        x=thinned[0].at,
        x_label=_X_LABEL,
        x_quantity="seconds",
        y_label={"percent": "CPU", "bytes": "memory", "bytes_s": "bytes a second"}[quantity],
        y_quantity=quantity,
        series=[
            Series(
                label=name,
                values=line.values,
                low=line.low,
                high=line.high,
                colour=ROLE_COLOURS.get(name, ""),
            )
            for (name, _), line in zip(named, thinned, strict=True)
        ],
        marks=marks,
        sync="time",
    )


def _seconds(table: pa.Table, origin_ns: int) -> Floats:
    return np.asarray((table["wall_ns"].to_numpy() - origin_ns) / 1e9, np.float64)

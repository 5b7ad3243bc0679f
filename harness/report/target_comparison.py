"""The comparison of targets in a terminal: who is ahead, then a line for each target.

Nothing is computed here but widths. Fits 80 columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from harness.analysis.target_verdicts import points_of
from harness.report import figures
from harness.report.agent_scaling import bar
from harness.report.grid import Column, Grid, indented
from harness.report.terminal import VERDICT_STYLES
from harness.schema import OPERATIONS

__all__ = ["render_targets"]

_BAR_WIDTH = 30
_SHOWN_WELL = ("throughput", "recall", *(f"{name}_latency" for name in OPERATIONS))
_LEGEND = "response times in ms; memory and disk: bytes for each memory beyond the empty store"

Targets = Mapping[str, Mapping[str, Any]]


def render_targets(summary: Mapping[str, Any]) -> RenderableType:
    """Lay out a summary of a comparison (`harness.analysis.target_comparison`)."""
    targets: Targets = summary["targets"]
    blocks: list[RenderableType] = list(_headlines(summary))
    counts = [(int(count), one) for count, one in summary["comparison"]["throughput"].items()]
    if counts and counts[-1][1] is not None:
        blocks += [Text(), _bars(*counts[-1])]
    if len(counts) > 1:
        blocks += [Text(), _throughput(targets, [count for count, _ in counts])]
    for volume in list(summary["comparison"]["volumes"])[-1:]:
        blocks += [Text(), _volume(targets, volume), indented(Text(_LEGEND, "dim"))]
    blocks += [Text(), *_whats_what(targets)]
    return Group(*blocks)


def _headlines(summary: Mapping[str, Any]) -> Iterator[Padding]:
    for one in summary["verdicts"]:
        if one["verdict"] == "ok" and one["name"] not in _SHOWN_WELL:
            continue
        style = "bold" if one["name"] == "throughput" else VERDICT_STYLES.get(one["verdict"], "")
        style = "" if one["verdict"] == "ok" and one["name"] != "throughput" else style
        yield indented(Text(figures.plain(one["sentence"]), style))


def _bars(agents: int, ranking: Mapping[str, Any]) -> Grid:
    """A bar for each target at the largest count, the most first."""
    order = ranking["order"]
    most = order[0]["value"] or 1.0
    bars = [f"{bar(one['value'] / most, _BAR_WIDTH)} {figures.rate(one['value'])}" for one in order]
    names = [figures.plain(one["target"]) for one in order]
    heading = f"operations/s, {figures.counted(agents, 'agent')}"
    return Grid(
        [
            Column(heading="", cells=names, left=True, style="bold"),
            Column(heading=heading, cells=bars, left=True, style="green"),
        ]
    )


def _throughput(targets: Targets, counts: list[int]) -> Grid:
    """Operations a second of each target at each count."""
    shown = {name: one for name, one in targets.items() if one["counts"]}
    names = [figures.plain(name) for name in shown]
    columns = [Column(heading="operations/s", cells=names, left=True, style="bold")]
    for place, count in enumerate(counts):
        found = [one["counts"].get(str(count)) or {} for one in shown.values()]
        cells = [figures.rate(one.get("operations_per_second")) for one in found]
        heading = figures.count(count)
        columns.append(
            Column(
                heading=heading,
                group="agents",
                cells=cells,
                drop=0 if count == counts[-1] else len(counts) - place,
            )
        )
    return Grid(columns)


def _volume(targets: Targets, volume: str) -> Grid:
    """What each target is at the largest volume."""
    shown = {
        name: one["volumes"][volume] for name, one in targets.items() if volume in one["volumes"]
    }
    rows = list(shown.values())

    def cells(key: str, show: Any) -> list[str]:
        return [show(row.get(key)) for row in rows]

    def times(name: str, key: str) -> list[str]:
        return [figures.digits(row[f"{name}_latency_ms"][key]) for row in rows]

    columns = [
        Column(
            heading=f"{figures.count(int(volume))} memories",
            cells=[_named(name, shown[name]) for name in shown],
            left=True,
            style="bold",
        )
    ]
    for name in OPERATIONS:
        columns += [
            Column(heading="p50", group=name, cells=times(name, "p50")),
            Column(heading="p99", group=name, cells=times(name, "p99"), drop=3),
        ]
    return Grid(
        [
            *columns,
            Column(heading="recall", cells=cells("recall", figures.digits)),
            Column(heading="loaded/s", cells=cells("load_rate_ops_s", figures.rate)),
            Column(heading="memory", cells=cells("memory_bytes_per_memory", figures.size), drop=1),
            Column(heading="disk", cells=cells("disk_bytes_per_memory", figures.size), drop=2),
        ]
    )


def _named(name: str, found: Mapping[str, Any]) -> str:
    cut = found.get("cut")
    return f"{figures.plain(name)}{' (cut)' if cut else ''}"


def _whats_what(targets: Targets) -> Iterator[Padding]:
    """Version, conformance and durability of each, a line or two."""
    for name, one in targets.items():
        facts = [figures.plain(one["version"])] if one.get("version") else []
        points = points_of(one)
        if points:
            claimed = [point for point in points if point.get("state") != "not claimed"]
            passed = [point for point in claimed if point.get("state") == "passed"]
            facts.append(f"passes {len(passed)} of {len(claimed)} points")
        if one.get("durability"):
            facts.append(figures.plain(one["durability"]))
        if facts:
            yield indented(
                Text.assemble((figures.plain(name), "bold"), "  ", (" · ".join(facts), "dim"))
            )

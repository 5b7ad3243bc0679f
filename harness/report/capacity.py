"""The answer of a search for capacity in a terminal: the answer, how sure it is, and the loads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from harness.report import figures
from harness.report.grid import Column, Grid

__all__ = ["render_capacity"]

_STYLES = {"invalid": "bold red", "failed": "bold red", "warning": "bold dark_orange3"}


def render_capacity(summary: Mapping[str, Any]) -> RenderableType:
    """Lay out the summary of `harness.benchmarks.capacity_summary`."""
    blocks: list[RenderableType] = []
    capacity = summary["capacity"]
    answer = next(one for one in summary["verdicts"] if one["name"] == "capacity")
    blocks.append(_line(answer["sentence"], _STYLES.get(answer["verdict"], "bold")))
    blocks += [
        _line(one["sentence"], _STYLES.get(one["verdict"], ""))
        for one in summary["verdicts"]
        if one is not answer
    ]
    noun = "trial" if capacity["trials"] == 1 else "trials"
    quiet = f"{capacity['trials']} {noun}, {figures.span(summary['duration_s'])} measured"
    blocks.append(_line(quiet, "dim"))
    if capacity["loads"]:
        blocks += [Text(), _loads(capacity)]
    if (limit := _limit_at_edge(capacity)) is not None:
        blocks += [Text(), _line(limit, "bold")]
    return Group(*blocks)


def _line(text: str, style: str) -> Padding:
    return Padding(Text(figures.plain(text), style), (0, 0, 0, 1))


def _loads(capacity: Mapping[str, Any]) -> Grid:
    """One row a load, smallest first."""
    rows = list(capacity["loads"].items())
    paths = dict.fromkeys(path for _, row in rows for path in row["values"])
    heading = "agents" if capacity["search"] == "agents" else "offered/s"
    columns = [
        Column(heading=heading, cells=[f"{float(load):,.10g}" for load, _ in rows], style="bold"),
        Column(heading="trials", cells=[figures.count(row["trials"]) for _, row in rows]),
        Column(heading="kept", cells=[figures.count(row["kept"]) for _, row in rows]),
        Column(heading="settled", cells=[figures.count(row["settled"]) for _, row in rows], drop=2),
    ]
    columns += [
        Column(
            heading=figures.plain(path),
            cells=[figures.digits(row["values"].get(path)) for _, row in rows],
        )
        for path in paths
    ]
    rates = [figures.rate(row["throughput_ops_s"]) for _, row in rows]
    columns.append(Column(heading="op/s", cells=rates, drop=1))
    return Grid(columns)


def _limit_at_edge(capacity: Mapping[str, Any]) -> str | None:
    """What limited the smallest load that broke it; else the largest that kept it."""
    for load in (capacity["high"], capacity["low"]):
        row = None if load is None else capacity["loads"].get(f"{load:.10g}")
        if row and row["limit"]:
            return f"At {load:,.10g}: {row['limit']['sentence']}"
    return None

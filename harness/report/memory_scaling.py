"""The summary of memory-size scaling in a terminal: verdicts, then a line for each volume."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from harness.report import figures
from harness.report.grid import Column, Grid, indented

__all__ = ["render_memory_scaling"]

_STYLES = {"invalid": "bold red", "failed": "bold red", "warning": "bold dark_orange3"}
_OPERATIONS = (
    ("store", "store"),
    ("retrieve", "retrieve"),
    ("search", "search"),
    ("cross_tier", "cross-tier"),
)
_TIERS = ("all", "stm", "im", "ltm")


def render_memory_scaling(summary: Mapping[str, Any]) -> RenderableType:
    """Lay out a summary (`harness.analysis.memory_scaling`) for a terminal.

    Returns:
        A rich renderable that fits 80 columns.
    """
    volumes = summary["volumes"]
    blocks: list[RenderableType] = list(_headlines(summary))
    if volumes:
        blocks += [Text(), _times(volumes, "p50"), Text(), _times(volumes, "p99")]
        blocks += [Text(), _sizes(summary["baseline"], volumes), Text(), _recall(volumes)]
        blocks += [Text(), *_curves(summary["degradation"])]
    return Group(*blocks)


def _headlines(summary: Mapping[str, Any]) -> Iterator[Padding]:
    for one in summary["verdicts"]:
        if one["verdict"] == "ok" and one["name"] not in {"forgets", "degradation", "recall"}:
            continue
        yield indented(Text(figures.plain(one["sentence"]), _STYLES.get(one["verdict"], "")))


def _volume_cells(volumes: Mapping[str, Any]) -> list[str]:
    return [figures.count(int(volume)) for volume in volumes]


def _times(volumes: Mapping[str, Any], percentile: str) -> Grid:
    """Response time of each operation, and beside it the store's own part of it."""
    columns = [
        Column(heading=f"ms, {percentile}", cells=_volume_cells(volumes), left=True, style="bold")
    ]
    for name, words in _OPERATIONS:
        for part in ("response", "service"):
            cells = [
                figures.digits(
                    one["service"][name][percentile]
                    if part == "service"
                    else one[f"{name}_latency_ms"][percentile]
                )
                for one in volumes.values()
            ]
            drop = 0 if part == "service" else 1
            columns.append(Column(heading=part, group=words, cells=cells, drop=drop))
    return Grid(columns)


def _sizes(baseline: Mapping[str, Any], volumes: Mapping[str, Any]) -> Grid:
    shown = list(volumes.values())
    tiers = [one["tiers"] or {} for one in shown]
    return Grid(
        [
            Column(
                heading="memories",
                cells=["none", *_volume_cells(volumes)],
                left=True,
                style="bold",
            ),
            Column(
                heading="loaded/s",
                cells=["", *(figures.rate(one["load_rate_ops_s"]) for one in shown)],
            ),
            Column(
                heading="memory",
                cells=[figures.size(one["memory_usage_bytes"]) for one in (baseline, *shown)],
            ),
            Column(
                heading="a memory",
                cells=["", *(figures.size(one["memory_bytes_per_memory"]) for one in shown)],
                drop=1,
            ),
            Column(
                heading="disk",
                cells=[figures.size(one["disk_usage_bytes"]) for one in (baseline, *shown)],
            ),
            *(
                Column(
                    heading=tier,
                    group="by tier",
                    cells=["", *(figures.count(one.get(tier)) for one in tiers)],
                )
                for tier in _TIERS[1:]
            ),
        ]
    )


def _recall(volumes: Mapping[str, Any]) -> Grid:
    shown = list(volumes.values())
    k = next((one["recall"]["k"] for one in shown if one["recall"]["k"] is not None), None)
    group = f"recall@{k}" if k is not None else "recall"
    return Grid(
        [
            Column(heading="memories", cells=_volume_cells(volumes), left=True, style="bold"),
            *(
                Column(
                    heading=tier,
                    group=group,
                    cells=[figures.digits(one["recall"][tier]) for one in shown],
                )
                for tier in _TIERS
            ),
            Column(
                heading="queries", cells=[figures.count(one["recall"]["queries"]) for one in shown]
            ),
        ]
    )


def _curves(degradation: Mapping[str, Any]) -> Iterator[Padding]:
    for name, _ in _OPERATIONS:
        yield indented(Text(figures.plain(degradation[name]["sentence"])))

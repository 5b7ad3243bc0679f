"""Thresholds in a terminal: one line each, passed or breached, with the figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.report.figures import plain

__all__ = ["render_thresholds"]

_STYLES = {"passed": "green", "breached": "bold red"}


def render_thresholds(findings: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Lay out what `harness.analysis.thresholds.evaluate` found, in its order."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in findings:
        verdict = plain(one["verdict"])
        style = _STYLES.get(verdict, "")
        table.add_row(Text(verdict, style), Text(plain(one["sentence"])))
    return Padding(table, (0, 0, 0, 1))

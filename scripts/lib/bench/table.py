"""The figures as a table: in colour on a terminal, plain and never cut where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TextIO

from rich.console import Console

from bench.figures import Figure, Goal, Verdict
from harness.report.grid import Column, Grid

__all__ = ["print_table", "quantity"]

_PLAIN_WIDTH = 200
_SIZE_BYTES = 2**20


def print_table(
    figures: Sequence[Figure], lines: Sequence[str], out: TextIO, foot: Sequence[str] = ()
) -> None:
    """Print lines of introduction, then the figures with their goals, then what explains them."""
    console = Console(file=out, highlight=False, markup=False, soft_wrap=True)
    if not console.is_terminal:
        console = Console(file=out, width=_PLAIN_WIDTH, no_color=True, soft_wrap=True)
    for line in lines:
        console.print(line, markup=False, highlight=False)
    console.print()
    if figures:
        console.print(_grid(figures), soft_wrap=False)
    if foot:
        console.print()
    for line in foot:
        console.print(line, markup=False, highlight=False)


def _grid(figures: Sequence[Figure]) -> Grid:
    units = [figure.spec.unit for figure in figures]
    repeated = [figure.spec.row == before.spec.row for before, figure in pairwise(figures)]
    rows = [
        "" if again else figure.spec.row
        for again, figure in zip([False, *repeated], figures, strict=True)
    ]
    extremes = [
        (min(figure.values, default=None), max(figure.values, default=None)) for figure in figures
    ]
    return Grid(
        [
            Column(heading="row", cells=rows, left=True, drop=3),
            Column(heading="", cells=[figure.spec.title for figure in figures], left=True),
            Column(heading="median", cells=_cells([one.median for one in figures], units)),
            Column(heading="min", cells=_cells([low for low, _ in extremes], units), drop=5),
            Column(heading="max", cells=_cells([high for _, high in extremes], units), drop=4),
            Column(heading="unit", cells=[_unit(unit) for unit in units], left=True, drop=1),
            Column(heading="goal", cells=[_goal(one) for one in figures], left=True, drop=2),
            Column(heading="", cells=[_verdict(one) for one in figures], left=True, style="bold"),
        ]
    )


def quantity(value: float | None, unit: str) -> str:
    """A number as the table has it."""
    if value is None:
        return "-"
    if unit == "bytes":
        return f"{value / _SIZE_BYTES:,.0f}"
    if unit in {"operations/s", "agents", "candidates"}:
        return f"{value:,.0f}"
    if unit == "ratio":
        return f"{value:.3f}"
    if unit in {"times", "s"} and abs(value) < 10:
        return f"{value:.2f}"
    return f"{value:,.1f}"


def _cells(values: Sequence[float | None], units: Sequence[str]) -> list[str]:
    return [quantity(value, unit) for value, unit in zip(values, units, strict=True)]


def _unit(unit: str) -> str:
    return "MiB" if unit == "bytes" else unit


def _goal(figure: Figure) -> str:
    goal: Goal | None = figure.spec.goal
    if goal is None:
        return ""
    unit = figure.spec.unit
    if goal.least is not None and goal.least == goal.most:
        return f"= {quantity(goal.least, unit)}"
    if goal.base is not None:
        return f"≤ {goal.most_times:g} times {goal.base_title}, or {quantity(goal.most, unit)}"
    text = f"≥ {quantity(goal.least, unit)}"
    if goal.least is None:
        text = f"≤ {quantity(goal.most, unit)}"
    return text if goal.aim is None else f"{text}, aim {quantity(goal.aim, unit)}"


def _verdict(figure: Figure) -> str:
    verdict = figure.verdict
    if verdict is Verdict.MET and figure.reaches_aim:
        return "met, with the aim"
    return verdict.value

"""A comparison in a terminal: what to know first, then each figure with its ratio and verdict.

Fits 80 columns; in fewer the ratio and the verdict stay longest. Of many figures only those that
differ, and a few that everybody looks at, are shown unless all are asked for; how many are not is
said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from harness.analysis.comparable_figures import Unit
from harness.analysis.comparison import Comparison, Versus, percent_text
from harness.analysis.figure_comparison import Compared
from harness.report import figures
from harness.report.grid import Column, Grid

__all__ = ["ALL_SHOWN_MAX", "interval_text", "ratio_text", "render_comparison", "value_text"]

# Up to as many figures are all shown.
ALL_SHOWN_MAX = 40
_HEADLINES = (
    "throughput",
    "achieved rate",
    "all p50",
    "all p99",
    "search p50",
    "failed operations",
)
_STYLES = {"worse": "bold red", "better": "green", "no difference": "", "unknown": "dim"}
_MILLISECONDS: dict[Unit, float] = {"ms": 1.0, "s": 1e3, "us": 1e-3}
_NOTE_STYLES = {"warning": "dark_orange3"}


def render_comparison(comparison: Comparison, *, every: bool = False) -> RenderableType:
    """Lay out a comparison.

    Args:
        comparison: what is shown.
        every: show all figures, however many.

    Returns:
        A rich renderable that fits 80 columns.
    """
    blocks: list[RenderableType] = []
    for versus in comparison.against:
        if blocks:
            blocks.append(Text())
        blocks += _versus(comparison, versus, every)
    return Group(*blocks)


def value_text(value: float | None, unit: Unit) -> str:
    """Give a figure in its unit as short text."""
    if value is None:
        return figures.UNKNOWN
    if unit in _MILLISECONDS:
        return figures.time(value * _MILLISECONDS[unit])
    if unit == "bytes":
        return figures.size(value)
    return f"{figures.rate(value)}/s" if unit == "per_second" else figures.digits(value)


def interval_text(compared: Compared) -> str:
    """Give the interval of a ratio as ``0.97 to 1.12``."""
    low, high = compared.ratio["low"], compared.ratio["high"]
    if low is None or high is None:
        return figures.UNKNOWN
    return f"{ratio_text(low)} to {ratio_text(high)}"


def ratio_text(value: float | None) -> str:
    """Give a ratio with two decimals."""
    return (
        figures.UNKNOWN if value is None else f"{value:.2f}" if value < 99.95 else f"{value:,.0f}"
    )


def _versus(comparison: Comparison, versus: Versus, every: bool) -> Iterator[RenderableType]:
    yield _line("BASE ", _named(comparison.base, comparison.repeats))
    yield _line("NEW  ", _named(versus.new, versus.repeats))
    yield Text()
    for note in versus.notes:
        words = Text(figures.plain(note["sentence"]), _NOTE_STYLES.get(note["verdict"], "dim"))
        yield Padding(words, (0, 0, 0, 1))
    yield _line(figures.plain(versus.sentence), "", style="bold")
    shown = versus.figures if every else _worth_showing(versus.figures)
    for section, rows in groupby(shown, key=lambda one: one.section):
        yield Text()
        yield _table(comparison, figures.plain(section), list(rows))
    hidden = len(versus.figures) - len(shown)
    if hidden:
        yield Text()
        yield _line(
            f"{hidden} more figures show no difference or are unknown: --all", "", style="dim"
        )


def _named(text: str, repeats: Sequence[str]) -> str:
    count = f" ({len(repeats)} repeats)" if len(repeats) > 1 else ""
    return f"{figures.plain(text)}{count}"


def _line(label: str, words: str, *, style: str = "dim") -> Padding:
    line = Text(label, style)
    line.append(words)
    return Padding(line, (0, 0, 0, 1))


def _worth_showing(every: Sequence[Compared]) -> Sequence[Compared]:
    if len(every) <= ALL_SHOWN_MAX:
        return every
    return [one for one in every if one.verdict in {"worse", "better"} or one.label in _HEADLINES]


def _table(comparison: Comparison, section: str, rows: list[Compared]) -> Grid:
    confidence = f"{percent_text(comparison.confidence)} interval"
    return Grid(
        [
            Column(heading=section or "figure", cells=[one.label for one in rows], left=True),
            Column(heading="base", cells=[value_text(one.base, one.unit) for one in rows], drop=2),
            Column(heading="new", cells=[value_text(one.new, one.unit) for one in rows], drop=1),
            Column(heading="ratio", cells=[ratio_text(one.ratio["estimate"]) for one in rows]),
            Column(heading=confidence, cells=[interval_text(one) for one in rows], drop=3),
            _verdicts(rows),
        ]
    )


def _verdicts(rows: list[Compared]) -> Column:
    cells = [one.verdict for one in rows]
    return Column(heading="verdict", cells=cells, left=True, styles=[_STYLES[one] for one in cells])

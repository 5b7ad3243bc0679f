"""What a report says, before it has a form: verdicts, tiles, and sections of blocks.

Sections are made of a run's files (`harness.report.run_sections` and its neighbours) and become
HTML (`harness.report.page`), Markdown, CSV or JSON. Text in here may come from anywhere: whoever
gives it a form escapes it.

A figure keeps its value beside the text that is shown, so that no form loses it in rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "Bar",
    "Bars",
    "Block",
    "Cell",
    "Chart",
    "Code",
    "Facts",
    "Figure",
    "Link",
    "Mark",
    "Note",
    "Quantity",
    "Report",
    "Section",
    "Series",
    "Style",
    "Table",
    "Tile",
    "Verdict",
]

# How a number is written: `harness.report.quantities` in Python, `quantities` in report.js.
Quantity = Literal[
    "number", "count", "milliseconds", "seconds", "bytes", "bytes_s", "percent", "rate", "ratio"
]
# How the horizontal axis is spaced: `nines` is -log10(1 - quantile).
Spacing = Literal["linear", "log", "nines"]
Style = Literal["line", "dashed", "points", "steps"]


@dataclass(frozen=True)
class Figure:
    """A number and how it is shown; `value` is None where it is not known."""

    value: float | int | None
    shown: str


@dataclass(frozen=True)
class Link:
    """A file beside the report, by its path relative to it, and the text that names it."""

    path: str
    text: str


Cell = str | Figure | Link


@dataclass(frozen=True)
class Verdict:
    """A judgement in plain words; `verdict` is invalid, failed, warning or ok."""

    name: str
    verdict: str
    sentence: str


@dataclass(frozen=True)
class Tile:
    """One of the few figures that a report begins with."""

    name: str
    figure: Figure
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class Series:
    """Values along a chart's x, None where there is none.

    Attributes:
        label: its name.
        values: ``(n,)``, as many as the chart's x.
        low, high: an interval about each value, or none.
        style: how it is drawn; ``points`` are not joined.
        colour: a name of the palette (the ``--c-...`` of report.css), or "" for the next one.
    """

    label: str
    values: Sequence[float | None]
    low: Sequence[float | None] | None = None
    high: Sequence[float | None] | None = None
    style: Style = "line"
    colour: str = ""


@dataclass(frozen=True)
class Mark:
    """A moment, or a span, on the horizontal axis.

    Attributes:
        begin: where, in the unit of x.
        end: where a span ends; None for a moment.
        label: what it is.
        kind: ``phase``, ``warm-up`` or ``event``.
    """

    begin: float
    end: float | None
    label: str
    kind: Literal["phase", "warm-up", "event"]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A picture of series over one x, in ascending order.

    Attributes:
        key: names it within the report; letters, digits and hyphens.
        caption: what to see in it, in a sentence; what was thinned out, if anything.
        y_min, y_max: ends of a linear vertical axis, where its values do not give them.
        axes_choice: a reader may make both axes logarithmic, and linear again.
        sync: charts of the same name share a cursor and a zoom.
    """

    key: str
    title: str
    caption: str
    x: Sequence[float]
    x_label: str
    y_label: str
    series: Sequence[Series]
    x_quantity: Quantity = "number"
    y_quantity: Quantity = "number"
    x_spacing: Spacing = "linear"
    y_log: bool = False
    y_min: float | None = None
    y_max: float | None = None
    axes_choice: bool = False
    stacked: bool = False
    marks: Sequence[Mark] = ()
    sync: str = ""


@dataclass(frozen=True)
class Bar:
    """One bar of `Bars`: its name and the length of each part."""

    name: str
    values: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Bars:
    """Bars side by side, each of the same parts, stacked; lengths compare between bars."""

    key: str
    title: str
    caption: str
    parts: Sequence[str]
    colours: Sequence[str]
    bars: Sequence[Bar]
    quantity: Quantity = "milliseconds"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of cells, the first of which names the row; one that is `folded` shows its title."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Facts:
    """Names and what each is."""

    title: str
    pairs: Sequence[tuple[str, Cell]]


@dataclass(frozen=True)
class Code:
    """Text to be copied as it is, such as a command."""

    title: str
    text: str


@dataclass(frozen=True)
class Note:
    """A paragraph; one of a `tone` other than plain stands out."""

    text: str
    tone: Literal["plain", "warning"] = "plain"


Block = Chart | Bars | Table | Facts | Code | Note


@dataclass(frozen=True)
class Section:
    """A part of a report under a heading; `key` is its anchor."""

    key: str
    title: str
    lead: str
    blocks: Sequence[Block]


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that a report says.

    Attributes:
        kind: what was run (``run``, ``bench agents``).
        title: the headline, in plain words.
        subtitle: the main facts of what was run.
        started: when, in UTC; "" if not known.
        problems: what the run itself reported.
        summary: every figure, as ``summary.json`` has it.
    """

    kind: str
    title: str
    subtitle: str
    started: str
    verdicts: Sequence[Verdict]
    tiles: Sequence[Tile]
    sections: Sequence[Section]
    problems: Sequence[str] = ()
    summary: Mapping[str, Any] = field(default_factory=dict)

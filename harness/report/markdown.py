"""A report as Markdown (CommonMark with tables), for an issue or a chat.

Every character that Markdown or HTML gives a meaning to is escaped in text of the report. A chart
is given as a table: its points where those are few, else the least, mean and most of each line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.report.document import (
    Bars,
    Block,
    Cell,
    Chart,
    Code,
    Facts,
    Figure,
    Link,
    Note,
    Report,
    Table,
)
from harness.report.figures import plain
from harness.report.quantities import written

__all__ = ["render_markdown"]

_SPECIAL = frozenset("\\`*_{}[]()#+!|<>&~=$:@")
# A chart of more points than this is summed up.
_POINTS_MAX = 24


def render_markdown(report: Report) -> str:
    """The whole report as Markdown."""
    return "\n".join(_lines(report)).strip() + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield from (f"# {_text(report.title)}", "")
    about = [one for one in (report.kind, report.started, report.subtitle) if one]
    yield from (_text(" · ".join(about)), "")
    for verdict in report.verdicts:
        yield f"- **{_text(verdict.verdict)}** {_text(verdict.sentence)}"
    for problem in report.problems:
        yield f"- {_text(problem)}"
    if report.tiles:
        cells: list[list[Cell]] = [[one.name, one.figure, one.remark] for one in report.tiles]
        yield from ("", *_table(["figure", "value", ""], cells))
    for section in report.sections:
        yield from ("", f"## {_text(section.title)}", "")
        if section.lead:
            yield from (_text(section.lead), "")
        for block in section.blocks:
            yield from (*_block(block), "")


def _block(block: Block) -> Iterator[str]:
    match block:
        case Note():
            yield _text(block.text)
        case Code():
            fence = "```"
            while fence in block.text:
                fence += "`"
            yield from (f"{_text(block.title)}:", "", fence, plain(block.text), fence)
        case Facts():
            yield from (f"### {_text(block.title)}", "", *_table(["", ""], block.pairs))
        case Table():
            yield from (f"### {_text(block.title)}", "", *_table(block.columns, block.rows))
            yield from ("", _text(block.caption))
        case Bars():
            rows = [
                [bar.name, *(written(value, block.quantity) for value in bar.values)]
                for bar in block.bars
            ]
            yield from (f"### {_text(block.title)}", "", *_table(["", *block.parts], rows))
            yield from ("", _text(block.caption))
        case Chart():
            yield from (f"### {_text(block.title)}", "", *_chart(block), "", _text(block.caption))


def _chart(chart: Chart) -> Iterator[str]:
    if len(chart.x) <= _POINTS_MAX and chart.x_spacing != "nines":
        heads = [chart.x_label, *(series.label for series in chart.series)]
        points = [
            [
                written(at, chart.x_quantity),
                *(written(series.values[place], chart.y_quantity) for series in chart.series),
            ]
            for place, at in enumerate(chart.x)
        ]
        yield from _table(heads, points)
        return
    rows = []
    for series in chart.series:
        known = [value for value in series.values if value is not None]
        found = [min(known), sum(known) / len(known), max(known)] if known else [None] * 3
        rows.append([series.label, *(written(value, chart.y_quantity) for value in found)])
    yield from _table([chart.y_label, "least", "mean of the points", "most"], rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Iterator[str]:
    yield _row([_text(head) for head in heads])
    figures = [
        any(place < len(row) and isinstance(row[place], Figure) for row in rows)
        for place in range(len(heads))
    ]
    yield _row(["--:" if numeric else "---" for numeric in figures])
    for row in rows:
        yield _row([_cell(cell) for cell in row])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell) -> str:
    match cell:
        case Figure():
            return _text(cell.shown)
        case Link():
            return _text(cell.text)
        case _:
            return _text(cell)


def _text(value: object) -> str:
    """Text in which nothing is markup; a dash at the beginning would be a list."""
    shown = "".join(f"\\{char}" if char in _SPECIAL else char for char in plain(value))
    return f"\\{shown}" if shown.startswith("-") else shown

"""A table in plain lines: right-aligned figures under headings of columns and of their groups.

Lines have no border and no trailing space, so they copy well and nothing wraps when a terminal
becomes narrower. Where the whole does not fit, columns go in the order of their ``drop``; then
the names in the first column are cut, and what is still too long ends in an ellipsis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.text import Text

__all__ = ["Column", "Grid", "indented"]

_INDENT = 1
# Names are not cut to less.
_NAME_CELLS_MIN = 8


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column.

    Attributes:
        heading: above its cells.
        cells: one a row.
        group: above the headings of neighbours of the same group; empty for none.
        drop: the higher, the sooner it goes where the terminal is narrow; 0 stays.
        left: aligned to the left, for names.
        style: of its cells.
        styles: of each cell, where they differ.
    """

    heading: str
    cells: Sequence[str]
    group: str = ""
    drop: int = 0
    left: bool = False
    style: str = ""
    styles: Sequence[str] = ()

    @cached_property
    def width(self) -> int:
        """Terminal cells that the column takes."""
        return max(cell_len(text) for text in (self.heading, *self.cells))

    def aligned(self, text: str) -> str:
        """Give text padded to the column's width."""
        room = " " * (self.width - cell_len(text))
        return text + room if self.left else room + text


@dataclass(frozen=True)
class Grid:
    """Columns side by side; all have as many cells."""

    columns: Sequence[Column]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Give the lines that fit the width, in columns that fit it."""
        for line in self.lines(options.max_width):
            line.no_wrap, line.overflow = True, "ellipsis"
            yield line

    def lines(self, width: int) -> list[Text]:
        """Give headings and rows for a terminal of a width in cells."""
        columns, gap = self._fitting(width)
        places = _places(columns, gap)
        lines = [_groups(columns, places, width)] if any(one.group for one in columns) else []
        lines.append(_line(places, [(one.aligned(one.heading), "dim") for one in columns]))
        for row in range(len(columns[0].cells)):
            cells = [
                (one.aligned(one.cells[row]), one.styles[row] if one.styles else one.style)
                for one in columns
            ]
            lines.append(_line(places, cells))
        return lines

    def _fitting(self, width: int) -> tuple[list[Column], int]:
        """Choose columns and the gap between groups: first close the gap, then drop, then cut."""
        columns = list(self.columns)
        while True:
            for gap in (3, 2, 1):
                if _places(columns, gap)[-1] + columns[-1].width <= width:
                    return columns, gap
            last = max(columns, key=lambda one: one.drop)
            if last.drop == 0:
                over = _places(columns, 1)[-1] + columns[-1].width - width
                return [_cut(columns[0], over), *columns[1:]], 1
            columns.remove(last)


def _groups(columns: Sequence[Column], places: Sequence[int], width: int) -> Text:
    """Each group's name, from its first column to its last; beyond them where there is room."""
    names, starts, ends = [], [], []
    first = 0
    for index, column in enumerate(columns):
        if index + 1 < len(columns) and columns[index + 1].group == column.group:
            continue
        if column.group:
            names.append(column.group)
            starts.append(places[first])
            ends.append(places[index] + column.width)
        first = index + 1
    begins, cells = [], []
    taken = 0
    for name, start, end, following in zip(
        names, starts, ends, [*starts[1:], width + 1], strict=True
    ):
        room = max(end, following - 1)
        begin = max(taken + 1, min(start, room - cell_len(name)))
        words = _ruled(_shortened(name, room - begin), end - begin)
        begins.append(begin)
        cells.append((words, "bold"))
        taken = begin + cell_len(words)
    return _line(begins, cells)


def _cut(names: Column, over: int) -> Column:
    """A column of names with so many cells less, if it may be cut."""
    if not names.left:
        return names
    room = max(_NAME_CELLS_MIN, names.width - over)
    cells = [_shortened(one, room) for one in names.cells]
    return replace(names, heading=_shortened(names.heading, room), cells=cells)


def _shortened(words: str, room: int) -> str:
    text = Text(words)
    text.truncate(room, overflow="ellipsis")
    return text.plain


def _places(columns: Sequence[Column], gap: int) -> list[int]:
    """The position of each column: a gap between groups, one less within (at least a space)."""
    within = max(1, gap - 1)
    places, position = [], _INDENT
    for index, column in enumerate(columns):
        if index:
            position += within if column.group == columns[index - 1].group else gap
        places.append(position)
        position += column.width
    return places


def _ruled(name: str, width: int) -> str:
    """A group's name with a rule to the end of its last column."""
    rule = width - cell_len(name) - 1
    return f"{name} {'─' * rule}" if rule > 0 else name


def _line(places: Sequence[int], cells: Sequence[tuple[str, str]]) -> Text:
    line = Text()
    for place, (text, style) in zip(places, cells, strict=True):
        line.append(" " * (place - line.cell_len))
        line.append(text, style or None)
    line.rstrip()
    return line


def indented(content: RenderableType) -> Padding:
    """What stands above or below a table, as far from the left as its columns."""
    return Padding(content, (0, 0, 0, _INDENT))

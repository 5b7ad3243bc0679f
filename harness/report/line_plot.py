"""A series of values as a plot of characters: points, the level of each segment, where it changes.

Pure: values in, lines of text out. A value stands in the row and column nearest to it; what shares
a place with another is drawn once.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from harness.report.document import Quantity
from harness.report.quantities import written

__all__ = ["plot"]

# Odd, so that one is in the middle.
_ROWS = 13
_LABELLED_EVERY = 3
# Columns from one run to the next, where there is room for more.
_STEP_MAX = 4
_POINT, _LEVEL, _CHANGE = "•", "─", "┊"


def plot(
    values: Sequence[float],
    levels: Sequence[float],
    changes: Sequence[int],
    quantity: Quantity,
    width: int,
) -> list[Text]:
    """Draw a series.

    Args:
        values: ``(n,)`` finite, at least one.
        levels: ``(n,)``, drawn as lines through the points.
        changes: indices from which on a level is another; numbered above the plot.
        quantity: how the axis is written.
        width: cells that there are.
    """
    low, high = _range(values)
    at = [high - (high - low) * row / (_ROWS - 1) for row in range(_ROWS)]
    labels = [
        _label(value, (high - low) / (_ROWS - 1), quantity) if row % _LABELLED_EVERY == 0 else ""
        for row, value in enumerate(at)
    ]
    room = max(len(text) for text in labels)
    columns = _columns(len(values), max(8, width - room - 4))
    cells = [[" "] * (columns[-1] + 1) for _ in range(_ROWS)]

    def row_of(value: float) -> int:
        return round((high - value) / (high - low) * (_ROWS - 1))

    for place, level in enumerate(levels):
        end = columns[place + 1] if place + 1 < len(columns) else columns[place] + 1
        stop = columns[place] + 1 if place + 1 in changes else end
        for column in range(columns[place], max(stop, columns[place] + 1)):
            cells[row_of(level)][column] = _LEVEL
    numbers = [" "] * (columns[-1] + 1)
    for number, change in enumerate(changes, 1):
        column = max(0, columns[change] - (1 if columns[change] > columns[change - 1] + 1 else 0))
        for row in cells:
            row[column] = _CHANGE if row[column] == " " else row[column]
        for offset, digit in enumerate(str(number)):
            if column + offset < len(numbers):
                numbers[column + offset] = digit
    for place, value in enumerate(values):
        cells[row_of(value)][columns[place]] = _POINT
    lines = [_line(f" {'':{room}}   ", numbers)] if changes else []
    lines += [_line(f" {label:>{room}} ┤ ", row) for label, row in zip(labels, cells, strict=True)]
    return lines


_STYLES = {_POINT: "bold cyan", _LEVEL: "green", _CHANGE: "dark_orange3"}


def _line(begin: str, cells: Sequence[str]) -> Text:
    line = Text(begin, no_wrap=True)
    for cell in cells:
        line.append(cell, _STYLES.get(cell, "bold dark_orange3" if cell.isdigit() else None))
    line.rstrip()
    return line


def _label(value: float, apart: float, quantity: Quantity) -> str:
    """What is written at a row; nothing where a count would be rounded into another row."""
    if quantity == "count" and abs(value - round(value)) > apart / 2:
        return ""
    return written(value, quantity)


def _range(values: Sequence[float]) -> tuple[float, float]:
    """The ends of the axis.

    Values that are all the same are in the middle of some room, and zeros at its lower end.
    """
    low, high = min(values), max(values)
    if high - low > abs(high) * 1e-9:
        return low, high
    room = abs(high) / 10
    return (low - room, high + room) if room else (0.0, 1.0)


def _columns(count: int, width: int) -> list[int]:
    """The column of each value, evenly."""
    if count == 1:
        return [0]
    step = min(_STEP_MAX, (width - 1) / (count - 1))
    step = int(step) if step >= 1 else step
    return [int(place * step) for place in range(count)]

"""Operations of a run second by second: how many ended, and their median response time.

Seconds count on the wall clock, where the rows of all cohorts fall on one time line. What is held
is a histogram of response times a second, so memory grows with the run's seconds and not with its
operations. A median is read from it to within 5% (`_CELLS_A_DOUBLING`): enough to see
whether a run has settled, and in no table of figures.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["PerSecond"]

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]

_SECOND_NS = 1_000_000_000
_CELLS_A_DOUBLING = 8
_CELLS = 42 * _CELLS_A_DOUBLING  # up to 2**42 ns, more than an hour
# A row with a bent time must not make a table of centuries.
_SECONDS_MAX = 7 * 86_400


class PerSecond:
    """Counts operations by the second in which they ended."""

    def __init__(self) -> None:
        self._cells: dict[int, npt.NDArray[np.int64]] = {}

    def add(self, finished_wall_ns: Times, response_ns: Times) -> None:
        """Count operations, ``(n,)`` each."""
        second = finished_wall_ns // _SECOND_NS
        size = np.log2(np.maximum(response_ns, 1).astype(np.float64))
        cell = np.minimum((size * _CELLS_A_DOUBLING).astype(np.int64), _CELLS - 1)
        first = int(second.min())
        if int(second.max()) - first > _SECONDS_MAX:
            return
        place = (second - first) * _CELLS + cell
        for offset, counts in enumerate(_rows(np.bincount(place))):
            known = self._cells.get(first + offset)
            self._cells[first + offset] = counts if known is None else known + counts

    def series(self) -> tuple[Floats, Floats, Floats]:
        """Give ``(n,)`` whole seconds from the first, operations a second, and median ms.

        The first and the last second are left out: they are not whole. A second in which nothing
        ended has 0 operations and no median (NaN).
        """
        if not self._cells or max(self._cells) - min(self._cells) > _SECONDS_MAX:
            return np.empty(0), np.empty(0), np.empty(0)
        first = min(self._cells)
        seconds = range(first + 1, max(self._cells))
        empty = np.zeros(_CELLS, np.int64)
        table = [self._cells.get(second, empty) for second in seconds]
        counts = np.array([cells.sum() for cells in table], np.float64)
        medians = np.array([_median_ms(cells) for cells in table], np.float64)
        return np.array(seconds, np.float64) - first, counts, medians


def _rows(flat: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    missing = -flat.size % _CELLS
    return np.concatenate([flat, np.zeros(missing, np.int64)]).reshape(-1, _CELLS)


def _median_ms(cells: npt.NDArray[np.int64]) -> float:
    """The middle of the cell that holds the median; NaN for none."""
    below = np.cumsum(cells)
    if not below[-1]:
        return float("nan")
    cell = int(np.searchsorted(below, below[-1] / 2))
    return float(2 ** ((cell + 0.5) / _CELLS_A_DOUBLING) / 1e6)

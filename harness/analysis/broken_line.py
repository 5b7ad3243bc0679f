"""One straight line, or two that meet, through points in logarithms, with intervals.

A bend is where two lines meet that fit much better than one: the meeting place is searched
between the second and the second largest volume, so that each side has two volumes or more, and
everything else is least squares (V. M. R. Muggeo, "Estimating regression models with unknown
break-points", Statistics in Medicine 22(19), 2003, whose linearisation also gives the
intervals). The second line costs two parameters, so the F test of it against one line has the
closed form ``p = (ss_two / ss_one) ** ((n - 4) / 2)``. The place was searched for, which makes
that p too small; hence the level of 0.5%, at which fewer than 1 of 100 straight series with 10%
noise were given a bend. Beyond that a bend has to matter: it changes the exponent by 0.2 or more,
and one line misses the points by 1% or more. It takes 6 points: two lines go through any 4, and
with 5 the bends that pass the test are mostly lucky ones (in 7 of 100 series, their intervals
right in 1 of 10). The parts of runs at 4 or 5 volumes may show a bend too, but not how sure it
is: it has no intervals, and is false in about 4 of 100 cases where runs differ by 10%. Short of
all that the steepest part is named.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.analysis.bootstrap import Estimate
from harness.analysis.student import student_half_width

__all__ = ["FEWEST_FOR_BEND", "GOOD_MISFIT", "Lines", "one_line", "two_lines", "volume_means"]

Floats = npt.NDArray[np.float64]

FEWEST_FOR_BEND = 6
_FEWEST_VOLUMES_FOR_BEND = 4
_BEND_LEVEL = 0.005
_LEAST_CHANGE = 0.2
GOOD_MISFIT = 0.01
_PLACES_TRIED = 60


@dataclass(frozen=True)
class Lines:
    """One line, or two that meet at a bend, in logarithms.

    Attributes:
        coefficients: where the first line meets zero, its slope, and the change at the bend.
        bend: its logarithm; None of one line.
        slopes: of each line, with intervals.
        bend_at: the bend as a volume, no logarithm, with its interval.
    """

    coefficients: Floats
    bend: float | None
    slopes: tuple[Estimate, ...]
    bend_at: Estimate | None

    def at(self, volumes: Floats) -> Floats:
        """Give times at volumes, both in logarithms."""
        return np.asarray(_columns(volumes, self.bend) @ self.coefficients)


def volume_means(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Give each volume once, ascending, with the mean of its points, ``(m,)`` each."""
    volumes, which = np.unique(x, return_inverse=True)
    return volumes, np.bincount(which, weights=y) / np.bincount(which)


def _columns(x: Floats, bend: float | None) -> Floats:
    columns = [np.ones_like(x), x]
    if bend is not None:
        columns.append(np.maximum(x - bend, 0.0))
    return np.stack(columns, axis=1)


def _solve(x: Floats, y: Floats, bend: float | None) -> tuple[Floats, float]:
    """Coefficients of the lines, and the sum of squares that they leave."""
    columns = _columns(x, bend)
    coefficients = np.asarray(np.linalg.lstsq(columns, y, rcond=None)[0], dtype=np.float64)
    return coefficients, float(((y - columns @ coefficients) ** 2).sum())


def _interval(value: float, variance: float, spare: int, confidence: float | None) -> Estimate:
    if spare < 1 or confidence is None:
        return Estimate(estimate=value, low=None, high=None)
    half_width = student_half_width(spare, confidence) * math.sqrt(max(variance, 0.0))
    return Estimate(estimate=value, low=value - half_width, high=value + half_width)


def one_line(x: Floats, y: Floats, confidence: float) -> Lines:
    """Fit a line to points ``(n,)`` at 2 different places or more, with Student's interval."""
    coefficients, left = _solve(x, y, None)
    spare = x.size - 2
    variance = left / max(spare, 1) / float(((x - x.mean()) ** 2).sum())
    slope = _interval(float(coefficients[1]), variance, spare, confidence)
    return Lines(coefficients, None, (slope,), None)


def two_lines(x: Floats, y: Floats, confidence: float | None) -> Lines | None:
    """Fit two lines that meet to points ``(n,)``.

    Args:
        x: logarithms of volumes.
        y: logarithms of times.
        confidence: of the intervals; None gives none.

    Returns:
        None when there is no bend to be seen, or too few points to see one.
    """
    volumes = np.unique(x)
    if x.size < FEWEST_FOR_BEND or volumes.size < _FEWEST_VOLUMES_FOR_BEND:
        return None
    left_by_one = _solve(x, y, None)[1]
    if math.sqrt(left_by_one / x.size) < GOOD_MISFIT:
        return None
    bend = _best_bend(x, y, float(volumes[1]), float(volumes[-2]))
    coefficients, left = _solve(x, y, bend)
    spare = x.size - 4
    by_chance = (left / left_by_one) ** (spare / 2)
    change = float(coefficients[2])
    if by_chance > _BEND_LEVEL or abs(change) < _LEAST_CHANGE:
        return None
    # Muggeo's linearisation: moving the bend lifts what is beyond it by minus the change.
    moved = np.where(x > bend, -change, 0.0)
    jacobian = np.column_stack([_columns(x, bend), moved])
    covariance = np.linalg.pinv(jacobian.T @ jacobian) * left / spare
    before = _interval(float(coefficients[1]), float(covariance[1, 1]), spare, confidence)
    variance = covariance[1, 1] + covariance[2, 2] + 2 * covariance[1, 2]
    after = _interval(float(coefficients[1]) + change, float(variance), spare, confidence)
    place = _interval(bend, float(covariance[3, 3]), spare, confidence)
    return Lines(coefficients, bend, (before, after), _as_memories(place, x))


def _best_bend(x: Floats, y: Floats, lowest: float, highest: float) -> float:
    """Where two lines leave least, to a 1,800th of the range."""
    step = (highest - lowest) / _PLACES_TRIED
    near = _best_place(x, y, lowest, highest)
    return _best_place(x, y, max(lowest, near - step), min(highest, near + step))


def _best_place(x: Floats, y: Floats, lowest: float, highest: float) -> float:
    places = np.linspace(lowest, highest, _PLACES_TRIED + 1).tolist()
    return float(min(places, key=lambda place: _solve(x, y, place)[1]))


def _as_memories(place: Estimate, x: Floats) -> Estimate:
    """The place of a bend, a logarithm, as memories; no further out than was measured."""
    estimate, low, high = (
        None if end is None else math.exp(min(max(end, float(x.min())), float(x.max())))
        for end in (place["estimate"], place["low"], place["high"])
    )
    return Estimate(estimate=estimate, low=low, high=high)

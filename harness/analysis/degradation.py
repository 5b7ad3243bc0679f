"""How the time of an operation grows with the number of memories: an exponent, and a bend.

A time that grows as a power of the volume is a straight line in logarithms; its slope is the
exponent, found by least squares, with Student's interval of n - 2 degrees of freedom (N. R.
Draper and H. Smith, "Applied Regression Analysis", 3rd ed., 1998, 1.4). With 2 volumes there is
a slope and no interval; with 3 the interval is wide, and ought to be.

A bend is where two lines meet that fit much better than one: the meeting place is searched
between the second and the second largest volume, so that each side has two volumes or more, and
everything else is least squares (V. M. R. Muggeo, "Estimating regression models with unknown
break-points", Statistics in Medicine 22(19), 2003, whose linearisation also gives the
intervals). The second line costs two parameters, so the F test of it against one line has the
closed form ``p = (ss_two / ss_one) ** ((n - 4) / 2)``. The place was searched for, which makes
that p too small; hence the level of 0.5%, at which fewer than 1 of 100 straight series with 10%
noise were given a bend. Beyond that a bend has to matter: it changes the exponent by 0.1 or more,
and one line misses the points by 1% or more. It takes 4 volumes and 6 points, repeats included:
two lines go through any 4 points, and with 5 the bends that pass the test are mostly lucky ones
(in 7 of 100 series, their intervals right in 1 of 10). Short of that the steepest part is named.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.analysis.bootstrap import Estimate
from harness.analysis.student import student_half_width

__all__ = ["Degradation", "fit_degradation"]

Floats = npt.NDArray[np.float64]

_FEWEST_POINTS_FOR_BEND = 6
_FEWEST_VOLUMES_FOR_BEND = 4
_BEND_LEVEL = 0.005
_LEAST_CHANGE = 0.1
_GOOD_MISFIT = 0.01
_HARDLY_AN_EXPONENT = 0.05
_WIDE_INTERVAL = 0.5
_PLACES_TRIED = 60
_CURVE_POINTS = 50


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """How a time grows with the volume.

    Attributes:
        exponent: of one power over all volumes; the estimate is None with fewer than 2 volumes,
            its ends with fewer than 3 points.
        bend_at: memories at which the exponent changes; None when one power does as well.
        exponent_before: up to the bend; None without one.
        exponent_after: from the bend on; None without one.
        fit: ``{memories, ms}`` of the fitted curve over the volumes measured, ascending; empty
            without an exponent.
        points: how many points were fitted.
        dropped: points left out because they were not positive numbers.
        sentence: all of it in plain words.
    """

    exponent: Estimate
    bend_at: Estimate | None
    exponent_before: Estimate | None
    exponent_after: Estimate | None
    fit: list[dict[str, float]] = field(repr=False)
    points: int
    dropped: int
    sentence: str

    def summary(self) -> dict[str, Any]:
        """Give what ``degradation.<operation>`` of a summary holds, but for its points."""
        bend = self.bend_at
        return {
            "exponent": self.exponent,
            "bend_at": None if bend is None else bend["estimate"],
            "bend_low": None if bend is None else bend["low"],
            "bend_high": None if bend is None else bend["high"],
            "exponent_before": self.exponent_before,
            "exponent_after": self.exponent_after,
            "fit": self.fit,
            "sentence": self.sentence,
        }


@dataclass(frozen=True)
class _Lines:
    """One line, or two that meet at a bend, in logarithms, with the intervals of all of it."""

    coefficients: Floats
    bend: float | None
    slopes: tuple[Estimate, ...]
    bend_at: Estimate | None

    def at(self, volumes: Floats) -> Floats:
        """Times at volumes, both in logarithms."""
        return np.asarray(_columns(volumes, self.bend) @ self.coefficients)


def fit_degradation(
    memories: npt.ArrayLike,
    service_ms: npt.ArrayLike,
    *,
    operation: str = "operation",
    confidence: float = 0.95,
) -> Degradation:
    """Fit how a time grows with the number of memories.

    Args:
        memories: ``(n,)`` volumes, above 0; the same volume may come several times.
        service_ms: ``(n,)`` times, above 0. Points of which either is not so, or not finite, are
            left out and counted.
        operation: its name, for the sentence.
        confidence: of the intervals, within (0, 1).

    Raises:
        ValueError: the two are not of one length, or the confidence is outside its range.
    """
    volumes, times, dropped = _usable(memories, service_ms)
    x, y = np.log(volumes), np.log(times)
    name = operation.replace("_", "-").capitalize()
    if np.unique(x).size < 2:
        unknown = Estimate(estimate=None, low=None, high=None)
        there = "one volume was" if x.size else "no volume was"
        sentence = f"{name} time against memories is unknown: {there} measured."
        return _degradation(unknown, None, [], (int(x.size), dropped), sentence)
    one = _one_line(x, y, confidence)
    two = _two_lines(x, y, confidence)
    chosen = one if two is None else two
    where = np.linspace(x.min(), x.max(), _CURVE_POINTS)
    fit = [
        {"memories": volume, "ms": time}
        for volume, time in zip(
            np.exp(where).tolist(), np.exp(chosen.at(where)).tolist(), strict=True
        )
    ]
    sentence = _sentence(name, x, y, one, two)
    return _degradation(one.slopes[0], two, fit, (int(x.size), dropped), sentence)


def _degradation(
    exponent: Estimate,
    two: _Lines | None,
    fit: list[dict[str, float]],
    counts: tuple[int, int],
    sentence: str,
) -> Degradation:
    points, dropped = counts
    if dropped:
        what = "1 point was" if dropped == 1 else f"{dropped} points were"
        sentence += f" {what} left out: volumes and times have to be positive numbers."
    return Degradation(
        exponent=exponent,
        bend_at=None if two is None else two.bend_at,
        exponent_before=None if two is None else two.slopes[0],
        exponent_after=None if two is None else two.slopes[1],
        fit=fit,
        points=points,
        dropped=dropped,
        sentence=sentence,
    )


def _usable(memories: npt.ArrayLike, service_ms: npt.ArrayLike) -> tuple[Floats, Floats, int]:
    volumes = np.asarray(memories, dtype=np.float64)
    times = np.asarray(service_ms, dtype=np.float64)
    if volumes.ndim != 1 or volumes.shape != times.shape:
        shapes = f"{volumes.shape} and {times.shape}"
        raise ValueError(f"memories, service_ms: have shapes {shapes}; give a time for each volume")
    good = np.isfinite(volumes) & np.isfinite(times) & (volumes > 0) & (times > 0)
    return volumes[good], times[good], int((~good).sum())


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


def _interval(value: float, variance: float, spare: int, confidence: float) -> Estimate:
    if spare < 1:
        return Estimate(estimate=value, low=None, high=None)
    half_width = student_half_width(spare, confidence) * math.sqrt(max(variance, 0.0))
    return Estimate(estimate=value, low=value - half_width, high=value + half_width)


def _one_line(x: Floats, y: Floats, confidence: float) -> _Lines:
    coefficients, left = _solve(x, y, None)
    spare = x.size - 2
    variance = left / max(spare, 1) / float(((x - x.mean()) ** 2).sum())
    slope = _interval(float(coefficients[1]), variance, spare, confidence)
    return _Lines(coefficients, None, (slope,), None)


def _two_lines(x: Floats, y: Floats, confidence: float) -> _Lines | None:
    """Two lines that meet, when they fit so much better that there is a bend."""
    volumes = np.unique(x)
    if x.size < _FEWEST_POINTS_FOR_BEND or volumes.size < _FEWEST_VOLUMES_FOR_BEND:
        return None
    left_by_one = _solve(x, y, None)[1]
    if math.sqrt(left_by_one / x.size) < _GOOD_MISFIT:
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
    return _Lines(coefficients, bend, (before, after), _as_memories(place, x))


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


def _sentence(name: str, x: Floats, y: Floats, one: _Lines, two: _Lines | None) -> str:
    if two is not None and two.bend is not None:
        before, after = two.slopes
        how = "faster" if (after["estimate"] or 0) > (before["estimate"] or 0) else "more slowly"
        return (
            f"{name} time grows as memories^{_power(before)}; from about "
            f"{_whole(math.exp(two.bend))} on it grows {how}: ^{_power(after)}."
        )
    slope = one.slopes[0]
    low, high = slope["low"], slope["high"]
    if low is None or high is None:
        span = f"from {_whole(math.exp(x.min()))} to {_whole(math.exp(x.max()))} memories"
        text = f"{name} time went as memories^{_power(slope)} {span}; "
        return text + "two points do not say how sure that is."
    power = f"memories^{_power(slope)}"
    if low <= 0 <= high and high - low > _WIDE_INTERVAL:
        text = f"{x.size} points do not say whether {name.lower()} time grows: {power}."
    elif low <= 0 <= high:
        text = f"{name} time cannot be told from constant: {power}."
    elif max(-low, high) < _HARDLY_AN_EXPONENT:
        text = f"{name} time hardly changes: it goes as {power}."
    else:
        text = f"{name} time {'grows' if low > 0 else 'falls'} as {power}."
    return text + _steepest(x, y, one)


def _steepest(x: Floats, y: Floats, one: _Lines) -> str:
    """Where it grows fastest, when one line misses the points and no bend could be shown."""
    volumes = np.unique(x)
    misfit = math.sqrt(float(((y - one.at(x)) ** 2).mean()))
    if volumes.size < 3 or misfit < _GOOD_MISFIT:
        return ""
    times = np.array([np.median(y[x == volume]) for volume in volumes])
    slopes = np.diff(times) / np.diff(volumes)
    at = int(np.argmax(slopes))
    if slopes[at] - (one.slopes[0]["estimate"] or 0.0) < _LEAST_CHANGE:
        return ""
    ends = " to ".join(_whole(math.exp(end)) for end in volumes[at : at + 2])
    return f" It is steepest from {ends} (^{slopes[at]:.2f}); the points do not prove a bend."


def _power(exponent: Estimate) -> str:
    estimate, low, high = exponent["estimate"], exponent["low"], exponent["high"]
    text = f"{estimate:.2f}"
    return text if low is None or high is None else f"{text} ({low:.2f} to {high:.2f})"


def _whole(volume: float) -> str:
    """A count of memories, to two significant digits."""
    return f"{float(f'{volume:.2g}'):,.0f}"

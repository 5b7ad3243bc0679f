"""How the time of an operation grows with the number of memories: an exponent, and a bend.

A time that grows as a power of the volume is a straight line in logarithms; its slope is the
exponent, found by least squares, with Student's interval of n - 2 degrees of freedom (N. R.
Draper and H. Smith, "Applied Regression Analysis", 3rd ed., 1998, 1.4). With 2 volumes there is
a slope and no interval; with 3 the interval is wide, and ought to be. Several points of a volume
that are parts of one run share whatever was peculiar to that run, so that they count as one, their
mean: with runs that differ by 5%, 5 parts each taken for runs made an interval that held the truth
in 45 of 100 cases. Only points that are runs of their own (`independent`) count each.

How a bend is found, and when it is believed, is in the head of `harness.analysis.broken_line`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.analysis.bootstrap import Estimate
from harness.analysis.broken_line import (
    FEWEST_FOR_BEND,
    GOOD_MISFIT,
    Lines,
    one_line,
    two_lines,
    volume_means,
)

__all__ = ["Degradation", "fit_degradation"]

Floats = npt.NDArray[np.float64]

_STEEPER = 0.1
_HARDLY_AN_EXPONENT = 0.05
_WIDE_INTERVAL = 0.5
_CURVE_POINTS = 50


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """How a time grows with the volume.

    Attributes:
        exponent: of one power over all volumes; the estimate is None with fewer than 2 volumes,
            its ends with fewer than 3 points that count.
        bend_at: memories at which the exponent changes; None when one power does as well. Its
            ends and those of the two below are None when 4 or 5 runs are all there is.
        exponent_before: up to the bend; None without one.
        exponent_after: from the bend on; None without one.
        fit: ``{memories, ms}`` of the fitted curve over the volumes measured, ascending; empty
            without an exponent.
        points: how many points were used.
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


def fit_degradation(
    memories: npt.ArrayLike,
    service_ms: npt.ArrayLike,
    *,
    operation: str = "operation",
    independent: bool = False,
    confidence: float = 0.95,
) -> Degradation:
    """Fit how a time grows with the number of memories.

    Args:
        memories: ``(n,)`` volumes, above 0; the same volume may come several times.
        service_ms: ``(n,)`` times, above 0. Points of which either is not so, or not finite, are
            left out and counted.
        operation: its name, for the sentence.
        independent: whether points of the same volume are of runs of their own, and not parts
            of one run.
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
    every_x, every_y = x, y
    if not independent:
        x, y = volume_means(x, y)
    one = one_line(x, y, confidence)
    two = two_lines(x, y, confidence)
    if not independent and two is None and x.size < FEWEST_FOR_BEND:
        two = two_lines(every_x, every_y, None)
    chosen = one if two is None else two
    where = np.linspace(x.min(), x.max(), _CURVE_POINTS)
    fit = [
        {"memories": volume, "ms": time}
        for volume, time in zip(
            np.exp(where).tolist(), np.exp(chosen.at(where)).tolist(), strict=True
        )
    ]
    sentence = _sentence(name, x, y, one, two)
    return _degradation(one.slopes[0], two, fit, (int(every_x.size), dropped), sentence)


def _degradation(
    exponent: Estimate,
    two: Lines | None,
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


def _sentence(name: str, x: Floats, y: Floats, one: Lines, two: Lines | None) -> str:
    if two is not None and two.bend is not None:
        return _bent(name, math.exp(two.bend), two.slopes, volumes=np.unique(x).size)
    slope = one.slopes[0]
    low, high = slope["low"], slope["high"]
    if low is None or high is None:
        span = f"from {_whole(math.exp(x.min()))} to {_whole(math.exp(x.max()))} memories"
        text = f"{name} time went as memories^{_power(slope)} {span}; "
        return text + "two volumes do not say how sure that is."
    power = f"memories^{_power(slope)}"
    if low <= 0 <= high and high - low > _WIDE_INTERVAL:
        text = f"{np.unique(x).size} volumes do not say whether {name.lower()} time grows: {power}."
    elif low <= 0 <= high:
        text = f"{name} time cannot be told from constant: {power}."
    elif max(-low, high) < _HARDLY_AN_EXPONENT:
        text = f"{name} time hardly changes: it goes as {power}."
    else:
        text = f"{name} time {'grows' if low > 0 else 'falls'} as {power}."
    return text + _steepest(x, y, one)


def _bent(name: str, bend: float, slopes: tuple[Estimate, ...], *, volumes: int) -> str:
    before, after = slopes
    power, later_power = before["estimate"] or 0.0, after["estimate"] or 0.0
    if abs(power) < _HARDLY_AN_EXPONENT:
        text = f"{name} time hardly changes (memories^{_power(before)}) up to about"
        text += f" {_whole(bend)} memories; from there on it goes as ^{_power(after)}"
    else:
        text = f"{name} time {'grows' if power > 0 else 'falls'} as memories^{_power(before)};"
        how = ("falls" if power > 0 else "goes on falling") if later_power < 0 else "grows"
        if power > 0 and later_power > 0:
            how += " faster" if later_power > power else " more slowly"
        text += f" from about {_whole(bend)} on it {how}: ^{_power(after)}"
    if before["low"] is None:
        return f"{text}. One run at each of {volumes} volumes does not say how sure that is."
    return f"{text}."


def _steepest(x: Floats, y: Floats, one: Lines) -> str:
    """Where it grows fastest, when one line misses the points and no bend could be shown."""
    volumes = np.unique(x)
    misfit = math.sqrt(float(((y - one.at(x)) ** 2).mean()))
    if volumes.size < 3 or misfit < GOOD_MISFIT:
        return ""
    times = np.array([np.median(y[x == volume]) for volume in volumes])
    slopes = np.diff(times) / np.diff(volumes)
    at = int(np.argmax(slopes))
    if slopes[at] - (one.slopes[0]["estimate"] or 0.0) < _STEEPER:
        return ""
    ends = " to ".join(_whole(math.exp(end)) for end in volumes[at : at + 2])
    return f" It is steepest from {ends} (^{slopes[at]:.2f}); the points do not prove a bend."


def _power(exponent: Estimate) -> str:
    estimate, low, high = exponent["estimate"], exponent["low"], exponent["high"]
    text = f"{estimate:z.2f}"  # z: nothing is no less than nothing, and has no sign
    return text if low is None or high is None else f"{text} ({low:z.2f} to {high:z.2f})"


def _whole(volume: float) -> str:
    """A count of memories, to two significant digits."""
    return f"{float(f'{volume:.2g}'):,.0f}"

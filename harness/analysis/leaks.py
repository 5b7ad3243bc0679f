"""Whether a process leaks: does its own memory grow steadily, beyond what stored memories explain?

Model of a process's own memory (`harness.analysis.own_memory`), in bytes, after warm-up:

    own(t) = level + held * stored(t) + cycles(t) + a few steps + noise + leak * t

``stored(t)`` are the bytes that what was stored so far is expected to hold. ``held`` is how much
of that really is: between `HELD_RATIO_LOW` and `HELD_RATIO_HIGH`, for arrays double, memtables
fill and allocators round up. Expected bytes are subtracted, and what is not known of them widens
the interval: at an even rate of stores nothing in the data could tell the two slopes apart. Cycles,
steps and warm-up are dealt with in `harness.analysis.memory_trend`.

The slope and its 95% interval are Theil and Sen's, widened by autocorrelation
(`harness.analysis.theil_sen`). All bounds are bytes over the series: the longer it is, the smaller
the leak that is found.

- ``leak``: the interval, less all that may be explained, begins above `SURE_BYTES_MIN`; the slope
  is above `LEAK_BYTES_MIN`; growth does not slow down, and comes in most stretches of the series.
- ``no leak``: the interval ends below `UNSEEN_BYTES_MAX`, or growth came in single steps.
- ``too little data``: everything else, with what is missing.
"""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import numpy.typing as npt

from harness.analysis.memory_trend import (
    CYCLES_MIN,
    TrendPoints,
    after_warm_up,
    is_sustained,
    lasting_points,
)
from harness.analysis.theil_sen import TheilSen, block_medians, theil_sen

__all__ = [
    "HELD_RATIO_HIGH",
    "HELD_RATIO_LOW",
    "LEAK_BYTES_MIN",
    "SPAN_MIN_S",
    "SURE_BYTES_MIN",
    "UNSEEN_BYTES_MAX",
    "WARMUP_MIN_S",
    "LeakFinding",
    "LeakSlope",
    "LeakTrendPoint",
    "leak_verdict",
]

Floats = npt.NDArray[np.float64]

# Shorter, warm-up and a leak look the same.
SPAN_MIN_S = 180.0
# Left out at least, and a fifth of the series.
WARMUP_MIN_S = 60.0
HELD_RATIO_LOW = 0.5
HELD_RATIO_HIGH = 1.5
LEAK_BYTES_MIN = 3 * 2.0**20
SURE_BYTES_MIN = 2 * 2.0**20
UNSEEN_BYTES_MAX = 6 * 2.0**20

_MIB = 2.0**20
_WARMUP_RATIO = 0.2
_SAMPLES_MIN = 40
_TREND_POINTS_MAX = 120
# How much longer than its cycles have shown to be necessary a run should be.
_AMPLE = 1.5


class LeakSlope(TypedDict):
    """A slope in bytes a second with its 95% interval; None where there is none."""

    estimate: float | None
    low: float | None
    high: float | None


class LeakTrendPoint(TypedDict):
    """A point of the series after the given warm-up, for a picture."""

    t_s: float
    bytes: float


class LeakFinding(TypedDict):
    """What `leak_verdict` finds.

    ``slope_bytes_s`` is of own memory less what stored memories explain (``explained_bytes_s``,
    the best estimate of that); its interval allows for what is not known of the latter.
    ``warmup_s`` is where the judged part begins; times count from the first sample.
    """

    slope_bytes_s: LeakSlope
    explained_bytes_s: float
    warmup_s: float | None
    verdict: str
    sentence: str
    trend: list[LeakTrendPoint]


def leak_verdict(
    times_s: npt.ArrayLike,
    bytes_: npt.ArrayLike,
    *,
    stored_bytes: npt.ArrayLike | None = None,
    warmup_s: float = 0.0,
) -> LeakFinding:
    """Judge one process.

    Args:
        times_s: ``(n,)`` sample times in order.
        bytes_: ``(n,)`` own memory; NaN where it was not read.
        stored_bytes: ``(n,)`` bytes that what was stored until then is expected to hold; None for
            a process that stores nothing.
        warmup_s: given warm-up, from the first sample; what is found comes on top.
    """
    times, own = np.asarray(times_s, np.float64), np.asarray(bytes_, np.float64)
    stored = np.zeros(own.size) if stored_bytes is None else np.asarray(stored_bytes, np.float64)
    known = np.isfinite(times) & np.isfinite(own) & np.isfinite(stored)
    begin_s = float(times[known][0]) if known.any() else 0.0
    known &= times >= begin_s + warmup_s
    times, own, stored = times[known] - begin_s, own[known], stored[known]
    trend = _trend(times, own)
    span_s = float(times[-1] - times[0]) if times.size else 0.0
    if span_s < SPAN_MIN_S or times.size < _SAMPLES_MIN:
        missing = (
            f"{span_s:,.0f} s and {times.size:,} samples after warm-up; it takes "
            f"{SPAN_MIN_S:,.0f} s and {_SAMPLES_MIN}"
        )
        return _too_little(missing, trend)
    warm = times >= times[0] + max(WARMUP_MIN_S, _WARMUP_RATIO * span_s)
    times, own, stored = times[warm], own[warm], stored[warm]
    if times.size < _SAMPLES_MIN / 2:
        return _too_little("most samples are of the first minute", trend)
    points, cycles = lasting_points(times, own - stored)
    if points is None:
        missing = (
            f"memory went up and down {'once' if cycles == 1 else f'{cycles} times'}, and it takes "
            f"{CYCLES_MIN} times to see what stays; measure about "
            f"{span_s * CYCLES_MIN / cycles * _AMPLE:,.0f} s"
        )
        return _too_little(missing, trend)
    return _judged(points, times, stored, trend)


def _judged(
    lasting: TrendPoints, times: Floats, stored: Floats, trend: list[LeakTrendPoint]
) -> LeakFinding:
    points, slowing = after_warm_up(lasting)
    # Lows are a cycle apart and have little in common; blocks are next to each other.
    line = theil_sen(points.t_s, points.bytes_, autocorrelated=not points.are_lows)
    judged = times >= points.t_s[0]
    growth = theil_sen(times[judged], stored[judged])
    if line is None or growth is None:
        return _too_little("all samples are of one moment", trend)
    explained_bytes_s = max(0.0, growth.slope)
    slope = LeakSlope(
        estimate=line.slope,
        low=line.low - (HELD_RATIO_HIGH - 1) * explained_bytes_s,
        high=line.high + (1 - HELD_RATIO_LOW) * explained_bytes_s,
    )
    verdict, why = _verdict(points, line, slope, slowing=slowing)
    return LeakFinding(
        slope_bytes_s=slope,
        explained_bytes_s=explained_bytes_s,
        warmup_s=float(points.t_s[0]),
        verdict=verdict,
        sentence=_sentence(verdict, why, slope, explained_bytes_s, points),
        trend=trend,
    )


def _verdict(
    points: TrendPoints, line: TheilSen, slope: LeakSlope, *, slowing: bool
) -> tuple[str, str]:
    """The verdict and, in a few words, what decided it."""
    span_s = points.span_s
    grown, low, high = (
        (value or 0.0) * span_s for value in (slope["estimate"], slope["low"], slope["high"])
    )
    if low >= SURE_BYTES_MIN and grown >= LEAK_BYTES_MIN:
        if slowing:
            return "too little data", "growth is slowing down, as in a warm-up that is not over"
        if not is_sustained(points, line.slope):
            return "no leak", "growth came in single steps"
        return "leak", ""
    if high <= UNSEEN_BYTES_MAX and low < SURE_BYTES_MIN:
        return "no leak", ""
    if line.low * span_s >= SURE_BYTES_MIN and low < SURE_BYTES_MIN:
        return "too little data", "what was stored may explain all of the growth, or little of it"
    return "too little data", "what memory does besides could hide a leak, or look like one"


def _sentence(
    verdict: str, why: str, slope: LeakSlope, explained_bytes_s: float, points: TrendPoints
) -> str:
    estimate, low, high = ((slope[key] or 0.0) * 60 / _MIB for key in ("estimate", "low", "high"))
    moved = "shrank" if estimate < 0 else "grew"
    figures = (
        f"own memory {moved} by {abs(estimate):,.2f} MiB/min (95% interval {low:,.2f} to "
        f"{high:,.2f}) over {points.span_s:,.0f} s after warm-up"
    )
    if explained_bytes_s > 0:
        explained = explained_bytes_s * 60 / _MIB
        figures += f", beside {explained:,.2f} MiB/min that stored memories explain"
    head = {"leak": "Leak", "no leak": "No leak"}.get(verdict, "Too little data")
    return f"{head}: {f'{why}; ' if why else ''}{figures}."


def _too_little(missing: str, trend: list[LeakTrendPoint]) -> LeakFinding:
    return LeakFinding(
        slope_bytes_s=LeakSlope(estimate=None, low=None, high=None),
        explained_bytes_s=0.0,
        warmup_s=None,
        verdict="too little data",
        sentence=f"Too little data: {missing}.",
        trend=trend,
    )


def _trend(times: Floats, own: Floats) -> list[LeakTrendPoint]:
    if not times.size:
        return []
    at_s, medians = block_medians(times, own, min(_TREND_POINTS_MAX, times.size))
    return [
        LeakTrendPoint(t_s=float(at), bytes=float(value))
        for at, value in zip(at_s, medians, strict=True)
    ]

"""What of a process's memory stays: the points that a slope of it may be taken of.

- Memory that goes up and down (memtables that fill and are flushed, caches that are emptied) says
  nothing, between two falls, of what is lost for good; the low of each cycle does. With
  `CYCLES_MIN` lows the points are those. With fewer, and falls that are more than a small part of
  all rises, there are no points: nobody can tell.
- Otherwise the points are medians of `_BLOCKS` blocks, after up to `_STEPS_MAX` single steps (an
  array that doubled, a library that was loaded) were taken out.
- Warm-up levels off, a leak does not. The beginning is left out as far as growth after it slows
  down: the second half's slope below the first half's interval, and below a part of it (`_STARTS`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.analysis.own_memory import running_median
from harness.analysis.theil_sen import block_medians, theil_sen

__all__ = [
    "CYCLES_MIN",
    "TrendPoints",
    "after_warm_up",
    "is_sustained",
    "lasting_points",
]

Floats = npt.NDArray[np.float64]

# So many lows are all in order by chance in 1 of 120 series only.
CYCLES_MIN = 5

_MIB = 2.0**20
_BLOCKS = 80
_FINE_BLOCKS_MAX = 2_000
_FINE_BLOCK_S = 0.6
_WILD_WIDTH = 5
# What falls by less is noise to the cycles, and so are falls that are this part of all rises.
_FALL_BYTES = 2 * _MIB
_INCIDENTAL_RATIO = 0.25
_STEP_BYTES = 1 * _MIB
_STEPS_MAX = 3
_AGAIN_RATIO = 0.8
_NOISE_SIGMAS = 10.0
# Where a beginning may be left out, and how far growth may slow down after it. Of growth like a
# logarithm the later part is ever straighter: what has slowed down before has to be straight.
_STARTS = ((0.0, 0.6), (0.2, 0.75), (0.4, 0.85))
_OF_LOWS_RATIO = 0.5
_STRETCHES, _STRETCHES_OF_FEW = 8, 3
_STRETCH_QUANTILE = 0.35
_STRETCH_RATIO = 0.25


@dataclass(frozen=True)
class TrendPoints:
    """Points that a slope may be taken of, ``(n,)`` each; lows of cycles, or medians of blocks."""

    t_s: Floats
    bytes_: Floats
    are_lows: bool

    @property
    def span_s(self) -> float:
        """From the first to the last."""
        return float(self.t_s[-1] - self.t_s[0])

    def since(self, start_s: float) -> TrendPoints:
        """Only those from a time on."""
        kept = self.t_s >= start_s
        return TrendPoints(self.t_s[kept], self.bytes_[kept], self.are_lows)


def lasting_points(times_s: Floats, bytes_: Floats) -> tuple[TrendPoints | None, int]:
    """Find what to take a slope of.

    Args:
        times_s: ``(n,)``, in order.
        bytes_: ``(n,)``, finite.

    Returns:
        The points, None where too few cycles hide them; and how many cycles there are.
    """
    at_s, values = _fine(times_s, bytes_)
    steps = np.diff(values)
    noise = _NOISE_SIGMAS * 1.4826 * float(np.median(np.abs(steps - np.median(steps))))
    lows, fallen = _lows(values, max(_FALL_BYTES, noise))
    if len(lows) >= CYCLES_MIN:
        return TrendPoints(at_s[lows], values[lows], are_lows=True), len(lows)
    risen = float(values[-1] - values[0]) + fallen
    if risen > _FALL_BYTES and fallen > _INCIDENTAL_RATIO * risen:
        return None, len(lows)
    level = _without_steps(values, max(_STEP_BYTES, noise))
    return TrendPoints(*block_medians(at_s, level, _BLOCKS), are_lows=False), len(lows)


def after_warm_up(points: TrendPoints) -> tuple[TrendPoints, bool]:
    """Leave out the beginning as far as growth slows down after it, two fifths at most.

    Returns:
        The rest, and whether its growth still slows down.
    """
    part, slowing = points, True
    for start, ratio in _STARTS:
        later = points.since(points.t_s[0] + start * points.span_s)
        if later.t_s.size < CYCLES_MIN:
            break
        part, slowing = later, _slows_down(later, ratio)
        if not slowing:
            break
    return part, slowing


def _slows_down(points: TrendPoints, ratio: float) -> bool:
    """Is the growth of the second half clearly less than so much of that of the first?"""
    first = points.t_s < points.t_s[0] + points.span_s / 2
    early = theil_sen(points.t_s[first], points.bytes_[first])
    late = theil_sen(points.t_s[~first], points.bytes_[~first])
    if early is None or late is None or early.slope <= 0:
        return False
    if points.are_lows:
        # Few points have noisy slopes: here even the greatest that is likely has to be less.
        return late.high < early.low and late.slope < _OF_LOWS_RATIO * ratio * early.slope
    return late.slope < min(early.low, ratio * early.slope)


def is_sustained(points: TrendPoints, slope: float) -> bool:
    """Do most stretches of the series grow like the whole of it?"""
    many = points.t_s.size >= 4 * _STRETCHES
    stretch_s = points.span_s / (_STRETCHES if many else _STRETCHES_OF_FEW)
    starts = points.t_s[points.t_s <= points.t_s[-1] - stretch_s]
    ends = np.interp(starts + stretch_s, points.t_s, points.bytes_)
    growth = ends - points.bytes_[: starts.size]
    usual = float(np.quantile(growth, _STRETCH_QUANTILE))
    return usual >= _STRETCH_RATIO * slope * stretch_s


def _fine(times: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Freed of single wild samples, and of samples closer than matters."""
    level = running_median(values, _WILD_WIDTH)
    blocks = int(min(_FINE_BLOCKS_MAX, float(times[-1] - times[0]) / _FINE_BLOCK_S))
    if times.size < 2 * blocks:
        return times, level
    return block_medians(times, level, blocks)


def _lows(values: Floats, fall: float) -> tuple[list[int], float]:
    """The lowest place after each fall by more than `fall`, and by how much it all fell.

    A low is one when memory has risen by `fall` since, or at the end.
    """
    lows: list[int] = []
    fallen, top, low, falling = 0.0, 0, 0, False
    for place in range(values.size):
        if not falling and values[place] > values[top]:
            top = place
        elif not falling and values[top] - values[place] > fall:
            falling, low = True, place
        elif falling and values[place] < values[low]:
            low = place
        elif falling and values[place] - values[low] > fall:
            lows.append(low)
            fallen += float(values[top] - values[low])
            falling, top = False, place
    if falling:
        lows.append(low)
        fallen += float(values[top] - values[low])
    return lows, fallen


def _without_steps(values: Floats, least: float) -> Floats:
    """Take out rises that happened at once, if there are no more than `_STEPS_MAX`.

    A step that comes again and again is a leak in pieces, and stays.
    """
    level = values.copy()
    for _ in range(_STEPS_MAX):
        rises = _rises(level)
        place = int(np.argmax(rises)) if rises.size else 0
        if not rises.size or rises[place] < least:
            return level
        level[place + 2 :] -= rises[place]
        level[place : place + 5] = level[place]
    rises = _rises(level)
    return values if rises.size and rises.max() >= _AGAIN_RATIO * least else level


def _rises(level: Floats) -> Floats:
    # Over four blocks: a median of neighbours spreads a step over two.
    rises: Floats = level[4:] - level[:-4]
    return rises

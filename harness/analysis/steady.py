"""Whether a run settled, and after how long: warm-up found from the data.

Method
1. The series becomes medians of 5 neighbours, so that a stall of a second is no level of its own.
2. Is there a change point: do two levels, split where least squares puts them, differ by more than
   `_CHANGE_Z` standard errors (widened by the autocorrelation that is left around the two levels)
   and by more than `LEVEL_RATIO` of the later one? Without this, the next step would cut
   something off many a series that has no warm-up.
3. If so, warm-up ends at the split, or later where MSER-5 says so (K. P. White, "An Effective
   Truncation Heuristic for Bias Reduction in Simulation Output", Simulation 69(6), 1997; batches
   of 5 as in White, Cobb and Spratt, 2000): at the d that makes the mean of the rest surest, with
   the least ``sum((z[d:] - mean(z[d:]))**2) / (n - d)**2``.
4. A split later than `_CUT_MAX_RATIO` of the run, or a rest that still drifts (the Theil-Sen
   interval of `harness.analysis.theil_sen`, autocorrelation allowed for, excludes 0, and the drift
   over the rest is more than `LEVEL_RATIO` of its level), means that the run never settled.

A steady swing (a period that fits into the series several times) has no change point and no
drift: it is settled. Nothing is taken out of any count because of what is found here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from harness.analysis.rows import MeasuredRows
from harness.analysis.theil_sen import theil_sen

__all__ = ["LEVEL_RATIO", "POINTS_MIN", "Steady", "both_steady", "run_steady", "steady_state"]

Floats = npt.NDArray[np.float64]

# 8 means of 5: with fewer a cut and a drift cannot be told from chance.
POINTS_MIN = 40
# A change below this is of no consequence to a figure of the run, however sure it is.
LEVEL_RATIO = 0.1

_BATCH = 5
_MEANS_MAX = 200
_CHANGE_Z = 4.0
_SURE = 0.99
_RHO_MAX = 0.9
_CUT_MAX_RATIO = 0.4
_ENDED_RATIO = 0.1
_REST_MIN = 4


class Steady(TypedDict):
    """Whether a series settled, after how many seconds, and one sentence that says so.

    ``settled`` is None when the series is too short to tell; ``warmup_s`` is 0 without a warm-up
    and None where ``settled`` is not True.
    """

    settled: bool | None
    warmup_s: float | None
    sentence: str


@dataclass(frozen=True)
class _Batches:
    """Means of neighbours, with the time at which each begins and the end of the last."""

    begin_s: Floats
    means: Floats
    end_s: float


def steady_state(times_s: npt.ArrayLike, values: npt.ArrayLike, *, what: str = "it") -> Steady:
    """Find the warm-up of a series.

    Args:
        times_s: ``(n,)``, in order; warm-up counts from the first.
        values: ``(n,)``; what is not finite is left out.
        what: the series' name in the sentence.
    """
    times, series = np.asarray(times_s, np.float64), np.asarray(values, np.float64)
    known = np.isfinite(times) & np.isfinite(series)
    if known.sum() < POINTS_MIN:
        return Steady(
            settled=None,
            warmup_s=None,
            sentence=f"Too short to tell whether {what} settled: {int(known.sum())} of the "
            f"{POINTS_MIN} values that takes.",
        )
    begin_s = float(times[0])
    batches = _batches(times[known], series[known])
    cut = _change(batches.means)
    if cut > _latest_cut(batches.means.size):
        at_s = batches.begin_s[cut] - begin_s
        return _unsettled(f"{what} changed its level as late as {at_s:,.0f} s after the start")
    drift = _drift(batches, cut)
    if drift is not None:
        return _unsettled(f"{what} {drift}")
    if not cut:
        sentence = f"The run was steady from the start, by {what}."
        return Steady(settled=True, warmup_s=0.0, sentence=sentence)
    warmup_s = float(batches.begin_s[cut] - begin_s)
    sentence = (
        f"The run settled after {warmup_s:,.0f} s, by {what}; that time is in the figures, "
        f"which --warmup would leave out."
    )
    return Steady(settled=True, warmup_s=warmup_s, sentence=sentence)


def run_steady(rows: MeasuredRows) -> Steady:
    """Find the warm-up of a run: by its throughput and its median response time a second.

    The run settled when both have, and the later of the two says when. Seconds after the first
    `_ENDED_RATIO` of the agents had ended are not looked at: then there is less to do.
    """
    seconds, throughput_ops_s, median_ms = rows.per_second.series()
    if rows.spans.num_rows:
        ended_ns = np.quantile(rows.spans["end_ns"].to_numpy(), _ENDED_RATIO, method="lower")
        begun_ns = min(rows.spans["begin_ns"].to_numpy())
        busy = seconds < float(ended_ns - begun_ns) / 1e9
        seconds, throughput_ops_s, median_ms = (
            series[busy] for series in (seconds, throughput_ops_s, median_ms)
        )
    return both_steady(seconds, throughput_ops_s, median_ms)


def both_steady(times_s: Floats, throughput_ops_s: Floats, median_ms: Floats) -> Steady:
    """Find the warm-up of throughput and of the median response time, (n,) each.

    Where either never settled, or was too short to tell, that is what is found; else the later.
    """
    found = [
        steady_state(times_s, throughput_ops_s, what="throughput"),
        steady_state(times_s, median_ms, what="the median response time"),
    ]
    for verdict in (False, None):
        for one in found:
            if one["settled"] is verdict:
                return one
    return max(found, key=lambda one: one["warmup_s"] or 0.0)


def _unsettled(why: str) -> Steady:
    sentence = f"The run never settled: {why}. Its figures are averages over a change."
    return Steady(settled=False, warmup_s=None, sentence=sentence)


def _batches(times: Floats, values: Floats) -> _Batches:
    """Means of `_BATCH` neighbours, or of more where there would be over `_MEANS_MAX`."""
    size = max(_BATCH, -(-values.size // _MEANS_MAX))
    count = values.size // size
    # What does not fill a batch is left out at the beginning of the first one's time: none is lost
    # at the end, where a run that never settles shows it.
    spare = values.size - count * size
    means = np.median(values[spare:].reshape(count, size), axis=1)
    begins = times[spare::size].copy()
    begins[0] = times[0]
    return _Batches(begins, means, float(times[-1]))


def _change(means: Floats) -> int:
    """The first batch after warm-up: MSER-5's cut, or 0 where the series has no change point."""
    split = _split(means)
    head, tail = means[:split], means[split:]
    difference = abs(float(head.mean() - tail.mean()))
    left_over = np.concatenate([head - head.mean(), tail - tail.mean()])
    error = _spread_of_means(left_over) * float(np.sqrt(1 / head.size + 1 / tail.size))
    sure = difference > _CHANGE_Z * error
    if not sure or difference <= LEVEL_RATIO * abs(float(tail.mean())):
        return 0
    return split if split > _latest_cut(means.size) else max(split, _mser(means))


def _split(means: Floats) -> int:
    """Where two levels describe the series best, by least squares; leaves a tenth at the end.

    What happens within the last moments is an event, not a level that the run took up.
    """
    latest = means.size - max(_REST_MIN, means.size // 10)
    counts = np.arange(1, latest + 1)
    sums = np.cumsum(means)[:latest]
    total = float(means.sum())
    return 1 + int(np.argmax(sums**2 / counts + (total - sums) ** 2 / (means.size - counts)))


def _mser(means: Floats) -> int:
    """The cut, no later than a run that settled may have, that makes the rest's mean surest."""
    cuts = range(_latest_cut(means.size) + 1)
    return int(np.argmin([float(means[d:].var()) / (means.size - d) for d in cuts]))


def _latest_cut(batches: int) -> int:
    return int(batches * _CUT_MAX_RATIO)


def _spread_of_means(left_over: Floats) -> float:
    """What the standard error of a mean is, times the root of how many it is of."""
    power = float(left_over @ left_over)
    rho = float(left_over[:-1] @ left_over[1:]) / power if power else 0.0
    rho = min(max(rho, 0.0), _RHO_MAX)
    return float(np.sqrt(power / (left_over.size - 2) * (1 + rho) / (1 - rho)))


def _drift(batches: _Batches, cut: int) -> str | None:
    """What drifts after the cut, in words; None when nothing does."""
    means, begins = batches.means[cut:], batches.begin_s[cut:]
    line = theil_sen(begins, means, confidence=_SURE, autocorrelated=True)
    level = abs(float(np.median(means)))
    if line is None or line.low <= 0 <= line.high or not level:
        return None
    ratio = line.slope * (batches.end_s - float(begins[0])) / level
    if abs(ratio) <= LEVEL_RATIO:
        return None
    went, over_s = "rose" if ratio > 0 else "fell", batches.end_s - float(begins[0])
    return f"{went} until the end, by {abs(ratio):.0%} of its median in {over_s:,.0f} s"

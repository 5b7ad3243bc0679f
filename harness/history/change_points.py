"""Where a figure changed for good in a series of runs: the one module that imports ruptures.

Method. A series is cut into segments, each with a level of its own, so that the distances of all
values from the median of their segment, plus a penalty for each cut, are least: PELT (Killick,
Fearnhead, Eckley: Optimal detection of changepoints with a linear computational cost, JASA 107,
2012) with the L1 cost, as ruptures has them (Truong, Oudre, Vayatis: Selective review of offline
change point detection methods, Signal Processing 167, 2020). Distances from a median, and segments
of at least SEGMENT_RUNS, keep one or two odd runs from being a change.

- Values are taken in logarithms where all are above 0, for noise of times and rates is a share of
  them.
- They are measured in the noise of the series, the mean distance of neighbours over 1.128: the
  moving range of control charts (Montgomery, Introduction to Statistical Quality Control). A change
  adds to one distance only; noise of any shape adds to all.
- The penalty is ``3 + 1.2 ln(n)`` for n runs. It was set by simulation, so that noise alone gives a
  change in fewer than 5 of 100 series of 8 to 80 runs, be it normal, uniform, exponential, Laplace,
  Student's t with 2 or 3 degrees, contaminated, or correlated by 0.2 from one run to the next.
  Values of which there are DISTINCT_FEW or fewer different ones (counts of failures) switch between
  levels by themselves, and take three times the penalty.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np

from harness.errors import NotInstalledError

__all__ = ["RUNS_MAX", "RUNS_MIN", "SEGMENT_RUNS", "find_changes", "is_installed"]

# With fewer runs there is too little before and after to tell a change from noise.
RUNS_MIN = 8
# Beyond it the time that is taken, which grows with the square, is over two seconds.
RUNS_MAX = 500
SEGMENT_RUNS = 3
DISTINCT_FEW = 4

_NEIGHBOURS_TO_DEVIATION = 1.128
_REMEDY = "is not installed; install it with: pip install 'agent-memory-harness[trend]'"


def is_installed() -> bool:
    """Whether the library that finds change points is there; it is not loaded."""
    return find_spec("ruptures") is not None


def find_changes(values: Sequence[float]) -> list[int]:
    """The places in a series from which on its level is another, in ascending order.

    Args:
        values: ``(n,)`` finite, in the order of time, RUNS_MIN to RUNS_MAX of them.

    Returns:
        Indices of the first value of each segment but the first; empty where nothing changed.

    Raises:
        ValueError: there are too few or too many values, or one is not finite.
        NotInstalledError: ruptures is not there.
    """
    if not RUNS_MIN <= len(values) <= RUNS_MAX or not np.isfinite(values).all():
        raise ValueError(f"{RUNS_MIN} to {RUNS_MAX} finite values are looked at")
    try:
        import ruptures
    except ImportError:
        raise NotInstalledError("ruptures", _REMEDY) from None
    series = np.asarray(values, np.float64)
    if (series > 0).all():
        series = np.log(series)
    with np.errstate(over="ignore"):
        noise = np.abs(np.diff(series)).mean() / _NEIGHBOURS_TO_DEVIATION
    if not np.isfinite(noise) or noise <= np.spacing(np.abs(series).max()):
        return []
    penalty = 3 + 1.2 * np.log(series.size)
    if np.unique(series).size <= DISTINCT_FEW:
        penalty *= 3
    search = ruptures.Pelt(model="l1", min_size=SEGMENT_RUNS, jump=1)
    ends = search.fit(series / noise).predict(pen=float(penalty))
    return [int(end) for end in ends[:-1]]

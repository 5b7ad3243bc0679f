"""A line through points by the Theil-Sen estimator, with an interval that may be believed.

The slope is the median of the slopes of all pairs of points (Theil 1950; P. K. Sen, "Estimates of
the Regression Coefficient Based on Kendall's Tau", Journal of the American Statistical
Association 63(324), 1968): up to 29% of the points may be wild without harm. Its interval is
Sen's, from the variance of Kendall's S with ties.

That variance is of independent points, and samples of a process's memory or of a rate are not:
each is much like the one before. With ``autocorrelated=True`` it is multiplied by the factor of
K. H. Hamed and A. R. Rao ("A modified Mann-Kendall trend test for autocorrelated data", Journal
of Hydrology 204, 1998), from the autocorrelation of the ranks of what the line leaves over, at
the lags where that is significant. Of few points that comes out too small (what a line leaves over
has less autocorrelation than what was there), so the factor is at least that of a first-order
autoregressive series, (1 + rho) / (1 - rho), with rho freed of that bias (M. G. Kendall, "Note
on Bias in the Estimation of Autocorrelation", Biometrika 41, 1954). Neither narrows an interval.

More than `POINTS_MAX` points are first made into so many medians of neighbours, which bounds the
pairs at half a million and takes most of the autocorrelation of neighbours away.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["POINTS_MAX", "TheilSen", "block_medians", "theil_sen"]

Floats = npt.NDArray[np.float64]

POINTS_MAX = 1_000
# Autocorrelation is estimated from so few points: more lags than a quarter of them say nothing.
_LAGS_RATIO = 0.25
_SIGNIFICANT_Z = 1.645
_CORRECTED_MIN = 8
_RHO_MAX = 0.95


class TheilSen(NamedTuple):
    """A line and the interval of its slope, in units of y for each unit of x."""

    slope: float
    intercept: float
    low: float
    high: float


def theil_sen(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    confidence: float = 0.95,
    autocorrelated: bool = False,
    points_max: int = POINTS_MAX,
) -> TheilSen | None:
    """Fit a line.

    Args:
        x: ``(n,)``; pairs of points with the same x give no slope.
        y: ``(n,)``; points that are not finite in both are left out.
        confidence: of the interval, in (0, 1).
        autocorrelated: widen the interval by what neighbours have in common; x is in order then.
        points_max: of more points medians are taken first.

    Returns:
        The line through the medians of x and y with the median slope; None when no two points
        have different x.
    """
    xs, ys = np.asarray(x, np.float64), np.asarray(y, np.float64)
    known = np.isfinite(xs) & np.isfinite(ys)
    xs, ys = xs[known], ys[known]
    if xs.size > points_max:
        xs, ys = block_medians(xs, ys, points_max)
    slopes = _pair_slopes(xs, ys)
    if not slopes.size:
        return None
    slope = float(np.median(slopes))
    intercept = float(np.median(ys) - slope * np.median(xs))
    variance = _variance_of_s(xs, ys)
    if autocorrelated:
        variance *= _correction(ys - slope * xs)
    low, high = _interval(slopes, variance, confidence)
    return TheilSen(slope, intercept, low, high)


def block_medians(x: Floats, y: Floats, blocks: int) -> tuple[Floats, Floats]:
    """Give the medians of x and y over so many runs of neighbours, by order of x, equally many."""
    order = np.argsort(x, kind="stable")
    return _medians(x[order], blocks), _medians(y[order], blocks)


def _medians(values: Floats, blocks: int) -> Floats:
    """Of so many runs of neighbours; the first ones are longer by one where it does not divide."""
    size, longer = divmod(values.size, min(blocks, max(values.size, 1)))
    split = longer * (size + 1)
    parts = [
        np.median(part.reshape(-1, length), axis=1)
        for part, length in ((values[:split], size + 1), (values[split:], size))
        if part.size
    ]
    return np.concatenate([np.empty(0), *parts])


def _pair_slopes(x: Floats, y: Floats) -> Floats:
    """The slopes of all pairs with different x, in order."""
    first, second = np.triu_indices(x.size, 1)
    run = x[second] - x[first]
    apart = run != 0
    return np.sort((y[second] - y[first])[apart] / run[apart])


def _variance_of_s(x: Floats, y: Floats) -> float:
    """The variance of Kendall's S for independent points, with ties (Sen 1968, section 3)."""
    total = _tied(np.array([x.size]))
    for values in (x, y):
        total -= _tied(np.unique(values, return_counts=True)[1])
    return max(0.0, total / 18)


def _tied(counts: npt.NDArray[np.int64]) -> float:
    sizes = counts.astype(np.float64)
    return float((sizes * (sizes - 1) * (2 * sizes + 5)).sum())


def _interval(slopes: Floats, variance: float, confidence: float) -> tuple[float, float]:
    """The slopes at the ranks that S may have with this confidence."""
    half_width = NormalDist().inv_cdf((1 + confidence) / 2) * np.sqrt(variance)
    upper = min(round((slopes.size + half_width) / 2), slopes.size - 1)
    lower = max(round((slopes.size - half_width) / 2) - 1, 0)
    return float(slopes[lower]), float(slopes[upper])


def _correction(left_over: Floats) -> float:
    """How much autocorrelation multiplies the variance of S: the greater of two estimates."""
    n = left_over.size
    if n < _CORRECTED_MIN:
        return 1.0
    ranks = np.argsort(np.argsort(left_over, kind="stable"), kind="stable").astype(np.float64)
    ranks -= ranks.mean()
    lags = np.arange(1, int(n * _LAGS_RATIO) + 1)
    rho = np.array([ranks[:-lag] @ ranks[lag:] for lag in lags]) / (ranks @ ranks)
    significant = np.abs(rho) > _SIGNIFICANT_Z / np.sqrt(n)
    weights = (n - lags) * (n - lags - 1.0) * (n - lags - 2.0)
    together = float((weights * rho)[significant].sum())
    all_lags = 1 + 2 * together / (n * (n - 1) * (n - 2))
    first_lag = 1.0
    if significant[0]:
        # Kendall's bias of rho after a line was taken away.
        unbiased = min((n * rho[0] + 1) / (n - 4), _RHO_MAX)
        first_lag = float((1 + unbiased) / (1 - unbiased))
    return max(1.0, all_lags, first_lag)

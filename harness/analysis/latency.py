"""Figures of a set of times: count, mean, extremes and exact percentiles.

Percentiles are of the rows themselves, never of histograms and never averaged. The method is
numpy's default, linear interpolation between the two nearest order statistics (type 7 of
Hyndman and Fan, "Sample Quantiles in Statistical Packages", The American Statistician 50(4),
1996), which is also what pandas and DuckDB's ``quantile_cont`` compute.

A percentile is given only where the sample can say something of it. The rule is Wilks'
("Determination of Sample Sizes for Setting Tolerance Limits", Annals of Mathematical
Statistics 12(1), 1941): the largest of n independent samples lies above the quantile q with
probability 1 - q**n, so that with fewer than ln(0.05) / ln(q) samples not even the largest is,
with 95% confidence, an upper bound of it. That asks for 5 samples for p50, 29 for p90, 59 for
p95, 299 for p99 and 2,995 for p99.9. Operations that share a batch are not independent: the
rule is a floor, not a confidence interval.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["PERCENTILES", "LatencyFigures", "fewest_samples", "latency_figures"]

LatencyFigures = dict[str, int | float | None]

PERCENTILES = {
    "p50_ms": 0.50,
    "p90_ms": 0.90,
    "p95_ms": 0.95,
    "p99_ms": 0.99,
    "p999_ms": 0.999,
}
_CONFIDENCE = 0.95
_NS_PER_MS = 1e6


def fewest_samples(quantile: float) -> int:
    """Give the smallest sample that says anything of an upper quantile (Wilks, 1941).

    Args:
        quantile: within [0.5, 1).

    Raises:
        ValueError: the quantile is outside that range.
    """
    if not 0.5 <= quantile < 1:
        raise ValueError(f"quantile: {quantile} is not within [0.5, 1)")
    return math.ceil(math.log(1 - _CONFIDENCE) / math.log(quantile))


def latency_figures(latency_ns: npt.NDArray[Any]) -> LatencyFigures:
    """Sum up times in nanoseconds as figures in milliseconds.

    Args:
        latency_ns: ``(n,)`` integers or floats, in any order; not changed.

    Returns:
        ``count, mean_ms, min_ms, p50_ms, p90_ms, p95_ms, p99_ms, p999_ms, max_ms``. Every
        figure but the count is None when there are no samples, and a percentile is None when
        there are fewer than `fewest_samples` of it.
    """
    count = int(latency_ns.size)
    figures: LatencyFigures = {"count": count, "mean_ms": None, "min_ms": None}
    figures |= dict.fromkeys(PERCENTILES)
    figures["max_ms"] = None
    if count == 0:
        return figures
    figures["mean_ms"] = float(latency_ns.mean()) / _NS_PER_MS
    figures["min_ms"] = float(latency_ns.min()) / _NS_PER_MS
    figures["max_ms"] = float(latency_ns.max()) / _NS_PER_MS
    known = {name: q for name, q in PERCENTILES.items() if count >= fewest_samples(q)}
    if known:
        values = np.quantile(latency_ns, list(known.values()), method="linear") / _NS_PER_MS
        figures |= dict(zip(known, values.tolist(), strict=True))
    return figures

"""The shape of a set of times: its percentile curve and its histogram, exact from the rows.

The percentile curve has the quantile on a scale of nines, ``-log10(1 - q)``: 1 is the 90th
percentile, 2 the 99th, 3 the 99.9th. It ends where the sample no longer supports a percentile
(`harness.analysis.latency`). The histogram's buckets are equally wide on a logarithmic axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["histogram_edges", "nines_scale", "percentile_curve", "shares", "supported_nines"]

Times = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# -ln(0.05): the rule of Wilks for small 1 - q, as `harness.analysis.latency.fewest_samples`.
_SAMPLES_BEYOND = 3.0
_POINTS_A_NINE = 40
_BUCKETS_MAX = 90
# Buckets narrower than this (2% of a time) show the noise of the clock and of the sample.
_BUCKET_RATIO_MIN = 1.02


def supported_nines(samples: int) -> float:
    """How far up the scale of nines a sample of this size supports percentiles."""
    return max(0.0, math.log10(max(samples, 1) / _SAMPLES_BEYOND))


def percentile_curve(ordered: Times, nines: Sequence[float]) -> list[float | None]:
    """The percentiles of times in ascending order, in milliseconds, at points of the scale.

    Linear interpolation between order statistics, as every percentile of a summary. None beyond
    what the sample supports.
    """
    if not ordered.size:
        return [None] * len(nines)
    scale = np.asarray(nines, np.float64)
    places = (1 - np.power(10.0, -scale)) * (ordered.size - 1)
    below = np.floor(places).astype(np.int64)
    above = np.minimum(below + 1, ordered.size - 1)
    part = places - below
    values = (ordered[below] * (1 - part) + ordered[above] * part) / 1e6
    supported = scale <= supported_nines(ordered.size)
    return [float(one) if fits else None for one, fits in zip(values, supported, strict=True)]


def nines_scale(samples: int) -> list[float]:
    """Points from the least value up to the highest percentile that a sample supports."""
    top = supported_nines(samples)
    steps = max(2, math.ceil(top * _POINTS_A_NINE) + 1)
    return [float(one) for one in np.linspace(0.0, top, steps)]


def histogram_edges(least_ns: int, most_ns: int, samples: int) -> Floats:
    """Edges of buckets from the least time to the most, each a fixed ratio wider than the last.

    As many as the sample can fill: twice its cube root (Rice's rule, D. Lane, "Online Statistics
    Education", 2.6), between 8 and 90, and none narrower than 2%.
    """
    low = max(least_ns, 1)
    high = max(most_ns, low)
    span = math.log(high / low)
    finest = max(1, math.floor(span / math.log(_BUCKET_RATIO_MIN)))
    buckets = min(_BUCKETS_MAX, max(8, math.ceil(2 * samples ** (1 / 3))), finest)
    edges: Floats = np.geomspace(low, high * (1 + 1e-9) + 1, buckets + 1)
    edges[0] = low
    return edges


def shares(ordered: Times, edges: Floats) -> list[float | None]:
    """Which share of times in ascending order lies in each bucket, in percent; they add to 100."""
    if not ordered.size:
        return [None] * (edges.size - 1)
    places = np.searchsorted(ordered, edges)
    places[0], places[-1] = 0, ordered.size
    return [float(one) for one in np.diff(places) / ordered.size * 100]

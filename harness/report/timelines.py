"""Values over time in bins: operations as they finished, and samples of machines.

A bin is ``[begin, begin + width)``. Nothing is smoothed. Where samples are more than bins, a bin
shows their mean with the least and the most beside it, so that no peak goes unseen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.analysis.latency import fewest_samples

__all__ = [
    "BINS_MAX",
    "Bins",
    "Thinned",
    "counts_by_bin",
    "known",
    "means_by_bin",
    "per_second",
    "quantiles_by_bin",
    "thin",
]

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]
Optional = list[float | None]

BINS_MAX = 240
# Points of a line of samples; beyond it they are thinned.
POINTS_MAX = 600
_WIDTHS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400)
# A bin that the run covers less of than this says nothing of a rate.
_COVERED_MIN_RATIO = 0.2


@dataclass(frozen=True)
class Bins:
    """Equal bins over a span of time.

    Attributes:
        begin_ns: where the first begins, on the clock of the times that are put in.
        end_ns: where the span ends, within the last bin.
        width_ns: of each.
        size: how many.
    """

    begin_ns: int
    end_ns: int
    width_ns: int
    size: int

    @classmethod
    def over(cls, begin_ns: int, end_ns: int) -> Bins:
        """Bins of a round width, at most `BINS_MAX` of them for up to 240 days."""
        span_s = max(end_ns - begin_ns, 1) / 1e9
        fitting = [width_s for width_s in _WIDTHS_S if span_s / width_s <= BINS_MAX]
        width_s = fitting[0] if fitting else span_s / BINS_MAX
        width_ns = max(int(width_s * 1e9), 1)
        size = max(1, -(-(end_ns - begin_ns) // width_ns))
        return cls(begin_ns, end_ns, width_ns, size)

    def holding(self, operations: int, total: int) -> Bins:
        """Bins of the same span, wide enough for this many of the total each; 8 at the least."""
        size = max(8, min(self.size, total // max(operations, 1)))
        fitting = [w for w in _WIDTHS_S if (self.end_ns - self.begin_ns) / 1e9 / w <= size]
        width_ns = max(int(fitting[0] * 1e9), self.width_ns) if fitting else self.width_ns
        return Bins(
            self.begin_ns,
            self.end_ns,
            width_ns,
            max(1, -(-(self.end_ns - self.begin_ns) // width_ns)),
        )

    def of(self, at_ns: Times) -> npt.NDArray[np.int16]:
        """The bin of each moment; what lies outside is put into the first or the last."""
        place = (at_ns - self.begin_ns) // self.width_ns
        return np.clip(place, 0, self.size - 1).astype(np.int16)

    def covered_s(self) -> Floats:
        """How many seconds of each bin the span covers; NaN where that is too little."""
        begins = self.begin_ns + np.arange(self.size) * self.width_ns
        covered = np.clip(self.end_ns - begins, 0, self.width_ns) / 1e9
        return np.where(covered < _COVERED_MIN_RATIO * self.width_ns / 1e9, np.nan, covered)

    def centres_s(self, origin_ns: int) -> list[float]:
        """The middle of each bin in seconds from an origin on the same clock."""
        first_s = (self.begin_ns - origin_ns + self.width_ns / 2) / 1e9
        return [first_s + place * self.width_ns / 1e9 for place in range(self.size)]

    @property
    def width_s(self) -> float:
        """The width in seconds."""
        return self.width_ns / 1e9


def counts_by_bin(place: npt.NDArray[np.int16], bins: Bins) -> Optional:
    """Operations a second in each bin."""
    return known(np.bincount(place, minlength=bins.size) / bins.covered_s())


def means_by_bin(place: npt.NDArray[np.int16], values: npt.NDArray[Any], bins: Bins) -> Optional:
    """The mean of the values in each bin; None for an empty one."""
    counts = np.bincount(place, minlength=bins.size)
    sums = np.bincount(place, weights=values, minlength=bins.size)
    return known(np.where(counts > 0, sums / np.maximum(counts, 1), np.nan))


def quantiles_by_bin(
    place: npt.NDArray[np.int16], values: Floats, bins: Bins, quantiles: tuple[float, ...]
) -> list[Optional]:
    """Exact quantiles of each bin's values, None where too few support one."""
    found = np.full((len(quantiles), bins.size), np.nan)
    order = np.argsort(place, kind="stable")  # a radix sort: the bins are 16-bit integers
    ends = np.cumsum(np.bincount(place, minlength=bins.size))
    begin = 0
    for number, end in enumerate(ends.tolist()):
        enough = [place for place, q in enumerate(quantiles) if end - begin >= fewest_samples(q)]
        if enough:
            of_bin = values[order[begin:end]]
            found[enough, number] = np.quantile(of_bin, [quantiles[one] for one in enough])
        begin = end
    return [known(row) for row in found]


@dataclass(frozen=True)
class Thinned:
    """A line of samples; `low` and `high` are set where several became one."""

    at: list[float]
    values: Optional
    low: Optional | None = None
    high: Optional | None = None


def thin(at_s: Floats, values: Floats, points_max: int = POINTS_MAX) -> Thinned:
    """At most `points_max` points of a line in ascending time.

    Beyond that, runs of equally many samples become one point each: at their mean time, with
    their mean, least and most. NaN is left out of all three.
    """
    if at_s.size <= points_max:
        return Thinned([float(one) for one in at_s], known(values))
    parts = list(_parts(at_s.size, points_max))
    rows = [values[part][~np.isnan(values[part])] for part in parts]
    return Thinned(
        [float(at_s[part].mean()) for part in parts],
        [float(row.mean()) if row.size else None for row in rows],
        [float(row.min()) if row.size else None for row in rows],
        [float(row.max()) if row.size else None for row in rows],
    )


def _parts(size: int, parts: int) -> Iterator[slice]:
    edges = np.linspace(0, size, parts + 1).astype(int).tolist()
    for begin, end in pairwise(edges):
        yield slice(begin, end)


def per_second(at_s: Floats, counter: Floats) -> Floats:
    """How fast a counter grew up to each sample; NaN at the first, and where it fell back."""
    rates = np.full(counter.size, np.nan)
    if counter.size > 1:
        elapsed_s, grown = np.diff(at_s), np.diff(counter)
        usable = (elapsed_s > 0) & (grown >= 0)
        rates[1:][usable] = grown[usable] / elapsed_s[usable]
    return rates


def known(values: Floats) -> Optional:
    """Floats with None for what is not finite."""
    return [float(one) if np.isfinite(one) else None for one in values]

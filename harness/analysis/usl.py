"""The Universal Scalability Law, fitted to throughput at several numbers of agents.

    X(N) = lambda * N / (1 + sigma * (N - 1) + kappa * N * (N - 1))

lambda is the throughput of one agent, sigma the contention (the share that is serial), kappa the
coherency (the price of each pair that must agree); N. J. Gunther, "Guerrilla Capacity Planning",
Springer 2007, chapters 4 to 6. With kappa above 0 throughput peaks at sqrt((1 - sigma) / kappa).

Fit. N / X is linear in three coefficients that are never negative,

    N / X(N) = serial + paid * N + pairs * N * (N - 1)

with lambda = 1 / (serial + paid), sigma = paid * lambda, kappa = pairs * lambda, so that sigma
lies in [0, 1] and kappa is 0 or more by construction, and no starting value is needed. Relative
errors are what repeats differ by, so the sum of squares of ln X is minimised: Gauss-Newton steps,
each a non-negative least squares problem of three unknowns, which is solved exactly by trying
every set of them that may be above zero (Lawson and Hanson, "Solving Least Squares Problems",
1974, chapter 23, has the conditions); a step is shortened until it lowers the sum. Of fits that
are equal to within rounding the one with fewest coefficients is taken.

Intervals. Residuals of ln X, each divided by sqrt(1 - its leverage) and centred, are drawn with
replacement and added to the fit, which is fitted again (Davison and Hinkley, "Bootstrap Methods
and their Application", 1997, 6.3 and 7.3). Points of one count are repeats; residuals are pooled
over counts, so that one repeat is enough and a misfit of the law widens the intervals. They are
enlarged by t(n - 3) / z before they are drawn, for n points of which 3 are used up say only so
much about the noise. With 3 points nothing is left over and no interval is given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.analysis.bootstrap import Estimate
from harness.analysis.student import normal_half_width, student_half_width
from harness.analysis.usl_solver import design_matrix, fit_coefficients, leverages

__all__ = ["FARTHEST_PEAK", "FEWEST_COUNTS", "UslFit", "fit_usl", "usable_points"]

Floats = npt.NDArray[np.float64]

FEWEST_COUNTS = 3
# A peak that lies further out than this many times the largest count measured is not foretold.
FARTHEST_PEAK = 10.0
_COEFFICIENTS = 3
# Of ln X, a factor of nearly 5e8. What is further off follows no law at all, and would overflow.
_LARGEST_RESIDUAL = 20.0
# Beyond this, up or down, neither a count nor a throughput is one, and squares would overflow.
_MOST = 1e18
_CURVE_POINTS = 60
_CURVE_BEYOND = 2.0


@dataclass(frozen=True, kw_only=True)
class UslFit:
    """A fitted law.

    Attributes:
        throughput_of_one: lambda, operations a second of one agent.
        contention: sigma, within [0, 1].
        coherency: kappa.
        peak_agents: where throughput peaks; None when kappa is 0, or when that is more than
            `FARTHEST_PEAK` times the largest count measured. Its high end is None when it is.
        peak_ops_s: throughput there; None with `peak_agents`.
        r_squared: share of the variance of the throughput that the law explains; None when it
            does not vary. Small, too, where throughput hardly varies and the law fits well.
        misfit_ratio: how far the points typically lie from the law (root mean square).
        no_peak_before: what the data rule out: below this there is no peak, with half of what
            the confidence leaves over as the risk; None when no interval is known.
        smallest_agents: smallest count measured.
        largest_agents: largest count measured; whatever is beyond it is extrapolated.
        points: how many points were fitted.
        dropped: points left out because they were not positive numbers.
        confidence: of every interval.
    """

    throughput_of_one: Estimate
    contention: Estimate
    coherency: Estimate
    peak_agents: Estimate | None
    peak_ops_s: Estimate | None
    r_squared: float | None
    misfit_ratio: float
    no_peak_before: float | None
    smallest_agents: float
    largest_agents: float
    points: int
    dropped: int
    confidence: float
    _measured: Floats = field(repr=False)
    _coefficients: Floats = field(repr=False)
    _drawn: Floats = field(repr=False)

    def curve(self, agents: npt.ArrayLike | None = None) -> list[dict[str, Any]]:
        """Give the fitted throughput, with its interval.

        Args:
            agents: ``(m,)`` counts, 1 or more; by default some 60 from the smallest count to
                twice the largest, or a little past the peak, with every measured one.

        Returns:
            ``{agents, ops_s, low, high, extrapolated}`` each; low and high are None when no
            interval is known.
        """
        where = self._grid() if agents is None else np.asarray(agents, dtype=np.float64)
        fitted = _throughput(where, self._coefficients)
        lows: list[float | None] = [None] * where.size
        highs = lows
        if self._drawn.size:
            drawn = _throughput(where, self._drawn)
            lows = np.minimum(_quantile(drawn, (1 - self.confidence) / 2), fitted).tolist()
            highs = np.maximum(_quantile(drawn, (1 + self.confidence) / 2), fitted).tolist()
        beyond = (where > self.largest_agents).tolist()
        columns = (where.tolist(), fitted.tolist(), lows, highs, beyond)
        names = ("agents", "ops_s", "low", "high", "extrapolated")
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def _grid(self) -> Floats:
        end = _CURVE_BEYOND * self.largest_agents
        if self.peak_agents is not None and self.peak_agents["estimate"] is not None:
            end = max(end, 1.25 * self.peak_agents["estimate"])
        spread = np.geomspace(self.smallest_agents, end, _CURVE_POINTS)
        whole = np.round(spread) if end > _CURVE_POINTS else spread
        return np.unique(np.concatenate([whole, self._measured]))


def fit_usl(
    agents: npt.ArrayLike,
    ops_s: npt.ArrayLike,
    *,
    confidence: float = 0.95,
    resamples: int = 500,
    seed: int = 1,
) -> UslFit | None:
    """Fit the law to throughputs; points of the same count are repeats.

    Args:
        agents: ``(n,)`` counts, 1 or more.
        ops_s: ``(n,)`` throughputs, above 0. Points of which either is not so, or not finite,
            are left out and counted.
        confidence: of the intervals, within (0, 1).
        resamples: fits that the intervals are made of.
        seed: the same seed gives the same intervals.

    Returns:
        None with fewer than 3 different counts; `harness.analysis.usl_report` says so in words.

    Raises:
        ValueError: the two are not of one length, or an option is outside its range.
    """
    normal_half_width(confidence)
    if resamples < 1:
        raise ValueError(f"resamples: {resamples} is less than 1")
    counts, throughputs, dropped = usable_points(agents, ops_s)
    if np.unique(counts).size < FEWEST_COUNTS:
        return None
    design = design_matrix(counts)
    best = fit_coefficients(design, np.log(counts / throughputs)[None])
    drawn = _drawn_fits(counts, throughputs, best[0], confidence, resamples, seed)
    law, drawn_laws = _laws(best), _laws(drawn)
    of_one, contention, coherency = (
        _estimate(float(law[0, column]), drawn_laws[:, column], confidence) for column in range(3)
    )
    peak, peak_ops_s, no_peak_before = _peak(best, drawn, float(counts.max()), confidence)
    fitted = _throughput(counts, best[0])
    return UslFit(
        throughput_of_one=of_one,
        contention=contention,
        coherency=coherency,
        peak_agents=peak,
        peak_ops_s=peak_ops_s,
        r_squared=_r_squared(throughputs, fitted),
        misfit_ratio=float(np.expm1(np.sqrt((np.log(throughputs / fitted) ** 2).mean()))),
        no_peak_before=no_peak_before,
        smallest_agents=float(counts.min()),
        largest_agents=float(counts.max()),
        points=int(counts.size),
        dropped=dropped,
        confidence=confidence,
        _measured=np.unique(counts),
        _coefficients=best[0],
        _drawn=drawn,
    )


def usable_points(agents: npt.ArrayLike, ops_s: npt.ArrayLike) -> tuple[Floats, Floats, int]:
    """Take out points that no law can be fitted to.

    Returns:
        ``(m,)`` counts, ``(m,)`` throughputs, and how many points were left out.

    Raises:
        ValueError: the two are not ``(n,)`` of one length.
    """
    counts = np.asarray(agents, dtype=np.float64)
    throughputs = np.asarray(ops_s, dtype=np.float64)
    if counts.ndim != 1 or counts.shape != throughputs.shape:
        shapes = f"{counts.shape} and {throughputs.shape}"
        raise ValueError(f"agents, ops_s: have shapes {shapes}; give one throughput for each count")
    # A comparison with NaN is false.
    good = (counts >= 1) & (counts <= _MOST) & (throughputs >= 1 / _MOST) & (throughputs <= _MOST)
    return counts[good], throughputs[good], int((~good).sum())


def _drawn_fits(
    counts: Floats,
    throughputs: Floats,
    best: Floats,
    confidence: float,
    resamples: int,
    seed: int,
) -> Floats:
    """Coefficients ``(resamples, 3)`` of fits to drawn points; ``(0, 3)`` when none can be."""
    spare = counts.size - _COEFFICIENTS
    if spare < 1:
        return np.empty((0, _COEFFICIENTS))
    design = design_matrix(counts)
    fitted = np.log(design @ best)
    residuals = np.log(counts / throughputs) - fitted
    residuals /= np.sqrt(np.maximum(1 - leverages(design, best), 1e-3))
    residuals -= residuals.mean()
    residuals *= student_half_width(spare, confidence) / normal_half_width(confidence)
    residuals = np.clip(residuals, -_LARGEST_RESIDUAL, _LARGEST_RESIDUAL)
    generator = np.random.default_rng(seed)
    chosen = generator.integers(counts.size, size=(resamples, counts.size))
    return fit_coefficients(design, fitted + residuals[chosen])


def _laws(coefficients: Floats) -> Floats:
    """Lambda, sigma and kappa ``(m, 3)`` of coefficients ``(m, 3)``."""
    serial, paid, pairs = coefficients.T
    of_one = 1 / (serial + paid)
    return np.stack([of_one, paid * of_one, pairs * of_one], axis=1)


def _throughput(agents: Floats, coefficients: Floats) -> Floats:
    """X at counts ``(n,)`` by coefficients ``(3,)`` or ``(m, 3)``: ``(n,)`` or ``(m, n)``."""
    return agents / (coefficients @ design_matrix(agents).T)


def _quantile(drawn: Floats, at: float) -> Floats:
    """A quantile of each column; of one that was drawn, since some may be infinite."""
    lower_end = at < 0.5
    return np.quantile(drawn, at, axis=0, method="lower" if lower_end else "higher")


def _estimate(estimate: float, drawn: Floats, confidence: float) -> Estimate:
    if drawn.size == 0:
        return Estimate(estimate=estimate, low=None, high=None)
    low = float(_quantile(drawn, (1 - confidence) / 2))
    high = float(_quantile(drawn, (1 + confidence) / 2))
    return Estimate(estimate=estimate, low=min(low, estimate), high=max(high, estimate))


def _peaks(coefficients: Floats) -> tuple[Floats, Floats]:
    """Where each of ``(m, 3)`` fits peaks, infinity when it never does, and its height there.

    A fit that does not peak rises towards a ceiling of 1 / paid, infinity when nothing is paid.
    """
    serial, paid, pairs = coefficients.T
    with np.errstate(divide="ignore", invalid="ignore"):
        where = np.where(pairs > 0, np.sqrt(serial / pairs), np.inf)
        where = np.maximum(where, 1.0)
        heights = where / (serial + paid * where + pairs * where * (where - 1))
        heights = np.where(np.isfinite(where), heights, 1 / paid)
    return where, heights


def _peak(
    best: Floats, drawn: Floats, largest: float, confidence: float
) -> tuple[Estimate | None, Estimate | None, float | None]:
    """Where the law peaks, how high, and before where it does not."""
    where, height = (float(one[0]) for one in _peaks(best))
    drawn_where, drawn_heights = _peaks(drawn)
    peak = _estimate(where, drawn_where, confidence)
    peak_ops_s = _estimate(height, drawn_heights, confidence)
    farthest = FARTHEST_PEAK * largest
    no_peak_before = None if peak["low"] is None else min(peak["low"], farthest)
    if where > farthest:
        return None, None, no_peak_before
    if peak["high"] is not None and peak["high"] > farthest:
        peak["high"] = None
    if peak_ops_s["high"] is not None and not math.isfinite(peak_ops_s["high"]):
        peak_ops_s["high"] = None
    return peak, peak_ops_s, no_peak_before


def _r_squared(measured: Floats, fitted: Floats) -> float | None:
    around_mean = float(((measured - measured.mean()) ** 2).sum())
    if around_mean <= 1e-18 * float((measured**2).sum()):
        return None
    return 1 - float(((measured - fitted) ** 2).sum()) / around_mean

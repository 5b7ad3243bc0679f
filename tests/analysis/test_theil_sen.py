"""The Theil-Sen line: scipy's figures, wild points, autocorrelation, and many points."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import theilslopes

from harness.analysis.theil_sen import POINTS_MAX, block_medians, theil_sen


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_the_line_and_its_interval_are_those_of_scipy(seed, confidence):
    """On noisy points, with ties in x and in y, all four figures agree with theilslopes."""
    rng = np.random.default_rng(seed)
    x = np.sort(rng.integers(0, 60, 50) if seed % 2 else rng.uniform(0, 60, 50)).astype(float)
    y = 3 - 0.5 * x + rng.normal(0, 4, 50)
    if seed % 4 >= 2:
        y = np.round(y)
    found = theil_sen(x, y, confidence=confidence)
    known = theilslopes(y, x, alpha=confidence)
    assert found is not None
    assert found.slope == pytest.approx(known.slope)
    assert found.intercept == pytest.approx(known.intercept)
    assert found.low == pytest.approx(known.low_slope)
    assert found.high == pytest.approx(known.high_slope)


def test_a_quarter_of_wild_points_does_no_harm():
    """With 25 of 100 points far off the line the slope stays within 5% of the line's."""
    rng = np.random.default_rng(3)
    x = np.arange(100.0)
    y = 7 + 2 * x + rng.normal(0, 1, 100)
    y[rng.choice(100, 25, replace=False)] += rng.uniform(500, 900, 25)
    found = theil_sen(x, y)
    assert found is not None
    assert found.slope == pytest.approx(2, rel=0.05)
    assert found.low < 2 < found.high


def test_missing_values_are_left_out():
    """NaN and infinity in x or y are as if the point were not there."""
    x = np.array([0, 1, 2, np.nan, 4, 5, 6])
    y = np.array([0, 2, np.nan, 9, 8, np.inf, 12])
    assert theil_sen(x, y) == theil_sen([0, 1, 4, 6], [0, 2, 8, 12])


@pytest.mark.parametrize("x", [[], [1.0], [2.0, 2.0, 2.0], [np.nan, 1.0]])
def test_no_two_different_x_give_no_line(x):
    """Without a pair of points there is no slope, and that is said by None."""
    assert theil_sen(x, np.zeros(len(x))) is None


@pytest.mark.parametrize("points", [2, 3])
def test_few_points_have_the_whole_range_as_their_interval(points):
    """Two or three points cannot bound a slope any closer than by those of their pairs."""
    x, y = np.arange(float(points)), np.array([0.0, 1.0, 5.0])[:points]
    found = theil_sen(x, y)
    assert found is not None
    assert (found.low, found.high) == (1.0, 1.0 if points == 2 else 4.0)


def test_many_points_are_made_into_medians_first():
    """A hundred thousand points give the line that their thousand medians give."""
    rng = np.random.default_rng(5)
    x = np.arange(100_000.0)
    y = 0.001 * x + rng.normal(0, 5, x.size)
    assert theil_sen(x, y) == theil_sen(*block_medians(x, y, POINTS_MAX))
    found = theil_sen(x, y)
    assert found is not None
    assert found.low < 0.001 < found.high
    assert found.high - found.low < 1e-5


def _misses(rng, rho, *, autocorrelated, tries=200, points=60):
    """How many of so many intervals miss the slope 0 of an AR(1) series."""
    missed = 0
    for _ in range(tries):
        noise = rng.normal(size=points)
        for place in range(1, points):
            noise[place] += rho * noise[place - 1]
        found = theil_sen(np.arange(float(points)), noise, autocorrelated=autocorrelated)
        missed += not found.low <= 0 <= found.high
    return missed / tries


def test_the_interval_of_autocorrelated_points_is_honest():
    """Where neighbours are alike, a naive 95% interval misses in a third; the wide one seldom."""
    naive = _misses(np.random.default_rng(7), 0.6, autocorrelated=False)
    widened = _misses(np.random.default_rng(7), 0.6, autocorrelated=True)
    assert naive > 0.25
    assert widened < 0.13


def test_independent_points_keep_their_interval():
    """Without autocorrelation the widened interval still misses in about one of twenty only."""
    assert _misses(np.random.default_rng(9), 0.0, autocorrelated=True) < 0.08

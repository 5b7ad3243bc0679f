"""Warm-up found from the data, on series whose warm-up is known."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.steady import POINTS_MIN, steady_state

SEEDS = 40


def _noise(rng, n, rho=0.5):
    """First-order autoregressive noise of standard deviation 1."""
    noise = rng.normal(size=n)
    for place in range(1, n):
        noise[place] += rho * noise[place - 1]
    return noise * np.sqrt(1 - rho**2)


def _found(shape, n=300, spread=5.0, rho=0.5):
    """What is found of a level of 100 with noise, times the shape of (rng, t), for many seeds."""
    t = np.arange(float(n))
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        yield steady_state(t, shape(rng, t) * (100 + spread * _noise(rng, n, rho)))


@pytest.mark.parametrize("n", [60, 300, 900])
@pytest.mark.parametrize("spread", [2.0, 30.0])
@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_a_stationary_series_has_no_warm_up(n, spread, rho):
    """Noise about one level is steady from the start, in 19 of 20 series and more."""
    found = list(_found(lambda rng, t: np.ones(t.size), n, spread, rho))
    assert sum(one["warmup_s"] == 0.0 for one in found) >= 0.95 * SEEDS


@pytest.mark.parametrize("n", [60, 120, 600])
@pytest.mark.parametrize("level", [0.6, 1.8])
def test_a_step_is_found_where_it_is(n, level):
    """A first fifth at another level is warm-up, and no less than that; seldom 15% more."""
    found = list(_found(lambda rng, t: np.where(t < n / 5, level, 1.0), n))
    assert all(one["settled"] for one in found)
    warmups_s = np.array([one["warmup_s"] for one in found])
    assert (warmups_s >= n / 5 - 5).all()
    assert (warmups_s <= n * 0.35).mean() >= 0.9
    assert np.median(warmups_s) <= n / 5 + 5


@pytest.mark.parametrize("n", [120, 300, 900])
def test_a_warm_up_that_levels_off_is_found(n):
    """An exponential approach is cut where little of it is left, within two fifths of the run."""
    tau = 0.06 * n
    found = list(_found(lambda rng, t: 1 - 0.6 * np.exp(-t / tau), n))
    assert sum(one["settled"] is True for one in found) >= 0.95 * SEEDS
    warmups_s = np.array([one["warmup_s"] for one in found if one["settled"]])
    assert (warmups_s > 0).mean() >= 0.9
    left = 0.6 * np.exp(-np.median(warmups_s) / tau)
    assert left < 0.2


@pytest.mark.parametrize("n", [120, 300, 900])
@pytest.mark.parametrize("change", [-0.4, 0.6])
def test_a_drift_to_the_end_never_settles(n, change):
    """What falls by 40% or rises by 60% over the run is said never to have settled."""
    found = list(_found(lambda rng, t: 1 + change * t / n, n))
    assert sum(one["settled"] is False for one in found) >= 0.95 * SEEDS
    assert "never settled" in next(one["sentence"] for one in found if not one["settled"])


@pytest.mark.parametrize("at", [0.6, 0.8])
def test_a_change_late_in_the_run_is_no_warm_up(at):
    """A level that the run takes up in its second half means that it never settled."""
    found = list(_found(lambda rng, t: np.where(t < at * t.size, 1.0, 1.5)))
    assert all(one["settled"] is False for one in found)
    assert all(one["warmup_s"] is None for one in found)


@pytest.mark.parametrize("period", [4, 10, 30, 100])
def test_a_steady_swing_is_settled(period):
    """A swing by 20% with a period that fits several times is neither warm-up nor drift."""

    def swing(rng, t):
        return 1 + 0.2 * np.sin(2 * np.pi * t / period + rng.uniform(0, 2 * np.pi))

    found = list(_found(swing))
    assert sum(one["warmup_s"] == 0.0 for one in found) >= 0.95 * SEEDS


def test_stalls_of_a_second_are_no_warm_up():
    """Wild seconds, 3 in a hundred and up to ten times the level, change nothing."""

    def stalls(rng, t):
        return np.where(rng.random(t.size) < 0.03, rng.uniform(2, 10, t.size), 1.0)

    found = list(_found(stalls))
    assert sum(one["warmup_s"] == 0.0 for one in found) >= 0.95 * SEEDS


@pytest.mark.parametrize("n", [0, 1, POINTS_MIN - 1])
def test_too_short_a_series_is_not_judged(n):
    """Below the least number of values the answer is that it cannot be told."""
    found = steady_state(np.arange(n), np.ones(n))
    assert (found["settled"], found["warmup_s"]) == (None, None)
    assert f"{n} of the {POINTS_MIN}" in found["sentence"]


def test_a_constant_series_and_missing_values_are_no_trouble():
    """A constant is steady; what is missing is as if it were not there."""
    values = np.full(100, 7.0)
    values[::9] = np.nan
    assert steady_state(np.arange(100), values)["warmup_s"] == 0.0
    assert steady_state(np.arange(100), np.zeros(100))["warmup_s"] == 0.0


def test_very_many_values_are_judged_in_bounded_time():
    """A day of seconds with half an hour of warm-up gives that half an hour."""
    t = np.arange(86_400.0)
    rng = np.random.default_rng(2)
    found = steady_state(t, 100 + 5 * rng.normal(size=t.size) - 40 * (t < 9_000))
    assert found["warmup_s"] == pytest.approx(9_000, abs=900)


def test_the_last_moments_are_no_level_of_their_own():
    """A slow spell in the last 3 of 100 seconds is an event: the run had settled before."""
    found = list(_found(lambda rng, t: np.where(t < 0.97 * t.size, 1.0, 1.8)))
    assert all(one["warmup_s"] == 0.0 for one in found)

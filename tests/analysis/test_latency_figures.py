"""Latency figures against numpy, hand-worked cases and the rule for too few samples."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.latency import PERCENTILES, fewest_samples, latency_figures


def test_no_samples_give_a_count_of_zero_and_nothing_else():
    """Without samples every figure but the count is None."""
    figures = latency_figures(np.empty(0, np.int64))
    assert figures.pop("count") == 0
    assert set(figures.values()) == {None}


def test_figures_match_a_hand_worked_case():
    """The median of 1 to 5 ms is 3 ms, and so is the mean."""
    figures = latency_figures(np.array([5, 1, 4, 2, 3], np.int64) * 1_000_000)
    assert figures["count"] == 5
    assert (figures["min_ms"], figures["p50_ms"], figures["mean_ms"], figures["max_ms"]) == (
        1.0,
        3.0,
        3.0,
        5.0,
    )


def test_percentiles_are_those_of_numpy():
    """Every percentile of a large sample is numpy's, by linear interpolation."""
    latency_ns = np.random.default_rng(7).lognormal(14, 1, 10_000).astype(np.int64)
    figures = latency_figures(latency_ns)
    for name, quantile in PERCENTILES.items():
        assert figures[name] == pytest.approx(np.percentile(latency_ns, 100 * quantile) / 1e6)


@pytest.mark.parametrize(
    ("quantile", "fewest"), [(0.5, 5), (0.9, 29), (0.95, 59), (0.99, 299), (0.999, 2995)]
)
def test_the_rule_for_too_few_samples_is_that_of_wilks(quantile, fewest):
    """The fewest samples are the first whose largest bounds the quantile with 95% confidence."""
    assert fewest_samples(quantile) == fewest
    assert 1 - quantile**fewest >= 0.95 > 1 - quantile ** (fewest - 1)


@pytest.mark.parametrize("name", PERCENTILES)
def test_a_percentile_is_none_until_there_are_enough_samples(name):
    """One sample short of the rule a percentile is None; at the rule it is a number."""
    fewest = fewest_samples(PERCENTILES[name])
    assert latency_figures(np.arange(fewest - 1))[name] is None
    assert latency_figures(np.arange(fewest))[name] is not None


@pytest.mark.parametrize("quantile", [0.0, 0.49, 1.0, 2.0])
def test_the_rule_refuses_what_is_no_upper_quantile(quantile):
    """A quantile outside [0.5, 1) is a ValueError that names it."""
    with pytest.raises(ValueError, match="quantile"):
        fewest_samples(quantile)


def test_the_samples_are_left_as_they_are():
    """Computing figures neither sorts nor changes what is given."""
    latency_ns = np.array([3, 1, 2] * 100)
    before = latency_ns.copy()
    latency_figures(latency_ns)
    assert np.array_equal(latency_ns, before)

"""Bootstrap intervals: coverage on made data, small samples, and what is no number."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from scipy import stats

from harness.analysis.bootstrap import Estimate, bootstrap_interval, ratio_interval

SHAPES: dict[str, tuple[Callable[[np.random.Generator, int], np.ndarray], float]] = {
    "normal": (lambda generator, n: 100 + 10 * generator.standard_normal(n), 100.0),
    "exponential": (lambda generator, n: generator.exponential(1.0, n), float(np.log(2))),
}


def contains(interval: Estimate, truth: float) -> bool:
    return interval["low"] <= truth <= interval["high"]


@pytest.mark.slow
@pytest.mark.parametrize("shape", list(SHAPES))
@pytest.mark.parametrize(("count", "least"), [(3, 0.84), (4, 0.90), (5, 0.93), (20, 0.91)])
def test_interval_of_a_median_covers_as_documented(shape: str, count: int, least: float):
    """The interval holds the true median about as often as it says, of 3 samples already."""
    draw, truth = SHAPES[shape]
    covered = [
        contains(bootstrap_interval(draw(np.random.default_rng(seed), count), resamples=300), truth)
        for seed in range(300)
    ]
    assert least <= np.mean(covered) <= 1.0


@pytest.mark.parametrize("count", [3, 5, 20])
def test_groups_that_do_not_differ_are_rarely_said_to(count: int):
    """The interval of a ratio leaves out 1 in few of 100 pairs that come from one source."""
    told_apart = 0
    for seed in range(300):
        draws = np.random.default_rng(seed).lognormal(0.0, 0.3, (2, count))
        told_apart += not contains(ratio_interval(draws[0], draws[1], resamples=300), 1.0)
    assert told_apart / 300 <= 0.06


def test_groups_that_differ_are_told_apart():
    """Three repeats each, with 1% noise, tell 10% less throughput from none."""
    generator = np.random.default_rng(4)
    for _ in range(20):
        base = 1000 * generator.lognormal(0.0, 0.01, 3)
        new = 900 * generator.lognormal(0.0, 0.01, 3)
        assert ratio_interval(base, new)["high"] < 1.0


def test_interval_of_many_samples_is_scipys():
    """With many samples the interval is the percentile interval of scipy, nearly."""
    samples = np.random.default_rng(2).normal(50.0, 5.0, 400)
    known = stats.bootstrap(
        (samples,),
        np.mean,
        method="percentile",
        n_resamples=2000,
        rng=np.random.default_rng(3),
    ).confidence_interval
    found = bootstrap_interval(samples, np.mean)
    assert found["estimate"] == pytest.approx(samples.mean())
    assert found["low"] == pytest.approx(known.low, abs=0.05)
    assert found["high"] == pytest.approx(known.high, abs=0.05)


@pytest.mark.parametrize("samples", [[7.0], [6.0, 8.0]])
def test_interval_of_one_or_two_repeats_is_unknown(samples: list[float]):
    """One or two repeats have an estimate and no interval."""
    assert bootstrap_interval(samples) == {"estimate": 7.0, "low": None, "high": None}
    found = ratio_interval([14.0, 14.0, 14.0], samples)
    assert found == {"estimate": 0.5, "low": None, "high": None}
    assert ratio_interval(samples, [14.0] * 3) == {"estimate": 2.0, "low": None, "high": None}


def test_nothing_has_no_estimate():
    """Without a finite sample there is no estimate."""
    nothing = {"estimate": None, "low": None, "high": None}
    assert bootstrap_interval([]) == nothing
    assert bootstrap_interval([np.nan, np.inf]) == nothing
    assert ratio_interval([], [1.0]) == ratio_interval([1.0], []) == nothing


def test_samples_that_are_no_numbers_are_left_out():
    """Samples that are not finite change nothing."""
    clean = bootstrap_interval([1.0, 2.0, 3.0, 4.0])
    assert bootstrap_interval([1.0, np.nan, 2.0, 3.0, np.inf, 4.0]) == clean


def test_equal_samples_have_an_interval_of_no_width():
    """Repeats that are all the same give that value three times."""
    assert bootstrap_interval([5.0] * 4) == {"estimate": 5.0, "low": 5.0, "high": 5.0}
    assert ratio_interval([5.0] * 3, [10.0] * 3) == {"estimate": 2.0, "low": 2.0, "high": 2.0}


def test_positive_samples_have_a_positive_interval():
    """However much positive repeats differ, the low end stays above zero."""
    assert 0 < bootstrap_interval([1.0, 50.0, 400.0])["low"] < 1.0


def test_samples_of_either_sign_have_an_interval_about_the_estimate():
    """Samples that are not all positive have an interval in differences."""
    found = bootstrap_interval([-2.0, 0.0, 1.0, 3.0], np.mean)
    assert found["low"] < 0.5 == found["estimate"] < found["high"]


def test_ratio_of_figures_that_reach_zero_has_no_interval():
    """A repeat of zero leaves a ratio without an interval, and a median of zero without ratio."""
    found = ratio_interval([1.0, 2.0, 3.0], [0.0, 4.0, 5.0])
    assert found == {"estimate": 2.0, "low": None, "high": None}
    assert ratio_interval([0.0, 0.0, 3.0], [1.0, 2.0, 3.0])["estimate"] is None


def test_same_seed_gives_the_same_interval():
    """The interval is a function of the samples and the seed."""
    samples = np.random.default_rng(1).normal(10.0, 1.0, 9)
    assert bootstrap_interval(samples, np.mean) == bootstrap_interval(samples, np.mean)
    assert bootstrap_interval(samples, np.mean) != bootstrap_interval(samples, np.mean, seed=2)


def test_any_statistic_that_takes_an_axis_will_do():
    """A partial of numpy's quantile is a statistic like any other."""
    samples = np.arange(1.0, 101.0)
    found = bootstrap_interval(samples, partial(np.quantile, q=0.9))
    assert found["estimate"] == pytest.approx(np.quantile(samples, 0.9))
    assert found["low"] < found["estimate"] < found["high"]


def test_more_samples_than_are_drawn_at_once_give_the_interval_of_theory():
    """A resample larger than the bound on what is drawn at once is drawn all the same."""
    samples = np.random.default_rng(5).normal(0.0, 1.0, 1_100_000)
    found = bootstrap_interval(samples, np.mean, resamples=100)
    width = 2 * 1.96 * samples.std() / np.sqrt(samples.size)
    assert found["high"] - found["low"] == pytest.approx(width, rel=0.3)


@pytest.mark.parametrize(
    ("field", "samples", "options"),
    [
        ("confidence", [1.0], {"confidence": 95.0}),
        ("resamples", [1.0], {"resamples": 5}),
        ("samples", [[1.0]], {}),
    ],
)
def test_wrong_arguments_are_named(field: str, samples: list[float], options: dict[str, float]):
    """An argument out of range is refused with its name."""
    with pytest.raises(ValueError, match=f"^{field}: "):
        bootstrap_interval(samples, **options)

"""How time grows with memories: known exponents and bends, and few volumes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import curve_fit

from harness.analysis.degradation import Degradation, fit_degradation

VOLUMES = np.array([1e3, 1e4, 1e5, 1e6])
SEVEN = np.geomspace(1e3, 1e6, 7)


def bent(memories: np.ndarray, before: float = 0.1, after: float = 0.6) -> np.ndarray:
    """0.1 ms at 1,000 memories, with a bend at 30,000."""
    beyond = np.maximum(1.0, memories / 3e4)
    return 0.1 * (memories / 1e3) ** before * beyond ** (after - before)


def noisy(times: np.ndarray, seed: int, noise: float) -> np.ndarray:
    return times * np.exp(noise * np.random.default_rng(seed).standard_normal(times.size))


def test_exponent_without_noise_is_exact():
    """Times that are a power of the volume give that power, no bend, and the same curve."""
    found = fit_degradation(VOLUMES, 0.02 * VOLUMES**0.25, operation="search")
    assert found.exponent["estimate"] == pytest.approx(0.25)
    assert found.exponent["low"] == pytest.approx(0.25)
    assert found.bend_at is None
    memories = np.array([point["memories"] for point in found.fit])
    assert [memories[0], memories[-1]] == pytest.approx([1e3, 1e6])
    assert [point["ms"] for point in found.fit] == pytest.approx((0.02 * memories**0.25).tolist())
    assert found.sentence == "Search time grows as memories^0.25 (0.25 to 0.25)."


def test_exponent_and_interval_are_scipys():
    """The exponent is scipy's slope of the logarithms, its interval Student's."""
    volumes = np.repeat(VOLUMES, 2)
    times = noisy(0.02 * volumes**0.25, 3, 0.1)
    known = stats.linregress(np.log(volumes), np.log(times))
    half_width = stats.t.ppf(0.975, 6) * known.stderr
    found = fit_degradation(volumes, times, independent=True).exponent
    assert found["estimate"] == pytest.approx(known.slope)
    assert found["low"] == pytest.approx(known.slope - half_width)
    assert found["high"] == pytest.approx(known.slope + half_width)


def test_bend_without_noise_is_found():
    """A bend is found where it is, with the exponents on either side of it."""
    found = fit_degradation(SEVEN, bent(SEVEN), operation="search")
    assert found.bend_at["estimate"] == pytest.approx(3e4, rel=0.01)
    assert found.exponent_before["estimate"] == pytest.approx(0.1, abs=0.001)
    assert found.exponent_after["estimate"] == pytest.approx(0.6, abs=0.001)
    assert found.sentence == (
        "Search time grows as memories^0.10 (0.10 to 0.10); "
        "from about 30,000 on it grows faster: ^0.60 (0.60 to 0.60)."
    )


def test_bend_to_slower_growth_is_found():
    """A bend towards slower growth is called that."""
    found = fit_degradation(SEVEN, bent(SEVEN, before=0.6, after=0.1))
    assert "grows more slowly: ^0.10" in found.sentence


def test_bend_with_noise_is_found_with_intervals_that_hold():
    """Four volumes with 3 repeats and 5% noise show a bend, and each interval mostly holds it."""
    volumes, held = np.repeat(VOLUMES, 3), np.zeros(3)
    for seed in range(60):
        found = fit_degradation(volumes, noisy(bent(volumes), seed, 0.05), independent=True)
        assert found.bend_at is not None
        parts = (found.bend_at, found.exponent_before, found.exponent_after)
        for at, (part, truth) in enumerate(zip(parts, (3e4, 0.1, 0.6), strict=True)):
            held[at] += part["low"] <= truth <= part["high"]
    assert (held >= 52).all(), held


def test_intervals_of_a_bend_are_scipys():
    """The intervals of a bend and its exponents are those of scipy's least squares."""
    volumes = np.repeat(VOLUMES, 3)
    times = noisy(bent(volumes), 2, 0.05)

    def lines(x: np.ndarray, at_bend: float, before: float, after: float, bend: float):
        return at_bend + np.where(x < bend, before, after) * (x - bend)

    start = (np.log(0.14), 0.1, 0.6, np.log(3e4))
    known, covariance = curve_fit(lines, np.log(volumes), np.log(times), p0=start)
    half_widths = stats.t.ppf(0.975, 8) * np.sqrt(np.diag(covariance))
    found = fit_degradation(volumes, times, independent=True)
    for part, at in ((found.exponent_before, 1), (found.exponent_after, 2)):
        assert part["estimate"] == pytest.approx(known[at], abs=0.002)
        assert part["high"] - part["low"] == pytest.approx(2 * half_widths[at], rel=0.02)
    assert np.log(found.bend_at["estimate"]) == pytest.approx(known[3], abs=0.01)
    assert np.log(found.bend_at["high"] / found.bend_at["low"]) == pytest.approx(
        2 * half_widths[3], rel=0.02
    )


@pytest.mark.slow
@pytest.mark.parametrize("volumes", [SEVEN, np.repeat(VOLUMES, 3)], ids=["seven", "repeats"])
def test_straight_series_are_rarely_given_a_bend(volumes: np.ndarray):
    """Noise of 10% on a straight series makes a bend in no more than 3 of 100 seeds."""
    bends = sum(
        fit_degradation(volumes, noisy(0.02 * volumes**0.25, seed, 0.1), independent=True).bend_at
        is not None
        for seed in range(100)
    )
    assert bends <= 3


def test_bend_of_four_points_is_not_claimed():
    """Two lines go through any four points, so these show no bend; the steepest is named."""
    found = fit_degradation(VOLUMES, bent(VOLUMES), operation="search")
    assert found.bend_at is None
    assert found.exponent_before is None
    assert "steepest from 100,000 to 1,000,000 (^0.60)" in found.sentence
    assert "do not prove a bend" in found.sentence


def parts_of_runs(times: np.ndarray, seed: int, between: float) -> np.ndarray:
    """Five parts of each run, where runs differ by `between` and parts of a run by 3%."""
    generator = np.random.default_rng(seed)
    runs = times * np.exp(between * generator.standard_normal(times.size))
    return np.repeat(runs, 5) * np.exp(0.03 * generator.standard_normal(5 * times.size))


def test_parts_of_a_run_count_as_one():
    """An interval over parts of runs holds the truth as often as one over whole runs."""
    volumes, held, bends = np.repeat(VOLUMES, 5), 0, 0
    for seed in range(100):
        times = parts_of_runs(0.02 * VOLUMES**0.25, seed, 0.05)
        found = fit_degradation(volumes, times)
        held += found.exponent["low"] <= 0.25 <= found.exponent["high"]
        bends += found.bend_at is not None
    assert held >= 90
    assert bends <= 3


def test_parts_of_few_runs_show_a_bend_without_intervals():
    """Parts of one run at each of 4 volumes show a plain bend, and say that it is unsure."""
    times = parts_of_runs(bent(VOLUMES, before=0.02, after=0.9), 1, 0.02)
    found = fit_degradation(np.repeat(VOLUMES, 5), times, operation="search")
    assert found.bend_at["estimate"] == pytest.approx(3e4, rel=0.2)
    assert found.bend_at["low"] is None
    assert found.exponent_after["estimate"] == pytest.approx(0.9, abs=0.05)
    assert found.exponent_after["low"] is None
    assert found.points == 20
    assert "hardly changes (memories^0.0" in found.sentence
    assert "One run at each of 4 volumes does not say how sure that is." in found.sentence


def test_parts_of_many_runs_show_a_bend_with_intervals():
    """Seven runs have a bend that is judged by runs, with intervals."""
    times = parts_of_runs(bent(SEVEN), 1, 0.02)
    found = fit_degradation(np.repeat(SEVEN, 5), times)
    assert found.bend_at["low"] < 3e4 < found.bend_at["high"]


def test_bend_of_five_points_is_not_claimed():
    """Five points leave one to judge a bend by, which is too few, however well it fits."""
    volumes = np.geomspace(1e3, 1e6, 5)
    assert fit_degradation(volumes, bent(volumes)).bend_at is None


def test_two_volumes_have_an_exponent_without_interval():
    """Two volumes give a slope, and say that it has no interval."""
    found = fit_degradation(VOLUMES[:2], [1.0, 2.0], operation="store")
    assert found.exponent["estimate"] == pytest.approx(np.log10(2.0))
    assert found.exponent["low"] is None
    assert found.sentence == (
        "Store time went as memories^0.30 from 1,000 to 10,000 memories; "
        "two volumes do not say how sure that is."
    )


def test_three_volumes_have_a_wide_interval():
    """Three volumes have Student's interval of one degree of freedom, and no bend."""
    found = fit_degradation(VOLUMES[:3], noisy(0.02 * VOLUMES[:3] ** 0.25, 1, 0.3))
    assert found.exponent["high"] - found.exponent["low"] > 0.5
    assert found.bend_at is None
    assert "3 volumes do not say whether" in found.sentence


@pytest.mark.parametrize("volumes", [[], [1000.0], [1000.0, 1000.0]])
def test_fewer_than_two_volumes_have_no_exponent(volumes: list[float]):
    """One volume, or none, has no exponent and no curve, and says so."""
    found = fit_degradation(volumes, [1.0] * len(volumes), operation="search")
    assert found.exponent == {"estimate": None, "low": None, "high": None}
    assert found.fit == []
    assert "is unknown" in found.sentence


def test_constant_time_is_called_that():
    """Times that do not change with the volume are not said to grow."""
    found = fit_degradation(np.repeat(VOLUMES, 3), noisy(np.ones(12), 3, 0.05))
    assert "constant" in found.sentence or "hardly" in found.sentence


def test_points_that_are_not_positive_numbers_are_left_out_and_counted():
    """Zeros, NaN and infinities change nothing but the count of what was left out."""
    clean = fit_degradation(VOLUMES, 0.02 * VOLUMES**0.25)
    volumes = np.concatenate([VOLUMES, [0, 5e3, 6e3, np.nan]])
    times = np.concatenate([0.02 * VOLUMES**0.25, [1, 0, np.nan, 1]])
    found = fit_degradation(volumes, times)
    assert found.exponent == clean.exponent
    assert (found.points, found.dropped) == (4, 4)
    assert "4 points were left out" in found.sentence


def test_columns_of_different_lengths_are_refused():
    """A time for each volume is asked for by name."""
    with pytest.raises(ValueError, match=r"^memories, service_ms: have shapes"):
        fit_degradation([1e3, 1e4], [1.0])


def test_name_of_the_operation_leads_the_sentence():
    """The name of the operation is written as words are."""
    found: Degradation = fit_degradation(VOLUMES, 0.02 * VOLUMES, operation="cross_tier")
    assert found.sentence.startswith("Cross-tier time grows as memories^1.00")


def test_no_exponent_is_below_zero_by_a_sign_alone():
    """An exponent that rounds to nothing is written 0.00, never -0.00."""
    times = np.array([1.0, 0.9999, 1.0, 0.9999])
    sentence = fit_degradation(VOLUMES, times, operation="search").sentence
    assert "memories^0.00" in sentence
    assert "-0.00)" not in sentence
    assert "^-0.00" not in fit_degradation([10, 100], [1.0, 0.9999]).sentence


def test_summary_has_the_figures_of_the_contract():
    """The summary has the exponent, where it bends, the curve and the sentence."""
    summary = fit_degradation(SEVEN, bent(SEVEN)).summary()
    assert set(summary) >= {"exponent", "bend_at", "fit", "sentence"}
    assert summary["bend_low"] <= summary["bend_at"] <= summary["bend_high"]
    assert fit_degradation(VOLUMES, VOLUMES).summary()["bend_at"] is None

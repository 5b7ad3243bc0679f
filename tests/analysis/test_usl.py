"""The scalability law: known coefficients are found again, and what is not known is said."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.optimize import curve_fit

from harness.analysis.usl import UslFit, fit_usl
from harness.analysis.usl_report import usl_sentence, usl_summary, why_no_usl

COUNTS = np.array([1.0, 10.0, 50.0, 100.0, 500.0])
LAWS = {
    "saturating": (500.0, 0.1, 0.0),
    "peak beyond": (850.0, 0.003, 2e-6),
    "peak within": (1000.0, 0.03, 5e-6),
    "retrograde": (1000.0, 0.2, 1e-3),
    "coherency only": (500.0, 0.0, 1e-4),
    "serial": (500.0, 1.0, 0.0),
}


def throughput(agents: np.ndarray, of_one: float, sigma: float, kappa: float) -> np.ndarray:
    return of_one * agents / (1 + sigma * (agents - 1) + kappa * agents * (agents - 1))


def fitted(agents: np.ndarray, ops_s: np.ndarray, **options: float) -> UslFit:
    fit = fit_usl(agents, ops_s, **options)
    assert fit is not None
    return fit


def known_peak(of_one: float, sigma: float, kappa: float) -> float:
    return max(1.0, float(np.sqrt((1 - sigma) / kappa)))


@pytest.mark.parametrize("law", LAWS.values(), ids=list(LAWS))
def test_coefficients_without_noise_are_exact(law: tuple[float, float, float]):
    """Throughputs made from known coefficients give those coefficients and the peak."""
    fit = fitted(COUNTS, throughput(COUNTS, *law))
    found = (fit.throughput_of_one, fit.contention, fit.coherency)
    assert [one["estimate"] for one in found] == pytest.approx(law, rel=1e-9, abs=1e-12)
    assert fit.misfit_ratio < 1e-9
    if law[2] == 0:
        assert fit.peak_agents is None
        assert fit.peak_ops_s is None
    else:
        peak = known_peak(*law)
        assert fit.peak_agents["estimate"] == pytest.approx(peak, rel=1e-9)
        assert fit.peak_ops_s["estimate"] == pytest.approx(throughput(peak, *law), rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["saturating", "peak beyond", "peak within", "retrograde"])
@pytest.mark.parametrize("repeats", [1, 3])
def test_intervals_hold_the_known_coefficients(name: str, repeats: int):
    """With 5% noise each interval holds the truth in at least 90 of 100 seeds."""
    law, agents = LAWS[name], np.repeat(COUNTS, repeats)
    held = np.zeros(4)
    for seed in range(1000, 1100):
        noise = np.exp(0.05 * np.random.default_rng(seed).standard_normal(agents.size))
        fit = fitted(agents, throughput(agents, *law) * noise, resamples=200)
        for at, one in enumerate((fit.throughput_of_one, fit.contention, fit.coherency)):
            held[at] += one["low"] <= law[at] <= one["high"]
        peak = known_peak(*law) if law[2] else np.inf
        if fit.peak_agents is None:
            held[3] += fit.no_peak_before <= peak
        else:
            high = np.inf if fit.peak_agents["high"] is None else fit.peak_agents["high"]
            held[3] += fit.peak_agents["low"] <= peak <= high
    assert (held >= 90).all(), held


def test_fit_is_scipys_least_squares_of_logarithms():
    """Where no coefficient is at its bound the fit is what scipy's least squares finds."""
    agents = np.repeat(COUNTS, 3)
    noise = np.exp(0.1 * np.random.default_rng(7).standard_normal(agents.size))
    ops_s = throughput(agents, 1000.0, 0.2, 1e-3) * noise

    def logarithm(n: np.ndarray, of_one: float, sigma: float, kappa: float) -> np.ndarray:
        return np.log(throughput(n, of_one, sigma, kappa))

    known = curve_fit(logarithm, agents, np.log(ops_s), p0=(900.0, 0.1, 2e-3))[0]
    fit = fitted(agents, ops_s)
    found = (fit.throughput_of_one, fit.contention, fit.coherency)
    assert [one["estimate"] for one in found] == pytest.approx(known.tolist(), rel=1e-4)


def test_linear_data_have_neither_contention_nor_peak():
    """Throughput that grows with the agents gives zeros, not roundings, and no peak."""
    for of_one in np.geomspace(0.3, 30_000, 40):
        fit = fitted(COUNTS, of_one * COUNTS)
        assert fit.contention["estimate"] == 0.0
        assert fit.coherency["estimate"] == 0.0
    assert fit.peak_agents is None
    assert "No peak of throughput is predicted up to 5,000 agents" in usl_sentence(fit)


@pytest.mark.parametrize(("peak", "foretold"), [(4_900.0, True), (5_100.0, False)])
def test_peak_far_beyond_the_largest_count_is_not_foretold(peak: float, foretold: bool):
    """A peak within 10 times the largest count is given, and one that lies beyond is not."""
    fit = fitted(COUNTS, throughput(COUNTS, 850.0, 0.003, (1 - 0.003) / peak**2))
    assert (fit.peak_agents is not None) == foretold
    assert (fit.peak_ops_s is not None) == foretold
    assert ("predicted to peak" in usl_sentence(fit)) == foretold


def test_growth_beyond_linear_is_called_a_poor_fit():
    """Throughput that grows faster than the agents, which the law has not, is said to fit ill."""
    fit = fitted(COUNTS, 100.0 * COUNTS**1.5)
    assert fit.contention["estimate"] == fit.coherency["estimate"] == 0.0
    assert "The law fits poorly" in usl_sentence(fit)


def test_three_points_have_a_law_and_no_interval():
    """Three points fix the three coefficients and say nothing of how sure they are."""
    counts = np.array([1.0, 20.0, 400.0])
    fit = fitted(counts, throughput(counts, 1000.0, 0.03, 5e-6))
    assert fit.contention["estimate"] == pytest.approx(0.03)
    assert fit.contention["low"] is None
    assert fit.no_peak_before is None
    assert fit.peak_agents["low"] is None
    assert all(point["low"] is None for point in fit.curve())
    assert "nothing over to say how sure" in usl_sentence(fit)


@pytest.mark.parametrize("agents", [[], [10], [1, 10, 10, 10]])
def test_fewer_than_three_counts_have_no_law(agents: list[int]):
    """Fewer than 3 different counts give None, and a sentence that says why."""
    ops_s = [100.0] * len(agents)
    assert fit_usl(agents, ops_s) is None
    assert "takes a throughput at 3 different numbers of agents" in why_no_usl(agents, ops_s)


def test_points_that_are_not_positive_numbers_are_left_out_and_counted():
    """Zeros, NaN and infinities change nothing but the count of what was left out."""
    clean = fitted(COUNTS, throughput(COUNTS, *LAWS["retrograde"]))
    agents = np.concatenate([COUNTS, [0, 20, 30, np.nan, 40, -5]])
    ops_s = np.concatenate([throughput(COUNTS, *LAWS["retrograde"]), [5, 0, np.nan, 5, np.inf, 5]])
    fit = fitted(agents, ops_s)
    assert (fit.points, fit.dropped) == (5, 6)
    assert fit.contention == clean.contention
    assert "6 points were left out" in usl_sentence(fit)
    assert "2 points were left out" in why_no_usl([1, 10, 20], [0.0, np.nan, 5.0])


def test_columns_of_different_lengths_are_refused():
    """A throughput for each count is asked for by name."""
    with pytest.raises(ValueError, match=r"^agents, ops_s: have shapes"):
        fit_usl([1, 2, 3], [1.0, 2.0])


def test_curve_marks_what_lies_beyond_the_largest_count():
    """The curve runs past the largest count, marks that as extrapolated, and has an interval."""
    agents = np.repeat(COUNTS, 3)
    noise = np.exp(0.03 * np.random.default_rng(1).standard_normal(agents.size))
    fit = fitted(agents, throughput(agents, *LAWS["peak within"]) * noise)
    curve = fit.curve()
    assert {point["agents"] for point in curve} >= set(COUNTS.tolist())
    assert curve[0]["agents"] == 1
    assert curve[-1]["agents"] >= 1000
    assert all(point["extrapolated"] == (point["agents"] > 500) for point in curve)
    assert all(point["low"] <= point["ops_s"] <= point["high"] for point in curve)
    beyond, within = fit.curve([1000.0, 100.0])
    assert (beyond["high"] / beyond["low"]) > (within["high"] / within["low"])


def test_sentence_has_the_peak_and_what_holds_throughput_back():
    """The sentence names the peak, its interval, contention and coherency as plain decimals."""
    agents = np.repeat(COUNTS, 3)
    noise = np.exp(0.01 * np.random.default_rng(1).standard_normal(agents.size))
    fit = fitted(agents, throughput(agents, 1000.0, 0.03, 2e-5) * noise)
    sentence = usl_sentence(fit)
    assert sentence.startswith("Throughput is predicted to peak at about 2")
    assert " agents (" in sentence
    assert "contention 3" in sentence
    assert "coherency 0.00002" in sentence


def test_peak_that_may_not_be_there_is_said_to_be_uncertain():
    """A peak whose interval has no end is one that may be, and the sentence says so."""
    agents = np.repeat(COUNTS, 3)
    uncertain = []
    for seed in range(20):
        noise = np.exp(0.05 * np.random.default_rng(seed).standard_normal(agents.size))
        fit = fitted(agents, throughput(agents, *LAWS["saturating"]) * noise, resamples=200)
        if fit.peak_agents is not None:
            uncertain.append((fit.peak_agents["high"] is None, usl_sentence(fit)))
    assert uncertain, "no seed has a peak by chance: the noise is too small for this test"
    for open_ended, sentence in uncertain:
        assert ("may peak" in sentence) == open_ended
        assert ("do not prove a peak" in sentence) == open_ended
    assert sum(open_ended for open_ended, _ in uncertain) >= len(uncertain) - 2


def test_summary_has_the_figures_of_the_contract():
    """The summary has lambda, sigma, kappa, the peak, r squared and the curve."""
    summary = usl_summary(fitted(COUNTS, throughput(COUNTS, *LAWS["retrograde"])))
    assert set(summary) >= {"lambda", "sigma", "kappa", "peak_agents", "peak_ops_s", "curve"}
    assert summary["r_squared"] == pytest.approx(1.0)
    assert set(summary["curve"][0]) == {"agents", "ops_s", "low", "high", "extrapolated"}


def test_same_seed_gives_the_same_intervals():
    """The fit is a function of the points and the seed."""
    ops_s = throughput(COUNTS, *LAWS["retrograde"]) * np.array([1.0, 1.1, 0.9, 1.05, 1.0])
    assert usl_summary(fitted(COUNTS, ops_s)) == usl_summary(fitted(COUNTS, ops_s))
    assert fitted(COUNTS, ops_s).contention != fitted(COUNTS, ops_s, seed=2).contention


@pytest.mark.parametrize("ops_s", [[1e-18] * 4, [1e18] * 4, [1e-18, 1e18, 1.0, 1.0]])
def test_throughputs_at_the_ends_of_their_range_have_a_fit(ops_s: list[float]):
    """Throughputs as small and as large as are taken neither overflow nor fail."""
    assert fitted(np.arange(1.0, 5.0), np.array(ops_s)).throughput_of_one["estimate"] > 0


@pytest.mark.parametrize("seed", range(20))
def test_points_without_sense_have_a_fit_of_finite_figures(seed: int):
    """Throughputs that follow no law are fitted all the same, with coefficients in range."""
    generator = np.random.default_rng(seed)
    agents = np.sort(generator.choice(50_000, 6, replace=False) + 1.0)
    fit = fitted(agents, 10 ** generator.uniform(-3, 6, 6))
    for one in (fit.throughput_of_one, fit.contention, fit.coherency):
        assert 0 <= one["low"] <= one["estimate"] <= one["high"] < np.inf
    assert fit.contention["high"] <= 1.0
    assert usl_sentence(fit)


def test_fit_with_500_resamples_is_quick():
    """A fit of 10 counts with 10 repeats and 500 resamples takes far less than 2 s of CPU."""
    agents = np.repeat(np.geomspace(1, 1000, 10), 10)
    noise = np.exp(0.1 * np.random.default_rng(1).standard_normal(agents.size))
    started = time.process_time()
    fitted(agents, throughput(agents, 1000.0, 0.0, 0.0) * noise, resamples=500)
    assert time.process_time() - started < 2.0

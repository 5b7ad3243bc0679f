"""Operations are due when the rate says, evenly or at random, and agents start over the ramp."""

from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
import pytest

from harness.pacing import due_times_ns, start_delay_ns
from harness.random_numbers import uniforms


def due(arrival: str, rate: float, agents: int, agent: int, count: int, seed: int = 1) -> list[int]:
    return list(islice(due_times_ns(arrival, rate, agents, agent, seed), count))


def test_constant_arrivals_are_exactly_apart():
    """One agent at 200 operations a second has one due every 5 ms, from the start on."""
    assert due("constant", 200.0, 1, 0, 5) == [0, 5_000_000, 10_000_000, 15_000_000, 20_000_000]


@pytest.mark.parametrize(("rate", "agents"), [(200.0, 7), (1_000.0, 1), (0.5, 3), (123_456.7, 11)])
def test_constant_arrivals_of_all_agents_together_are_evenly_spaced(rate: float, agents: int):
    """Merged, the agents' due times are 1 / rate apart, to the nanosecond."""
    merged = sorted(
        moment for agent in range(agents) for moment in due("constant", rate, agents, agent, 50)
    )
    assert merged == [round(index * 1e9 / rate) for index in range(50 * agents)]


def test_constant_arrivals_do_not_drift():
    """The millionth operation is due where the rate puts it: rounding never adds up."""
    last = due("constant", 3.0, 1, 0, 1_000_000)[-1]
    assert abs(last - 999_999 * 10**9 // 3) <= 1


def test_poisson_arrivals_have_the_rates_mean():
    """20,000 gaps have the mean and the spread of an exponential, to within 5 deviations."""
    moments = np.array(due("poisson", 1_000.0, 4, 2, 20_000))
    gaps = np.diff(moments, prepend=0)
    mean_ns = 4 * 1e9 / 1_000.0
    deviation = mean_ns / np.sqrt(gaps.size)
    assert gaps.min() >= 0
    assert abs(gaps.mean() - mean_ns) < 5 * deviation
    # The square of an exponential has the mean 2 m**2 and the variance 20 m**4.
    assert abs((gaps**2.0).mean() - 2 * mean_ns**2) < 5 * np.sqrt(20 / gaps.size) * mean_ns**2
    assert abs(np.exp(-1) - (gaps > mean_ns).mean()) < 5 * np.sqrt(0.25 / gaps.size)


def test_poisson_arrivals_are_independent():
    """Neither the gaps of one agent nor those of two agents are correlated."""
    gaps = [np.diff(due("poisson", 100.0, 3, agent, 20_001)) for agent in range(3)]
    bound = 5 / np.sqrt(20_000)
    for mine, other in ((gaps[0], gaps[1]), (gaps[1], gaps[2]), (gaps[0], gaps[2])):
        assert abs(np.corrcoef(mine, other)[0, 1]) < bound
    for one in gaps:
        assert abs(np.corrcoef(one[:-1], one[1:])[0, 1]) < bound
        # 256 gaps are drawn at a time: the same place in two draws is unrelated too.
        assert abs(np.corrcoef(one[:-256], one[256:])[0, 1]) < bound


def test_poisson_arrivals_follow_from_the_seed():
    """The same seed gives the same schedule; another seed or another agent another one."""
    assert due("poisson", 10.0, 2, 1, 300, 7) == due("poisson", 10.0, 2, 1, 300, 7)
    schedules = {
        tuple(due("poisson", 10.0, 2, agent, 300, seed)) for agent in (0, 1) for seed in (7, 8)
    }
    assert len(schedules) == 4


@pytest.mark.parametrize("arrival", ["constant", "poisson"])
def test_due_times_never_go_back(arrival: str):
    """An agent's operations are due in their order."""
    for rate in (1e-6, 1.0, 1e9):
        assert all(one <= other for one, other in pairwise(due(arrival, rate, 5, 3, 600)))


def test_a_ramp_spreads_the_starts_evenly():
    """Of 4 agents over 2 s one starts every half second, the first at once; without one all do."""
    assert [start_delay_ns(2.0, 4, agent) for agent in range(4)] == [
        0,
        500_000_000,
        1_000_000_000,
        1_500_000_000,
    ]
    assert {start_delay_ns(0.0, 4, agent) for agent in range(4)} == {0}


def test_uniform_numbers_are_uniform_and_unrelated():
    """Numbers are in [0, 1), even, and unrelated between seeds, streams and chunks."""
    draws = {
        key: uniforms(*key, 4096)
        for key in ((1, 0, 0), (1, 0, 1), (1, 1, 0), (2, 0, 0), (2**63 - 1, 2**63, 5))
    }
    bound = 5 / np.sqrt(4096)
    for key, numbers in draws.items():
        assert numbers.dtype == np.float64
        assert numbers.min() >= 0.0
        assert numbers.max() < 1.0
        assert abs(numbers.mean() - 0.5) < bound
        assert np.array_equal(numbers[:10], uniforms(*key, 10))
    rows = np.corrcoef(list(draws.values()))
    assert np.abs(rows - np.eye(len(draws))).max() < bound

"""The search for capacity, on response curves that are known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.benchmarks.capacity_search import CapacityFinding, CapacitySearch


def searched(
    keeps: Callable[[float], bool], **settings: float
) -> tuple[CapacityFinding, list[float]]:
    """What a search finds, and the loads that it tried, in their order."""
    search = CapacitySearch(**{"start": 10, "most": 100_000, **settings})
    loads = []
    while (load := search.next_load()) is not None:
        loads.append(load)
        search.record(load, kept=keeps(load))
        assert len(loads) <= search.trials_max
    return search.finding(), loads


@pytest.mark.parametrize("capacity", [1, 2, 3, 9, 10, 11, 100, 730, 64_000, 99_999])
def test_a_known_capacity_is_found_to_within_the_tolerance(capacity):
    """It lies from the largest that kept it to the smallest that broke it."""
    found, _ = searched(lambda load: load <= capacity)
    assert found.ended == "edge"
    assert found.low is not None
    assert found.high is not None
    assert found.low <= capacity < found.high
    assert found.high <= found.low * 1.1 or found.high == found.low + 1
    assert (found.low_trials, found.high_trials, found.high_broken) == (3, 2, 2)


def test_it_doubles_then_bisects_then_makes_sure():
    """The whole order of a search."""
    _, loads = searched(lambda load: load <= 50, tolerance_ratio=0.1)
    assert loads == [10, 20, 40, 80, 80, 56, 56, 47, 51, 51, 47, 47]


def test_a_smaller_tolerance_is_a_smaller_interval():
    """Down to neighbours, where loads are whole numbers."""
    found, _ = searched(lambda load: load <= 777, tolerance_ratio=1e-6)
    assert (found.low, found.high) == (777, 778)


def test_rates_are_numbers_of_three_digits():
    """A rate need not be whole, and is one that people can read."""
    found, loads = searched(
        lambda load: load <= 123.4, whole=False, start=100.0, tolerance_ratio=0.02
    )
    assert found.low is not None
    assert found.high is not None
    assert found.low <= 123.4 < found.high <= found.low * 1.02
    assert all(float(f"{load:.3g}") == load for load in loads)


def test_an_edge_between_numbers_of_three_digits_ends_the_search():
    """A tolerance finer than the numbers is no endless search."""
    found, _ = searched(lambda load: load <= 123.4, whole=False, start=100.0, tolerance_ratio=1e-9)
    assert (found.ended, found.low, found.high) == ("edge", 123, 124)


def test_an_objective_that_is_always_kept_ends_at_the_maximum():
    """Which is tried as often as any answer, and has nothing above it."""
    found, loads = searched(lambda _: True, most=1000)
    assert (found.ended, found.low, found.low_trials, found.high) == ("max", 1000, 3, None)
    assert max(loads) == 1000


def test_an_objective_that_is_never_kept_ends_at_the_least():
    """It goes down to one, and is sure of it."""
    found, loads = searched(lambda _: False)
    assert (found.ended, found.low, found.high, found.high_broken) == ("never", None, 1, 2)
    assert loads[-2:] == [1, 1]


def test_a_start_beyond_the_capacity_goes_down_first():
    """Halving until it is kept."""
    found, loads = searched(lambda load: load <= 33, start=1000)
    assert loads[0] == 1000
    assert found.low is not None
    assert 30 <= found.low <= 33


def test_one_hiccup_at_a_small_load_does_not_end_the_climb():
    """It is tried again, and the majority decides; the finding tells of it."""
    seen: list[float] = []

    def keeps(load: float) -> bool:
        seen.append(load)
        return load <= 700 and not (load == 20 and seen.count(20) == 1)

    found, _ = searched(keeps)
    assert found.low is not None
    assert 630 <= found.low <= 700
    assert found.erratic == [20]


def test_an_answer_that_breaks_when_tried_again_bounds_it_from_above():
    """The search goes on below it, and the interval is that much wider."""
    seen: list[float] = []

    def keeps(load: float) -> bool:
        seen.append(load)
        return load < 47 or (load == 47 and seen.count(47) != 2)

    found, _ = searched(keeps)
    assert (found.ended, found.high, found.high_broken) == ("edge", 47, 1)
    assert found.low is not None
    assert found.low >= 42
    assert found.low_trials == 3


def test_where_a_larger_load_keeps_it_again_the_first_edge_is_the_answer():
    """A dip at 200 to 300 is an edge, though 400 would keep it."""
    found, _ = searched(lambda load: not 200 <= load <= 300, start=128)
    assert found.ended == "edge"
    assert found.high is not None
    assert found.low is not None
    assert found.low < 200 <= found.high


def test_a_search_that_runs_out_of_trials_says_what_is_known():
    """The sides are as far apart as they then are."""
    found, loads = searched(lambda load: load <= 5000, trials_max=12)
    assert len(loads) == 12
    assert found.ended == "unfinished"
    assert found.low is not None
    assert found.high is not None
    assert found.low <= 5000 < found.high


def test_a_search_that_has_not_begun_knows_nothing():
    """A stop may come before the first trial's end."""
    found = CapacitySearch(start=10, most=100).finding()
    assert (found.ended, found.low, found.high, found.trials) == ("unfinished", None, None, 0)


@pytest.mark.parametrize("seed", range(20))
def test_with_noise_the_interval_is_where_trials_waver(seed):
    """The chance of keeping it falls from 1 to 0 between 400 and 600: so lies the answer."""
    numbers = np.random.default_rng(seed)

    def keeps(load: float) -> bool:
        chance = 1 / (1 + math.exp((load - 500) / 20))
        return bool(numbers.random() < chance)

    found, _ = searched(keeps)
    assert found.ended == "edge"
    assert found.low is not None
    assert found.high is not None
    assert 350 < found.low < 560
    assert found.low < found.high < 650


def test_hiccups_at_any_load_seldom_cost_more_than_a_little():
    """One trial in twenty breaks for no reason of the load's: 95 of 100 answers stay near."""
    near = 0
    for seed in range(100):
        numbers = np.random.default_rng(seed)
        found, _ = searched(lambda load, chance=numbers.random: load <= 500 and chance() > 0.05)
        assert found.low is None or found.low <= 500
        near += found.low is not None and found.low >= 350
    assert near >= 95


@given(
    st.lists(st.booleans(), max_size=60),
    st.integers(1, 500),
    st.integers(500, 5000),
    st.floats(0.001, 1.0),
    st.integers(1, 5),
    st.booleans(),
)
def test_whatever_comes_it_ends_within_its_bounds(outcomes, start, most, tolerance, repeats, whole):
    """Arbitrary outcomes: bounded trials, loads within their range, sides in their order."""
    answers = iter(outcomes)
    found, loads = searched(
        lambda _: next(answers, False),
        start=start,
        most=most,
        tolerance_ratio=tolerance,
        repeats=repeats,
        trials_max=50,
        whole=whole,
    )
    assert len(loads) <= 50
    assert all(1 <= load <= most for load in loads)
    assert not whole or all(load == int(load) for load in loads)
    assert found.low is None or found.high is None or found.low < found.high
    if found.ended in {"edge", "max"}:
        assert found.low_trials >= repeats


@pytest.mark.parametrize(
    "settings",
    [
        {"start": 0, "most": 10},
        {"start": 20, "most": 10},
        {"start": 1, "most": 10, "tolerance_ratio": 0},
        {"start": 1, "most": 10, "repeats": 0},
        {"start": 1, "most": 10, "trials_max": 0},
    ],
)
def test_settings_that_make_no_search_are_refused(settings):
    """Where they are given."""
    with pytest.raises(ValueError, match=r"must be above 0|does not hold"):
        CapacitySearch(**settings)

"""Change points: noise has none, and what moved for good has one where it moved."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.history.change_points import RUNS_MAX, RUNS_MIN, SEGMENT_RUNS, find_changes

Floats = npt.NDArray[np.float64]
_SERIES = 200
NOISE: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "normal": lambda random, n: 10 + random.normal(0, 1, n),
    "times": lambda random, n: 5 * random.lognormal(0, 0.3, n),
    "heavy tails": lambda random, n: random.standard_t(2, n),
    "uniform": lambda random, n: random.uniform(-1, 1, n),
    "outliers": lambda random, n: 10 + random.normal(0, 1, n) * np.where(
        random.random(n) < 0.1, 8, 1
    ),
    "mostly none": lambda random, n: (random.random(n) < 0.2).astype(float),
    "either": lambda random, n: (random.random(n) < 0.5).astype(float),
}  # fmt: skip


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("runs", [RUNS_MIN, 20])
def test_noise_alone_gives_no_change(noise: str, runs: int):
    """Of 200 series of noise of any shape fewer than 5% have a change."""
    random = np.random.default_rng(7)
    cries = sum(bool(find_changes(NOISE[noise](random, runs))) for _ in range(_SERIES))
    assert cries < 0.05 * _SERIES


@pytest.mark.parametrize(
    ("before", "after", "deviations", "found_ratio"),
    [(10, 10, 3.0, 0.85), (15, 5, 3.0, 0.7), (17, 3, 5.0, 0.85), (4, 4, 5.0, 0.8)],
)
def test_what_moved_is_found_where_it_moved(
    before: int, after: int, deviations: float, found_ratio: float
):
    """A move of so many standard deviations is found that often, within a run of where it was."""
    random = np.random.default_rng(11)
    hits = 0
    for _ in range(_SERIES):
        values = 100 * np.exp(0.05 * random.normal(size=before + after))
        values[before:] *= np.exp(0.05 * deviations)
        hits += any(abs(place - before) <= 1 for place in find_changes(values))
    assert hits >= found_ratio * _SERIES


def test_several_moves_are_told_apart():
    """A rise, a further rise and a fall are three changes, each at its place."""
    random = np.random.default_rng(3)
    levels = np.repeat([4.0, 5.0, 6.5, 3.0], 10)
    assert find_changes(levels * random.lognormal(0, 0.02, 40)) == [10, 20, 30]


def test_one_or_two_odd_runs_are_no_change():
    """A run or two that a neighbour on the machine slowed down leave the level as it is."""
    values = [4.0, 4.1, 3.9, 4.05, 4.0, 40.0, 38.0, 3.95, 4.1, 4.0, 4.02, 3.97]
    assert find_changes(values) == []


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e12])
def test_the_unit_does_not_matter(scale: float):
    """Nanoseconds and hours give the same changes."""
    random = np.random.default_rng(5)
    values = np.repeat([1.0, 2.0], 8) * random.lognormal(0, 0.05, 16)
    assert find_changes(values * scale) == [8]


@pytest.mark.parametrize("value", [0.0, -3.0, 1e-300, 360.0, 1e99])
def test_what_never_differs_has_no_change(value: float):
    """A series of one value has no change, and neither has one that differs by rounding."""
    assert find_changes([value] * 12) == []
    rounded = [value, np.nextafter(value, 1)] * 6
    assert len(find_changes(rounded)) <= 1


def test_a_clean_step_of_few_values_is_found():
    """A count that was always one number, and is always another from some run on, has changed."""
    assert find_changes([360.0] * 10 + [400.0] * 5) == [10]
    assert find_changes([0.0] * 9 + [3.0] * 3) == [9]


@given(
    st.lists(st.floats(-1e100, 1e100), min_size=RUNS_MIN, max_size=40),
)
def test_changes_are_in_order_and_apart(values: list[float]):
    """Whatever the values, changes ascend and leave no segment shorter than it may be."""
    places = [0, *find_changes(values), len(values)]
    assert all(end - begin >= SEGMENT_RUNS for begin, end in pairwise(places))


@pytest.mark.parametrize(
    "values", [[1.0] * (RUNS_MIN - 1), [1.0] * (RUNS_MAX + 1), [1.0] * 10 + [np.nan]]
)
def test_what_cannot_be_looked_at_is_refused(values: list[float]):
    """Too few, too many, and what is no number is the caller's mistake."""
    with pytest.raises(ValueError, match="finite values"):
        find_changes(values)

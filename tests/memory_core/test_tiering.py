"""Which memories move between tiers: properties of the policy, whatever the numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_core.tiering import RISING_STRENGTH, access, lowest_retention, retention

memories = st.lists(
    st.tuples(st.integers(0, 10**6), st.floats(0, 1, width=32)),
    min_size=1,
    max_size=30,
    unique_by=lambda one: one[0],
)


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=20))
def test_access_grows_with_strength_from_0_to_1(strengths: list[float]):
    """What was never retrieved has access 0, the strength that takes a memory up a half."""
    given_access = access(sorted(strengths))
    assert ((given_access >= 0) & (given_access <= 1)).all()
    assert (np.diff(given_access) >= 0).all()
    assert access([0.0, RISING_STRENGTH]).tolist() == [0.0, 0.5]


def test_four_retrievals_together_take_access_over_a_half_and_three_do_not():
    """The fourth retrieval makes a memory rise, and so does it a fifth of a half-life later."""
    assert access([3.0]) < 0.5 < access([4.0])
    assert access([3 * 2**-0.2 + 1]) > 0.5 - 0.01
    assert access([4 * 2**-0.19]) > 0.5


@given(memories, st.data())
def test_retention_is_recency_importance_and_access_of_each(
    held: list[tuple[int, float]], data: st.DataObject
):
    """Access counts for the memories that were retrieved, in any order, and for no others."""
    sequences = [sequence for sequence, _ in held]
    importances = [importance for _, importance in held]
    read = data.draw(st.lists(st.integers(0, 10**6) | st.sampled_from(sequences), unique=True))
    accesses = data.draw(
        st.lists(st.floats(0, 1), min_size=len(read), max_size=len(read)).map(np.array)
    )
    scores = retention(sequences, importances, np.array(read, np.int64), accesses)
    known = dict(zip(read, accesses, strict=True))
    for sequence, importance, score in zip(sequences, importances, scores, strict=True):
        recency = sorted(sequences).index(sequence) / max(len(held) - 1, 1)
        assert score == pytest.approx(recency + importance + known.get(sequence, 0.0), abs=1e-12)


def test_without_retrievals_retention_is_as_if_there_were_no_access():
    """Neither nothing that was retrieved nor what is elsewhere changes a score."""
    plain = retention([5, 3, 9], [0.5, 0.1, 0.0])
    none = np.empty(0, np.int64)
    assert (retention([5, 3, 9], [0.5, 0.1, 0.0], none, np.empty(0)) == plain).all()
    elsewhere = np.array([4, 100], np.int64)
    assert (retention([5, 3, 9], [0.5, 0.1, 0.0], elsewhere, np.ones(2)) == plain).all()
    assert len(retention([], [], elsewhere, np.ones(2))) == 0


def test_what_is_retrieved_often_outlives_what_is_newer():
    """The oldest of equal importance stays while its access is more than the others' recency."""
    sequences = np.arange(11, dtype=np.int64)
    importances = np.full(11, 0.5)
    read, often = np.array([0], np.int64), access([4.0])
    chosen = lowest_retention(sequences, retention(sequences, importances, read, often), 3)
    assert chosen.tolist() == [1, 2, 3]
    faded = access([0.3])
    chosen = lowest_retention(sequences, retention(sequences, importances, read, faded), 3)
    assert 0 in chosen.tolist()

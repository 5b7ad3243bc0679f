"""Lists that are kept in shape: splits are fair, and a row goes to its list or one as good."""

from __future__ import annotations

import numpy as np
import pytest

from memory_core import list_upkeep
from memory_core.inverted_lists import InvertedLists
from memory_core.list_upkeep import ListUpkeep, halves

DIMENSION = 16


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


def lists_of(centroids: np.ndarray) -> InvertedLists:
    low = np.full(DIMENSION, -1.0, np.float32)
    return InvertedLists(centroids, low, -low)


def test_halves_are_what_lies_together():
    """Two clusters are told apart, and each centroid is the mean of its own."""
    rng = np.random.default_rng(0)
    ends = unit(rng.normal(size=(2, DIMENSION)))
    which = rng.integers(2, size=300)
    vectors = unit(ends[which] + 0.05 * rng.normal(size=(300, DIMENSION)))
    side, centroids = halves(vectors)
    assert (side == which).all() or (side != which).all()
    for second in (False, True):
        mean = unit(vectors[side == second].mean(axis=0))
        assert np.allclose(centroids[int(second)], mean, atol=1e-5)


@pytest.mark.parametrize("lone", [0, 1, 5])
def test_no_half_is_tiny(lone: int):
    """Equal vectors, and a few far from the rest, are still split with an eighth on each side."""
    rng = np.random.default_rng(1)
    vectors = np.repeat(unit(rng.normal(size=(1, DIMENSION))), 100, axis=0)
    vectors[:lone] = unit(rng.normal(size=(lone, DIMENSION)))
    side, centroids = halves(vectors)
    assert 12 <= np.count_nonzero(side) <= 88
    assert np.allclose(np.linalg.norm(centroids, axis=1), 1, atol=1e-5)


def test_a_list_that_is_too_long_is_split_and_keeps_all_of_its_rows():
    """One list of everything becomes many, none longer than twice what it should be."""
    rng = np.random.default_rng(2)
    vectors = unit(rng.normal(size=(4_000, DIMENSION)))
    lists = lists_of(vectors[:1])
    lists.append(np.arange(4_000), vectors, np.zeros(4_000, np.int64))
    upkeep = ListUpkeep(lists)
    while upkeep.split(4):
        pass
    assert len(lists.sizes) > 30
    assert lists.sizes.max() <= 2 * 4_000 / 94 + 1
    assert lists.sizes.sum() == len(lists) == 4_000
    held = np.concatenate(
        [lists.rows(n, 0, size)[0] for n, size in enumerate(lists.sizes.tolist())]
    )
    assert sorted(held.tolist()) == list(range(4_000))
    scores, ids = lists.search(vectors[7], 1, len(lists.sizes))
    assert ids == [7]
    assert scores[0] == pytest.approx(1, abs=0.02)


def test_a_split_uses_an_empty_list_before_a_slot_and_stops_without_either():
    """The number of lists does not grow while one is empty, nor beyond the slots."""
    rng = np.random.default_rng(3)
    vectors = unit(rng.normal(size=(1_000, DIMENSION)))
    lists = lists_of(vectors[:2])
    lists.append(np.arange(1_000), vectors, np.zeros(1_000, np.int64))
    upkeep = ListUpkeep(lists)
    assert upkeep.split(1) == 1
    assert len(lists.sizes) == 2
    assert lists.sizes.min() > 0
    lists.slots = 3
    assert upkeep.split(5) == 1
    assert len(lists.sizes) == 3


def test_rows_go_to_the_nearest_list_but_for_a_few(monkeypatch: pytest.MonkeyPatch):
    """With groups, lists split meanwhile, most rows go where comparing all would send them.

    The others go to one nearly as near.
    """
    rng = np.random.default_rng(4)
    centres = unit(rng.normal(size=(20, DIMENSION)))
    vectors = unit(centres[rng.integers(20, size=30_000)] + 0.3 * rng.normal(size=(30_000, 16)))
    lists = lists_of(vectors[:200])
    upkeep = ListUpkeep(lists)
    upkeep.assign(vectors[:1_000])
    lists.append(np.arange(20_000), vectors[:20_000], lists.assign(vectors[:20_000]))
    assert upkeep.split(20)
    with monkeypatch.context() as patch:
        patch.setattr(list_upkeep, "_MAX_STALE_RATIO", 10.0)
        found, right = upkeep.assign(vectors[20_000:]), lists.assign(vectors[20_000:])
    assert np.mean(found == right) > 0.7
    lost = lists.centroids[right] - lists.centroids[found]
    assert np.einsum("nd,nd->n", vectors[20_000:], lost).mean() < 0.02

"""Foragers: states that are packed as any mapping would be, from numbers that are unrelated."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from harness.forager import Forager, pack
from harness.random_numbers import draws
from memory_core.payload import pack_state


def test_a_state_is_packed_as_its_mapping_would_be():
    """The load generator's short way makes the same bytes as a user's mapping."""
    for seed in (1, 2**63 - 1):
        forager = Forager(seed, 7)
        for chunk in range(20):
            for state in forager.walk(chunk, 18):
                assert pack(state) == pack_state(msgspec.to_builtins(state))


def test_a_forager_does_everything_in_the_long_run():
    """All actions, terrains and neighbours come, and what is carried changes."""
    forager = Forager(3, 0)
    states = [state for chunk in range(40) for state in forager.walk(chunk, 10)]
    assert len({state.action for state in states}) == 8
    assert len({state.terrain for state in states}) == 5
    assert {number for state in states for number in state.neighbours} == set(range(10))
    assert len({msgspec.json.encode(state.inventory) for state in states}) > 20
    assert len({state.heading for state in states}) == len(states)


@pytest.mark.parametrize("column", range(6))
def test_draws_are_even_and_unrelated(column: int):
    """Numbers fill their range evenly, and those of other places are unrelated."""
    bits = 32 if column < 3 else 16
    places = [(1, 0, 0), (1, 0, 1), (1, 1, 0), (2, 0, 0), (2**64 - 1, 2**63, 5)]
    taken = np.array([[row[column] for row in draws(*place, 4096)] for place in places])
    assert taken.min() >= 0
    assert taken.max() < 2**bits
    bound = 5 / np.sqrt(4096)
    assert np.abs(taken.mean(axis=1) / 2**bits - 0.5).max() < bound
    assert np.abs(np.corrcoef(taken) - np.eye(len(places))).max() < bound


def test_fewer_draws_are_the_first_of_more():
    """How many are asked for does not change them."""
    assert list(draws(1, 2, 3, 4)) == list(draws(1, 2, 3, 10))[:4]

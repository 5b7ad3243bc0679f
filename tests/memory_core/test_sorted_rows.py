"""Rows by sequence against a plain dict, with bounds so small that little data meets them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from memory_core import sorted_rows
from memory_core.sorted_rows import COLUMNS, SortedRows

TIERS = (0, 1, 2)
NAMES = [name for name in COLUMNS.names or () if name != "tier"]


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Grow, and take removed rows out, a few at a time."""
    monkeypatch.setattr(sorted_rows, "_MIN_DEAD_ROWS", 3)
    monkeypatch.setattr(sorted_rows, "_FIRST_ROWS", 2)


def ints(sequences: Any) -> np.ndarray:
    return np.array(list(sequences), np.int64)


def rows(entries: list[tuple[Any, ...]]) -> np.ndarray:
    return np.array(entries, COLUMNS)


entries = st.tuples(
    st.integers(0, 2**62),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(0, 1, width=32),
    st.integers(0, 2**32 - 1),
    st.integers(0, 255),
    st.sampled_from(TIERS),
)
# few numbers, so that one that was removed comes again, and one that no array of 32 bits holds
sequences = st.integers(1, 60) | st.integers(2**40, 2**40 + 5)


class RowsMachine(RuleBasedStateMachine):
    """Drives the rows and a dict of sequence to row with the same calls."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = SortedRows()
        self.model: dict[int, tuple[Any, ...]] = {}

    @rule(new=st.dictionaries(sequences, entries, max_size=12), shuffle=st.randoms())
    def add(self, new: dict[int, tuple[Any, ...]], shuffle: Any) -> None:
        order = [one for one in new if one not in self.model]
        shuffle.shuffle(order)
        self.rows.add(ints(order), rows([new[one] for one in order]))
        self.model |= {one: new[one] for one in order}

    @rule(new=st.lists(entries, min_size=1, max_size=4))
    def add_newest(self, new: list[tuple[Any, ...]]) -> None:
        first = max(self.model, default=0) + 1
        order = range(first, first + len(new))
        self.rows.add(ints(order), rows(new))
        self.model |= dict(zip(order, new, strict=True))

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        gone = data.draw(st.lists(st.sampled_from(sorted(self.model)), unique=True, max_size=15))
        self.rows.remove(ints(gone))
        for one in gone:
            del self.model[one]

    @precondition(lambda self: self.model)
    @rule(data=st.data(), tier=st.sampled_from(TIERS))
    def move(self, data: st.DataObject, tier: int) -> None:
        moved = data.draw(st.lists(st.sampled_from(sorted(self.model)), unique=True, max_size=15))
        self.rows.move(ints(moved), tier)
        for one in moved:
            self.model[one] = (*self.model[one][:-1], tier)

    @rule(asked=st.lists(sequences, min_size=1, max_size=8), tier=st.sampled_from(TIERS))
    def ask(self, asked: list[int], tier: int) -> None:
        assert [self.rows.tier_of(one) for one in asked] == [self.tier(one) for one in asked]
        present = self.rows.present(ints(asked), tier).tolist()
        assert present == [one for one in asked if self.tier(one) == tier]
        there = [one for one in asked if one in self.model]
        if there:
            assert self.rows.tiers_of(there) == [self.tier(one) for one in there]

    @rule(asked=st.lists(sequences, min_size=1, max_size=8, unique=True))
    def ask_for_what_is_not_there(self, asked: list[int]) -> None:
        if set(asked) <= self.model.keys():
            return
        for call in (self.rows.remove, lambda some: self.rows.move(some, 1)):
            with pytest.raises(KeyError):
                call(ints(asked))

    @rule(tier=st.sampled_from([*TIERS, None]))
    def read(self, tier: int | None) -> None:
        here = [one for one in sorted(self.model) if tier is None or self.tier(one) == tier]
        assert self.rows.sequences(tier).tolist() == here
        if tier is None:
            return
        for at, name in enumerate(NAMES):
            column = self.rows.column(name, tier)
            assert column.tolist() == [self.model[one][at] for one in here]

    @invariant()
    def counts_what_there_is(self) -> None:
        assert len(self.rows) == len(self.model)
        for tier in TIERS:
            own = [row for row in self.model.values() if row[-1] == tier]
            assert self.rows.held[tier] == len(own)
            assert self.rows.size_bytes[tier] == sum(row[NAMES.index("size")] for row in own)

    def tier(self, sequence: int) -> int | None:
        row = self.model.get(sequence)
        return None if row is None else row[-1]

    def teardown(self) -> None:
        for tier in (*TIERS, None):
            self.read(tier)


class TestSortedRows(RowsMachine.TestCase):
    """Rows are what a dict of them is, whatever is added, removed and moved in whatever order."""

    settings = settings(max_examples=settings().max_examples * 2, stateful_step_count=25)


def test_memory_is_given_back_when_most_rows_are_removed():
    """What is left of many rows takes little memory."""
    many = SortedRows()
    count = 10_000
    template = rows([(1, 2, 0.5, 3, 0, 1)])
    for first in range(0, count, 100):
        many.add(ints(range(first, first + 100)), np.repeat(template, 100))
    full = many.memory_bytes
    assert full < 1.2 * count * (8 + COLUMNS.itemsize)
    many.remove(ints(range(count - 50)))
    assert many.memory_bytes < full / 50
    assert many.sequences(1).tolist() == list(range(count - 50, count))

"""What a store keeps in memory of memories below the short-term tier, beside their vectors.

Rows are in the order of their sequences, which is nearly the order in which they come: what moves
down is mostly newer than what is there, so inserting moves only what is behind. A row that is
removed is marked, and marked rows are taken out together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["COLUMNS", "SortedRows"]

Ints = npt.NDArray[np.int64]
Rows = npt.NDArray[Any]

# What is known of a memory but its sequence; `size` are the bytes of its packed state, `tier` is
# a place in `TIERS`.
COLUMNS = np.dtype(
    [
        ("stored_ns", "<i8"),
        ("step", "<i8"),
        ("importance", "<f4"),
        ("size", "<u4"),
        ("mark", "u1"),
        ("tier", "u1"),
    ]
)
_TIERS = 3
_DEAD = 255  # as a tier
_FIRST_ROWS = 4
_GROWTH_RATIO = 1.125
_MIN_DEAD_ROWS = 64
_MAX_DEAD_RATIO = 0.125


class SortedRows:
    """Rows of `COLUMNS` by sequence; not thread-safe.

    Attributes:
        held: memories by tier.
        size_bytes: of their packed states together, by tier.
    """

    __slots__ = ("_columns", "_count", "_dead", "_sequences", "held", "size_bytes")

    def __init__(self) -> None:
        self._count = 0
        self._dead = 0
        self._sequences: Ints = np.empty(_FIRST_ROWS, np.int64)
        self._columns: Rows = np.empty(_FIRST_ROWS, COLUMNS)
        self.held = [0] * _TIERS
        self.size_bytes = [0] * _TIERS

    def __len__(self) -> int:
        return self._count - self._dead

    @property
    def memory_bytes(self) -> int:
        """Bytes of the arrays."""
        return self._sequences.nbytes + self._columns.nbytes

    def add(self, sequences: Ints, rows: Rows) -> None:
        """Insert rows (n,) of `COLUMNS` under distinct sequences (n,), in any order.

        A sequence that is here must have been removed.
        """
        if not len(sequences):
            return
        self._account(rows, 1)
        if len(sequences) > 1 and bool((sequences[1:] < sequences[:-1]).any()):
            order = np.argsort(sequences, kind="stable")
            sequences, rows = sequences[order], rows[order]
        first = self._place(int(sequences[0]))
        if first < self._count:
            live = self._columns["tier"][first : self._count] != _DEAD
            self._dead -= len(live) - int(np.count_nonzero(live))
            sequences = np.concatenate((self._sequences[first : self._count][live], sequences))
            rows = np.concatenate((self._columns[first : self._count][live], rows))
            order = np.argsort(sequences, kind="stable")
            sequences, rows = sequences[order], rows[order]
        self._require(first + len(sequences))
        self._sequences[first : first + len(sequences)] = sequences
        self._columns[first : first + len(sequences)] = rows
        self._count = first + len(sequences)

    def remove(self, sequences: Ints) -> None:
        """Take rows away. Raises KeyError when one is not here."""
        places = self._places(sequences)
        self._account(self._columns[places], -1)
        self._columns["tier"][places] = _DEAD
        self._dead += len(places)
        if self._dead > max(_MIN_DEAD_ROWS, _MAX_DEAD_RATIO * self._count):
            self._compact()

    def move(self, sequences: Ints, tier: int) -> None:
        """Put rows into another tier. Raises KeyError when one is not here."""
        places = self._places(sequences)
        self._account(self._columns[places], -1)
        self._columns["tier"][places] = tier
        self._account(self._columns[places], 1)

    def tier_of(self, sequence: int) -> int | None:
        """The tier of a memory, or None when it is not here."""
        place = self._place(sequence)
        if place == self._count or self._sequences[place] != sequence:
            return None
        tier = int(self._columns["tier"][place])
        return None if tier == _DEAD else tier

    def tiers_of(self, sequences: list[int]) -> list[int]:
        """The tiers of memories that are here."""
        for tier, held in enumerate(self.held):
            if held == len(self):
                return [tier] * len(sequences)
        places = self._sequences[: self._count].searchsorted(sequences)
        tiers: list[int] = self._columns["tier"][places].tolist()
        return tiers

    def present(self, sequences: Ints, tier: int) -> Ints:
        """Those of the sequences that are in a tier, in their order."""
        if not self._count:
            return sequences[:0]
        places = np.searchsorted(self._sequences[: self._count], sequences)
        places = np.minimum(places, self._count - 1)
        is_there = (self._sequences[places] == sequences) & (self._columns["tier"][places] == tier)
        here: Ints = sequences[is_there]
        return here

    def stored_before(self, tier: int, time_ns: int) -> tuple[Ints, int | None]:
        """Sequences of a tier's memories stored before a time, and when the first of others was."""
        mine = np.flatnonzero(self._columns["tier"][: self._count] == tier)
        stored_ns = self._columns["stored_ns"][mine]
        is_before = stored_ns < time_ns
        rest = stored_ns[~is_before]
        return self._sequences[mine[is_before]], int(rest.min()) if len(rest) else None

    def first_stored_ns(self, sequences: Ints) -> int:
        """When the first of some memories was stored. Raises KeyError when one is not here."""
        return int(self._columns["stored_ns"][self._places(sequences)].min())

    def sequences(self, tier: int | None = None) -> Ints:
        """Sequences in their order, (n,), of one tier or all; not to be changed."""
        self._compact()
        sequences = self._sequences[: self._count]
        return sequences if tier is None else sequences[self._mask(tier)]

    def column(self, name: str, tier: int) -> Rows:
        """A column of a tier in the order of the sequences, (n,); not to be changed."""
        self._compact()
        column: Rows = self._columns[name][: self._count][self._mask(tier)]
        return column

    def _mask(self, tier: int) -> Any:
        if self.held[tier] == self._count:
            return slice(None)
        return self._columns["tier"][: self._count] == tier

    def _place(self, sequence: int) -> int:
        """Where a sequence is, or would be."""
        count = self._count
        if not count or self._sequences[count - 1] < sequence:
            return count
        return int(np.searchsorted(self._sequences[:count], sequence))

    def _places(self, sequences: Ints) -> Ints:
        if not len(sequences):
            return sequences
        if not self._count:
            raise KeyError(sequences)
        places: Ints = np.searchsorted(self._sequences[: self._count], sequences)
        places = np.minimum(places, self._count - 1)
        is_there = (self._sequences[places] == sequences) & (self._columns["tier"][places] != _DEAD)
        if not is_there.all():
            raise KeyError(sequences[~is_there])
        return places

    def _account(self, rows: Rows, sign: int) -> None:
        if not len(rows):
            return
        tiers, sizes = rows["tier"], rows["size"]
        first = int(tiers[0])
        if bool((tiers == first).all()):
            self.held[first] += sign * len(rows)
            self.size_bytes[first] += sign * int(sizes.sum())
            return
        for tier in range(_TIERS):
            chosen = tiers == tier
            self.held[tier] += sign * int(np.count_nonzero(chosen))
            self.size_bytes[tier] += sign * int(sizes[chosen].sum())

    def _compact(self) -> None:
        if not self._dead:
            return
        live = self._columns["tier"][: self._count] != _DEAD
        count = self._count - self._dead
        self._sequences[:count] = self._sequences[: self._count][live]
        self._columns[:count] = self._columns[: self._count][live]
        self._count, self._dead = count, 0
        if count < len(self._sequences) // 4:
            self._resize(max(2 * count, _FIRST_ROWS))

    def _require(self, rows: int) -> None:
        if rows > len(self._sequences):
            self._resize(max(rows, int(len(self._sequences) * _GROWTH_RATIO) + _FIRST_ROWS))

    def _resize(self, capacity: int) -> None:
        sequences, columns = np.empty(capacity, np.int64), np.empty(capacity, COLUMNS)
        sequences[: self._count] = self._sequences[: self._count]
        columns[: self._count] = self._columns[: self._count]
        self._sequences, self._columns = sequences, columns

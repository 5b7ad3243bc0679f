"""What a store keeps in memory of the memories of a lower tier, beside their vectors.

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

# What is known of a memory but its sequence; `size` are the bytes of its packed state.
COLUMNS = np.dtype(
    [
        ("stored_ns", "<i8"),
        ("step", "<i8"),
        ("importance", "<f4"),
        ("size", "<u4"),
        ("mark", "u1"),
    ]
)
_DEAD = 64
_FIRST_ROWS = 4
_GROWTH_RATIO = 1.125
_MIN_DEAD_ROWS = 64
_MAX_DEAD_RATIO = 0.125


class SortedRows:
    """Rows of `COLUMNS` by sequence; not thread-safe.

    Attributes:
        size_bytes: of the packed states together.
    """

    __slots__ = ("_columns", "_count", "_dead", "_sequences", "size_bytes")

    def __init__(self) -> None:
        self._count = 0
        self._dead = 0
        self._sequences: Ints = np.empty(_FIRST_ROWS, np.int64)
        self._columns: Rows = np.empty(_FIRST_ROWS, COLUMNS)
        self.size_bytes = 0

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
        order = np.argsort(sequences, kind="stable")
        new, rows = sequences[order], rows[order]
        first = self._place(int(new[0]))
        if first < self._count:
            old = self._sequences[first : self._count]
            live = (self._columns["mark"][first : self._count] & _DEAD) == 0
            self._dead -= len(live) - int(np.count_nonzero(live))
            new = np.concatenate((old[live], new))
            rows = np.concatenate((self._columns[first : self._count][live], rows))
            order = np.argsort(new, kind="stable")
            new, rows = new[order], rows[order]
        self.size_bytes += int(rows["size"].sum()) - self._size_of(first)
        self._require(first + len(new))
        self._sequences[first : first + len(new)] = new
        self._columns[first : first + len(new)] = rows
        self._count = first + len(new)

    def rows(self, sequences: Ints) -> Rows:
        """The rows of sequences that are here, (n,), as a copy."""
        places = np.searchsorted(self._sequences[: self._count], sequences)
        rows: Rows = self._columns[places]
        return rows

    def present(self, sequences: Ints) -> Ints:
        """Those of the sequences that are here, in their order."""
        if not self._count:
            return sequences[:0]
        places = np.searchsorted(self._sequences[: self._count], sequences)
        places = np.minimum(places, self._count - 1)
        live = (self._sequences[places] == sequences) & (
            (self._columns["mark"][places] & _DEAD) == 0
        )
        here: Ints = sequences[live]
        return here

    def remove(self, sequences: Ints) -> None:
        """Take rows away. Raises KeyError when one is not here."""
        places = np.searchsorted(self._sequences[: self._count], sequences)
        found = np.minimum(places, max(self._count - 1, 0))
        if not self._count or bool((self._sequences[found] != sequences).any()):
            raise KeyError(sequences)
        marks = self._columns["mark"]
        if bool((marks[places] & _DEAD).any()):
            raise KeyError(sequences)
        self.size_bytes -= int(self._columns["size"][places].sum())
        marks[places] |= _DEAD
        self._dead += len(places)
        if self._dead > max(_MIN_DEAD_ROWS, _MAX_DEAD_RATIO * self._count):
            self._compact()

    def __contains__(self, sequence: int) -> bool:
        return self._find(sequence) is not None

    def sequences(self) -> Ints:
        """Sequences in their order, (n,); not to be changed."""
        self._compact()
        return self._sequences[: self._count]

    def column(self, name: str) -> Rows:
        """A column in the order of the sequences, (n,); not to be changed."""
        self._compact()
        column: Rows = self._columns[name][: self._count]
        return column

    def _place(self, sequence: int) -> int:
        """Where a sequence is, or would be."""
        count = self._count
        if not count or self._sequences[count - 1] < sequence:
            return count
        return int(np.searchsorted(self._sequences[:count], sequence))

    def _find(self, sequence: int) -> int | None:
        place = self._place(sequence)
        if place == self._count or self._sequences[place] != sequence:
            return None
        return None if self._columns["mark"][place] & _DEAD else place

    def _size_of(self, first: int) -> int:
        """Bytes of the states of the live rows from ``first`` on."""
        part = self._columns[first : self._count]
        if not len(part):
            return 0
        return int(part["size"][(part["mark"] & _DEAD) == 0].sum())

    def _compact(self) -> None:
        if not self._dead:
            return
        live = (self._columns["mark"][: self._count] & _DEAD) == 0
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

"""The short-term memories of one agent in memory: everything that is asked for, a row each."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from memory_core.index import FlatIndex
from memory_core.sorted_rows import COLUMNS

__all__ = ["HAS_METADATA", "HAS_VECTOR", "KIND_MASK", "Entry", "TierTable"]

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

# sequence, importance, stored_ns, step (or NO_STEP), mark, bytes of the packed state
Entry = tuple[int, float, int, int, int, int]
# A mark is a memory's kind, with these where its record has metadata, or a vector.
HAS_METADATA = 128
HAS_VECTOR = 32
KIND_MASK = 3
# Rows that are not worth an array.
_FEW = 8
# What objects take beside the arrays, lists and dicts that can be asked for their sizes; measured
# with 64-bit Python 3.11, as the private memory of a process that made thousands of them.
_TABLE_BYTES = 400
_ROW_NUMBER_BYTES = 32
_SMALL_NUMBERS = 257  # which Python has once
_IDS_LOOKED_AT = 8


class TierTable:
    """The short-term memories of one agent, a row each."""

    __slots__ = (
        *("ids", "importances", "index", "marks", "payloads", "rows", "sequences", "sizes"),
        *("steps", "stored_ns"),
    )

    def __init__(self, dimension: int) -> None:
        self.ids: list[str] = []
        self.payloads: list[bytes | None] = []
        self.rows: dict[str, int] = {}
        self.sequences = array("q")
        self.importances = array("f")
        self.stored_ns = array("q")
        self.steps = array("q")
        self.marks = array("B")
        self.sizes = array("I")
        self.index = FlatIndex(dimension)

    @property
    def held(self) -> int:
        """How many memories it holds."""
        return len(self.ids)

    def put(
        self,
        state_id: str,
        vector: npt.NDArray[np.float32],
        entry: Entry,
        payload: bytes | None,
    ) -> int | None:
        """Insert a memory, or replace the one of that id, whose sequence is given back."""
        sequence, importance, stored_ns, step, mark, size = entry
        row = self.rows.get(state_id)
        if row is None:
            self.rows[state_id] = self.index.add(vector)
            self.ids.append(state_id)
            self.payloads.append(payload)
            self.sequences.append(sequence)
            self.importances.append(importance)
            self.stored_ns.append(stored_ns)
            self.steps.append(step)
            self.marks.append(mark)
            self.sizes.append(size)
            return None
        replaced = self.sequences[row]
        self.index.replace(row, vector)
        self.payloads[row] = payload
        self.sequences[row] = sequence
        self.importances[row] = importance
        self.stored_ns[row] = stored_ns
        self.steps[row] = step
        self.marks[row] = mark
        self.sizes[row] = size
        return replaced

    def extend(
        self,
        state_ids: list[str],
        vectors: Floats,
        entries: Sequence[Entry],
        payloads: Sequence[bytes | None],
    ) -> None:
        """`put` for many memories, none of which is here."""
        first = len(self.ids)
        self.rows.update(zip(state_ids, range(first, first + len(state_ids)), strict=True))
        self.ids += state_ids
        self.payloads += payloads
        self.index.extend(vectors)
        sequences, importances, stored_ns, steps, marks, sizes = zip(*entries, strict=True)
        self.sequences.extend(sequences)
        self.importances.extend(importances)
        self.stored_ns.extend(stored_ns)
        self.steps.extend(steps)
        self.marks.extend(marks)
        self.sizes.extend(sizes)

    def taken(self, rows: list[int]) -> dict[str, npt.NDArray[Any]]:
        """Sequences, and the other columns by their names, of rows, as copies."""
        columns = {name: np.frombuffer(column, column.typecode) for name, column in self._numbers()}
        return {name: column[rows] for name, column in columns.items()}

    def remove(self, rows: list[int]) -> None:
        """Take rows away, distinct ones; the last rows take their places."""
        ids, payloads, by_id = self.ids, self.payloads, self.rows
        for row in rows:
            del by_id[ids[row]]
        total, count = len(ids), len(ids) - len(rows)
        gone = set(rows)
        holes = [row for row in rows if row < count]
        movers = [row for row in range(count, total) if row not in gone]
        for hole, mover in zip(holes, movers, strict=True):
            ids[hole] = moved = ids[mover]
            payloads[hole] = payloads[mover]
            by_id[moved] = hole
        del ids[count:], payloads[count:]
        if total > 2 * count and total > _FEW:
            self.rows = dict(by_id)  # a dict that entries are taken out of stays as large
        if len(rows) > _FEW:
            self._remove_numbers(np.array(holes, np.intp), np.array(movers, np.intp), count)
        else:
            for _, column in self._numbers():
                for hole, mover in zip(holes, movers, strict=True):
                    column[hole] = column[mover]
                del column[count:]
        self.index.remove(holes, movers, count)

    def _remove_numbers(
        self, holes: npt.NDArray[np.intp], movers: npt.NDArray[np.intp], count: int
    ) -> None:
        for _, column in self._numbers():
            view = np.frombuffer(column, column.typecode)
            view[holes] = view[movers]
            del view  # or the column could not become shorter
            del column[count:]

    def _numbers(self) -> tuple[tuple[str, array[Any]], ...]:
        return (
            ("sequence", self.sequences),
            ("stored_ns", self.stored_ns),
            ("step", self.steps),
            ("importance", self.importances),
            ("size", self.sizes),
            ("mark", self.marks),
        )

    def forget_payloads(self) -> tuple[int, int]:
        """Hold no packed states; how many and how many bytes were held."""
        held = [payload for payload in self.payloads if payload is not None]
        if held:
            self.payloads = [None] * len(self.ids)
        return len(held), sum(map(len, held))

    def all_sequences(self) -> Ints:
        """Sequences in the order of the rows, (n,)."""
        return np.array(self.sequences, np.int64)

    def column(self, name: str) -> npt.NDArray[Any]:
        """A column as an array, (n,): one of `COLUMNS`."""
        return np.array(dict(self._numbers())[name], COLUMNS[name])

    @property
    def size_bytes(self) -> int:
        """Of the packed states together."""
        return sum(self.sizes)

    @property
    def memory_bytes(self) -> int:
        """Bytes in memory, vectors included and packed states left out; looks at a few ids."""
        total = len(self.ids)
        some = self.ids[:: max(1, total // _IDS_LOOKED_AT)]
        ids_bytes = sum(map(sys.getsizeof, some)) * total // max(1, len(some))
        numbers_bytes = _ROW_NUMBER_BYTES * max(0, total - _SMALL_NUMBERS)
        held = (self.ids, self.payloads, self.rows, *(column for _, column in self._numbers()))
        containers_bytes = sum(map(sys.getsizeof, held))
        vectors_bytes = self.index.vectors.nbytes
        return _TABLE_BYTES + ids_bytes + numbers_bytes + containers_bytes + vectors_bytes

"""What a store keeps in memory of one agent: which memories it has, where, and their vectors.

All of it can be rebuilt from RocksDB. A memory is in exactly one tier. Of a short-term memory
everything that is asked for is here, its packed state while the store's
`memory_core.payload_budget` allows it. Of a lower tier's there are numbers and a place in an index:
its id, its state and its full vector are in RocksDB only.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from memory_core.growing_index import GrowingIndex
from memory_core.index import FlatIndex
from memory_core.operations import TIERS
from memory_core.record import Parts, agent_prefix
from memory_core.sorted_rows import COLUMNS, SortedRows

__all__ = [
    "HAS_METADATA",
    "HAS_VECTOR",
    "KIND_MASK",
    "AgentMemories",
    "Entry",
    "IndexSettings",
    "LowerMemories",
    "LowerTier",
    "TierTable",
    "entry_of",
    "rows_from",
    "rows_of",
]

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
_AGENT_BYTES = 250
_TABLE_BYTES = 400
_LOWER_BYTES = 1_150
_READ_BYTES = 56
_ROW_NUMBER_BYTES = 32
_SMALL_NUMBERS = 257  # which Python has once
_IDS_LOOKED_AT = 8


class IndexSettings(NamedTuple):
    """How the index of a lower tier is made."""

    dimension: int
    exact_below: int


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

    def entry(self, row: int) -> Entry:
        """What `put` was given for a row."""
        return (
            self.sequences[row],
            self.importances[row],
            self.stored_ns[row],
            self.steps[row],
            self.marks[row],
            self.sizes[row],
        )

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


class LowerMemories:
    """The memories of one agent below the short-term tier, by their sequences.

    Both lower tiers share an index: what moves from one to the other stays where it is in it.
    """

    __slots__ = ("changes", "held", "index", "rows")

    def __init__(self, settings: IndexSettings) -> None:
        self.rows = SortedRows()
        self.index = GrowingIndex(settings.dimension, exact_below=settings.exact_below)
        self.changes = 0  # of the index, since a snapshot had it
        # of intermediate memories, as far as the budget goes: the value, and behind it the vector
        self.held: dict[int, bytes] = {}

    def add(self, sequences: Ints, rows: npt.NDArray[Any], vectors: Floats) -> None:
        """Add memories that are not here: (n,) int64, (n,) of `COLUMNS`, (n, dim) float32."""
        self.rows.add(sequences, rows)
        self.index.add(sequences, vectors)
        self.changes += len(sequences)

    def remove(self, sequences: Ints) -> None:
        """Take memories away. Raises KeyError when one is not here."""
        self.rows.remove(sequences)
        self.index.remove_many(sequences)
        self.changes += len(sequences)
        if self.held:
            for sequence in sequences.tolist():
                self.held.pop(sequence, None)

    def forget_held(self) -> tuple[int, int]:
        """Hold no values; how many and how many bytes were held."""
        held, self.held = self.held, {}
        return len(held), sum(map(len, held.values()))

    @property
    def memory_bytes(self) -> int:
        """Bytes in memory, of the index and of what is beside it."""
        return _LOWER_BYTES + self.rows.memory_bytes + self.index.memory_bytes


class LowerTier(NamedTuple):
    """One of the lower tiers of an agent."""

    lower: LowerMemories
    tier: int

    @property
    def held(self) -> int:
        """How many memories it holds."""
        return self.lower.rows.held[self.tier]

    @property
    def size_bytes(self) -> int:
        """Of the packed states together."""
        return self.lower.rows.size_bytes[self.tier]

    def all_sequences(self) -> Ints:
        """Sequences in their order, (n,); not to be changed."""
        return self.lower.rows.sequences(self.tier)

    def column(self, name: str) -> npt.NDArray[Any]:
        """A column in the order of the sequences, (n,)."""
        return self.lower.rows.column(name, self.tier)


class AgentMemories:
    """The three tiers of one agent; made when the first memory enters them.

    Attributes:
        prefix: what the keys of its memories begin with.
        short: the short-term tier, or None.
        lower: what is below it, or None.
        reads: strength by the sequence of what was retrieved (`memory_core.access`), or None.
    """

    __slots__ = ("_settings", "lower", "prefix", "reads", "short")

    def __init__(self, agent_id: str, settings: IndexSettings) -> None:
        self.prefix = agent_prefix(agent_id)
        self._settings = settings
        self.short: TierTable | None = None
        self.lower: LowerMemories | None = None
        self.reads: dict[int, float] | None = None

    def make_short(self) -> TierTable:
        """The short-term tier, made if need be."""
        if self.short is None:
            self.short = TierTable(self._settings.dimension)
        return self.short

    def make_lower(self) -> LowerMemories:
        """What is below it, made if need be."""
        if self.lower is None:
            self.lower = LowerMemories(self._settings)
        return self.lower

    def tier(self, tier: int) -> TierTable | LowerTier | None:
        """A tier if it was made."""
        if tier == 0:
            return self.short
        return None if self.lower is None else LowerTier(self.lower, tier)

    def held(self, tier: int) -> int:
        """How many memories a tier holds."""
        table = self.tier(tier)
        return 0 if table is None else table.held

    def held_bytes(self, tier: int) -> int:
        """How many bytes the packed states of a tier are together."""
        table = self.tier(tier)
        return 0 if table is None else table.size_bytes

    def forget_reads(self, sequences: Ints) -> None:
        """Let memories, (n,), be as if they had never been retrieved."""
        reads = self.reads
        if not reads or not len(sequences):
            return
        gone: Iterable[int] = sequences.tolist()
        if len(sequences) > len(reads):
            read = np.fromiter(reads, np.int64, len(reads))
            gone = read[np.isin(read, sequences)].tolist()
        for sequence in gone:
            reads.pop(sequence, None)

    @property
    def is_empty(self) -> bool:
        """Whether no tier holds anything."""
        return not any(self.held(tier) for tier in range(len(TIERS)))

    @property
    def memory_bytes(self) -> int:
        """Bytes in memory, of all but packed states."""
        short = 0 if self.short is None else self.short.memory_bytes
        lower = 0 if self.lower is None else self.lower.memory_bytes
        reads = 0
        if self.reads is not None:
            reads = sys.getsizeof(self.reads) + _READ_BYTES * len(self.reads)
        return _AGENT_BYTES + short + lower + reads

    def close(self) -> None:
        """End what goes on in the background."""
        if self.lower is not None:
            self.lower.index.close()


def rows_from(columns: Mapping[str, Any], count: int, tier: int) -> npt.NDArray[Any]:
    """Rows (n,) of `COLUMNS`, of columns by their names."""
    rows = np.empty(count, COLUMNS)
    for name in COLUMNS.names or ():
        rows[name] = tier if name == "tier" else columns[name]
    return rows


def rows_of(entries: list[Entry], tier: int) -> tuple[Ints, npt.NDArray[Any]]:
    """Sequences (n,) and rows (n,) of `COLUMNS` of entries."""
    names = ("importance", "stored_ns", "step", "mark", "size")
    sequences, *columns = zip(*entries, strict=True)
    rows = rows_from(dict(zip(names, columns, strict=True)), len(entries), tier)
    return np.array(sequences, np.int64), rows


def entry_of(parts: Parts) -> Entry:
    """What the tables have of a record."""
    mark = parts.kind
    if parts.metadata is not None:
        mark |= HAS_METADATA
    if parts.vector is not None:
        mark |= HAS_VECTOR
    size = len(parts.payload)
    return (parts.sequence, parts.importance, parts.stored_ns, parts.step, mark, size)

"""What a store keeps in memory of one agent: which memories it has, where, and their vectors.

All of it can be rebuilt from RocksDB. A memory is in exactly one tier. Of a short-term memory
everything that is asked for is here, its packed state while the store's
`memory_core.payload_budget` allows it. Of a lower tier's there are numbers and a place in an index:
its id, its state and its full vector are in RocksDB only.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from memory_core.growing_index import GrowingIndex
from memory_core.operations import TIERS
from memory_core.record import Parts, agent_prefix
from memory_core.short_term import HAS_METADATA, HAS_VECTOR, Entry, TierTable
from memory_core.sorted_rows import COLUMNS, SortedRows

__all__ = [
    "AgentMemories",
    "IndexSettings",
    "LowerMemories",
    "LowerTier",
    "entry_of",
    "rows_from",
    "rows_of",
]

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

# What objects take beside the arrays, lists and dicts that can be asked for their sizes; measured
# with 64-bit Python 3.11, as the private memory of a process that made thousands of them.
_AGENT_BYTES = 250
_LOWER_BYTES = 1_150
_READ_BYTES = 56


class IndexSettings(NamedTuple):
    """How the index of a lower tier is made."""

    dimension: int
    exact_below: int


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

"""What is needed to take all memories out of a store: its agents, and their memories in pages.

A page is read from the records, since these alone hold everything. A vector is left out of it
when the default encoder makes the same one of the state: then it follows from the state.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from memory_core.errors import BadInputError
from memory_core.memories import AgentMemories, LowerTier
from memory_core.operations import Agents, Export
from memory_core.queries import tiers_of
from memory_core.reading import Applied, Place, Reader, memory_of
from memory_core.record import Parts
from memory_core.results import AgentSize, Exported, Listed, Memory
from memory_core.short_term import TierTable
from memory_core.tables import Tables
from memory_core.vectors import Vectorizer

__all__ = ["ExportPages"]

_READ_TOGETHER = 64
# Alone and in a batch a state is encoded to vectors that differ by less than this.
_ROUNDING = 1e-7
# sequence, tier, row or sequence there, bytes of the packed state
_Found = tuple[int, int, int, int]


class ExportPages:
    """Answers `Agents` and `Export`. Not thread-safe."""

    def __init__(self, reader: Reader, vectorizer: Vectorizer, tables: Tables) -> None:
        self._reader = reader
        self._vectorizer = vectorizer
        self._tables = tables

    def agents(self, operation: Agents) -> Listed:
        """Agents by id, with how much there is of each."""
        ids = self._tables.ids.page(operation.limit, after=operation.after, prefix=operation.prefix)
        return Listed([_size(agent_id, self._tables.agents[agent_id]) for agent_id in ids])

    def page(self, operation: Export, applied: Applied) -> Exported:
        """The next memories of an agent, in the order of storing. Raises CorruptionError."""
        memories = self._tables.agents.get(operation.agent_id)
        if memories is None:
            return Exported([], [], operation.after, False)
        found, left = _next(memories, operation)
        taken: list[Memory] = []
        vectors: list[bytes | None] = []
        size, last = 0, operation.after
        while found and (not taken or size < operation.max_bytes):
            count = _within(found[:_READ_TOGETHER], operation.max_bytes - size)
            some, found = found[:count], found[count:]
            read = self._read(memories, some, applied)
            taken += [memory for memory, _ in read]
            vectors += self._needed([parts for _, parts in read])
            size += sum(len(parts.payload) + len(parts.metadata or b"") for _, parts in read)
            last = some[-1][0]
        return Exported(taken, vectors, last, bool(found) or left > 0)

    def _read(
        self, memories: AgentMemories, some: Sequence[_Found], applied: Applied
    ) -> list[tuple[Memory, Parts]]:
        read: dict[Place, tuple[str, Parts]] = {}
        for tier, table in tiers_of(memories, "all"):
            chosen = [at for _, one, at, _ in some if one == tier]
            if isinstance(table, LowerTier):
                records = self._reader.lower(memories, tier, chosen, applied)
            else:
                parts = self._reader.short(memories, table, chosen, applied)
                records = list(zip((table.ids[row] for row in chosen), parts, strict=True))
            read.update(zip(((tier, at) for at in chosen), records, strict=True))
        taken = []
        for _, tier, at, _ in some:
            state_id, one = read[tier, at]
            taken.append((memory_of(state_id, tier, one), one))
        return taken

    def _needed(self, parts: list[Parts]) -> list[bytes | None]:
        """The vectors of records; None where the state alone gives the same."""
        vectors = [one.vector for one in parts]
        written = [at for at, vector in enumerate(vectors) if vector is not None]
        if not written or not self._vectorizer.is_reproducible:
            return vectors
        try:
            made = self._vectorizer.encode([parts[at].payload for at in written])
        except BadInputError:  # a state that came with its vector, which no encoder has to take
            return vectors
        kept = np.frombuffer(b"".join(vectors[at] or b"" for at in written), np.float32)
        differences = np.abs(made - kept.reshape(made.shape)).max(axis=1)
        for at, difference in zip(written, differences.tolist(), strict=True):
            if difference <= _ROUNDING:
                vectors[at] = None
        return vectors


def _size(agent_id: str, memories: AgentMemories) -> AgentSize:
    held = held_bytes = 0
    for _, table in tiers_of(memories, "all"):
        held, held_bytes = held + table.held, held_bytes + table.size_bytes
    return AgentSize(agent_id, held, held_bytes)


def _next(memories: AgentMemories, operation: Export) -> tuple[list[_Found], int]:
    """The ``limit`` first memories after the one that was last, and how many are left then."""
    columns: list[tuple[np.ndarray, ...]] = []
    for tier, table in tiers_of(memories, "all"):
        sequences = table.all_sequences()
        rows = np.flatnonzero(sequences > operation.after)
        at = rows if isinstance(table, TierTable) else sequences[rows]
        columns.append((sequences[rows], np.full(len(rows), tier), at, table.column("size")[rows]))
    if not columns:
        return [], 0
    sequences, *others = (np.concatenate(column) for column in zip(*columns, strict=True))
    limit, count = operation.limit, len(sequences)
    chosen = np.arange(count)
    if count > limit:
        chosen = np.argpartition(sequences, limit - 1)[:limit]
    chosen = chosen[np.argsort(sequences[chosen])]
    picked = [column[chosen].tolist() for column in (sequences, *others)]
    return list(zip(*picked, strict=True)), count - len(chosen)


def _within(found: Sequence[_Found], max_bytes: int) -> int:
    """How many of the first have states of ``max_bytes`` together: one at least."""
    total = 0
    for count, (*_, size) in enumerate(found):
        total += size
        if total > max_bytes:
            return max(count, 1)
    return len(found)

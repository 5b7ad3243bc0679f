"""Records of memories, from the batch that is being applied, from memory or from RocksDB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from memory_core.errors import CorruptionError
from memory_core.log import Batch, Log
from memory_core.memories import HAS_METADATA, AgentMemories, TierTable
from memory_core.ops import KINDS, TIERS, Demotion, Memory
from memory_core.payload_budget import PayloadBudget
from memory_core.record import NO_STEP, Parts, parts_of

__all__ = ["Applied", "Place", "Reader"]

# Where a memory is: its tier, the tier's table, and the row there.
Place = tuple[int, TierTable, int]


@dataclass(slots=True)
class Applied:
    """What became of a batch, before it is committed."""

    results: list[Any]
    batch: Batch
    writes: list[int] = field(default_factory=list)
    # values that this batch has written and the database does not have yet, by key
    pending: dict[bytes, bytes] = field(default_factory=dict)
    # packed states that the tables hold since this batch
    held: int = 0
    held_bytes: int = 0
    # what moved down by itself or because it was told to; None when nobody asks
    demotions: list[Demotion] | None = None


class Reader:
    """Reads what the tables do not hold themselves. Not thread-safe.

    Args:
        log: the database.
        budget: whether packed states that were read may be held.
        dimension: of the vectors.
    """

    def __init__(self, log: Log, budget: PayloadBudget, dimension: int) -> None:
        self._log = log
        self._budget = budget
        self._dimension = dimension

    def values(self, tier: int, keys: list[bytes], applied: Applied) -> list[bytes]:
        """Whole values of keys that the tables say are in ``tier``. Raises CorruptionError."""
        pending = applied.pending
        unwritten = [key for key in keys if key not in pending]
        stored = {}
        if unwritten:
            stored = dict(zip(unwritten, self._log.get_many(tier, unwritten), strict=True))
        values = []
        for key in keys:
            value = pending.get(key) or stored.get(key)
            if value is None:
                raise CorruptionError(
                    self._log.path, f"the record {key!r} has gone from {TIERS[tier]}"
                )
            values.append(value)
        return values

    def payload(
        self, memories: AgentMemories, tier: int, table: TierTable, row: int, applied: Applied
    ) -> bytes:
        """The packed state of a memory, from the database; it is held from now on."""
        [parts] = self.parts(memories, tier, table, [row], applied)
        self._hold(table, row, parts.payload, applied)
        return parts.payload

    def payloads(
        self,
        memories: AgentMemories,
        tier: int,
        table: TierTable,
        rows: list[int],
        applied: Applied,
    ) -> list[bytes]:
        """The packed states of memories, from wherever they are. None is held that was not."""
        missing = [row for row in rows if table.payloads[row] is None]
        read = {}
        if missing:
            parts = self.parts(memories, tier, table, missing, applied)
            read = {row: one.payload for row, one in zip(missing, parts, strict=True)}
        return [table.payloads[row] or read[row] for row in rows]

    def memories(
        self, memories: AgentMemories, places: Sequence[Place], applied: Applied
    ) -> list[Memory]:
        """Memories with all that is kept of them, in the order of ``places``."""
        found: dict[int, Memory] = {}
        for tier in range(len(TIERS)):
            wanted = [
                (at, table, row) for at, (one, table, row) in enumerate(places) if one == tier
            ]
            if not wanted:
                continue
            table = wanted[0][1]
            rows = [row for _, _, row in wanted]
            marked = [row for row in rows if table.marks[row] & HAS_METADATA]
            parts = dict(
                zip(marked, self.parts(memories, tier, table, marked, applied), strict=True)
            )
            payloads = self.payloads(memories, tier, table, rows, applied)
            for (at, _, row), payload in zip(wanted, payloads, strict=True):
                step = table.steps[row]
                found[at] = Memory(
                    table.ids[row],
                    TIERS[tier],
                    KINDS[table.marks[row] & ~HAS_METADATA],
                    table.importances[row],
                    table.stored_ns[row],
                    None if step == NO_STEP else step,
                    payload,
                    parts[row].metadata if row in parts else None,
                )
        return [found[at] for at in range(len(places))]

    def parts(
        self,
        memories: AgentMemories,
        tier: int,
        table: TierTable,
        rows: list[int],
        applied: Applied,
    ) -> list[Parts]:
        """The whole records of memories, from RocksDB or the batch. Raises CorruptionError."""
        keys = [memories.prefix + table.ids[row].encode() for row in rows]
        parts = []
        for key, value in zip(keys, self.values(tier, keys, applied), strict=True):
            try:
                parts.append(parts_of(value, self._dimension))
            except ValueError as error:
                problem = f"the record {key!r} is none: {error}"
                raise CorruptionError(self._log.path, problem) from None
        return parts

    def _hold(self, table: TierTable, row: int, payload: bytes, applied: Applied) -> None:
        if self._budget.is_open:
            table.payloads[row] = payload
            applied.held += 1
            applied.held_bytes += len(payload)

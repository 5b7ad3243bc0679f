"""Records of memories, from the batch that is being applied, from memory or from RocksDB."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from memory_core.access import Accesses
from memory_core.errors import BadInputError, CorruptionError
from memory_core.log import DATA_FAMILIES, IDS, Batch, Log
from memory_core.memories import AgentMemories
from memory_core.operations import KINDS, TIERS
from memory_core.payload_budget import PayloadBudget
from memory_core.record import NO_STEP, Parts, lower_key, lower_parts_of, parts_of, sequence_of
from memory_core.results import Demotion, Memory, Promotion
from memory_core.short_term import HAS_METADATA, KIND_MASK, TierTable
from memory_core.vectors import vectors_of

__all__ = ["Applied", "LowerRecord", "Place", "Reader", "memory_of"]

_STM, _IM = 0, 1
# So many records, in so wide a range for each, are read faster one after the other.
_FEW = 32
_FEW_ROWS = 4
_SPAN_RATIO = 3
# Where a memory is: its tier, and its row there in the short-term tier, else its sequence.
Place = tuple[int, int]
# A memory of a lower tier: its state id and its record.
LowerRecord = tuple[str, Parts]


def _nothing_pending() -> list[dict[bytes, bytes | None]]:
    return [{} for _ in DATA_FAMILIES]


@dataclass(slots=True)
class Applied:
    """What became of a batch, before it is committed."""

    results: list[Any]
    batch: Batch
    writes: list[int] = field(default_factory=list)
    # by column family, what this batch has written and the database does not have yet; None
    # where it was taken out
    pending: list[dict[bytes, bytes | None]] = field(default_factory=_nothing_pending)
    # what the database has in the family of ids, of those that were looked up together
    known: dict[bytes, bytes | None] = field(default_factory=dict)
    # packed states that the tables hold since this batch
    held: int = 0
    held_bytes: int = 0
    # what moved to another tier, by itself or because it was told to; None when nobody asks
    demotions: list[Demotion | Promotion] | None = None
    # the operation that is being applied, where several are together
    position: int | None = None

    def tell(
        self,
        kind: type[Demotion] | type[Promotion],
        agent_id: str,
        state_ids: Sequence[str],
        tier: int,
    ) -> None:
        """Note what has moved from a tier, for whoever asks."""
        if self.demotions is not None:
            position = self.writes[-1] if self.position is None else self.position
            self.demotions += [kind(position, agent_id, one, tier) for one in state_ids]

    def lacks_id(self, key: bytes) -> bool:
        """Whether it is known that the family of ids has nothing under a key."""
        return self.known.get(key, key) is None and key not in self.pending[IDS]

    def put(self, family: int, key: bytes, value: bytes) -> None:
        """Write a key."""
        self.pending[family][key] = value
        self.batch.put(family, key, value)

    def delete(self, family: int, key: bytes) -> None:
        """Take a key out."""
        self.pending[family][key] = None
        self.batch.delete(family, key)

    def delete_all(self, prefix: bytes = b"") -> None:
        """Take out every key that begins with ``prefix``."""
        for pending in self.pending:
            for key in [key for key in pending if key.startswith(prefix)]:
                del pending[key]
        self.batch.delete_all(prefix)


class Reader:
    """Reads what the tables do not hold themselves. Not thread-safe.

    Args:
        log: the database.
        budget: whether packed states that were read may be held.
        dimension: of the vectors.
        encode: packed states to vectors of shape (n, dim).
        accesses: is told what was retrieved.
    """

    def __init__(
        self,
        log: Log,
        budget: PayloadBudget,
        dimension: int,
        encode: Callable[[Sequence[bytes]], Any],
        accesses: Accesses,
    ) -> None:
        self.accesses = accesses
        self._log = log
        self._budget = budget
        self._dimension = dimension
        self._encode = encode

    def find(self, memories: AgentMemories, state_id: str, applied: Applied) -> Place | None:
        """Where the memory of an id is, or None. Raises CorruptionError."""
        if memories.short is not None:
            row = memories.short.rows.get(state_id)
            if row is not None:
                return _STM, row
        if memories.lower is None:
            return None
        key = memories.prefix + state_id.encode()
        entry = self.entry(key, applied)
        if entry is None:
            return None
        sequence = sequence_of(entry)
        tier = memories.lower.rows.tier_of(sequence)
        return None if tier is None else (tier, sequence)

    def entry(self, key: bytes, applied: Applied) -> bytes | None:
        """What the family of ids has of a key. Raises DatabaseError."""
        if key in applied.pending[IDS]:
            return applied.pending[IDS][key]
        if key in applied.known:
            return applied.known[key]
        return self._log.get(IDS, key)

    def look_up(self, keys: list[bytes], applied: Applied) -> None:
        """Read what the family of ids has of keys, so that `find` need not one by one."""
        applied.known.update(zip(keys, self._log.get_many(IDS, keys), strict=True))

    def values(self, family: int, keys: list[bytes], applied: Applied) -> list[bytes]:
        """Whole values of keys that the tables say are in a tier. Raises CorruptionError."""
        pending = applied.pending[family]
        unwritten = [key for key in keys if key not in pending] if pending else keys
        stored: dict[bytes, bytes | None] = {}
        if len(unwritten) == 1:
            stored[unwritten[0]] = self._log.get(family, unwritten[0])
        elif unwritten:
            stored = dict(zip(unwritten, self._log.get_many(family, unwritten), strict=True))
        values = []
        for key in keys:
            value = stored.get(key) or pending.get(key)
            if value is None:
                raise CorruptionError(
                    self._log.path, f"the record {key!r} has gone from {TIERS[family]}"
                )
            values.append(value)
        return values

    def short(
        self, memories: AgentMemories, table: TierTable, rows: Sequence[int], applied: Applied
    ) -> list[Parts]:
        """Whole records of short-term memories. Raises CorruptionError."""
        keys = [memories.prefix + table.ids[row].encode() for row in rows]
        if len(rows) < _FEW_ROWS or 2 * len(rows) < table.held or applied.pending[_STM]:
            values = self.values(_STM, keys, applied)
        else:  # most of what the agent has, which lies together
            values = self._as_they_lie(_STM, keys, min(keys), max(keys), applied)
        dimension = self._dimension
        return [
            self._checked(key, value, parts_of, dimension)
            for key, value in zip(keys, values, strict=True)
        ]

    def lower(
        self, memories: AgentMemories, tier: int, sequences: Sequence[int], applied: Applied
    ) -> list[LowerRecord]:
        """Ids and whole records of memories of a lower tier. Raises CorruptionError."""
        keys = [lower_key(memories.prefix, sequence) for sequence in sequences]
        held = memories.lower.held if memories.lower is not None and tier == _IM else None
        if not held:
            return self.checked(keys, self.values(tier, keys, applied))
        found = [held.get(sequence) for sequence in sequences]
        unread = [key for key, both in zip(keys, found, strict=True) if both is None]
        read = iter(self.values(tier, unread, applied))
        end = -4 * self._dimension
        values = [next(read) if both is None else both[:end] for both in found]
        return self.checked(keys, values)

    def compared(
        self,
        memories: AgentMemories,
        tier: int,
        sequences: Sequence[int],
        query: npt.NDArray[np.float32],
        applied: Applied,
    ) -> tuple[list[LowerRecord], list[float]]:
        """Records of a lower tier, and the similarity of their full vectors to a query.

        Raises:
            CorruptionError: a record is damaged.
        """
        records = self.lower(memories, tier, sequences, applied)
        held = memories.lower.held if memories.lower is not None and tier == _IM else {}
        size = 4 * self._dimension
        together = b"".join([held[one][-size:] for one in sequences if one in held])
        vectors = np.frombuffer(together, np.float32).reshape(-1, self._dimension)
        if len(vectors) < len(sequences):
            is_held = np.array([one in held for one in sequences], np.bool_)
            unheld = np.flatnonzero(~is_held).tolist()
            full = np.empty((len(sequences), self._dimension), np.float32)
            full[is_held] = vectors
            full[~is_held] = self.vectors([records[at][1] for at in unheld])
            vectors = full
        scores: list[float] = (vectors @ query).tolist()
        return records, scores

    @property
    def may_hold(self) -> bool:
        """Whether values may be held in memory."""
        return self._budget.is_open

    def checked(self, keys: Sequence[bytes], values: Sequence[bytes]) -> list[LowerRecord]:
        """Ids and parts of values of a lower tier. Raises CorruptionError."""
        dimension = self._dimension
        return [
            self._checked(key, value, lower_parts_of, dimension)
            for key, value in zip(keys, values, strict=True)
        ]

    def values_between(self, family: int, keys: list[bytes], applied: Applied) -> list[bytes]:
        """`values` of keys in their order: those that lie close together are read as they lie."""
        first, last = keys[0], keys[-1]
        span = sequence_of(last) - sequence_of(first)
        if len(keys) < _FEW or span > _SPAN_RATIO * len(keys):
            return self.values(family, keys, applied)
        return self._as_they_lie(family, keys, first, last, applied)

    def _as_they_lie(
        self, family: int, keys: list[bytes], first: bytes, last: bytes, applied: Applied
    ) -> list[bytes]:
        """`values` of keys, after reading all that the database has from one key to another."""
        stored = self._log.between(family, first, last)
        missing = [key for key in keys if key not in stored]
        if missing:
            stored.update(zip(missing, self.values(family, missing, applied), strict=True))
        return [stored[key] for key in keys]

    def require_id(self, found: str, wanted: str) -> None:
        """Raise CorruptionError unless the record that an id led to is its own."""
        if found != wanted:
            problem = f"leads from the id {wanted!r} to the memory {found!r}"
            raise CorruptionError(self._log.path, problem)

    def vectors(self, records: Sequence[Parts]) -> npt.NDArray[np.float32]:
        """The full vectors of records, (n, dim). Raises CorruptionError."""
        try:
            return vectors_of(records, self._encode)
        except BadInputError as error:
            raise CorruptionError(self._log.path, f"a record has no vector: {error}") from None

    def states(
        self,
        memories: AgentMemories,
        places: Sequence[Place],
        applied: Applied,
        *,
        hold: bool = False,
    ) -> list[tuple[str, bytes]]:
        """Ids and packed states of memories, in the order of ``places``.

        Those that are not held are read together; with ``hold`` they are held from now on.
        """
        found: dict[Place, tuple[str, bytes]] = {}
        unread: dict[int, list[int]] = {}
        for tier, at in places:
            table = memories.short
            if tier == _STM and table is not None and (held := table.payloads[at]) is not None:
                found[tier, at] = table.ids[at], held
            else:
                unread.setdefault(tier, []).append(at)
        for tier, some in unread.items():
            if tier == _STM and memories.short is not None:
                table = memories.short
                for row, parts in zip(
                    some, self.short(memories, table, some, applied), strict=True
                ):
                    found[tier, row] = table.ids[row], parts.payload
                    if hold:
                        self._hold(table, row, parts.payload, applied)
            else:
                records = self.lower(memories, tier, some, applied)
                for sequence, (state_id, parts) in zip(some, records, strict=True):
                    found[tier, sequence] = state_id, parts.payload
        return [found[place] for place in places]

    def memories(
        self, memories: AgentMemories, places: Sequence[Place], applied: Applied
    ) -> list[Memory]:
        """Memories with all that is kept of them, in the order of ``places``."""
        found: dict[Place, Memory] = {}
        chosen: dict[int, list[int]] = {}
        for tier, at in places:
            chosen.setdefault(tier, []).append(at)
        for tier, some in chosen.items():
            if tier == _STM and memories.short is not None:
                found |= self._short_memories(memories, memories.short, some, applied)
            else:
                records = self.lower(memories, tier, some, applied)
                for sequence, (state_id, parts) in zip(some, records, strict=True):
                    found[tier, sequence] = memory_of(state_id, tier, parts)
        return [found[place] for place in places]

    def _short_memories(
        self, memories: AgentMemories, table: TierTable, rows: list[int], applied: Applied
    ) -> dict[Place, Memory]:
        """Short-term memories; only metadata has to be read."""
        marked = [row for row in rows if table.marks[row] & HAS_METADATA]
        parts = dict(zip(marked, self.short(memories, table, marked, applied), strict=True))
        plain: list[Place] = [(_STM, row) for row in rows]
        found = {}
        for place, (state_id, payload) in zip(
            plain, self.states(memories, plain, applied), strict=True
        ):
            row = place[1]
            step = table.steps[row]
            found[place] = Memory(
                state_id,
                TIERS[_STM],
                KINDS[table.marks[row] & KIND_MASK],
                table.importances[row],
                table.stored_ns[row],
                None if step == NO_STEP else step,
                payload,
                parts[row].metadata if row in parts else None,
            )
        return found

    def _checked(self, key: bytes, value: bytes, read: Callable[..., Any], dimension: int) -> Any:
        try:
            return read(value, dimension)
        except ValueError as error:
            problem = f"the record {key!r} is none: {error}"
            raise CorruptionError(self._log.path, problem) from None

    def _hold(self, table: TierTable, row: int, payload: bytes, applied: Applied) -> None:
        if self._budget.is_open:
            table.payloads[row] = payload
            applied.held += 1
            applied.held_bytes += len(payload)


def memory_of(state_id: str, tier: int, parts: Parts) -> Memory:
    """A memory of its record."""
    return Memory(
        state_id,
        TIERS[tier],
        KINDS[parts.kind],
        parts.importance,
        parts.stored_ns,
        None if parts.step == NO_STEP else parts.step,
        parts.payload,
        parts.metadata,
    )

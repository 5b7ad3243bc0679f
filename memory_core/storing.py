"""How memories are stored, restored and deleted: in the tables, and in the write batch.

Nothing here writes to the disk, and what fails fails before it has changed anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from memory_core.config import MemoryConfig
from memory_core.errors import DatabaseError
from memory_core.expiry import Expiry
from memory_core.log import IDS
from memory_core.memories import AgentMemories, rows_of
from memory_core.moving import Mover
from memory_core.operations import KINDS, TIERS, Delete, Restore, Store
from memory_core.payload_budget import PayloadBudget
from memory_core.preparation import Vector
from memory_core.reading import Applied, Place, Reader
from memory_core.record import NO_STEP, SEQUENCE_BYTES, lower_key, lower_value, make_value
from memory_core.results import DONE, Deleted
from memory_core.short_term import HAS_METADATA, HAS_VECTOR, Entry
from memory_core.tables import Tables
from memory_core.vectors import Vectorizer

__all__ = ["Storing"]

_STM = 0
_ROUNDING = 1e-6
# So many memories are worth being stored together.
_TOGETHER = 8
_ONLY_STORES = {Store}
_KIND_NUMBERS = {kind: number for number, kind in enumerate(KINDS)}


class Storing:
    """Stores, restores and deletes memories. Not thread-safe.

    Args:
        config: capacities.
        vectorizer: whether a vector follows from its state.
        tables: of the store.
        reader: where memories are.
        mover: makes room in a tier that has become too full.
        expiry: what is too old.
        budget: whether packed states may be held.
    """

    def __init__(
        self,
        config: MemoryConfig,
        vectorizer: Vectorizer,
        tables: Tables,
        reader: Reader,
        mover: Mover,
        expiry: Expiry,
        budget: PayloadBudget,
    ) -> None:
        self._is_reproducible = vectorizer.is_reproducible
        self._tables = tables
        self._reader = reader
        self._mover = mover
        self._expiry = expiry
        self._budget = budget
        self._stm_capacity = config.stm_capacity

    def store(self, operation: Store, vector: Vector, now_ns: int, applied: Applied) -> None:
        """Store one memory, in the place of the one of its id. Raises DatabaseError."""
        state_id, payload, tables = operation.state_id, operation.payload, self._tables
        agent_id = operation.agent_id
        memories = tables.agents.get(agent_id) or tables.agent(agent_id)
        encoded = state_id.encode()
        key = memories.prefix + encoded
        if self._expiry.is_on:
            self._expiry.give_way(agent_id, key, state_id, applied)
            self._expiry.enter(agent_id, _STM, now_ns)
        if memories.lower is not None and not applied.lacks_id(key):
            self._take_out_of_lower(memories, state_id, applied)
        tables.sequence = sequence = tables.sequence + 1
        value, entry = self._record(operation, vector, sequence, now_ns)
        applied.pending[_STM][key] = value
        applied.batch.put(_STM, key, value)
        table = memories.short or memories.make_short()
        if self._budget.is_open:
            applied.held += 1
            applied.held_bytes += len(payload)
            replaced = table.put(state_id, vector, entry, payload)
        else:
            replaced = table.put(state_id, vector, entry, None)
        if replaced is not None and memories.reads:
            memories.reads.pop(replaced, None)
        if len(table.ids) > self._stm_capacity:
            self._mover.make_room(agent_id, memories, _STM, applied)

    def store_together(
        self,
        operations: Sequence[Any],
        vectors: Sequence[Any],
        now_ns: int,
        applied: Applied,
    ) -> bool:
        """Apply a batch of new memories of one agent, if it is such a batch.

        The same as one after the other, at less than half of the cost.
        """
        if len(operations) < _TOGETHER or set(map(type, operations)) != _ONLY_STORES:
            return False
        if self._expiry.is_on:  # which may take away what one of them has moved
            return False
        agent_id = operations[0].agent_id
        state_ids = [operation.state_id for operation in operations]
        if (
            any(applied.results)
            or any(operation.agent_id != agent_id for operation in operations)
            or len(set(state_ids)) < len(state_ids)
        ):
            return False
        memories = self._tables.agents.get(agent_id) or self._tables.agent(agent_id)
        table = memories.make_short()
        keys = [memories.prefix + state_id.encode() for state_id in state_ids]
        if not table.rows.keys().isdisjoint(state_ids):
            return False
        if memories.lower is not None:
            try:
                self._reader.look_up(keys, applied)
            except DatabaseError:  # which the memory that needs it will meet
                return False
            if any(applied.known.values()):
                return False
        applied.writes += range(len(operations))
        applied.results[:] = [DONE] * len(operations)
        first = 0
        while first < len(operations):
            # one more than there is room for, as when they come one after the other
            stop = first + max(self._stm_capacity - table.held, 0) + 1
            some = operations[first:stop]
            self._store_some(memories, some, keys[first:stop], vectors[first:stop], now_ns, applied)
            if table.held > self._stm_capacity:
                applied.position = first + len(some) - 1
                self._mover.make_room(agent_id, memories, _STM, applied)
            first += len(some)
        applied.position = None
        return True

    def _store_some(
        self,
        memories: AgentMemories,
        operations: Sequence[Store],
        keys: Sequence[bytes],
        vectors: Sequence[Any],
        now_ns: int,
        applied: Applied,
    ) -> None:
        """Put memories that are not there into the short-term tier."""
        entries = []
        pending, put, sequence = applied.pending[_STM], applied.batch.put, self._tables.sequence
        for operation, key, vector in zip(operations, keys, vectors, strict=True):
            sequence += 1
            value, entry = self._record(operation, vector, sequence, now_ns)
            pending[key] = value
            put(_STM, key, value)
            entries.append(entry)
        self._tables.sequence = sequence
        state_ids = [operation.state_id for operation in operations]
        payloads = [operation.payload for operation in operations]
        held: list[bytes | None] = [None] * len(payloads)
        if self._budget.is_open:
            held = list(payloads)
            applied.held += len(payloads)
            applied.held_bytes += sum(map(len, payloads))
        memories.make_short().extend(state_ids, np.array(vectors), entries, held)

    def _record(
        self, operation: Store | Restore, vector: Vector, sequence: int, stored_ns: int
    ) -> tuple[bytes, Entry]:
        """What RocksDB and the tables have of a new memory."""
        importance, metadata, payload = operation.importance, operation.metadata, operation.payload
        kind = mark = _KIND_NUMBERS[operation.kind]
        step = operation.step if operation.step is not None else NO_STEP
        if metadata is not None:
            mark |= HAS_METADATA
        written = None
        if operation.vector is not None or not self._is_reproducible:
            written = vector.tobytes()
            mark |= HAS_VECTOR
        value = make_value(
            sequence,
            stored_ns,
            importance,
            payload,
            vector=written,
            kind=kind,
            step=step,
            metadata=metadata,
        )
        return value, (sequence, importance, stored_ns, step, mark, len(payload))

    def _take_out_of_lower(self, memories: AgentMemories, state_id: str, applied: Applied) -> None:
        place = self._reader.find(memories, state_id, applied)
        if place is not None and place[0] != _STM:
            self._remove(memories, place, state_id, applied)

    def restore(self, operation: Restore, vector: Vector, applied: Applied) -> None:
        """`store` with a time and a tier; apart from it, so that a store pays nothing for it."""
        state_id, tables = operation.state_id, self._tables
        memories = tables.agents.get(operation.agent_id) or tables.agent(operation.agent_id)
        encoded, tier = state_id.encode(), TIERS.index(operation.tier)
        self._expiry.give_way(operation.agent_id, memories.prefix + encoded, state_id, applied)
        found = self._reader.find(memories, state_id, applied)
        if found is not None and not found[0] == tier == _STM:
            self._remove(memories, found, state_id, applied)
        if operation.vector is not None:
            given = np.frombuffer(operation.vector, np.float32)
            # scaled once more, a vector of unit length may differ in its last bits
            if float(np.abs(given - vector).max()) < _ROUNDING:
                vector = given
        tables.sequence = sequence = tables.sequence + 1
        value, entry = self._record(operation, vector, sequence, operation.stored_ns)
        # not held: a memory that was stored long ago is not read the more for being restored
        if tier == _STM:
            applied.put(_STM, memories.prefix + encoded, value)
            memories.make_short().put(state_id, vector, entry, None)
        else:
            key = lower_key(memories.prefix, sequence)
            applied.put(tier, key, lower_value(encoded, value))
            applied.put(IDS, memories.prefix + encoded, key[-SEQUENCE_BYTES:])
            lower = tables.make_lower(memories)
            lower.add(*rows_of([entry], tier), vector[np.newaxis])
        self._expiry.enter(operation.agent_id, tier, operation.stored_ns)
        self._mover.make_room(operation.agent_id, memories, tier, applied)

    def delete(self, operation: Delete, applied: Applied) -> Deleted:
        """Delete a memory, an agent's, or all. Raises DatabaseError."""
        agents, agent_id = self._tables.agents, operation.agent_id
        if agent_id is None:
            count = self._tables.counts(None).total
            self._tables.clear()
            self._mover.clear()
            self._expiry.forget(None)
            applied.delete_all()
            return Deleted(count)
        memories = agents.get(agent_id)
        if memories is None:
            return Deleted(0)
        if operation.state_id is None:
            count = self._tables.counts(agent_id).total
            self._mover.forget(agent_id)
            memories.close()
            del agents[agent_id]
            self._expiry.forget(agent_id)
            applied.delete_all(memories.prefix)
            return Deleted(count)
        place = self._reader.find(memories, operation.state_id, applied)
        if place is None:
            return Deleted(0)
        self._remove(memories, place, operation.state_id, applied)
        if memories.is_empty:
            self._mover.forget(agent_id)
            memories.close()
            del agents[agent_id]
        return Deleted(1)

    def _remove(
        self, memories: AgentMemories, place: Place, state_id: str, applied: Applied
    ) -> None:
        tier, at = place
        key = memories.prefix + state_id.encode()
        if memories.reads:
            sequence = memories.make_short().sequences[at] if tier == _STM else at
            memories.reads.pop(sequence, None)
        if tier == _STM:
            memories.make_short().remove([at])
            applied.delete(_STM, key)
        else:
            memories.make_lower().remove(np.array([at], np.int64))
            applied.delete(tier, lower_key(memories.prefix, at))
            applied.delete(IDS, key)

"""How a batch of operations is applied: to the tables in memory and to one write batch.

Nothing here writes to the disk. `Execution.run` gives back the write batch, which the store
commits before it acknowledges anything; until then the tables are ahead of the database, and a
commit that fails has the store make them again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from memory_core.access import Accesses
from memory_core.config import MemoryConfig
from memory_core.errors import (
    DatabaseError,
    MemoryCoreError,
    UnavailableError,
)
from memory_core.export_pages import ExportPages
from memory_core.index import Searcher
from memory_core.log import IDS, Log
from memory_core.log_statistics import held_bytes
from memory_core.maintaining import Maintainer
from memory_core.maintenance import Maintenance
from memory_core.memories import (
    HAS_METADATA,
    HAS_VECTOR,
    AgentMemories,
    Entry,
    entry_of,
    rows_of,
)
from memory_core.memory_bound import MemoryBound
from memory_core.memory_shares import shares_of
from memory_core.movement import Movement
from memory_core.moving import Mover
from memory_core.operations import (
    KINDS,
    TIERS,
    Agents,
    Delete,
    Describe,
    Export,
    Operation,
    Restore,
    Retrieve,
    RetrieveMany,
    Search,
    Store,
)
from memory_core.payload_budget import PayloadBudget
from memory_core.preparation import Preparation, Vector
from memory_core.queries import Queries, tiers_of
from memory_core.reading import Applied, Place, Reader
from memory_core.record import NO_STEP, lower_key, lower_value, make_value, parts_of
from memory_core.results import (
    DONE,
    MISSING,
    Deleted,
    Described,
    Failure,
    Hit,
    Hits,
    Moved,
    Record,
    Result,
)
from memory_core.searching import nearest
from memory_core.survey import Survey
from memory_core.surveying import Surveyor
from memory_core.tables import Tables
from memory_core.vectors import Vectorizer

__all__ = ["Execution"]

_STM = 0
_ROUNDING = 1e-6
# So many memories are worth being stored together.
_TOGETHER = 8
_ONLY_STORES = {Store}
_STM_NAMES = frozenset({"all", "stm"})
_SEQUENCE_BYTES = 8
_WRITES = frozenset({Store, Delete, Movement, Maintenance, Restore})
_STORING = frozenset({Store, Restore})
_KIND_NUMBERS = {kind: number for number, kind in enumerate(KINDS)}


class Execution:
    """Applies batches to the tables of one store. Not thread-safe: the store calls it in turn."""

    def __init__(
        self,
        config: MemoryConfig,
        vectorizer: Vectorizer,
        log: Log,
        tables: Tables,
        budget: PayloadBudget,
    ) -> None:
        self._log = log
        self._preparation = Preparation(vectorizer, config.max_state_bytes)
        self._is_reproducible = vectorizer.is_reproducible
        self._dimension = vectorizer.dimension
        self._tables = tables
        self._budget = budget
        self._accesses = Accesses(tables, config.access_half_life_s)
        self._reader = Reader(log, budget, vectorizer.dimension, vectorizer.encode, self._accesses)
        self._maintainer = Maintainer(config, tables, self._reader, self._accesses)
        self._mover, self._expiry = self._maintainer.mover, self._maintainer.expiry
        self._bound = _bound(config, log, tables, budget, self._mover)
        self._surveyor = Surveyor(
            log, tables, self._mover, budget, self._bound, config.memory_limit_bytes
        )
        self._queries = Queries(self._reader)
        self._pages = ExportPages(self._reader, vectorizer, tables)
        self._searcher = Searcher(vectorizer.dimension)
        self._stm_capacity = config.stm_capacity

    def run(
        self,
        operations: Sequence[Operation],
        now_ns: int,
        refusal: str | None,
        watched: bool = False,
    ) -> Applied:
        """Apply operations in their order.

        Args:
            operations: what to do.
            now_ns: wall clock, stored with each memory; what is too old by it is gone.
            refusal: why writes are refused, or None.
            watched: whether moves between tiers are to be told.
        """
        results, vectors = self._preparation.prepare(operations)
        applied = Applied(results, self._log.batch())
        if watched:
            applied.demotions = []
        self._maintainer.begin(now_ns)
        self._look_up(operations, applied)
        bound = self._bound
        if bound is not None:
            bound.begin()
        if (
            refusal is None
            and (bound is None or bound.has_room(len(operations)))
            and self._stored_together(operations, vectors, now_ns, applied)
        ):
            if bound is not None:
                bound.take(len(operations))
        else:
            self._run_each(operations, vectors, now_ns, refusal, applied)
        if applied.writes:
            self._maintainer.go_on(operations, now_ns, applied)
        if applied.held or applied.held_bytes:
            self._budget.add(applied.held, applied.held_bytes, self._tables.agents)
        if bound is not None:
            bound.end(operations, applied)
        return applied

    def _run_each(
        self,
        operations: Sequence[Operation],
        vectors: Sequence[Vector | None],
        now_ns: int,
        refusal: str | None,
        applied: Applied,
    ) -> None:
        results, expiry = applied.results, self._expiry
        may_refuse = refusal is not None or self._bound is not None
        for position, operation in enumerate(operations):
            if results[position] is not None:
                continue
            one: Any = operation
            if type(operation) in _WRITES:
                if may_refuse and self._refuses(operation, position, refusal, applied):
                    continue
                applied.writes.append(position)
            try:
                if type(operation) is Store:
                    self._store(one, vectors[position], now_ns, applied)  # type: ignore[arg-type]
                    results[position] = DONE
                elif type(operation) in _WRITES:
                    results[position] = self._change(one, vectors[position], now_ns, applied)
                else:
                    results[position] = self._answer(one, vectors[position], applied)
            except DatabaseError as error:  # met before anything was changed
                results[position] = Failure.of(error)
            if expiry.next_ns < now_ns:  # of what it has moved or restored
                self._maintainer.hide(now_ns)

    def _stored_together(
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
        if not table.rows.keys().isdisjoint(state_ids) or not (
            memories.lower is None or all(map(applied.lacks_id, keys))
        ):
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

    def _refuses(
        self, operation: Operation, position: int, refusal: str | None, applied: Applied
    ) -> bool:
        """Whether a write is refused, with the failure as its result."""
        error: MemoryCoreError
        if refusal is not None:
            error = UnavailableError(refusal)
        elif self._bound is None or type(operation) not in _STORING or self._bound.takes_one():
            return False
        else:
            # a write all the same: what waits goes down meanwhile, and makes room
            applied.writes.append(position)
            error = self._bound.error()
        applied.results[position] = Failure.of(error)
        return True

    def _look_up(self, operations: Sequence[Any], applied: Applied) -> None:
        """Read together where the memories are that the batch names and memory does not know."""
        if len(operations) == 1 or not self._tables.have_lower:
            return
        agents, keys = self._tables.agents, []
        for operation in operations:
            if type(operation) is not Store and type(operation) is not Retrieve:
                continue
            memories = agents.get(operation.agent_id)
            if memories is None or memories.lower is None:
                continue
            if memories.short is None or operation.state_id not in memories.short.rows:
                keys.append(memories.prefix + operation.state_id.encode())
        if keys:
            with contextlib.suppress(DatabaseError):  # which whoever needs it will meet
                self._reader.look_up(keys, applied)

    def clear(self) -> None:
        """Forget what was to be done to tables that are made again."""
        self._maintainer.clear()
        if self._bound is not None:
            self._bound.clear()

    def _change(self, operation: Any, vector: Any, now_ns: int, applied: Applied) -> Result:
        """The result of an operation that changes something but is no plain store."""
        if type(operation) is Restore:
            self._restore(operation, vector, applied)
            return DONE
        if type(operation) is Delete:
            return self._delete(operation, applied)
        if type(operation) is Maintenance:
            self._maintainer.advance(operation, now_ns, applied)
            return operation.result
        self._mover.advance(operation, applied)
        return Moved(operation.moved)

    def _answer(self, operation: Any, vector: Any, applied: Applied) -> Result:
        """The result of an operation that changes nothing."""
        kind = type(operation)
        if kind is Retrieve:
            return self._retrieve(operation, applied)
        if kind is Search:
            return self._search(operation, vector, applied)
        if kind is Describe:
            return self._describe(operation.agent_id)
        if kind is Agents:
            return self._pages.agents(operation)
        if kind is Export:
            return self._pages.page(operation, applied)
        if kind is Survey:
            return self._surveyor.advance(operation)
        memories = self._tables.agents.get(operation.agent_id)
        if kind is RetrieveMany:
            return self._queries.many(operation, memories, applied)
        return self._queries.query(operation, memories, applied)

    def _store(self, operation: Store, vector: Vector, now_ns: int, applied: Applied) -> None:
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

    def _record(
        self, operation: Store, vector: Vector, sequence: int, now_ns: int
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
            now_ns,
            importance,
            payload,
            vector=written,
            kind=kind,
            step=step,
            metadata=metadata,
        )
        return value, (sequence, importance, now_ns, step, mark, len(payload))

    def _take_out_of_lower(self, memories: AgentMemories, state_id: str, applied: Applied) -> None:
        place = self._reader.find(memories, state_id, applied)
        if place is not None and place[0] != _STM:
            self._remove(memories, place, state_id, applied)

    def _restore(self, operation: Restore, vector: Vector, applied: Applied) -> None:
        """`_store` with a time and a tier; apart from it, so that a store pays nothing for it."""
        state_id, payload, tables = operation.state_id, operation.payload, self._tables
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
        written = operation.vector is not None or not self._is_reproducible
        tables.sequence = sequence = tables.sequence + 1
        value = make_value(
            sequence,
            operation.stored_ns,
            operation.importance,
            payload,
            vector=vector.tobytes() if written else None,
            kind=_KIND_NUMBERS[operation.kind],
            step=operation.step if operation.step is not None else NO_STEP,
            metadata=operation.metadata,
        )
        entry = entry_of(parts_of(value, self._dimension))
        # not held: a memory that was stored long ago is not read the more for being restored
        if tier == _STM:
            applied.put(_STM, memories.prefix + encoded, value)
            memories.make_short().put(state_id, vector, entry, None)
        else:
            key = lower_key(memories.prefix, sequence)
            applied.put(tier, key, lower_value(encoded, value))
            applied.put(IDS, memories.prefix + encoded, key[-_SEQUENCE_BYTES:])
            lower = tables.make_lower(memories)
            lower.add(*rows_of([entry], tier), vector[np.newaxis])
        self._expiry.enter(operation.agent_id, tier, operation.stored_ns)
        self._mover.make_room(operation.agent_id, memories, tier, applied)

    def _delete(self, operation: Delete, applied: Applied) -> Deleted:
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

    def _retrieve(self, operation: Retrieve, applied: Applied) -> Result:
        memories = self._tables.agents.get(operation.agent_id)
        if memories is None:
            return MISSING
        table = memories.short
        if table is not None:
            row = table.rows.get(operation.state_id)
            if row is not None:
                if operation.tier not in _STM_NAMES:
                    return MISSING
                payload = table.payloads[row]
                if payload is not None:
                    self._accesses.note_one(memories, table.sequences[row])
                    return Record(payload, "stm")
        place = self._reader.find(memories, operation.state_id, applied)
        if place is None or (operation.tier != "all" and operation.tier != TIERS[place[0]]):
            return MISSING
        [(state_id, payload)] = self._reader.states(memories, [place], applied, hold=True)
        self._reader.require_id(state_id, operation.state_id)
        self._accesses.note(memories, [place])
        return Record(payload, TIERS[place[0]])

    def _search(self, operation: Search, query: Vector, applied: Applied) -> Result:
        memories = self._tables.agents.get(operation.agent_id)
        if memories is None:
            return Hits([])
        if operation.filter is not None or operation.min_score is not None or operation.prefer:
            return self._queries.search(operation, query, memories, applied)
        table = memories.short
        if table is not None and memories.lower is None and operation.tier in _STM_NAMES:
            # the rule: an agent that has all of its memories in the short-term tier
            scores, rows = self._searcher.search(table.index, query, operation.k)
            held, ids = table.payloads, table.ids
            payloads = [held[row] for row in rows]
            if None not in payloads:
                self._accesses.note_short(memories, [table.sequences[row] for row in rows])
                return Hits(
                    [
                        Hit(ids[row], score, "stm", payload)  # type: ignore[arg-type]
                        for score, row, payload in zip(scores, rows, payloads, strict=True)
                    ]
                )
        tiers = [tier for tier, _ in tiers_of(memories, operation.tier)]
        hits = nearest(self._reader, self._searcher, memories, tiers, query, operation.k, applied)
        return Hits(hits)

    def _describe(self, agent_id: str | None) -> Result:
        agents = self._tables.agents
        known = len(agents) if agent_id is None else int(agent_id in agents)
        return Described(known, self._tables.counts(agent_id), self._tables.sizes(agent_id))


def _bound(
    config: MemoryConfig, log: Log, tables: Tables, budget: PayloadBudget, mover: Mover
) -> MemoryBound | None:
    limit = config.memory_limit_bytes
    if limit is None:
        return None
    held = partial(held_bytes, log)
    return MemoryBound(limit, shares_of(config), config.dimension, tables, budget, mover, held)

"""How a batch of operations is applied: to the tables in memory and to one write batch.

Nothing here writes to the disk. `Execution.run` gives back the write batch, which the store
commits before it acknowledges anything; until then the tables are ahead of the database, and a
commit that fails has the store make them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from memory_core.config import MemoryConfig
from memory_core.errors import (
    DatabaseError,
    UnavailableError,
)
from memory_core.export_pages import ExportPages
from memory_core.index import Searcher
from memory_core.log import Batch, Log
from memory_core.memories import HAS_METADATA, AgentMemories, TierTable
from memory_core.ops import (
    DONE,
    KINDS,
    MISSING,
    TIERS,
    Agents,
    Delete,
    Deleted,
    Demotion,
    Describe,
    Described,
    Export,
    Failure,
    Hit,
    Hits,
    Moved,
    Operation,
    Record,
    Restore,
    Result,
    Retrieve,
    RetrieveMany,
    Search,
    Store,
    Transition,
)
from memory_core.payload_budget import PayloadBudget
from memory_core.preparation import Preparation, Vector
from memory_core.queries import Queries, tiers_of
from memory_core.reading import Applied, Reader
from memory_core.record import NO_STEP, ids_of, make_value, with_vector
from memory_core.tables import Tables
from memory_core.tiering import demotion_count, lowest_retention, retention, transition_count
from memory_core.vectors import Vectorizer

__all__ = ["Execution"]

_STM = 0
_ROUNDING = 1e-6
_WRITES = frozenset({Store, Delete, Transition, Restore})
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
        self._config = config
        self._preparation = Preparation(vectorizer, config.max_state_bytes)
        self._is_reproducible = vectorizer.is_reproducible
        self._dimension = vectorizer.dimension
        self._tables = tables
        self._budget = budget
        self._reader = Reader(log, budget, vectorizer.dimension)
        self._queries = Queries(self._reader)
        self._pages = ExportPages(self._reader, vectorizer, tables)
        self._searcher = Searcher(vectorizer.dimension)
        self._capacities = (config.stm_capacity, config.im_capacity)

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
            now_ns: wall clock, stored with each memory.
            refusal: why writes are refused, or None.
            watched: whether demotions are to be told.
        """
        results, vectors = self._preparation.prepare(operations)
        applied = Applied(results, Batch())
        if watched:
            applied.demotions = []
        for position, operation in enumerate(operations):
            if results[position] is not None:
                continue
            one: Any = operation
            if type(operation) in _WRITES:
                if refusal is not None:
                    results[position] = Failure.of(UnavailableError(refusal))
                    continue
                applied.writes.append(position)
                if type(operation) is Store:
                    self._store(one, vectors[position], now_ns, applied)  # type: ignore[arg-type]
                    results[position] = DONE
                elif type(operation) is Restore:
                    self._restore(one, vectors[position], applied)  # type: ignore[arg-type]
                    results[position] = DONE
                else:
                    change = self._delete if type(operation) is Delete else self._transition
                    results[position] = change(one, applied)
                continue
            try:
                results[position] = self._answer(one, vectors[position], applied)
            except DatabaseError as error:
                results[position] = Failure.of(error)
        if applied.held:
            self._budget.add(applied.held, applied.held_bytes, self._tables.agents)
        return applied

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
        memories = self._tables.agents.get(operation.agent_id)
        if kind is RetrieveMany:
            return self._queries.many(operation, memories, applied)
        return self._queries.query(operation, memories, applied)

    def _store(self, operation: Store, vector: Vector, now_ns: int, applied: Applied) -> None:
        state_id, payload, tables = operation.state_id, operation.payload, self._tables
        memories = tables.agents.get(operation.agent_id) or tables.agent(operation.agent_id)
        key = memories.prefix + state_id.encode()
        batch, (table, im, ltm) = applied.batch, memories.tables
        if im is not None or ltm is not None:
            found = memories.find(state_id)
            if found is not None and found[0] != _STM:
                found[1].remove(state_id)
                batch.delete(found[0], key)
        tables.sequence = sequence = tables.sequence + 1
        importance, metadata = operation.importance, operation.metadata
        kind = _KIND_NUMBERS[operation.kind]
        step = operation.step if operation.step is not None else NO_STEP
        written = operation.vector is not None or not self._is_reproducible
        applied.pending[key] = value = make_value(
            sequence,
            now_ns,
            importance,
            payload,
            vector=vector.tobytes() if written else None,
            kind=kind,
            step=step,
            metadata=metadata,
        )
        batch.put(_STM, key, value)
        if table is None:
            table = memories.table(_STM)
        mark = kind if metadata is None else kind | HAS_METADATA
        entry = (sequence, importance, now_ns, step, mark, len(payload))
        if self._budget.is_open:
            applied.held += 1
            applied.held_bytes += len(payload)
            table.put(state_id, vector, entry, payload)
        else:
            table.put(state_id, vector, entry, None)
        if len(table.ids) > self._capacities[_STM]:
            self._make_room(memories, _STM, applied)

    def _restore(self, operation: Restore, vector: Vector, applied: Applied) -> None:
        """`_store` with a time and a tier; apart from it, so that a store pays nothing for it."""
        state_id, payload, tables = operation.state_id, operation.payload, self._tables
        memories = tables.agents.get(operation.agent_id) or tables.agent(operation.agent_id)
        key, tier = memories.prefix + state_id.encode(), TIERS.index(operation.tier)
        found = memories.find(state_id)
        if found is not None and found[0] != tier:
            found[1].remove(state_id)
            applied.batch.delete(found[0], key)
        if operation.vector is not None:
            given = np.frombuffer(operation.vector, np.float32)
            # scaled once more, a vector of unit length may differ in its last bits
            if float(np.abs(given - vector).max()) < _ROUNDING:
                vector = given
        written = operation.vector is not None or tier != _STM or not self._is_reproducible
        tables.sequence = sequence = tables.sequence + 1
        importance, stored_ns = operation.importance, operation.stored_ns
        metadata = operation.metadata
        step = operation.step if operation.step is not None else NO_STEP
        kind = _KIND_NUMBERS[operation.kind]
        applied.pending[key] = value = make_value(
            sequence,
            stored_ns,
            importance,
            payload,
            vector=vector.tobytes() if written else None,
            kind=kind,
            step=step,
            metadata=metadata,
        )
        applied.batch.put(tier, key, value)
        table = memories.table(tier)
        mark = kind if metadata is None else kind | HAS_METADATA
        # not held: a memory that was stored long ago is not read the more for being restored
        table.put(
            state_id, vector, (sequence, importance, stored_ns, step, mark, len(payload)), None
        )
        if tier < len(self._capacities) and len(table) > self._capacities[tier]:
            self._make_room(memories, tier, applied)

    def _make_room(self, memories: AgentMemories, tier: int, applied: Applied) -> None:
        table = memories.table(tier)
        count = demotion_count(len(table), self._capacities[tier])
        if count:
            rows = lowest_retention(table.sequences, table.importances, count)
            self._demote(memories, tier, [table.ids[row] for row in rows], applied)

    def _demote(
        self, memories: AgentMemories, tier: int, state_ids: list[str], applied: Applied
    ) -> None:
        """Move memories of one agent from ``tier`` to the one below, in one write batch."""
        table, below = memories.table(tier), memories.table(tier + 1)
        keys = [memories.prefix + state_id.encode() for state_id in state_ids]
        values = self._reader.values(tier, keys, applied)
        for state_id, key, value in zip(state_ids, keys, values, strict=True):
            row = table.rows[state_id]
            vector = table.index.vectors[row]
            value = with_vector(value, self._dimension, vector.tobytes())  # noqa: PLW2901
            below.put(state_id, vector, table.entry(row), table.payloads[row])
            table.remove(state_id)
            applied.batch.delete(tier, key)
            applied.batch.put(tier + 1, key, value)
            applied.pending[key] = value
        if applied.demotions is not None:
            position, agent_id = applied.writes[-1], ids_of(memories.prefix)[0]
            applied.demotions += [
                Demotion(position, agent_id, state_id, tier) for state_id in state_ids
            ]
        if tier + 1 < len(self._capacities) and len(below) > self._capacities[tier + 1]:
            self._make_room(memories, tier + 1, applied)

    def _delete(self, operation: Delete, applied: Applied) -> Deleted:
        agents, agent_id = self._tables.agents, operation.agent_id
        if operation.state_id is None:
            owners = list(agents) if agent_id is None else [agent_id]
            return Deleted(sum(self._delete_agent(owner, applied) for owner in owners))
        memories = agents.get(agent_id or "")
        place = None if memories is None else memories.find(operation.state_id)
        if memories is None or place is None:
            return Deleted(0)
        self._remove(memories, place[0], operation.state_id, applied)
        if not any(table is not None and table.ids for table in memories.tables):
            del agents[agent_id or ""]
        return Deleted(1)

    def _delete_agent(self, agent_id: str, applied: Applied) -> int:
        memories = self._tables.agents.pop(agent_id, None)
        if memories is None:
            return 0
        count = 0
        for tier, table in tiers_of(memories, "all"):
            for state_id in list(table.ids):
                self._remove(memories, tier, state_id, applied)
                count += 1
        return count

    def _remove(self, memories: AgentMemories, tier: int, state_id: str, applied: Applied) -> None:
        memories.table(tier).remove(state_id)
        key = memories.prefix + state_id.encode()
        applied.batch.delete(tier, key)
        applied.pending.pop(key, None)

    def _retrieve(self, operation: Retrieve, applied: Applied) -> Result:
        memories = self._tables.agents.get(operation.agent_id)
        found = None if memories is None else memories.find(operation.state_id)
        if memories is None or found is None:
            return MISSING
        tier, table, row = found
        if operation.tier != "all" and operation.tier != TIERS[tier]:
            return MISSING
        payload = table.payloads[row] or self._reader.payload(memories, tier, table, row, applied)
        return Record(payload, TIERS[tier])

    def _search(self, operation: Search, query: Vector, applied: Applied) -> Result:
        memories = self._tables.agents.get(operation.agent_id)
        if memories is None:
            return Hits([])
        if operation.filter is not None or operation.min_score is not None or operation.prefer:
            return self._queries.search(operation, query, memories, applied)
        searched = tiers_of(memories, operation.tier)
        if len(searched) == 1:  # the rule: an agent that has all of its memories in one tier
            [(tier, table)] = searched
            scores, rows = self._searcher.search(table.index, query, operation.k)
            return Hits(
                [
                    self._hit(score, memories, tier, table, row, applied)
                    for score, row in zip(scores, rows, strict=True)
                ]
            )
        found: list[tuple[float, int, int, TierTable]] = []
        for tier, table in searched:
            scores, rows = self._searcher.search(table.index, query, operation.k)
            found += [(score, tier, row, table) for score, row in zip(scores, rows, strict=True)]
        found.sort(key=_score, reverse=True)
        return Hits(
            [
                self._hit(score, memories, tier, table, row, applied)
                for score, tier, row, table in found[: operation.k]
            ]
        )

    def _hit(
        self,
        score: float,
        memories: AgentMemories,
        tier: int,
        table: TierTable,
        row: int,
        applied: Applied,
    ) -> Hit:
        payload = table.payloads[row] or self._reader.payload(memories, tier, table, row, applied)
        return Hit(table.ids[row], score, TIERS[tier], payload)

    def _transition(self, operation: Transition, applied: Applied) -> Result:
        tier = TIERS.index(operation.to) - 1
        if operation.agent_id is None:
            chosen = dict(self._tables.agents)
        else:
            memories = self._tables.agents.get(operation.agent_id)
            chosen = {} if memories is None else {operation.agent_id: memories}
        owners, scores, sequences = [], [], []
        for agent_id, memories in chosen.items():
            table = memories.tables[tier]
            if table is not None and table.ids:
                owners += [(agent_id, state_id) for state_id in table.ids]
                scores.append(retention(table.sequences, table.importances))
                sequences.append(np.array(table.sequences))
        count = transition_count(len(owners), operation.percentage)
        if not count:
            return Moved(0)
        order = np.lexsort((np.concatenate(sequences), np.concatenate(scores)))[:count]
        moving: dict[str, list[str]] = {}
        for position in order.tolist():
            agent_id, state_id = owners[position]
            moving.setdefault(agent_id, []).append(state_id)
        for agent_id, state_ids in moving.items():
            self._demote(chosen[agent_id], tier, state_ids, applied)
        return Moved(count)

    def _describe(self, agent_id: str | None) -> Result:
        agents = self._tables.agents
        known = len(agents) if agent_id is None else int(agent_id in agents)
        return Described(known, self._tables.counts(agent_id), self._tables.sizes(agent_id))


def _score(found: tuple[float, int, int, TierTable]) -> float:
    return found[0]

"""How a batch of operations is applied: to the tables in memory and to one write batch.

Nothing here writes to the disk. `Execution.run` gives back the write batch, which the store
commits before it acknowledges anything; until then the tables are ahead of the database, and a
commit that fails has the store make them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from memory_core.config import MemoryConfig
from memory_core.errors import (
    CorruptionError,
    DatabaseError,
    UnavailableError,
)
from memory_core.index import Searcher
from memory_core.log import Batch, Log
from memory_core.memories import AgentMemories, TierTable
from memory_core.ops import (
    DONE,
    MISSING,
    TIERS,
    Described,
    Failure,
    Hit,
    Hits,
    Moved,
    Operation,
    Record,
    Result,
    Retrieve,
    Search,
    Store,
    Transition,
)
from memory_core.payload_budget import PayloadBudget
from memory_core.preparation import Preparation, Vector
from memory_core.record import make_value, parts_of, with_vector
from memory_core.tables import Tables
from memory_core.tiering import demotion_count, lowest_retention, retention, transition_count
from memory_core.vectors import Vectorizer

__all__ = ["Applied", "Execution"]

_STM = 0
_TIER_NUMBERS = {**{tier: (number,) for number, tier in enumerate(TIERS)}, "all": (0, 1, 2)}


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
        self._log = log
        self._tables = tables
        self._budget = budget
        self._searcher = Searcher(vectorizer.dimension)
        self._capacities = (config.stm_capacity, config.im_capacity)

    def run(self, operations: Sequence[Operation], now_ns: int, refusal: str | None) -> Applied:
        """Apply operations in their order.

        Args:
            operations: what to do.
            now_ns: wall clock, stored with each memory.
            refusal: why writes are refused, or None.
        """
        results, vectors = self._preparation.prepare(operations)
        applied = Applied(results, Batch())
        for position, operation in enumerate(operations):
            if results[position] is not None:
                continue
            kind: Any = type(operation)
            vector: Any = vectors[position]
            one: Any = operation
            if kind is Store or kind is Transition:
                if refusal is not None:
                    results[position] = Failure.of(UnavailableError(refusal))
                    continue
                applied.writes.append(position)
                if kind is Store:
                    self._store(one, vector, now_ns, applied)
                    results[position] = DONE
                else:
                    results[position] = self._transition(one, applied)
                continue
            try:
                if kind is Retrieve:
                    results[position] = self._retrieve(one, applied)
                elif kind is Search:
                    results[position] = self._search(one, vector, applied)
                else:
                    results[position] = self._describe(operation.agent_id)
            except DatabaseError as error:
                results[position] = Failure.of(error)
        if applied.held:
            self._budget.add(applied.held, applied.held_bytes, self._tables.agents)
        return applied

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
        importance = operation.importance
        written = operation.vector is not None or not self._is_reproducible
        applied.pending[key] = value = make_value(
            sequence, now_ns, importance, vector.tobytes() if written else None, payload
        )
        batch.put(_STM, key, value)
        if table is None:
            table = memories.table(_STM)
        if self._budget.is_open:
            applied.held += 1
            applied.held_bytes += len(payload)
            table.put(state_id, vector, sequence, importance, payload)
        else:
            table.put(state_id, vector, sequence, importance, None)
        if len(table.ids) > self._capacities[_STM]:
            self._make_room(memories, _STM, applied)

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
        values = self._values(tier, keys, applied)
        for state_id, key, value in zip(state_ids, keys, values, strict=True):
            row = table.rows[state_id]
            vector = table.index.vectors[row]
            value = with_vector(value, vector.tobytes())  # noqa: PLW2901
            below.put(
                state_id,
                vector,
                table.sequences[row],
                table.importances[row],
                table.payloads[row],
            )
            table.remove(state_id)
            applied.batch.delete(tier, key)
            applied.batch.put(tier + 1, key, value)
            applied.pending[key] = value
        if tier + 1 < len(self._capacities) and len(below) > self._capacities[tier + 1]:
            self._make_room(memories, tier + 1, applied)

    def _values(self, tier: int, keys: list[bytes], applied: Applied) -> list[bytes]:
        """Whole values of keys that the tables say are in ``tier``."""
        pending = applied.pending
        unwritten = [key for key in keys if key not in pending]
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

    def _read(
        self, memories: AgentMemories, tier: int, table: TierTable, row: int, applied: Applied
    ) -> bytes:
        """The packed state of a memory, from the database; it is held from now on."""
        key = memories.prefix + table.ids[row].encode()
        try:
            payload = parts_of(self._values(tier, [key], applied)[0], self._dimension)[2]
        except ValueError as error:
            raise CorruptionError(self._log.path, f"the record {key!r} is none: {error}") from None
        if self._budget.is_open:
            table.payloads[row] = payload
            applied.held += 1
            applied.held_bytes += len(payload)
        return payload

    def _retrieve(self, operation: Retrieve, applied: Applied) -> Result:
        memories = self._tables.agents.get(operation.agent_id)
        found = None if memories is None else memories.find(operation.state_id)
        if memories is None or found is None:
            return MISSING
        tier, table, row = found
        if operation.tier != "all" and operation.tier != TIERS[tier]:
            return MISSING
        payload = table.payloads[row] or self._read(memories, tier, table, row, applied)
        return Record(payload, TIERS[tier])

    def _search(self, operation: Search, query: Vector, applied: Applied) -> Result:
        memories = self._tables.agents.get(operation.agent_id)
        if memories is None:
            return Hits([])
        searched = [
            (tier, table)
            for tier in _TIER_NUMBERS[operation.tier]
            if (table := memories.tables[tier]) is not None and table.ids
        ]
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
        payload = table.payloads[row] or self._read(memories, tier, table, row, applied)
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
        return Described(known, self._tables.counts(agent_id))


def _score(found: tuple[float, int, int, TierTable]) -> float:
    return found[0]

"""What a store answers: operations that change nothing but access statistics."""

from __future__ import annotations

from typing import Any

from memory_core.access import Accesses
from memory_core.export_pages import ExportPages
from memory_core.index import Searcher
from memory_core.operations import TIERS, Agents, Describe, Export, Retrieve, RetrieveMany, Search
from memory_core.preparation import Vector
from memory_core.queries import Queries, tiers_of
from memory_core.reading import Applied, Reader
from memory_core.results import MISSING, Described, Hit, Hits, Record, Result
from memory_core.searching import nearest
from memory_core.survey import Survey
from memory_core.surveying import Surveyor
from memory_core.tables import Tables
from memory_core.vectors import Vectorizer

__all__ = ["Answers"]

_STM_NAMES = frozenset({"all", "stm"})


class Answers:
    """Answers of the tables, and of RocksDB where these do not hold enough. Not thread-safe.

    Args:
        vectorizer: of the store.
        tables: of the store.
        reader: reads records.
        accesses: notes what was retrieved.
        surveyor: counts for statistics.
    """

    def __init__(
        self,
        vectorizer: Vectorizer,
        tables: Tables,
        reader: Reader,
        accesses: Accesses,
        surveyor: Surveyor,
    ) -> None:
        self._tables = tables
        self._reader = reader
        self._accesses = accesses
        self._surveyor = surveyor
        self._queries = Queries(reader)
        self._pages = ExportPages(reader, vectorizer, tables)
        self._searcher = Searcher(vectorizer.dimension)

    def give(self, operation: Any, vector: Any, applied: Applied) -> Result:
        """The result of an operation. Raises DatabaseError."""
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

"""The parts of a store asked for its statistics (`memory_core.survey`)."""

from __future__ import annotations

from itertools import islice

from memory_core.log import Log
from memory_core.log_statistics import database_statistics, family_statistics
from memory_core.memory_bound import MemoryBound
from memory_core.moving import Mover
from memory_core.operations import TIERS
from memory_core.payload_budget import PayloadBudget
from memory_core.results import Counts, Statistics
from memory_core.store_statistics import BlockedTier, IndexStatistics, MemoryUse
from memory_core.survey import Survey
from memory_core.tables import Tables

__all__ = ["Surveyor"]

_STM = 0
# What is asked together: short-term memories, whose sizes are added up, and agents, which cost
# as much as so many of those.
_SEEN_TOGETHER = 200_000
_AGENT_COST = 200
_MAX_BLOCKED = 100


class Surveyor:
    """Asks the parts of one store. Not thread-safe: the store calls it in turn."""

    def __init__(
        self,
        log: Log,
        tables: Tables,
        mover: Mover,
        budget: PayloadBudget,
        bound: MemoryBound | None,
        limit_bytes: int | None,
    ) -> None:
        self._log = log
        self._tables = tables
        self._mover = mover
        self._budget = budget
        self._bound = bound
        self._limit_bytes = limit_bytes

    def advance(self, survey: Survey) -> Statistics:
        """Ask some more agents; what is known then."""
        agents = self._tables.agents
        if survey.unseen is None:
            survey.unseen = list(agents)
        seen = 0
        while survey.unseen and seen < _SEEN_TOGETHER:
            agent_id = survey.unseen.pop()
            memories = agents.get(agent_id)
            if memories is not None:
                survey.look_at(agent_id, memories)
                seen += _AGENT_COST + memories.held(_STM)
        survey.is_done = not survey.unseen
        return self._statistics(survey) if survey.is_done else Statistics()

    def _statistics(self, survey: Survey) -> Statistics:
        families, database = family_statistics(self._log), database_statistics(self._log)
        bound = self._bound
        blocked = [
            BlockedTier(agent_id, TIERS[tier], str(error))
            for (agent_id, tier), error in islice(self._mover.blocked.items(), _MAX_BLOCKED)
        ]
        return Statistics(
            agents=survey.agents,
            counts=Counts(*survey.counts),
            payload_bytes=Counts(*survey.sizes),
            families=families,
            database=database,
            indexes=IndexStatistics(
                survey.indexes,
                survey.approximate,
                survey.building,
                survey.failed,
                survey.index_bytes,
                survey.errors,
            ),
            memory=MemoryUse(
                short_term_bytes=survey.short_bytes,
                lower_bytes=survey.lower_bytes,
                index_bytes=survey.index_bytes,
                payload_bytes=self._budget.held_bytes,
                agent_bytes=survey.agent_bytes,
                memtable_bytes=sum(one.memtable_bytes for one in families),
                block_cache_bytes=database.block_cache_bytes,
                table_reader_bytes=database.table_reader_bytes,
                limit_bytes=self._limit_bytes,
                counted_bytes=None if bound is None else bound.held_bytes,
                is_refusing=bound is not None and bound.is_full,
                refused=0 if bound is None else bound.refused,
            ),
            demotions_waiting=self._mover.waiting,
            blocked=blocked,
            blocked_count=len(self._mover.blocked),
        )

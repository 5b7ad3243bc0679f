"""The bound on a store's memory (``memory_limit_bytes``): what is held, and what is done then.

What is held is counted, not asked of the system: RocksDB's share (`memory_core.memory_shares`)
whole, or what it takes if that is more; the packed states that are held; and of each agent what
its tables and index say (`AgentMemories.memory_bytes`). Agents are counted again only when
something of them has changed and it matters: until so much has been stored that the bound could
be near, a memory counts as the most that it can take.

From 90% on, packed states that are held are forgotten; when there are none left, short-term
memories move down ahead of their capacity, of the agents with the most of them first. Past 100%
whoever stores is told `OverloadedError`, until there is room again. Everything else goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from memory_core.errors import OverloadedError
from memory_core.list_building import give_back_memory
from memory_core.memory_shares import Shares, agent_bytes, row_bytes
from memory_core.moving import Mover
from memory_core.operations import Delete, Restore, Store
from memory_core.payload_budget import PayloadBudget
from memory_core.reading import Applied
from memory_core.tables import Tables

__all__ = ["MemoryBound"]

_STM = 0
_NEAR_RATIO = 0.9
_EASE_RATIO = 0.8
_FORGET_RATIO = 1 / 64
_LEAST_STEP_RATIO = 1 / 256
_FAR_STEP_RATIO = 1 / 4
_TRIM_RATIO = 1 / 16
_RELIEF_TOGETHER = 4_096
# Fewer would take as much further down.
_LEAST_RELIEF = 8
# So many move together, and leave no table behind; of more an eighth stays, few enough for the
# table's matrix to shrink.
_WHOLE_RELIEF = 64
_STAYING_RATIO = 1 / 8
_AGENTS_COUNTED_IN_TURN = 16
_COUNT_BYTES = 136  # of an entry in the dict of what was counted
_CHANGING = frozenset({Store, Restore, Delete})


class MemoryBound:
    """Keeps one store within its bound. Not thread-safe: the store calls it in turn.

    Args:
        limit_bytes: of everything.
        shares: what of it is RocksDB's.
        dimension: of the vectors.
        tables: of the store.
        budget: of the packed states that are held.
        mover: moves memories down.
        database_bytes: what RocksDB takes now: its cache, its memtables, and what else.

    Attributes:
        held_bytes: of everything, as last counted, with an estimate for what was stored since.
        refused: stores that were refused.
    """

    def __init__(
        self,
        limit_bytes: int,
        shares: Shares,
        dimension: int,
        tables: Tables,
        budget: PayloadBudget,
        mover: Mover,
        database_bytes: Callable[[], tuple[int, int, int]],
    ) -> None:
        self._limit_bytes = limit_bytes
        self._shares = shares
        self._row_bytes, self._agent_bytes = row_bytes(dimension), agent_bytes(dimension)
        self._tables = tables
        self._budget = budget
        self._mover = mover
        self._database_bytes = database_bytes
        self.refused = 0
        self._begin_anew()

    @property
    def held_bytes(self) -> int:
        """Bytes held, by the last count and an estimate for what was stored since."""
        new_agents = max(0, len(self._tables.agents) - len(self._bytes))
        stored = self._stored * self._row_bytes + new_agents * self._agent_bytes
        return self._database + self._counted + stored + self._budget.held_bytes

    @property
    def is_full(self) -> bool:
        """Whether stores are refused."""
        return self.held_bytes + self._row_bytes > self._limit_bytes

    def begin(self) -> None:
        """Before a batch: find out how many memories it may store."""
        if self._is_stale:
            self._begin_anew()
        elif self._changed and self.is_full:
            self._count()  # something may have gone since
        self._room = (self._limit_bytes - self.held_bytes) // self._row_bytes

    def takes_one(self) -> bool:
        """Whether there is room for another memory, which is then taken as stored."""
        if self._room <= 0:
            self.refused += 1
            return False
        self.take(1)
        return True

    def has_room(self, count: int) -> bool:
        """Whether there is room for so many more memories."""
        return count <= self._room

    def take(self, count: int) -> None:
        """Take so many memories as stored."""
        self._room -= count
        self._stored += count

    def error(self) -> OverloadedError:
        """Why a store is refused."""
        return OverloadedError(
            f"memory_limit_bytes: {self.held_bytes:,} of {self._limit_bytes:,} bytes are held; "
            "raise the limit, delete memories, or use more shards"
        )

    def end(self, operations: Sequence[Any], applied: Applied) -> None:
        """After a batch: note what has changed, and make room when the bound is near."""
        for position in applied.writes:
            operation = operations[position]
            if type(operation) in _CHANGING:
                self._changed.add(operation.agent_id)
        self._changed |= self._tables.changed
        near = int(_NEAR_RATIO * self._limit_bytes)
        if self._stored * self._row_bytes >= self._step(near):
            self._count()
        if self.held_bytes >= near:
            self._make_room()
            self._trim()
        elif self.held_bytes < _EASE_RATIO * self._limit_bytes:
            self._budget.widen()

    def clear(self) -> None:
        """The tables are made again: count anew before the next batch."""
        self._is_stale = True

    def _step(self, near: int) -> int:
        """How much may be stored before agents are counted again."""
        far = int(_FAR_STEP_RATIO * (near - self._counted - self._database))
        return max(far, int(_LEAST_STEP_RATIO * self._limit_bytes))

    def _begin_anew(self) -> None:
        self._is_stale = False
        self._bytes: dict[str, int] = {}
        self._counted = self._stored = self._room = 0
        self._turn: Iterator[str] = iter(())
        self._largest: Iterator[str] = iter(())
        self._sorted_at = self._trimmed_at = -1
        self._changed: set[str | None] = set(self._tables.agents)
        self._count()

    def _count(self) -> None:
        """Count again the agents that have changed, and a few of the others in turn."""
        agents, known = self._tables.agents, self._bytes
        if not agents:
            known.clear()
            self._counted = 0
        if None in self._changed:  # all were deleted, some may have come since
            self._changed |= known.keys()
            self._changed.discard(None)
        for _ in range(_AGENTS_COUNTED_IN_TURN):
            agent_id = next(self._turn, None)
            if agent_id is None:
                self._turn = iter(list(known))
                break
            self._changed.add(agent_id)
        still: set[str | None] = set()
        for agent_id in self._changed:
            memories = agents.get(agent_id)  # type: ignore[arg-type]
            before = known.pop(agent_id, 0)  # type: ignore[arg-type]
            now = 0
            if memories is not None:
                now = memories.memory_bytes + _COUNT_BYTES
                known[agent_id] = now  # type: ignore[index]
                if memories.lower is not None and memories.lower.index.is_building:
                    still.add(agent_id)
            self._counted += now - before
        self._changed = still
        self._stored = 0
        cache, memtables, other = self._database_bytes()
        shares = self._shares
        over = max(0, cache - shares.block_cache_bytes)
        over += max(0, memtables - (shares.memtable_bytes or 0))
        self._database = shares.reserved_bytes + over + other

    def _trim(self) -> None:
        """Give back what was freed, every so many stores: some milliseconds each time."""
        sequence = self._tables.sequence
        if (sequence - self._trimmed_at) * self._row_bytes >= _TRIM_RATIO * self._limit_bytes:
            self._trimmed_at = sequence
            give_back_memory()

    def _make_room(self) -> None:
        if self._budget.held_bytes > 0:
            self._budget.shrink(int(_FORGET_RATIO * self._limit_bytes), self._tables.agents)
        elif not self._mover.is_waiting:
            self._relieve()

    def _relieve(self) -> None:
        """Have the mover take some short-term memories down, of the largest tiers first."""
        noted = 0
        while noted < _RELIEF_TOGETHER:
            agent_id = next(self._largest, None)
            if agent_id is None:
                if noted or not self._sort():
                    return
                continue
            memories = self._tables.agents.get(agent_id)
            if memories is None:
                continue
            held = memories.held(_STM)
            if held >= _LEAST_RELIEF:
                staying = 0 if held <= _WHOLE_RELIEF else int(_STAYING_RATIO * held)
                noted += self._mover.note(agent_id, memories, _STM, held - staying)

    def _sort(self) -> bool:
        """Put agents in the order of their short-term tiers; False when that was just done."""
        agents, sequence = self._tables.agents, self._tables.sequence
        if self._sorted_at >= 0 and sequence - self._sorted_at < len(agents) // 4:
            return False
        self._sorted_at = sequence + 1
        ids = list(agents)
        held = np.fromiter((one.held(_STM) for one in agents.values()), np.int64, len(ids))
        order = np.argsort(-held, kind="stable")
        order = order[held[order] >= _LEAST_RELIEF]
        self._largest = iter([ids[at] for at in order.tolist()])
        return bool(len(order))

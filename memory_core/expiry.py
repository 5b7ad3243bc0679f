"""Memories that are older than the time-to-live of the tier that they are in: gone, then deleted.

They are looked for at the beginning of each batch, and after each of its operations, since one may
have moved memories to a tier where they are too old. What is found is taken out of the tables, so
that nobody sees it; it is deleted from the database with batches that write, some at a time, or by
maintenance. A batch of reads so writes nothing. A store that is opened before all is deleted finds
the rest anew, too old as it is.

Nothing is looked at before its time: of each agent's tier a bound is kept on when its first memory
will be too old, and of all these the first.

Invariant: of one (agent id, state id) there is never a hidden memory and another one that is not.
`Expiry.give_way` deletes the hidden one in the same write batch, before another is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import islice

import numpy as np
import numpy.typing as npt

from memory_core.errors import CorruptionError
from memory_core.log import IDS
from memory_core.memories import AgentMemories
from memory_core.operations import TIERS
from memory_core.reading import Applied, Reader
from memory_core.record import agent_prefix, lower_key, sequence_of
from memory_core.tables import Tables

__all__ = ["Expiry"]

_STM = 0
_NEVER = 2**100
_NS_A_SECOND = 1_000_000_000
_LEAST_TOGETHER = 64
_DELETIONS_A_WRITE = 2


@dataclass(slots=True)
class _Hidden:
    """Memories of one agent that are in the database only: state ids, and tiers by sequence."""

    short: set[str] = field(default_factory=set)
    lower: dict[int, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.short) + len(self.lower)


class Expiry:
    """Takes what is too old out of tables, and out of the database. Not thread-safe.

    Args:
        ttls_s: of each tier, or None for a tier whose memories stay.
        tables: of the store.
        reader: reads records.

    Attributes:
        is_on: whether any tier has a time-to-live.
        next_ns: nothing is too old until this time is over.
        blocked: damage that kept hidden memories from being deleted, or None.
    """

    def __init__(self, ttls_s: Sequence[float | None], tables: Tables, reader: Reader) -> None:
        self._ttls_ns = [None if ttl is None else round(ttl * _NS_A_SECOND) for ttl in ttls_s]
        self._tables = tables
        self._reader = reader
        self.is_on = any(ttl is not None for ttl in self._ttls_ns)
        self._hidden: dict[str, _Hidden] = {}
        self.clear()

    def clear(self) -> None:
        """Begin anew, with tables that were made again."""
        self.blocked: CorruptionError | None = None
        self._hidden.clear()
        self._dues: dict[tuple[str, int], int] = {}
        self._queue: list[tuple[int, str, int]] = []  # a heap; what `_dues` does not have is void
        self._is_new = self.is_on
        self.next_ns = _NEVER
        if self.is_on:
            self.next_ns = -_NEVER

    @property
    def is_waiting(self) -> bool:
        """Whether anything is hidden that the database still has."""
        return bool(self._hidden)

    def is_over(self, tier: int, stored_ns: int, now_ns: int) -> bool:
        """Whether a memory that was stored then is too old for a tier."""
        ttl_ns = self._ttls_ns[tier]
        return ttl_ns is not None and stored_ns + ttl_ns < now_ns

    def enter(self, agent_id: str, tier: int, oldest_ns: int) -> None:
        """Memories were put into a tier, none of them stored before ``oldest_ns``."""
        ttl_ns = self._ttls_ns[tier]
        if ttl_ns is None:
            return
        due = oldest_ns + ttl_ns
        if due < self._dues.get((agent_id, tier), _NEVER):
            self._dues[agent_id, tier] = due
            heappush(self._queue, (due, agent_id, tier))
            self.next_ns = min(self.next_ns, due)

    def hide(self, now_ns: int) -> list[str]:
        """Take out of the tables what is too old now; agents that have nothing left."""
        emptied = []
        if self._is_new:
            self._is_new = False
            for agent_id, its in self._tables.agents.items():
                self._enter_all(agent_id, its)
        while self._queue and self._queue[0][0] < now_ns:
            due, agent_id, tier = heappop(self._queue)
            if self._dues.get((agent_id, tier)) != due:
                continue
            del self._dues[agent_id, tier]
            memories = self._tables.agents.get(agent_id)
            if memories is None:
                continue
            self._hide(agent_id, memories, tier, now_ns)
            if memories.is_empty:
                memories.close()
                del self._tables.agents[agent_id]
                emptied.append(agent_id)
        self.next_ns = self._queue[0][0] if self._queue else _NEVER
        return emptied

    def give_way(self, agent_id: str, key: bytes, state_id: str, applied: Applied) -> None:
        """Delete what is hidden of an id that is about to be stored. Raises DatabaseError."""
        hidden = self._hidden.get(agent_id)
        if hidden is None:
            return
        if state_id in hidden.short:
            hidden.short.remove(state_id)
            applied.delete(_STM, key)
        elif hidden.lower:
            entry = self._reader.entry(key, applied)
            sequence = -1 if entry is None else sequence_of(entry)
            tier = hidden.lower.pop(sequence, None)
            if tier is not None:
                applied.delete(tier, lower_key(agent_prefix(agent_id), sequence))
                applied.delete(IDS, key)
        if not hidden:
            del self._hidden[agent_id]

    def forget(self, agent_id: str | None) -> None:
        """All that an agent has, or all that there is, was deleted from the database."""
        if agent_id is None:
            self._hidden.clear()
        else:
            self._hidden.pop(agent_id, None)

    def go_on(self, applied: Applied) -> None:
        """Delete some of what is hidden: twice as many as the batch has writes."""
        self.delete(None, max(_LEAST_TOGETHER, _DELETIONS_A_WRITE * len(applied.writes)), applied)

    def delete(self, agent_id: str | None, limit: int, applied: Applied) -> int:
        """Delete at most so many of what is hidden, of one agent or of all; how many."""
        left = limit
        while left > 0 and self._hidden and self.blocked is None:
            owner = next(iter(self._hidden)) if agent_id is None else agent_id
            if owner not in self._hidden:
                break
            try:
                left -= self._delete(owner, self._hidden[owner], left, applied)
            except CorruptionError as error:  # it stays hidden until the store is opened anew
                self.blocked = error
        return limit - left

    def _delete(self, agent_id: str, hidden: _Hidden, limit: int, applied: Applied) -> int:
        prefix = agent_prefix(agent_id)
        ids = list(islice(hidden.short, limit))
        lower = list(islice(hidden.lower.items(), limit - len(ids)))
        for tier in range(_STM + 1, len(TIERS)):
            keys = [lower_key(prefix, sequence) for sequence, its in lower if its == tier]
            if not keys:
                continue
            records = self._reader.checked(keys, self._reader.values(tier, keys, applied))
            for key, (state_id, parts) in zip(keys, records, strict=True):
                applied.delete(tier, key)
                applied.delete(IDS, prefix + state_id.encode())
                del hidden.lower[parts.sequence]
        for state_id in ids:
            applied.delete(_STM, prefix + state_id.encode())
            hidden.short.remove(state_id)
        if not hidden:
            del self._hidden[agent_id]
        return len(ids) + len(lower)

    def _enter_all(self, agent_id: str, memories: AgentMemories) -> None:
        for tier, ttl_ns in enumerate(self._ttls_ns):
            table = memories.tier(tier)
            if ttl_ns is not None and table is not None and table.held:
                self.enter(agent_id, tier, int(table.column("stored_ns").min()))

    def _hide(self, agent_id: str, memories: AgentMemories, tier: int, now_ns: int) -> None:
        since_ns = now_ns - (self._ttls_ns[tier] or 0)
        hidden = self._hidden.get(agent_id) or _Hidden()
        if tier == _STM:
            sequences, earliest_ns = _hide_short(memories, since_ns, hidden)
        elif memories.lower is None:
            return
        else:
            sequences, earliest_ns = memories.lower.rows.stored_before(tier, since_ns)
            if len(sequences):
                memories.lower.remove(sequences)
                hidden.lower.update(dict.fromkeys(sequences.tolist(), tier))
        self._tables.changed.add(agent_id)
        if hidden:
            self._hidden[agent_id] = hidden
        memories.forget_reads(sequences)
        if earliest_ns is not None:
            self.enter(agent_id, tier, earliest_ns)


def _hide_short(
    memories: AgentMemories, since_ns: int, hidden: _Hidden
) -> tuple[npt.NDArray[np.int64], int | None]:
    """Sequences of the short-term memories that were too old, and when the first of others was."""
    table = memories.make_short()
    stored_ns = table.column("stored_ns")
    is_over = stored_ns < since_ns
    rows, rest = np.flatnonzero(is_over), stored_ns[~is_over]
    sequences = table.all_sequences()[rows]
    hidden.short.update(table.ids[row] for row in rows.tolist())
    if len(rows):
        table.remove(rows.tolist())
    return sequences, int(rest.min()) if len(rest) else None

"""Memories on their way up: one of a lower tier that is retrieved often moves up one tier.

Which are retrieved often is noted when they are (`memory_core.access`); they move with the next
batch that writes, some at a time, in its write batch, or with maintenance. A memory keeps its
sequence, so it is among the oldest of the tier that it comes to, and its access keeps it there. One
that is older than the time-to-live of the tier above stays where it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np

from memory_core.access import Accesses
from memory_core.errors import CorruptionError
from memory_core.expiry import Expiry
from memory_core.log import IDS
from memory_core.memories import AgentMemories, entry_of
from memory_core.moving import Mover
from memory_core.operations import TIERS
from memory_core.reading import Applied, Reader
from memory_core.record import lower_key, upper_value
from memory_core.results import Promotion
from memory_core.tables import Tables

__all__ = ["Promoter"]

_STM, _IM, _LTM = range(len(TIERS))
_LEAST_TOGETHER = 64


class Promoter:
    """Moves memories up between the tables' tiers and in the write batch. Not thread-safe.

    Args:
        tables: of the store.
        reader: reads records.
        accesses: knows what is retrieved often.
        expiry: knows what is too old for a tier.
        mover: makes room where memories come to.
    """

    def __init__(
        self, tables: Tables, reader: Reader, accesses: Accesses, expiry: Expiry, mover: Mover
    ) -> None:
        self._tables = tables
        self._reader = reader
        self._accesses = accesses
        self._expiry = expiry
        self._mover = mover

    @property
    def is_waiting(self) -> bool:
        """Whether anything is noted to move up."""
        return bool(self._accesses.rising)

    def go_on(self, now_ns: int, applied: Applied) -> None:
        """Move up some of what is noted: as many as the batch has writes, or 64."""
        rising = self._accesses.rising
        chosen: dict[bytes, list[int]] = {}
        for sequence in list(islice(rising, max(_LEAST_TOGETHER, len(applied.writes)))):
            chosen.setdefault(rising.pop(sequence), []).append(sequence)
        for prefix, sequences in chosen.items():
            self.promote(prefix[2:].decode(), sequences, now_ns, applied)

    def promote_all(self, agent_id: str, limit: int, now_ns: int, applied: Applied) -> int:
        """Move up at most ``limit`` of the memories that an agent retrieves often; how many."""
        memories = self._tables.agents.get(agent_id)
        if memories is None or memories.lower is None or not memories.reads:
            return 0
        sequences = self._accesses.rising_of(memories)
        sequences = [one for one in sequences if memories.lower.rows.tier_of(one) is not None]
        return self.promote(agent_id, sequences[:limit], now_ns, applied)

    def promote(
        self, agent_id: str, sequences: Sequence[int], now_ns: int, applied: Applied
    ) -> int:
        """Move up those of an agent's memories that are in a lower tier and retrieved often.

        Damage that it would have to read keeps them where they are.
        """
        memories = self._tables.agents.get(agent_id)
        if memories is None or memories.lower is None:
            return 0
        chosen: dict[int, list[int]] = {_IM: [], _LTM: []}
        for sequence in sequences:
            tier = memories.lower.rows.tier_of(sequence)
            if tier is not None and self._accesses.is_rising(memories, sequence):
                chosen[tier].append(sequence)
        moved = 0
        for tier, some in chosen.items():
            if some and (agent_id, tier) not in self._mover.blocked:
                try:
                    moved += self._raise(agent_id, memories, tier, some, now_ns, applied)
                except CorruptionError as error:  # met before anything was moved
                    self._mover.blocked[agent_id, tier] = error
        if moved:
            for tier in (_STM, _IM):
                self._mover.make_room(agent_id, memories, tier, applied)
        return moved

    def _raise(
        self,
        agent_id: str,
        memories: AgentMemories,
        tier: int,
        sequences: list[int],
        now_ns: int,
        applied: Applied,
    ) -> int:
        """Move memories from a lower tier to the one above it, unless they are too old there."""
        keys = [lower_key(memories.prefix, sequence) for sequence in sequences]
        values = self._reader.values(tier, keys, applied)
        records = self._reader.checked(keys, values)
        wanted = [
            at
            for at, (_, parts) in enumerate(records)
            if not self._expiry.is_over(tier - 1, parts.stored_ns, now_ns)
        ]
        if not wanted:
            return 0
        oldest_ns = min(records[at][1].stored_ns for at in wanted)
        moving = np.array([sequences[at] for at in wanted], np.int64)
        lower = memories.make_lower()
        if tier == _LTM:
            for at in wanted:
                applied.delete(_LTM, keys[at])
                applied.put(_IM, keys[at], values[at])
            lower.rows.move(moving, _IM)
        else:
            vectors = self._reader.vectors([records[at][1] for at in wanted])
            short = memories.make_short()
            for at, vector in zip(wanted, vectors, strict=True):
                state_id, parts = records[at]
                key = memories.prefix + state_id.encode()
                applied.delete(_IM, keys[at])
                applied.delete(IDS, key)
                applied.put(_STM, key, upper_value(values[at]))
                short.put(state_id, vector, entry_of(parts), None)
            lower.remove(moving)
            self._tables.changed.add(agent_id)
        self._expiry.enter(agent_id, tier - 1, oldest_ns)
        applied.tell(Promotion, agent_id, [records[at][0] for at in wanted], tier)
        return len(wanted)

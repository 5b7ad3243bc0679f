"""The tables of all agents of a store, and how they are made again from RocksDB."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np

from memory_core.errors import CorruptionError
from memory_core.log import Log
from memory_core.memories import AgentMemories
from memory_core.ops import TIERS, Counts
from memory_core.record import HEADER, ids_of, vector_of

__all__ = ["Tables"]


class Tables:
    """Agents' memories by agent id, and the number of the last store."""

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self.agents: dict[str, AgentMemories] = {}
        self.sequence = 0

    def agent(self, agent_id: str) -> AgentMemories:
        """The memories of an agent, made if need be."""
        memories = self.agents.get(agent_id)
        if memories is None:
            memories = self.agents[agent_id] = AgentMemories(agent_id, self._dimension)
        return memories

    def load(self, log: Log) -> None:
        """Fill the tables from the database. Raises CorruptionError."""
        for tier in range(len(TIERS)):
            # closed here: left open in an error's traceback it would keep the database locked
            with contextlib.closing(log.scan(tier)) as records:
                self._load(log, tier, records)

    def clear(self) -> None:
        """Forget all agents; the number of the last store stays."""
        self.agents.clear()

    def counts(self, agent_id: str | None) -> Counts:
        """Memories by tier, of one agent or of all."""
        if agent_id is not None:
            chosen = [self.agents[agent_id]] if agent_id in self.agents else []
        else:
            chosen = list(self.agents.values())
        return Counts(*(sum(one.held(tier) for one in chosen) for tier in range(len(TIERS))))

    def _load(self, log: Log, tier: int, records: Iterator[tuple[bytes, bytes]]) -> None:
        vector_bytes = 4 * self._dimension
        for key, value in records:
            if len(value) < HEADER.size + vector_bytes:
                raise CorruptionError(log.path, f"the record {key!r} in {TIERS[tier]} is cut short")
            sequence, _, importance, _ = HEADER.unpack_from(value)
            vector = np.frombuffer(vector_of(value, self._dimension), np.float32)
            try:
                agent_id, state_id = ids_of(key)
            except ValueError as error:
                raise CorruptionError(log.path, f"the key {key!r} is none: {error}") from None
            self.agent(agent_id).table(tier).put(state_id, vector, sequence, importance)
            self.sequence = max(self.sequence, sequence)

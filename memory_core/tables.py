"""The tables of all agents of a store, and how they are made again from RocksDB."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from memory_core.errors import BadInputError, CorruptionError
from memory_core.log import Log
from memory_core.memories import HAS_METADATA, AgentMemories, Entry, TierTable
from memory_core.ops import TIERS, Counts
from memory_core.record import ids_of, parts_of

__all__ = ["Tables"]

_ENCODED_TOGETHER = 1_024
_Place = tuple[bytes, TierTable, str, Entry]  # the bytes are the key


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

    def load(self, log: Log, encode: Callable[[Sequence[bytes]], Any]) -> None:
        """Fill the tables from the database.

        Args:
            log: the database.
            encode: packed states to vectors of shape (n, dim), for records without a vector.

        Raises:
            CorruptionError: a record cannot be read.
        """
        for tier in range(len(TIERS)):
            # closed here: left open in an error's traceback it would keep the database locked
            with contextlib.closing(log.scan(tier)) as records:
                self._load(log, tier, records, encode)

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

    def sizes(self, agent_id: str | None) -> Counts:
        """Bytes of the packed states by tier, of one agent or of all."""
        chosen = [self.agents[agent_id]] if agent_id in self.agents else []
        if agent_id is None:
            chosen = list(self.agents.values())
        return Counts(*(sum(one.held_bytes(tier) for one in chosen) for tier in range(len(TIERS))))

    def _load(
        self,
        log: Log,
        tier: int,
        records: Iterator[tuple[bytes, bytes]],
        encode: Callable[[Sequence[bytes]], Any],
    ) -> None:
        bare: list[_Place] = []
        payloads: list[bytes] = []
        for key, value in records:
            try:
                agent_id, state_id = ids_of(key)
                parts = parts_of(value, self._dimension)
            except ValueError as error:
                raise _damaged(log, tier, key, error) from None
            self.sequence = max(self.sequence, parts.sequence)
            table = self.agent(agent_id).table(tier)
            entry = (
                parts.sequence,
                parts.importance,
                parts.stored_ns,
                parts.step,
                parts.kind | (HAS_METADATA if parts.metadata is not None else 0),
                len(parts.payload),
            )
            if parts.vector is not None:
                table.put(state_id, np.frombuffer(parts.vector, np.float32), entry, None)
                continue
            bare.append((key, table, state_id, entry))
            payloads.append(parts.payload)
            if len(bare) == _ENCODED_TOGETHER:
                self._put_encoded(log, tier, bare, payloads, encode)
        self._put_encoded(log, tier, bare, payloads, encode)

    def _put_encoded(
        self,
        log: Log,
        tier: int,
        places: list[_Place],
        payloads: list[bytes],
        encode: Callable[[Sequence[bytes]], Any],
    ) -> None:
        """Put memories whose vectors follow from their states; both lists are emptied."""
        if not places:
            return
        try:
            vectors = encode(payloads)
        except BadInputError as error:
            raise _damaged(log, tier, places[0][0], error) from None
        for (_, table, state_id, entry), vector in zip(places, vectors, strict=True):
            table.put(state_id, vector, entry, None)
        places.clear()
        payloads.clear()


def _damaged(log: Log, tier: int, key: bytes, error: Exception) -> CorruptionError:
    return CorruptionError(
        log.path, f"the record {key!r} in {TIERS[tier]}, or one soon after it, is none: {error}"
    )

"""The tables of all agents of a store, and how they are made again from RocksDB."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from memory_core.errors import BadInputError, CorruptionError
from memory_core.log import Log
from memory_core.memories import (
    AgentMemories,
    IndexSettings,
    LowerMemories,
    entry_of,
    rows_of,
)
from memory_core.operations import TIERS
from memory_core.record import Parts, ids_of, lower_key_of, lower_parts_of, parts_of
from memory_core.results import Counts

__all__ = ["Tables", "vectors_of"]

_ENCODED_TOGETHER = 1_024
_STM = 0
_Encode = Callable[[Sequence[bytes]], Any]
_Waiting = tuple[AgentMemories, bytes, str, Parts]  # the bytes are the key


class Tables:
    """Agents' memories by agent id, and the number of the last store."""

    def __init__(self, settings: IndexSettings) -> None:
        self._settings = settings
        self.agents: dict[str, AgentMemories] = {}
        self.sequence = 0
        # whether any agent may have a lower tier
        self.have_lower = False

    def agent(self, agent_id: str) -> AgentMemories:
        """The memories of an agent, made if need be."""
        memories = self.agents.get(agent_id)
        if memories is None:
            memories = self.agents[agent_id] = AgentMemories(agent_id, self._settings)
        return memories

    def make_lower(self, memories: AgentMemories) -> LowerMemories:
        """What an agent has below the short-term tier, made if need be."""
        self.have_lower = True
        return memories.make_lower()

    def load(self, log: Log, encode: _Encode) -> None:
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
        self.close()
        self.agents.clear()

    def close(self) -> None:
        """End what goes on in the background."""
        for memories in self.agents.values():
            memories.close()

    def counts(self, agent_id: str | None) -> Counts:
        """Memories by tier, of one agent or of all."""
        chosen = self._chosen(agent_id)
        return Counts(*(sum(one.held(tier) for one in chosen) for tier in range(len(TIERS))))

    def sizes(self, agent_id: str | None) -> Counts:
        """Bytes of the packed states by tier, of one agent or of all."""
        chosen = self._chosen(agent_id)
        return Counts(*(sum(one.held_bytes(tier) for one in chosen) for tier in range(len(TIERS))))

    def _load(
        self, log: Log, tier: int, records: Iterator[tuple[bytes, bytes]], encode: _Encode
    ) -> None:
        dimension = self._settings.dimension
        waiting: list[_Waiting] = []
        for key, value in records:
            try:
                if tier == _STM:
                    agent_id, state_id = ids_of(key)
                    parts = parts_of(value, dimension)
                else:
                    agent_id, sequence = lower_key_of(key)
                    state_id, parts = lower_parts_of(value, dimension)
                    if parts.sequence != sequence:
                        raise ValueError(f"it has the sequence {parts.sequence}")
            except ValueError as error:
                raise _damaged(log, tier, key, error) from None
            waiting.append((self.agent(agent_id), key, state_id, parts))
            if len(waiting) == _ENCODED_TOGETHER:
                self._put(log, tier, waiting, encode)
                waiting = []
        self._put(log, tier, waiting, encode)

    def _put(self, log: Log, tier: int, waiting: list[_Waiting], encode: _Encode) -> None:
        """Put records into the tables."""
        if not waiting:
            return
        self.sequence = max(self.sequence, *(parts.sequence for _, _, _, parts in waiting), 0)
        try:
            vectors = vectors_of([parts for _, _, _, parts in waiting], encode)
        except BadInputError as error:
            raise _damaged(log, tier, waiting[0][1], error) from None
        entries = [entry_of(parts) for _, _, _, parts in waiting]
        if tier == _STM:
            for (memories, _, state_id, _), vector, entry in zip(
                waiting, vectors, entries, strict=True
            ):
                memories.make_short().put(state_id, vector, entry, None)
            return
        first = 0
        for memories, some in groupby(waiting, key=itemgetter(0)):
            stop = first + sum(1 for _ in some)
            sequences, rows = rows_of(entries[first:stop], tier)
            self.make_lower(memories).add(sequences, rows, vectors[first:stop])
            first = stop

    def _chosen(self, agent_id: str | None) -> list[AgentMemories]:
        if agent_id is None:
            return list(self.agents.values())
        return [self.agents[agent_id]] if agent_id in self.agents else []


def vectors_of(
    records: Sequence[Parts], encode: Callable[[Sequence[bytes]], Any]
) -> npt.NDArray[np.float32]:
    """The vectors of records, (n, dim), made of the state where a record has none."""
    bare = [at for at, parts in enumerate(records) if parts.vector is None]
    if len(bare) == len(records):
        made: npt.NDArray[np.float32] = encode([parts.payload for parts in records])
        return made
    written = b"".join(parts.vector for parts in records if parts.vector is not None)
    kept = np.frombuffer(written, np.float32).reshape(len(records) - len(bare), -1)
    if not bare:
        return kept
    vectors = np.empty((len(records), kept.shape[1]), np.float32)
    is_bare = np.zeros(len(records), np.bool_)
    is_bare[bare] = True
    vectors[~is_bare] = kept
    vectors[is_bare] = encode([records[at].payload for at in bare])
    return vectors


def _damaged(log: Log, tier: int, key: bytes, error: Exception) -> CorruptionError:
    return CorruptionError(
        log.path, f"the record {key!r} in {TIERS[tier]}, or one soon after it, is none: {error}"
    )

"""A store's tables made again of what RocksDB holds, and of snapshots as far as these agree."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np

from memory_core.errors import BadInputError, CorruptionError
from memory_core.log import Log
from memory_core.memories import AgentMemories, entry_of, rows_of
from memory_core.operations import TIERS
from memory_core.record import Parts, ids_of, lower_key_of, lower_parts_of, parts_of
from memory_core.snapshots import RestoredIndex
from memory_core.tables import Tables
from memory_core.vectors import vectors_of

__all__ = ["load_tables"]

_READ_TOGETHER = 1_024
_STM = 0
_Encode = Callable[[Sequence[bytes]], Any]
_Waiting = tuple[AgentMemories, bytes, str, Parts]  # the bytes are the key


def load_tables(
    tables: Tables, log: Log, encode: _Encode, restored: Mapping[str, RestoredIndex]
) -> None:
    """Fill empty tables from the database.

    Args:
        tables: of the store.
        log: the database.
        encode: packed states to vectors of shape (n, dim), for records without a vector.
        restored: indexes of snapshots, by agent id.

    Raises:
        CorruptionError: a record cannot be read.
    """
    for index in restored.values():
        tables.sequence = max(tables.sequence, index.last_sequence)
    # the oldest memories first, so that rows are put behind those that are there
    for tier in reversed(range(len(TIERS))):
        loading = _Loading(tables, log, tier, encode, restored)
        # closed here: left open in an error's traceback it would keep the database locked
        with contextlib.closing(log.scan(tier)) as records:
            loading.run(records)
    for agent_id, index in restored.items():
        if tables.agents.get(agent_id) is None:
            index.index.close()
            continue
        lower = tables.make_lower(tables.agents[agent_id])
        if lower.index is index.index:
            lower.changes += index.forget_missing()


class _Loading:
    """The records of one tier on their way into the tables."""

    def __init__(
        self,
        tables: Tables,
        log: Log,
        tier: int,
        encode: _Encode,
        restored: Mapping[str, RestoredIndex],
    ) -> None:
        self._tables = tables
        self._log = log
        self._tier = tier
        self._encode = encode
        self._dimension = tables.settings.dimension
        self._restored = (
            {id(tables.agent(agent_id)): index for agent_id, index in restored.items()}
            if tier
            else {}
        )

    def run(self, records: Iterator[tuple[bytes, bytes]]) -> None:
        """Put all of them where they belong."""
        waiting: list[_Waiting] = []
        for key, value in records:
            try:
                waiting.append(self._read(key, value))
            except ValueError as error:
                raise self._damaged(key, error) from None
            if len(waiting) == _READ_TOGETHER:
                self._put(waiting)
                waiting = []
        if waiting:
            self._put(waiting)

    def _read(self, key: bytes, value: bytes) -> _Waiting:
        if self._tier == _STM:
            agent_id, state_id = ids_of(key)
            return self._tables.agent(agent_id), key, state_id, parts_of(value, self._dimension)
        agent_id, sequence = lower_key_of(key)
        state_id, parts = lower_parts_of(value, self._dimension)
        if parts.sequence != sequence:
            raise ValueError(f"it has the sequence {parts.sequence}")
        return self._tables.agent(agent_id), key, state_id, parts

    def _put(self, waiting: list[_Waiting]) -> None:
        newest = max(parts.sequence for _, _, _, parts in waiting)
        self._tables.sequence = max(self._tables.sequence, newest)
        if self._tier != _STM:
            for memories, some in groupby(waiting, key=itemgetter(0)):
                self._put_lower(memories, list(some))
            return
        vectors = self._vectors(waiting)
        for (memories, _, state_id, parts), vector in zip(waiting, vectors, strict=True):
            memories.make_short().put(state_id, vector, entry_of(parts), None)

    def _put_lower(self, memories: AgentMemories, some: list[_Waiting]) -> None:
        sequences, rows = rows_of([entry_of(parts) for _, _, _, parts in some], self._tier)
        lower = self._tables.make_lower(memories)
        restored = self._restored.get(id(memories))
        if restored is None:
            lower.add(sequences, rows, self._vectors(some))
            return
        lower.index = restored.index
        known = restored.meet(sequences)
        lower.rows.add(sequences, rows)
        if not known.all():
            new = np.flatnonzero(~known)
            lower.index.add(sequences[new], self._vectors([some[at] for at in new.tolist()]))
            lower.changes += len(new)

    def _vectors(self, some: list[_Waiting]) -> Any:
        try:
            return vectors_of([parts for _, _, _, parts in some], self._encode)
        except BadInputError as error:
            raise self._damaged(some[0][1], error) from None

    def _damaged(self, key: bytes, error: Exception) -> CorruptionError:
        tier = TIERS[self._tier]
        problem = f"the record {key!r} in {tier}, or one soon after it, is none: {error}"
        return CorruptionError(self._log.path, problem)

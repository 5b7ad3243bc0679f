"""A store's tables made again of what RocksDB holds, and of snapshots as far as these agree."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Any

import numpy as np
import numpy.typing as npt

from memory_core.errors import BadInputError, CorruptionError
from memory_core.log import Log
from memory_core.memories import entry_of, rows_from, rows_of
from memory_core.operations import TIERS
from memory_core.record import (
    NO_STEP,
    SEQUENCE_BYTES,
    Parts,
    ids_of,
    kinds_of,
    lower_heads,
    lower_key_of,
    lower_parts_of,
    parts_of,
)
from memory_core.snapshots import RestoredIndex
from memory_core.tables import Tables
from memory_core.vectors import vectors_of

__all__ = ["load_tables"]

_READ_TOGETHER = 1_024
_STM = 0
_Encode = Callable[[Sequence[bytes]], Any]
_Record = tuple[bytes, bytes]  # key and value


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
        memories = tables.agents.get(agent_id)
        if memories is None or memories.lower is None:
            index.index.close()
        else:
            memories.lower.changes += index.forget_missing()


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
        self._restored = restored

    def run(self, records: Iterator[tuple[bytes, bytes]]) -> None:
        """Put all of them where they belong."""
        put = self._put_short if self._tier == _STM else self._put_lower
        while some := list(islice(records, _READ_TOGETHER)):
            put(some)

    def _put_short(self, records: list[_Record]) -> None:
        places = []
        for key, value in records:
            try:
                places.append((*ids_of(key), parts_of(value, self._dimension)))
            except ValueError as error:
                raise self._damaged(key, error) from None
        self._note_newest(max(parts.sequence for _, _, parts in places))
        vectors = self._vectors(records[0][0], [parts for _, _, parts in places])
        for (agent_id, state_id, parts), vector in zip(places, vectors, strict=True):
            table = self._tables.agent(agent_id).make_short()
            table.put(state_id, vector, entry_of(parts), None)

    def _put_lower(self, records: list[_Record]) -> None:
        keys, values = zip(*records, strict=True)
        together = b"".join([key[-SEQUENCE_BYTES:] for key in keys])
        prefixes = [key[:-SEQUENCE_BYTES] for key in keys]
        # keys are in their order: where it begins as it ends, it is of one agent
        if prefixes[0] == prefixes[-1]:
            runs = [(prefixes[0], len(records))]
        else:
            runs = [(prefix, sum(1 for _ in some)) for prefix, some in groupby(prefixes)]
        if len(together) != SEQUENCE_BYTES * len(records):
            short = next(key for key in keys if len(key) < SEQUENCE_BYTES)
            raise self._damaged(short, ValueError("the key is too short"))
        sequences = np.frombuffer(together, ">i8").astype(np.int64)
        rows, parts = self._rows(keys, values, sequences)
        places, is_new, first = [], np.ones(len(records), np.bool_), 0
        for _, count in runs:
            agent_id, _ = self._key(keys[first])
            lower = self._tables.make_lower(self._tables.agent(agent_id))
            run = slice(first, first + count)
            first += count
            self._note_newest(int(sequences[first - 1]))
            restored = self._restored.get(agent_id)
            if restored is not None:
                lower.index = restored.index
                is_new[run] = ~restored.meet(sequences[run])
            places.append((lower, run))
        vectors = self._new_vectors(keys, values, parts, is_new)
        taken = 0
        for lower, run in places:
            lower.rows.add(sequences[run], rows[run])
            new = sequences[run][is_new[run]]
            if len(new):
                lower.index.add(new, vectors[taken : taken + len(new)])
                lower.changes += len(new)
            taken += len(new)

    def _new_vectors(
        self,
        keys: Sequence[bytes],
        values: Sequence[bytes],
        parts: list[Parts],
        is_new: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.float32]:
        """Vectors of the values that are new, in their order."""
        new = np.flatnonzero(is_new).tolist()
        if not new:
            return np.empty((0, self._dimension), np.float32)
        if parts:
            chosen = [parts[at] for at in new]
        else:
            chosen = self._parts([keys[at] for at in new], [values[at] for at in new])
        return self._vectors(keys[new[0]], chosen)

    def _rows(
        self, keys: Sequence[bytes], values: Sequence[bytes], sequences: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[Any], list[Parts]]:
        """Rows of `COLUMNS`, and the parts of the values if these had to be taken apart."""
        found = lower_heads(values)
        if found is None:
            parts = self._parts(keys, values)
            _, rows = rows_of([entry_of(one) for one in parts], self._tier)
            given = np.array([one.sequence for one in parts], np.uint64)
        else:
            (heads, sizes), parts = found, []
            columns = {
                "stored_ns": heads["stored_ns"],
                "importance": heads["importance"],
                "mark": kinds_of(heads["flags"]),
                "step": NO_STEP,
                "size": sizes,
            }
            rows, given = rows_from(columns, len(values), self._tier), heads["sequence"]
        wrong = np.flatnonzero(given != sequences.astype(np.uint64))
        if len(wrong):
            key = keys[int(wrong[0])]
            raise self._damaged(key, ValueError(f"it has the sequence {given[wrong[0]]}"))
        return rows, parts

    def _key(self, key: bytes) -> tuple[str, int]:
        try:
            return lower_key_of(key)
        except ValueError as error:
            raise self._damaged(key, error) from None

    def _parts(self, keys: Sequence[bytes], values: Sequence[bytes]) -> list[Parts]:
        parts = []
        for key, value in zip(keys, values, strict=True):
            try:
                parts.append(lower_parts_of(value, self._dimension)[1])
            except ValueError as error:
                raise self._damaged(key, error) from None
        return parts

    def _vectors(self, first_key: bytes, records: list[Parts]) -> npt.NDArray[np.float32]:
        try:
            return vectors_of(records, self._encode)
        except BadInputError as error:
            raise self._damaged(first_key, error) from None

    def _note_newest(self, sequence: int) -> None:
        self._tables.sequence = max(self._tables.sequence, sequence)

    def _damaged(self, key: bytes, error: Exception) -> CorruptionError:
        tier = TIERS[self._tier]
        problem = f"the record {key!r} in {tier}, or one soon after it, is none: {error}"
        return CorruptionError(self._log.path, problem)

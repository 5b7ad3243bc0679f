"""Snapshots of large indexes, so that opening a database need not build them again.

A snapshot stands for an agent's index at some moment. It may be older or newer than what the
database holds, since a sequence is given to one memory only, ever: of the memories that opening
finds in RocksDB, those that the snapshot has are taken from it, the others are added, and what it
has beside them is removed. So it is never trusted to be complete, and one that is missing, damaged
or of another version costs time only. For the same reason a snapshot has the last sequence that
was given when it was made: none is given twice, even if the newest memories were deleted.

They lie in the folder ``indexes`` of the database, one file an agent (`memory_core.snapshot_file`).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from memory_core.errors import BadInputError, DatabaseError
from memory_core.growing_index import GrowingIndex
from memory_core.index_state import ids_in
from memory_core.memories import IndexSettings, LowerMemories
from memory_core.snapshot_file import read_snapshot, write_snapshot
from memory_core.store_statistics import SnapshotStatistics
from memory_core.tables import Tables

__all__ = ["FOLDER", "RestoredIndex", "Snapshots", "is_due"]

FOLDER = "indexes"
_SUFFIX = ".snapshot"
# Smaller indexes are made again as fast.
_LEAST_MEMORIES = 20_000
_LEAST_CHANGES = 50_000
_CHANGED_RATIO = 0.25
# So many are added to an index in about a second when it is opened.
_MOST_CHANGES = 150_000
_CLOSING_RATIO = 0.02


@dataclass(slots=True)
class RestoredIndex:
    """An index as a snapshot had it, while the database is compared with it.

    Attributes:
        index: with all that the snapshot had.
        ids: what it had, sorted, (n,).
        is_there: which of them the database has, as far as it has been read, (n,).
        last_sequence: the last that was given when it was made.
    """

    index: GrowingIndex
    ids: npt.NDArray[np.int64]
    is_there: npt.NDArray[np.bool_]
    last_sequence: int

    def meet(self, sequences: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Note that the database has these, (n,); which of them the index has."""
        if not len(self.ids):
            return np.zeros(len(sequences), np.bool_)
        places = np.minimum(np.searchsorted(self.ids, sequences), len(self.ids) - 1)
        known: npt.NDArray[np.bool_] = self.ids[places] == sequences
        self.is_there[places[known]] = True
        return known

    def forget_missing(self) -> int:
        """Take out of the index what the database does not have; how many."""
        missing = self.ids[~self.is_there]
        if len(missing):
            self.index.remove_many(missing)
        return len(missing)


def is_due(lower: LowerMemories) -> bool:
    """Whether an index has changed so much that it is worth a snapshot."""
    held = len(lower.rows)
    least = min(max(_LEAST_CHANGES, _CHANGED_RATIO * held), _MOST_CHANGES)
    return held >= _LEAST_MEMORIES and lower.changes >= least


class Snapshots:
    """Makes and reads the snapshots of one database.

    Args:
        path: the database's folder.
        database: what tells this database from any other.
        settings: how indexes are made.

    Attributes:
        taken_ns: wall clock when the last snapshot was made by this store, or None.
        error: why the last one could not be made, or None.
    """

    def __init__(self, path: str, database: str, settings: IndexSettings) -> None:
        self._folder = os.path.join(path, FOLDER)
        self._database = database
        self._settings = settings
        self._thread: threading.Thread | None = None
        self.taken_ns: int | None = None
        self.error: DatabaseError | None = None

    def load(self) -> dict[str, RestoredIndex]:
        """The indexes of all snapshots that can be used, by agent id."""
        restored = {}
        try:
            names = sorted(os.listdir(self._folder))
        except OSError:
            return {}
        for name in names:
            if not name.endswith(_SUFFIX):
                continue
            path = os.path.join(self._folder, name)
            try:
                agent_id, index = self._read(path)
            except (DatabaseError, BadInputError):
                with contextlib.suppress(OSError):  # a read-only folder
                    os.remove(path)
                continue
            restored[agent_id] = index
        return restored

    def take(self, tables: Tables, agent_ids: Iterable[str]) -> None:
        """Make snapshots of agents' indexes in the background, unless it is at it already."""
        if self._thread is not None and self._thread.is_alive():
            return
        chosen = self._chosen(tables, agent_ids)
        self._thread = threading.Thread(
            target=self._write_all, args=(tables, chosen), name="index-snapshot", daemon=False
        )
        self._thread.start()

    def close(self, tables: Tables) -> None:
        """Make those that opening the database again would miss; returns when they are made."""
        if self._thread is not None:
            self._thread.join()
        changed = [
            agent_id
            for agent_id, memories in tables.agents.items()
            if memories.lower is not None
            and len(memories.lower.rows) >= _LEAST_MEMORIES
            and memories.lower.changes >= _CLOSING_RATIO * len(memories.lower.rows)
        ]
        self._write_all(tables, self._chosen(tables, changed))
        self._remove_unused(tables)

    def _remove_unused(self, tables: Tables) -> None:
        """Remove those of agents that have nothing below the short-term tier any more."""
        used = {
            os.path.basename(self._path(agent_id))
            for agent_id, memories in tables.agents.items()
            if memories.lower is not None and len(memories.lower.rows)
        }
        with contextlib.suppress(OSError):
            for name in os.listdir(self._folder):
                if name.endswith(_SUFFIX) and name not in used:
                    os.remove(os.path.join(self._folder, name))

    def statistics(self) -> SnapshotStatistics:
        """What there is to say of them."""
        taken_ns, error, thread = self.taken_ns, self.error, self._thread
        return SnapshotStatistics(
            None if taken_ns is None else max(0, time.time_ns() - taken_ns) / 1e9,
            None if error is None else str(error),
            thread is not None and thread.is_alive(),
        )

    def _chosen(self, tables: Tables, agent_ids: Iterable[str]) -> list[tuple[str, LowerMemories]]:
        chosen = []
        for agent_id in agent_ids:
            memories = tables.agents.get(agent_id)
            if memories is not None and memories.lower is not None:
                chosen.append((agent_id, memories.lower))
        return chosen

    def _write_all(self, tables: Tables, chosen: list[tuple[str, LowerMemories]]) -> None:
        for agent_id, lower in chosen:
            changes, lower.changes = lower.changes, 0
            try:
                self._write(tables, agent_id, lower)
                self.taken_ns, self.error = time.time_ns(), None
                continue
            except DatabaseError as error:
                self.error = error
            except Exception as error:  # noqa: BLE001 - no store fails, or stays open, for it
                self.error = DatabaseError(self._folder, f"a snapshot cannot be made: {error!r}")
            lower.changes += changes

    def _write(self, tables: Tables, agent_id: str, lower: LowerMemories) -> None:
        pieces = lower.index.state()
        header = {
            "agent_id": agent_id,
            "database": self._database,
            # asked for after the index: nothing in it is newer
            "last_sequence": tables.sequence,
        }
        try:
            os.makedirs(self._folder, exist_ok=True)
        except OSError as error:
            raise DatabaseError(self._folder, f"cannot be made: {error.strerror}") from None
        write_snapshot(self._path(agent_id), header, pieces)

    def _read(self, path: str) -> tuple[str, RestoredIndex]:
        snapshot = read_snapshot(path)
        header: dict[str, Any] = snapshot.header
        agent_id, last = header.get("agent_id"), header.get("last_sequence")
        if not isinstance(agent_id, str) or not isinstance(last, int):
            raise DatabaseError(path, "has no agent id or sequence")
        if header.get("database") != self._database or self._path(agent_id) != path:
            raise DatabaseError(path, "is of another database or agent")
        index = GrowingIndex.from_state(
            snapshot.pieces, self._settings.dimension, exact_below=self._settings.exact_below
        )
        ids = ids_in(snapshot.pieces)
        return agent_id, RestoredIndex(index, ids, np.zeros(len(ids), np.bool_), last)

    def _path(self, agent_id: str) -> str:
        name = hashlib.blake2b(agent_id.encode(), digest_size=16).hexdigest()
        return os.path.join(self._folder, name + _SUFFIX)

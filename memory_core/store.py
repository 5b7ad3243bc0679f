"""`MemoryStore`: the store in one process, with one entry, ``execute(batch) -> results``.

How a group of batches is executed (by one thread at a time, see `memory_core.group_commit`):

1. Each operation is checked by itself, and every state that needs a vector is encoded in one
   call.
2. The operations are applied in their order, so that a batch reads its own writes: to the
   tables in memory, and to one RocksDB write batch.
3. The write batch is written and, with ``durability="fsync"``, synced. Only then is anything
   acknowledged.

When the third step fails, or an interrupt breaks in, the tables are made again from RocksDB
before the next batch. After a failed write or fsync the store refuses writes until it is opened
anew: nobody can say what the disk would hold.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import msgspec

from memory_core.backup import make_backup
from memory_core.config import MemoryConfig
from memory_core.encoder import Encoder, StateEncoder
from memory_core.errors import (
    BadInputError,
    IncompatibleError,
    MemoryCoreError,
    UnavailableError,
)
from memory_core.execution import Execution
from memory_core.group_commit import GroupCommit
from memory_core.loading import load_tables
from memory_core.log import Log
from memory_core.maintenance import Maintenance
from memory_core.memories import IndexSettings
from memory_core.movement import Movement
from memory_core.operations import Inspect, Maintain, Operation, Transition
from memory_core.payload_budget import PayloadBudget
from memory_core.record import FORMAT_VERSION
from memory_core.results import Failure, Maintained, Move, Result, Statistics
from memory_core.snapshots import Snapshots, is_due
from memory_core.survey import Survey
from memory_core.tables import Tables
from memory_core.vectors import Vectorizer

__all__ = ["Executed", "MemoryStore"]

# Lanes whose latest batch is remembered; the one that has been silent longest goes first.
_MAX_LANES = 100_000
# What goes on a part at a time, and how.
_IN_PARTS: dict[type[Any], type[Any]] = {
    Transition: Movement,
    Inspect: Survey,
    Maintain: Maintenance,
}


class _Work(msgspec.Struct, eq=False):
    """One caller's batch, and what came of it; times are of the monotonic clock."""

    operations: Sequence[Operation]
    lane: str
    number: int
    closes: bool = False
    error: Exception | None = None
    results: list[Result] = []
    started_ns: int = 0
    finished_ns: int = 0
    watched: bool = False
    demotions: list[Move] = []


class Executed(NamedTuple):
    """What came of a batch.

    Attributes:
        results: one for each operation.
        moves: what it moved to another tier, in the order of its operations, if that was asked.
        started_ns: when it was begun, of ``time.perf_counter_ns``.
        finished_ns: when it was durable; batches that were committed together share both.
    """

    results: list[Result]
    moves: list[Move]
    started_ns: int
    finished_ns: int


class MemoryStore:
    """An agent-memory store on a folder. Thread-safe; one process at a time.

    Args:
        config: must have a ``path``.
        clock: wall clock in nanoseconds, for the time that is stored with each memory.

    Raises:
        BadInputError: no path, or the folder holds something else.
        LockedError: another store has the folder open.
        IncompatibleError: the database was made with another encoder, dimension or format.
        CorruptionError: files are damaged; names the file.
    """

    def __init__(self, config: MemoryConfig, *, clock: Callable[[], int] = time.time_ns) -> None:
        if config.path is None:
            raise BadInputError("path", "is missing; name a folder")
        self.path = os.fspath(config.path)
        self.config = config
        self.encoder: Encoder = config.encoder or StateEncoder(config.dimension)
        self._clock = clock
        self._log = Log(self.path, config)
        try:
            database = _check_identity(self._log, self.encoder)
            self._vectorizer = Vectorizer(self.encoder)
            self._tables = Tables(IndexSettings(config.dimension, config.exact_below))
            self._snapshots = Snapshots(self.path, database, self._tables.settings)
            self._load()
        except BaseException:
            self._log.close()
            raise
        self._budget = PayloadBudget(config.payload_cache_bytes)
        self._execution = Execution(config, self._vectorizer, self._log, self._tables, self._budget)
        self._commit = GroupCommit(self._run)
        self._refusal: str | None = None
        self._stale = False
        self._lanes: dict[str, int] = {}

    def execute(self, batch: Sequence[Operation]) -> list[Result]:
        """Execute a batch as if one operation after another; one result for each, in order.

        What is wrong with an operation is a `Failure` in its place. When this returns, each
        store that is `Done` is durable as configured.

        Raises:
            BadInputError: the batch is no sequence.
            UnavailableError: the store is closed.
            CorruptionError: the database was found damaged; nothing is acknowledged.
        """
        return self.execute_in_lane(batch).results

    def execute_timed(
        self, batch: Sequence[Operation], *, lane: str = "", number: int = 0
    ) -> tuple[list[Result], int, int]:
        """`execute_in_lane`: results, when the batch was begun, and when it was durable."""
        done = self.execute_in_lane(batch, lane=lane, number=number)
        return done.results, done.started_ns, done.finished_ns

    def execute_in_lane(
        self, batch: Sequence[Operation], *, lane: str = "", number: int = 0, watched: bool = False
    ) -> Executed:
        """`execute`, with all that can be told of it.

        Args:
            batch: the operations.
            lane: of batches that take effect in the order of their numbers; one whose lane has
                seen a higher number already fails with UnavailableError and changes nothing.
            number: of the batch in its lane.
            watched: tell what moves to another tier.
        """
        # looked at before it joins a group, where it would fail others' batches too
        if type(batch) is not list and type(batch) is not tuple:
            try:
                batch = list(batch)
            except TypeError:
                name = type(batch).__name__
                raise BadInputError("batch", f"must be operations, not {name}") from None
        work = _Work(batch, lane, number, watched=watched)
        if _has_parts(batch):
            self._execute_in_parts(work)
        else:
            self._submit(work)
        return Executed(work.results, work.demotions, work.started_ns, work.finished_ns)

    def execute_watched(self, batch: Sequence[Operation]) -> tuple[list[Result], list[Move]]:
        """`execute`, and what the batch moved to another tier, in the order of its operations."""
        done = self.execute_in_lane(batch, watched=True)
        return done.results, done.moves

    def statistics(self) -> Statistics:
        """What RocksDB and the store say of themselves; with many agents not of one moment.

        Raises:
            UnavailableError: the store is closed.
        """
        [result] = self.execute((Inspect(),))
        if not isinstance(result, Statistics):
            raise UnavailableError(f"the store gave no statistics but {result!r}")
        return result

    def force_memory_maintenance(self, *, agent_id: str | None = None) -> Maintained:
        """Do now what waits for later batches, of one agent or of all: see `Maintain`.

        It goes on between the batches of others. What is done stays, whatever is raised.

        Raises:
            BadInputError: ``agent_id`` is none.
            UnavailableError: the store is closed, or refuses writes since one failed.
            StorageFullError, DatabaseError: a write failed.
        """
        [result] = self.execute((Maintain(agent_id),))
        if isinstance(result, Failure):
            raise result.exception()
        return result  # type: ignore[return-value]

    @property
    def refusal(self) -> str | None:
        """Why the store refuses writes until it is opened again, or None."""
        return self._refusal

    def backup(self, folder: str | os.PathLike[str]) -> str:
        """Make a backup in a new or empty folder while the store goes on; the folder's path.

        Everything that was acknowledged before the call is in it. See `memory_core.backup`.

        Raises:
            BadInputError: the folder holds something, or is within the database's own.
            UnavailableError: the store is closed, or refuses writes since one failed.
            StorageFullError, DatabaseError: the backup cannot be written.
        """
        if self._refusal is not None:
            raise UnavailableError(self._refusal)
        return make_backup(self._log, folder)

    def checkpoint(self, folder: str) -> None:
        """`backup` for whoever copies it at once: not synced, and left half made by a kill.

        Raises as `backup` does; the folder must not exist.
        """
        if self._refusal is not None:
            raise UnavailableError(self._refusal)
        self._log.checkpoint(folder)

    def close(self) -> None:
        """Close the files. What was acknowledged stays; later calls raise UnavailableError."""
        self._submit(_Work((), "", 0, closes=True))

    def reopened(self) -> MemoryStore:
        """This store closed, and one on its folder that knows each lane's latest batch.

        Raises as `MemoryStore` does, and may be called again then.
        """
        self.close()
        anew = MemoryStore(self.config, clock=self._clock)
        anew._lanes = self._lanes
        return anew

    def __enter__(self) -> MemoryStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _submit(self, work: _Work) -> None:
        if self._log.closed:  # in a forked child even while a thread of the parent's leads
            if work.closes:
                return
            raise UnavailableError("the store is closed; open it again")
        self._commit.submit(work)
        if work.error is not None:
            raise work.error

    def _execute_in_parts(self, whole: _Work) -> None:
        """Execute a batch with what goes on a part at a time, between the batches of others."""
        whole.started_ns, whole.results, whole.demotions = time.perf_counter_ns(), [], []
        for kind, some in groupby(whole.operations, _kind_of_parts):
            if kind is None:
                whole.results += self._execute_part(whole, list(some))
                continue
            for operation in some:
                parts = kind(operation)
                [result] = self._execute_part(whole, [parts])
                while not parts.is_done and not isinstance(result, Failure):
                    [result] = self._execute_part(whole, [parts])
                if isinstance(result, Statistics):
                    result = self._completed(result)
                whole.results.append(result)
        whole.finished_ns = time.perf_counter_ns()

    def _execute_part(self, whole: _Work, operations: list[Any]) -> list[Result]:
        part = _Work(operations, whole.lane, whole.number, watched=whole.watched)
        self._submit(part)
        first = len(whole.results)
        whole.demotions += [one._replace(position=first + one.position) for one in part.demotions]
        return part.results

    def _completed(self, statistics: Statistics) -> Statistics:
        """Statistics with what the store itself knows."""
        return msgspec.structs.replace(
            statistics, snapshot=self._snapshots.statistics(), refusal=self._refusal
        )

    def _run(self, group: list[_Work]) -> None:
        """Execute batches together, then close if one of the group asks for it."""
        works = group
        if len(group) > 1 or group[0].closes or group[0].lane:
            works = [work for work in group if not work.closes and not self._is_late(work)]
        if works:
            try:
                self._execute_together(works)
            except Exception as error:  # noqa: BLE001 - raised again to each of the callers
                for work in works:
                    work.error = error
        if len(works) < len(group) and any(work.closes for work in group):
            if not self._stale:
                self._snapshots.close(self._tables)
            self._tables.close()
            try:
                self._log.close()
            except MemoryCoreError as error:
                for work in group:
                    if work.closes:
                        work.error = error

    def _is_late(self, work: _Work) -> bool:
        """Whether a later batch of its lane was executed already; if not, it is the latest."""
        if not work.lane:
            return False
        latest = self._lanes.pop(work.lane, work.number)
        self._lanes[work.lane] = max(latest, work.number)
        if len(self._lanes) > _MAX_LANES:
            del self._lanes[next(iter(self._lanes))]
        if work.number < latest:
            work.error = UnavailableError("a later batch of the same client was executed already")
            return True
        return False

    def _execute_together(self, works: list[_Work]) -> None:
        if self._log.closed:
            raise UnavailableError("the store is closed; open it again")
        started_ns = time.perf_counter_ns()
        if len(works) == 1 and not works[0].watched:
            [work] = works
            work.results, _ = self._apply(work.operations)
            work.started_ns, work.finished_ns = started_ns, time.perf_counter_ns()
            return
        results, demotions = self._apply(
            [one for work in works for one in work.operations],
            watched=any(work.watched for work in works),
        )
        position = 0
        for work in works:
            end = position + len(work.operations)
            work.results = results[position:end]
            if work.watched:
                work.demotions = [
                    one._replace(position=one.position - position)
                    for one in demotions
                    if position <= one.position < end
                ]
            position = end
        finished_ns = time.perf_counter_ns()
        for work in works:
            work.started_ns, work.finished_ns = started_ns, finished_ns

    def _apply(
        self, operations: Sequence[Operation], *, watched: bool = False
    ) -> tuple[list[Result], list[Move]]:
        if self._stale:
            self._make_again()
        self._stale = True  # until the batch is through: an interrupt may strike anywhere
        applied = self._execution.run(operations, self._clock(), self._refusal, watched)
        if len(applied.batch):
            try:
                self._log.write(applied.batch)
                if self.config.durability == "fsync":
                    self._log.sync()
            except MemoryCoreError as error:
                return self._apply_without_writes(operations, applied.writes, error), []
        self._stale = False
        if self._tables.changed:
            self._take_snapshots()
        return applied.results, applied.demotions or []

    def _take_snapshots(self) -> None:
        due = [agent_id for agent_id in self._tables.changed if self._is_due(agent_id)]
        self._tables.changed.clear()
        if due:
            self._snapshots.take(self._tables, due)

    def _is_due(self, agent_id: str) -> bool:
        memories = self._tables.agents.get(agent_id)
        return memories is not None and memories.lower is not None and is_due(memories.lower)

    def _apply_without_writes(
        self, operations: Sequence[Operation], writes: list[int], error: MemoryCoreError
    ) -> list[Result]:
        """The results when writing has failed: what is read must not show what was not kept."""
        self._refusal = f"a write failed; open the store again ({error})"
        self._make_again()
        results = self._execution.run(operations, self._clock(), self._refusal).results
        for position in writes:
            results[position] = Failure.of(error)
        return results

    def _make_again(self) -> None:
        """Bring the tables back to what the database holds."""
        self._budget.clear()
        self._tables.clear()
        self._execution.clear()
        self._load()
        self._stale = False

    def _load(self) -> None:
        """Fill the tables with what the database holds."""
        try:
            load_tables(self._tables, self._log, self._vectorizer.encode, self._snapshots.load())
        except BaseException:
            self._tables.close()
            raise


def _has_parts(batch: Sequence[Operation]) -> bool:
    kinds = set(map(type, batch))
    return not kinds.isdisjoint(_IN_PARTS)


def _kind_of_parts(operation: Operation) -> type[Any] | None:
    return _IN_PARTS.get(type(operation))


def _check_identity(log: Log, encoder: Encoder) -> str:
    """Note what a new database is made with; refuse one that was made with something else.

    What tells the database from any other.
    """
    identity = {
        "format": FORMAT_VERSION,
        "encoder": encoder.name,
        "encoder_version": encoder.version,
        "dimension": encoder.dimension,
    }
    stored = log.get_meta("identity")
    if stored is None:
        if not log.created and not log.is_empty():
            raise IncompatibleError(log.path, "is a RocksDB database of something else")
        name = secrets.token_hex(16)
        log.put_meta("identity", json.dumps({**identity, "database": name}).encode())
        return name
    found = json.loads(stored)
    names = {
        "format": "format",
        "dimension": "dimension",
        "encoder": "encoder",
        "encoder_version": "encoder version",
    }
    for key, name in names.items():
        if found.get(key) != identity[key]:
            raise IncompatibleError(
                log.path,
                f"was made with {name} {found.get(key)!r}, but is opened with "
                f"{identity[key]!r}; open it with the same, or use another folder",
            )
    return str(found.get("database", ""))

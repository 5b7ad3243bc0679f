"""A cohort's rows, from the agents' hands to files, in bounded memory.

Agents append 13 integers an operation to one buffer. About once a second, or when it is full,
the buffer changes hands: a thread makes columns of it and writes a closed file, while agents
fill the next. At most `MAX_WAITING_FLUSHES` buffers wait for that thread; then agents go on filling
theirs until it is full too, and only then the event loop waits for the thread, which is counted: a
sink that is slow for some seconds holds up no agent.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from harness.operation_tally import KINDS, OperationTally, Tally, kind_of, measured
from harness.schema import OUTCOMES
from harness.sinks import LoadgenWriter, OpsWriter

__all__ = [
    "LATENCY_BUCKETS",
    "CountingRecorder",
    "Recorder",
    "RowProgress",
    "RowRecorder",
    "bucket_of_ns",
    "bucket_start_ns",
]

# What a row is made of, in the order in which agents append it.
FIELDS = (
    "phase",
    "agent",
    "op",
    "scheduled",
    "started",
    "finished",
    "outcome",
    "shard",
    "batch_ops",
    "attempts",
    "sent",
    "shard_wait",
    "service",
)
_WIDTH = len(FIELDS)
_COLUMN = {name: position for position, name in enumerate(FIELDS)}
_OP, _OUTCOME = _COLUMN["op"], _COLUMN["outcome"]
# How far apart two phases are, and two operations, where each kind has a cell for each outcome.
_PHASE_CELLS, _OP_CELLS = kind_of(1, 0) * len(OUTCOMES), kind_of(0, 1) * len(OUTCOMES)
MAX_BUFFERED_ROWS = 262_144
MAX_WAITING_FLUSHES = 4

# The live view's histogram: 16 buckets an octave from 1 us, which is 4.4% wide.
_BUCKETS_AN_OCTAVE = 16
LATENCY_BUCKETS = 36 * _BUCKETS_AN_OCTAVE


def bucket_of_ns(latency_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The histogram bucket of each latency."""
    octaves = np.log2(np.maximum(latency_ns, 1_000) / 1_000.0)
    buckets: npt.NDArray[np.int64] = (octaves * _BUCKETS_AN_OCTAVE).astype(np.int64)
    return np.minimum(buckets, LATENCY_BUCKETS - 1)


def bucket_start_ns(bucket: float) -> float:
    """Where a bucket begins; half a bucket more is its middle."""
    return 1_000.0 * math.exp2(bucket / _BUCKETS_AN_OCTAVE)


class RowProgress:
    """What was done since the last look.

    Attributes:
        tally: by phase and operation.
        operations: of the phase ``measure``.
        failures: those among them that failed.
    """

    __slots__ = ("failures", "operations", "tally")

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.operations, self.failures = measured(tally)


class Recorder(Protocol):
    """Takes the rows of one cohort.

    ``add`` appends one row, a tuple of `FIELDS` with times of the monotonic clock. Look it up
    anew for each row: it changes with the buffer.
    """

    add: Callable[[tuple[int, ...]], None]
    stalls: int

    def add_lag(self, at_ns: int, lag_ns: int) -> None:
        """Note how late the event loop woke from a sleep."""

    @property
    def is_full(self) -> bool:
        """Whether `flush` should be called before its time."""

    def progress(self) -> RowProgress:
        """What was added since this was last asked."""

    def flush(self) -> None:
        """Hand on what was added. Raises OSError when something could not be written."""

    def close(self) -> None:
        """Write what is left. Raises OSError when something could not be written."""


class CountingRecorder:
    """Counts outcomes and keeps nothing: what a run with ``--record off`` has."""

    is_full = False
    stalls = 0

    def __init__(self) -> None:
        self.add: Callable[[tuple[int, ...]], None] = self._count
        self._cells = [0] * (KINDS * len(OUTCOMES))

    def _count(self, row: tuple[int, ...]) -> None:
        self._cells[row[0] * _PHASE_CELLS + row[_OP] * _OP_CELLS + row[_OUTCOME]] += 1

    def add_lag(self, at_ns: int, lag_ns: int) -> None:
        """Nothing is kept."""

    def progress(self) -> RowProgress:
        """See `Recorder`."""
        cells, self._cells = self._cells, [0] * len(self._cells)
        parts = [cells[at : at + _OP_CELLS] for at in range(0, len(cells), _OP_CELLS)]
        tally = {kind: OperationTally(part) for kind, part in enumerate(parts) if any(part)}
        return RowProgress(tally)

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing is open."""


class RowRecorder:
    """Writes rows to files, in the background.

    Args:
        writer: where rows go.
        loadgen: where the event loop's timer lag goes.
        origin_ns: the cohort's start on the monotonic clock, from which times in files count.

    Attributes:
        stalls: how often the event loop had to wait for the writing thread.
    """

    def __init__(self, writer: OpsWriter, loadgen: LoadgenWriter, origin_ns: int) -> None:
        self._writer = writer
        self._loadgen = loadgen
        self._origin_ns = origin_ns
        self._rows = array("q")
        self.add: Callable[[tuple[int, ...]], None] = self._rows.extend
        self._lags = array("q")
        self._seen = 0
        self._unseen: list[npt.NDArray[np.int64]] = []
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rows")
        self._flushes: list[Future[None]] = []
        self._failure: BaseException | None = None
        self.stalls = 0

    def add_lag(self, at_ns: int, lag_ns: int) -> None:
        """Note how late the event loop woke from a sleep."""
        self._lags.extend((at_ns, lag_ns))

    @property
    def is_full(self) -> bool:
        """Whether the buffer should change hands before its time."""
        return len(self._rows) >= MAX_BUFFERED_ROWS * _WIDTH

    def progress(self) -> RowProgress:
        """What was added since this was last asked."""
        new = np.array(memoryview(self._rows)[self._seen :], np.int64)
        rows = np.concatenate([*self._unseen, new]).reshape(-1, _WIDTH)
        self._seen = len(self._rows)
        self._unseen.clear()
        return RowProgress(_tally_of(rows) if len(rows) else {})

    def flush(self) -> None:
        """Hand the buffer to the writing thread and begin another, with an `add` of its own.

        Where so many wait already that there is room left in this one only, it stays.

        Raises:
            OSError: an earlier buffer could not be written; this one is handed on all the same.
        """
        while self._flushes and self._flushes[0].done():
            self._settle_first()
        behind = len(self._flushes) >= MAX_WAITING_FLUSHES
        if behind and self.is_full:
            self.stalls += 1
            self._settle_first()
        if not behind or self.is_full:
            self._hand_on()
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Write what is left. Raises OSError when something could not be written."""
        self._hand_on()
        while self._flushes:
            self._settle_first()
        self._executor.shutdown()
        if self._failure is not None:
            raise self._failure

    def _hand_on(self) -> None:
        rows, lags = self._rows, self._lags
        if self._seen < len(rows):
            self._unseen.append(np.array(memoryview(rows)[self._seen :], np.int64))
        self._rows, self._lags, self._seen = array("q"), array("q"), 0
        self.add = self._rows.extend
        if rows:
            self._flushes.append(self._executor.submit(self._write, rows))
        if lags:
            self._flushes.append(self._executor.submit(self._write_lags, lags))

    def _settle_first(self) -> None:
        """Wait for the oldest buffer to be written, and keep what went wrong first."""
        failure = self._flushes.pop(0).exception()
        self._failure = self._failure or failure

    def _write(self, buffer: array[int]) -> None:
        rows = np.frombuffer(buffer, np.int64).reshape(-1, _WIDTH)
        self._writer.write(_columns(rows, self._origin_ns))

    def _write_lags(self, buffer: array[int]) -> None:
        lags = np.frombuffer(buffer, np.int64).reshape(-1, 2)
        self._loadgen.write({"at_ns": lags[:, 0] - self._origin_ns, "lag_ns": lags[:, 1]})


def _tally_of(rows: npt.NDArray[np.int64]) -> Tally:
    """What rows came to, in one pass over each column that it takes.

    `np.bincount` adds weights up as float64, which is exact up to 2^53: 104 days of time.
    """
    field = {name: rows[:, at] for name, at in _COLUMN.items()}
    kind = kind_of(field["phase"], field["op"])
    outcomes = np.bincount(kind * len(OUTCOMES) + field["outcome"], minlength=KINDS * len(OUTCOMES))
    response_ns = field["finished"] - field["scheduled"]
    cells = np.bincount(kind * LATENCY_BUCKETS + bucket_of_ns(response_ns))
    used = np.flatnonzero(cells)
    times_ns = (
        response_ns,
        field["sent"] - field["started"],
        field["finished"] - field["sent"] - field["shard_wait"] - field["service"],
        field["shard_wait"],
        field["service"],
    )
    sums = [np.bincount(kind, weights=one, minlength=KINDS) for one in times_ns]
    tally = {
        one: OperationTally(ends, {}, *(int(total[one]) for total in sums))
        for one, ends in enumerate(outcomes.reshape(KINDS, -1).tolist())
        if any(ends)
    }
    for cell, count in zip(used.tolist(), cells[used].tolist(), strict=True):
        one, bucket = divmod(cell, LATENCY_BUCKETS)
        tally[one].latencies[bucket] = count
    return tally


def _columns(rows: npt.NDArray[np.int64], origin_ns: int) -> dict[str, npt.NDArray[Any]]:
    """Columns of OPS_SCHEMA: an operation's time taken apart so that the parts add up.

    Queueing runs from the start to when its batch was first sent. What is neither queueing nor
    service is transport: the wire, Ray, retries, waiting in the shard, and the way back to the
    agent.
    """
    field = {name: np.ascontiguousarray(rows[:, at]) for name, at in _COLUMN.items()}
    queue = field["sent"] - field["started"]
    return {
        "phase": field["phase"].astype(np.int8),
        "agent": field["agent"].astype(np.int32),
        "op": field["op"].astype(np.int8),
        "shard": field["shard"].astype(np.int16),
        "scheduled_ns": field["scheduled"] - origin_ns,
        "started_ns": field["started"] - origin_ns,
        "finished_ns": field["finished"] - origin_ns,
        "queue_ns": queue,
        "transport_ns": field["finished"] - field["started"] - queue - field["service"],
        "service_ns": field["service"],
        "shard_wait_ns": field["shard_wait"],
        "batch_ops": field["batch_ops"].astype(np.int32),
        "attempts": field["attempts"].astype(np.int16),
        "outcome": field["outcome"].astype(np.int8),
    }

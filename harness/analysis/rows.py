"""The measured operations of a run as columns in memory, read file by file.

Holds what percentiles need (five times, one code and one batch size: 45 bytes a row, 53 in the
open loop) and sums everything else as it reads. Only rows of the ``measure`` phase are kept:
warm-up never reaches a figure.

The common time line is the driver's wall clock: each file says when its cohort started on it, and
rows count from there on the cohort's monotonic clock. How long something took is not read off it
(`harness.analysis.elapsed`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from harness.analysis.agents import agent_spans, merge_spans
from harness.analysis.elapsed import Elapsed
from harness.analysis.per_second import PerSecond
from harness.rundir_reader import FileMetadata
from harness.schema import OUTCOMES, PHASES

__all__ = ["COLUMNS", "TIMES", "MeasuredRows", "Window", "read_measured"]

Codes = npt.NDArray[np.int8]
Times = npt.NDArray[np.int64]

# What `read_measured` needs of an operations file.
COLUMNS = (
    "phase",
    "agent",
    "op",
    "shard",
    "scheduled_ns",
    "started_ns",
    "finished_ns",
    "queue_ns",
    "transport_ns",
    "service_ns",
    "shard_wait_ns",
    "batch_ops",
    "attempts",
    "outcome",
)
# The times of an operation that are summed up, by the name they have in a summary.
TIMES = ("response", "service", "queue", "transport", "shard_wait")
_COMPONENTS = TIMES[1:]


@dataclass(frozen=True)
class Window:
    """A span of time in nanoseconds; of which clock, its holder says."""

    begin_ns: int
    end_ns: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return (self.end_ns - self.begin_ns) / 1e9

    def joined(self, other: Window) -> Window:
        """Give the smallest window that holds both."""
        return Window(min(self.begin_ns, other.begin_ns), max(self.end_ns, other.end_ns))


@dataclass(kw_only=True)
class MeasuredRows:
    """The measured rows of a run; `read_measured` makes it.

    Attributes:
        operations: how many rows that agents recorded.
        in_flight: operations beside these that were in flight at lost agents: they have an
            outcome, and no time.
        outcomes: rows by outcome.
        attempts_max: the most attempts that one operation took, 0 without rows.
        window: first started to last finished on the driver's wall clock; None without rows.
        elapsed: how long that was, by no two hosts' clocks.
        cohort_windows: first due to last finished by cohort, on the cohort's own clock.
        spans: when each agent began and ended (`harness.analysis.agents.SPANS_SCHEMA`).
        shard_busy_s: by shard, the summed service time of its batches in seconds.
        per_second: operations by the second on the wall clock in which they ended.
    """

    operations: int = 0
    in_flight: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    attempts_max: int = 0
    window: Window | None = None
    elapsed: Elapsed = field(default_factory=Elapsed)
    cohort_windows: dict[int, Window] = field(default_factory=dict)
    spans: pa.Table = field(default_factory=lambda: merge_spans([]))
    shard_busy_s: Counter[int] = field(default_factory=Counter)
    per_second: PerSecond = field(default_factory=PerSecond)
    _parts: dict[str, list[npt.NDArray[np.generic]]] = field(default_factory=dict)

    def column(self, name: str) -> npt.NDArray[np.generic]:
        """Give ``(operations,)`` values of a time of `TIMES`, ``lag``, ``op`` or ``batch_ops``.

        Times are int64 nanoseconds, ``op`` is the position in `harness.schema.OPERATIONS`.
        """
        parts = self._parts.get(name)
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def keep(self, name: str, values: npt.NDArray[np.generic]) -> None:
        """Add the values of one file to a column."""
        self._parts.setdefault(name, []).append(values)


def _codes(table: pa.Table, name: str) -> Codes:
    """Give a label column as positions in its schema's labels, which the reader vouches for."""
    chunks = [chunk.indices.to_numpy(zero_copy_only=False) for chunk in table[name].chunks]
    return np.concatenate([np.empty(0, np.int8), *chunks])


def read_measured(
    batches: Iterable[tuple[FileMetadata, pa.Table]],
    *,
    with_lag: bool,
    in_flight: Iterable[tuple[FileMetadata, pa.Table]] = (),
) -> MeasuredRows:
    """Read operation files into memory, leaving warm-up out.

    Args:
        batches: `harness.rundir_reader.RunReader.operation_batches` of `COLUMNS`.
        with_lag: also keep how much later than due each operation was issued (open loop).
        in_flight: `harness.rundir_reader.RunReader.in_flight_batches` of `COLUMNS`.
    """
    rows = MeasuredRows()
    for _, lost in in_flight:
        measured = lost.filter(pa.array(_codes(lost, "phase") == PHASES.index("measure")))
        rows.in_flight += measured.num_rows
        _add_outcomes(rows, measured)
    spans = []
    for metadata, rows_of_file in batches:
        measured = _codes(rows_of_file, "phase") == PHASES.index("measure")
        if not measured.any():
            continue
        table = rows_of_file if measured.all() else rows_of_file.filter(pa.array(measured))
        spans.append(agent_spans(table, metadata.start_wall_ns))
        _add_file(rows, table, metadata, with_lag)
    rows.spans = merge_spans(spans)
    return rows


def _add_file(rows: MeasuredRows, table: pa.Table, metadata: FileMetadata, with_lag: bool) -> None:
    scheduled, started = _numbers(table, "scheduled_ns"), _numbers(table, "started_ns")
    finished = _numbers(table, "finished_ns")
    rows.operations += table.num_rows
    rows.attempts_max = max(rows.attempts_max, int(_numbers(table, "attempts").max()))
    rows.keep("op", _codes(table, "op"))
    rows.keep("response", finished - scheduled)
    for name in _COMPONENTS:
        # Copied, so that what is kept does not hold the file's other columns in memory.
        rows.keep(name, _numbers(table, f"{name}_ns").copy())
    rows.keep("batch_ops", _numbers(table, "batch_ops").astype(np.int32))
    if with_lag:
        rows.keep("lag", started - scheduled)
    _add_outcomes(rows, table)
    _add_shard_busy(rows, table)
    rows.per_second.add(metadata.start_wall_ns + finished, finished - scheduled)
    last_ns = int(finished.max())
    on_cohort = Window(int(scheduled.min()), last_ns)
    known = rows.cohort_windows.get(metadata.cohort, on_cohort)
    rows.cohort_windows[metadata.cohort] = known.joined(on_cohort)
    rows.elapsed.add(metadata, int(started.min()), last_ns)
    start_ns = metadata.start_wall_ns
    on_wall = Window(start_ns + int(started.min()), start_ns + last_ns)
    rows.window = on_wall if rows.window is None else rows.window.joined(on_wall)


def _add_outcomes(rows: MeasuredRows, table: pa.Table) -> None:
    counts = np.bincount(_codes(table, "outcome"), minlength=len(OUTCOMES))
    for name, count in zip(OUTCOMES, counts, strict=True):
        rows.outcomes[name] += int(count)


def _add_shard_busy(rows: MeasuredRows, table: pa.Table) -> None:
    # Each operation of a batch carries the whole batch's service time, so a share of one in
    # batch_ops from each adds up to the batch's.
    shard = _numbers(table, "shard")
    share_ns = _numbers(table, "service_ns") / np.maximum(_numbers(table, "batch_ops"), 1)
    numbers, inverse = np.unique(shard, return_inverse=True)
    busy_s = np.bincount(inverse, weights=share_ns) / 1e9
    for number, value in zip(numbers.tolist(), busy_s.tolist(), strict=True):
        if number >= 0:
            rows.shard_busy_s[number] += value


def _numbers(table: pa.Table, name: str) -> Times:
    values: Times = table[name].to_numpy()
    return values

"""When the measured operations of a run were due, issued and answered, on one time line.

The time line is the wall clock: each file says when its cohort started on it, and rows count from
there on the cohort's monotonic clock. The measured phase begins when the first cohort's warm-up
was over. It ends when the time of the plan was up, or with the last answer where that is later,
or where the run was cut short or had no time set. Operations are in the order of their files.

Holds 36 bytes an operation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from harness.rundir_reader import FileMetadata, RunReader
from harness.schema import OUTCOMES, PHASES, SUCCESSES

__all__ = ["COLUMNS", "OperationTimes", "read_operation_times"]

Times = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

COLUMNS = (
    "phase",
    "shard",
    "scheduled_ns",
    "started_ns",
    "finished_ns",
    "attempts",
    "outcome",
)
_TIMEOUT = OUTCOMES.index("timeout")
_SUCCESS_CODES = [OUTCOMES.index(name) for name in SUCCESSES]


@dataclass(frozen=True, kw_only=True)
class OperationTimes:
    """The measured operations of a run, ``(n,)`` each; times in ns on the wall clock.

    Attributes:
        begin_ns: when the measured phase began; 0 without a single row.
        end_ns: when it ended.
        starts_ns: when each cohort started.
        scheduled_ns: when each operation was due.
        issued_ns: when it was issued.
        finished_ns: when it was answered.
        cohort: that issued it.
        shard: that it went to; -1 when it went to none.
        succeeded: whether its outcome is a success.
        dropped: whether it came to its turn after its deadline and was not sent any more.
    """

    begin_ns: int
    end_ns: int
    starts_ns: Mapping[int, int]
    scheduled_ns: Times
    issued_ns: Times
    finished_ns: Times
    cohort: npt.NDArray[np.int32]
    shard: npt.NDArray[np.int16]
    succeeded: Mask
    dropped: Mask

    @property
    def duration_s(self) -> float:
        """Length of the measured phase."""
        return (self.end_ns - self.begin_ns) / 1e9

    @property
    def response_ns(self) -> Times:
        """From when each operation was due until it was answered."""
        return self.finished_ns - self.scheduled_ns

    @property
    def lag_ns(self) -> Times:
        """How much later than due each operation was issued."""
        return self.issued_ns - self.scheduled_ns


def read_operation_times(reader: RunReader) -> OperationTimes:
    """Read the operations of a run directory that were measured."""
    parts: dict[str, list[npt.NDArray[np.generic]]] = {name: [] for name in _KINDS}
    starts_ns: dict[int, int] = {}
    for metadata, rows in reader.operation_batches(COLUMNS):
        starts_ns[metadata.cohort] = metadata.start_wall_ns
        measured = _codes(rows, "phase") == PHASES.index("measure")
        for name, values in _of_file(metadata, rows).items():
            parts[name].append(values[measured])
    found: dict[str, Any] = {
        name: np.concatenate([np.empty(0, kind), *parts[name]]) for name, kind in _KINDS.items()
    }
    begin_ns, end_ns = _phase(reader, starts_ns, found["finished_ns"])
    return OperationTimes(begin_ns=begin_ns, end_ns=end_ns, starts_ns=starts_ns, **found)


_KINDS: dict[str, type[np.generic]] = {
    "scheduled_ns": np.int64,
    "issued_ns": np.int64,
    "finished_ns": np.int64,
    "cohort": np.int32,
    "shard": np.int16,
    "succeeded": np.bool_,
    "dropped": np.bool_,
}


def _of_file(metadata: FileMetadata, rows: pa.Table) -> dict[str, npt.NDArray[np.generic]]:
    outcome = _codes(rows, "outcome")
    start_ns = metadata.start_wall_ns
    return {
        "scheduled_ns": rows["scheduled_ns"].to_numpy() + start_ns,
        "issued_ns": rows["started_ns"].to_numpy() + start_ns,
        "finished_ns": rows["finished_ns"].to_numpy() + start_ns,
        "cohort": np.full(rows.num_rows, metadata.cohort, np.int32),
        "shard": rows["shard"].to_numpy(),
        "succeeded": np.isin(outcome, _SUCCESS_CODES),
        "dropped": (outcome == _TIMEOUT) & (rows["attempts"].to_numpy() == 0),
    }


def _phase(reader: RunReader, starts_ns: Mapping[int, int], finished_ns: Times) -> tuple[int, int]:
    """When the measured phase began and ended."""
    if not starts_ns or not finished_ns.size:
        return 0, 0
    plan = reader.run.get("plan")
    plan = plan if isinstance(plan, dict) else {}
    begin_ns = min(starts_ns.values()) + round((plan.get("warmup_s") or 0.0) * 1e9)
    last_ns = int(finished_ns.max())
    whole = reader.run.get("status") in {"complete", "invalid"}
    planned_ns = begin_ns + round((plan.get("duration_s") or 0.0) * 1e9)
    return begin_ns, max(last_ns, planned_ns) if whole else last_ns


def _codes(table: pa.Table, name: str) -> npt.NDArray[np.int8]:
    """A label column as positions in its schema's labels, which the reader vouches for."""
    chunks = [chunk.indices.to_numpy(zero_copy_only=False) for chunk in table[name].chunks]
    return np.concatenate([np.empty(0, np.int8), *chunks])

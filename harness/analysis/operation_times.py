"""When the measured operations of a run were due, issued and answered, on one time line.

The time line is the driver's wall clock: each file says when its cohort started on it, and rows
count from there on the cohort's monotonic clock. The measured phase begins when the first cohort's
warm-up was over. It ends when the time of the plan was up, or with the last answer where that is
later, or where the run was cut short or had no time set. Operations are in the order of their
files.

Holds 36 bytes an operation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from harness.analysis.elapsed import Elapsed
from harness.rundir_reader import FileMetadata, RunReader
from harness.schema import OUTCOMES, PHASES, SUCCESSES
from harness.time_line import measuring_began_ns

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
        duration_s: how long that was, by no two hosts' clocks (`harness.analysis.elapsed`).
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
    duration_s: float
    starts_ns: Mapping[int, int]
    scheduled_ns: Times
    issued_ns: Times
    finished_ns: Times
    cohort: npt.NDArray[np.int32]
    shard: npt.NDArray[np.int16]
    succeeded: Mask
    dropped: Mask

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
    elapsed = Elapsed()
    for metadata, rows in reader.operation_batches(COLUMNS):
        starts_ns[metadata.cohort] = metadata.start_wall_ns
        measured = _codes(rows, "phase") == PHASES.index("measure")
        last_ns = rows["finished_ns"].to_numpy()[measured].max(initial=0)
        elapsed.add(metadata, 0, int(last_ns))
        for name, values in _of_file(metadata, rows).items():
            parts[name].append(values[measured])
    found: dict[str, Any] = {
        name: np.concatenate([np.empty(0, kind), *parts[name]]) for name, kind in _KINDS.items()
    }
    if not starts_ns or not found["finished_ns"].size:
        return OperationTimes(begin_ns=0, end_ns=0, duration_s=0.0, starts_ns=starts_ns, **found)
    warmup_s, planned_s = _planned_s(reader)
    begin_ns = measuring_began_ns(reader.run, starts_ns)
    return OperationTimes(
        begin_ns=begin_ns,
        end_ns=max(int(found["finished_ns"].max()), begin_ns + round(planned_s * 1e9)),
        duration_s=max(elapsed.last_s - warmup_s, planned_s),
        starts_ns=starts_ns,
        **found,
    )


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


def _planned_s(reader: RunReader) -> tuple[float, float]:
    """How long the warm-up was to be, and the measured phase if it came to its end; 0 if not."""
    plan = reader.run.get("plan")
    plan = plan if isinstance(plan, dict) else {}
    whole = reader.run.get("status") in {"complete", "invalid"}
    return plan.get("warmup_s") or 0.0, (plan.get("duration_s") or 0.0) if whole else 0.0


def _codes(table: pa.Table, name: str) -> npt.NDArray[np.int8]:
    """A label column as positions in its schema's labels, which the reader vouches for."""
    chunks = [chunk.indices.to_numpy(zero_copy_only=False) for chunk in table[name].chunks]
    return np.concatenate([np.empty(0, np.int8), *chunks])

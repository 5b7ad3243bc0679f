"""Whether a step of some seconds was steady: as for a run, by finer slices of time.

`harness.analysis.steady.run_steady` looks at seconds, and takes a run of most of a minute. A step
of a search is shorter: here its time is cut into `SLICES`, whatever its length, and throughput and
median response time are looked at slice by slice. A slice of a few operations has a noisy median,
so that only a large change shows.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from harness.analysis.per_second import PerSecond
from harness.analysis.steady import Steady, both_steady
from harness.rundir_reader import FileMetadata

__all__ = ["SLICES", "STEP_COLUMNS", "step_steady"]

STEP_COLUMNS = ("phase", "scheduled_ns", "finished_ns")
# Above the 40 values that `both_steady` needs, with the first and the last slice left out.
SLICES = 60


def step_steady(batches: Iterable[tuple[FileMetadata, pa.Table]], duration_s: float) -> Steady:
    """Judge a step by its operation files.

    Args:
        batches: `harness.rundir_reader.RunReader.operation_batches` of `STEP_COLUMNS`.
        duration_s: how long was measured, above 0.
    """
    slices = PerSecond()
    slices_a_second = SLICES / duration_s
    base_ns: int | None = None
    for metadata, table in batches:
        measured = np.asarray(table["phase"].to_pylist()) == "measure"
        if not measured.any():
            continue
        scheduled, finished = (
            table[name].to_numpy()[measured] for name in ("scheduled_ns", "finished_ns")
        )
        base_ns = metadata.start_wall_ns if base_ns is None else base_ns
        since_ns = metadata.start_wall_ns - base_ns + finished
        # `PerSecond` counts by seconds: time is stretched so that a slice becomes one.
        slices.add((since_ns * slices_a_second).astype(np.int64), finished - scheduled)
    numbers, done, median_ms = slices.series()
    times_s = numbers / slices_a_second
    return both_steady(times_s, done * slices_a_second, median_ms)

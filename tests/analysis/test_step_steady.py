"""Whether a step of some seconds settled, on operation files that are made up."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from harness.analysis.step_steady import step_steady
from harness.rundir_reader import FileMetadata

WALL_NS = 1_700_000_000_000_000_000


def batch(finished_s: np.ndarray, response_ms: np.ndarray, phase: str = "measure"):
    """One operation file, of a cohort that began at a wall time of today's size."""
    finished = (finished_s * 1e9).astype(np.int64)
    phases = pa.array([phase] * finished.size).dictionary_encode()
    scheduled = finished - (response_ms * 1e6).astype(np.int64)
    columns = {"phase": phases, "scheduled_ns": scheduled, "finished_ns": finished}
    metadata = FileMetadata(
        name="f", cohort=0, node_id="n", start_wall_ns=WALL_NS, start_monotonic_ns=0
    )
    return metadata, pa.table(columns)


def times_of(duration_s: float, count: int = 20_000) -> np.ndarray:
    return np.sort(np.random.default_rng(1).uniform(0, duration_s, count))


@pytest.mark.parametrize("duration_s", [1.0, 5.0, 20.0])
def test_a_step_of_any_length_that_is_even_is_steady(duration_s):
    """Five seconds are enough, for slices are as short as it takes."""
    times_s = times_of(duration_s)
    response_ms = np.random.default_rng(2).gamma(4, 1, times_s.size)
    assert step_steady([batch(times_s, response_ms)], duration_s)["settled"] is True


def test_a_queue_that_grows_is_not_steady():
    """As of an open loop that offers more than is carried."""
    times_s = times_of(5.0)
    assert step_steady([batch(times_s, 1 + 20 * times_s)], 5.0)["settled"] is False


def test_warm_up_rows_are_left_out():
    """However slow they were."""
    times_s = times_of(5.0)
    files = [
        batch(times_s, np.full(times_s.size, 1000.0), phase="warmup"),
        batch(times_s + 5, np.full(times_s.size, 3.0)),
    ]
    assert step_steady(files, 5.0)["settled"] is True


def test_a_step_of_a_few_operations_is_not_known():
    """Nor is one without any."""
    assert step_steady([], 5.0)["settled"] is None
    times_s = times_of(5.0, count=3)
    assert step_steady([batch(times_s, np.ones(3))], 5.0)["settled"] is None

"""A run directory on disk, written by the run's own writers, sums up to its rows."""

from __future__ import annotations

import json

import numpy as np
import pytest

from harness.analysis import summarise
from harness.rundir import RunDirectory
from harness.rundir_reader import open_run
from harness.schema import OPERATIONS, OUTCOMES, PHASES
from harness.sinks import LoadgenWriter, LocalSink, OpsWriter

MS = 1_000_000


@pytest.fixture
def directory(tmp_path):
    made = RunDirectory.create(tmp_path / "run", "run")
    made.write_run({"plan": {"target": "memory_core", "durability": "fsync"}})
    return made


def _write(directory, cohort, count, phase):
    rng = np.random.default_rng([cohort, count])
    queue, transport, service = rng.integers(1, 5 * MS, (3, count))
    due = np.sort(rng.integers(0, 1_000 * MS, count))
    writer = OpsWriter(LocalSink(directory.path), cohort, "n", 1_700_000_000 * 1_000 * MS, 0)
    writer.write(
        {
            "phase": np.full(count, PHASES.index(phase), np.int8),
            "agent": rng.integers(0, 20, count),
            "op": rng.integers(0, len(OPERATIONS), count).astype(np.int8),
            "shard": np.zeros(count, np.int16),
            "scheduled_ns": due,
            "started_ns": due,
            "finished_ns": due + queue + transport + service,
            "queue_ns": queue,
            "transport_ns": transport,
            "service_ns": service,
            "shard_wait_ns": transport // 2,
            "batch_ops": np.full(count, 7),
            "attempts": np.ones(count, np.int16),
            "outcome": np.full(count, OUTCOMES.index("ok"), np.int8),
        }
    )
    return queue + transport + service


def test_what_the_writers_wrote_is_what_the_summary_says(directory):
    """Measured rows of two cohorts add up, and a file of warm-up rows counts nowhere."""
    _write(directory, 0, 111, "warmup")
    response_ns = np.concatenate(
        [_write(directory, 1, 300, "measure"), _write(directory, 2, 400, "measure")]
    )
    lags = LoadgenWriter(LocalSink(directory.path), 1, "n", 0, 0)
    lags.write({"at_ns": np.arange(1, 90) * 10 * MS, "lag_ns": np.full(89, 2 * MS)})
    summary = summarise(open_run(directory.path))
    assert summary["operations"] == 700
    assert summary["failed"] == 0
    assert summary["all"]["p99_ms"] == pytest.approx(np.percentile(response_ns, 99) / 1e6)
    assert summary["all"]["mean_ms"] == pytest.approx(response_ns.mean() / 1e6)
    assert summary["schedule"]["timer_lag_p99_ms"] == 2.0
    assert summary["schedule"]["timer_lag_samples"] > 80
    assert summary["throughput_ops_s"] * summary["duration_s"] == pytest.approx(700)


def test_a_damaged_file_is_left_out_and_told(directory):
    """A torn operations file costs its rows and makes a verdict, not an error."""
    _write(directory, 1, 50, "measure")
    _write(directory, 2, 60, "measure")
    torn = next(directory.path.glob("ops/cohort-00002-*"))
    torn.write_bytes(torn.read_bytes()[:100])
    summary = summarise(open_run(directory.path))
    assert summary["operations"] == 50
    verdict = {one["name"]: one["verdict"] for one in summary["verdicts"]}["damaged_files"]
    assert verdict == "warning"


def test_the_summary_that_is_written_reads_back_the_same(directory):
    """What a summary says survives its file."""
    _write(directory, 1, 300, "measure")
    summary = summarise(open_run(directory.path))
    directory.write_summary(summary)
    assert open_run(directory.path).summary == json.loads(json.dumps(summary))


def test_a_run_that_was_killed_at_once_has_a_summary(tmp_path):
    """With neither a plan nor a row, the summary is there and empty."""
    directory = RunDirectory.create(tmp_path / "run", "run")
    summary = summarise(open_run(directory.path))
    assert (summary["operations"], summary["duration_s"]) == (0, 0.0)

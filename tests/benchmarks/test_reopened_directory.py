"""A benchmark that was stopped goes on in its directory: what is done stays, the rest goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.benchmarks.bench_directory import BenchDirectory, open_bench
from harness.errors import RunDirectoryError, UsageError
from harness.rundir import RunDirectory


def begun(path: Path) -> BenchDirectory:
    """Three steps: one that is complete, one without a summary, one that was interrupted."""
    directory = BenchDirectory.create(path, "bench-memory")
    directory.describe(plan={"seed": 3}, bench={"volumes": [1, 2]})
    for name, status, summed_up in (
        ("volume-1", "complete", True),
        ("volume-2", "complete", False),
        ("volume-3", "interrupted", True),
    ):
        step = directory.step(name)
        if summed_up:
            step.write_summary({})
        step.update_status(status)  # type: ignore[arg-type]
    return directory


def test_steps_that_are_complete_stay(tmp_path: Path):
    """The others are removed, and can be made anew."""
    begun(tmp_path / "b")
    reopened = BenchDirectory.reopen(tmp_path / "b", "bench-memory")
    assert reopened.step_names == ["volume-1"]
    assert reopened.run["plan"] == {"seed": 3}
    assert sorted(path.name for path in (tmp_path / "b" / "steps").iterdir()) == ["volume-1"]
    reopened.step("volume-2")
    assert open_bench(tmp_path / "b").step_names() == ["volume-1", "volume-2"]


def test_a_step_that_cannot_be_read_is_measured_again(tmp_path: Path):
    """A torn document makes no step complete."""
    begun(tmp_path / "b")
    (tmp_path / "b/steps/volume-1/run.json").write_text('{"status": "comp')
    assert BenchDirectory.reopen(tmp_path / "b", "bench-memory").step_names == []


def test_it_is_running_again(tmp_path: Path):
    """The status is not what the stop left, and what was described stays."""
    begun(tmp_path / "b").update_status("interrupted", problems=["x"])
    BenchDirectory.reopen(tmp_path / "b", "bench-memory")
    run = open_bench(tmp_path / "b").run
    assert (run["status"], run["bench"]) == ("running", {"volumes": [1, 2]})


def test_another_commands_directory_is_refused(tmp_path: Path):
    """Nothing of it is touched."""
    begun(tmp_path / "b")
    with pytest.raises(UsageError, match="is of bench-memory"):
        BenchDirectory.reopen(tmp_path / "b", "bench-agents")
    assert len(list((tmp_path / "b" / "steps").iterdir())) == 3
    RunDirectory.create(tmp_path / "r", "run")
    with pytest.raises(RunDirectoryError, match="of a run"):
        BenchDirectory.reopen(tmp_path / "r", "bench-memory")

"""The directory of a benchmark: what is written is read, and names lead nowhere else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.benchmarks.bench_directory import BenchDirectory, open_bench
from harness.errors import RunDirectoryError, UsageError
from harness.rundir import RunDirectory


def test_steps_are_read_in_the_order_in_which_they_began(tmp_path: Path):
    """A reader finds the document, the summary and each step's run directory."""
    directory = BenchDirectory.create(tmp_path / "b", "bench-agents")
    directory.describe(plan={"agents": 1})
    for name in ("agents-5-1", "agents-1-1"):
        directory.step(name)
    directory.write_summary({"bench": "agents"})
    directory.update_status("complete", problems=[])
    found = open_bench(tmp_path / "b")
    assert found.run["status"] == "complete"
    assert found.run["plan"] == {"agents": 1}
    assert found.summary is not None
    assert found.summary["bench"] == "agents"
    assert found.step_names() == ["agents-5-1", "agents-1-1"]
    assert found.step("agents-5-1").run["status"] == "running"


def test_a_step_has_one_folder(tmp_path: Path):
    """A second step of a name is refused, and the first stays."""
    directory = BenchDirectory.create(tmp_path / "b", "bench-agents")
    directory.step("one")
    with pytest.raises(UsageError):
        directory.step("one")
    assert open_bench(directory.path).step_names() == ["one"]


def test_the_directory_of_a_run_is_refused(tmp_path: Path):
    """It is named as what it is."""
    RunDirectory.create(tmp_path / "r", "run")
    with pytest.raises(RunDirectoryError, match="of a run, not of a benchmark"):
        open_bench(tmp_path / "r")


@pytest.mark.parametrize("name", ["../..", "/etc", "..", "", "a/b", 7, None, "x" * 5_000, "\0"])
def test_names_lead_to_no_other_folder(tmp_path: Path, name: object):
    """What a document says of its steps is not followed out of their folder."""
    directory = BenchDirectory.create(tmp_path / "b", "bench-agents")
    directory.step("one")
    document = json.loads((directory.path / "run.json").read_text())
    document["steps"] = [{"name": name, "path": "/etc"}, 3]
    (directory.path / "run.json").write_text(json.dumps(document))
    found = open_bench(directory.path)
    assert found.step_names() == []
    with pytest.raises(RunDirectoryError, match="no step"):
        found.step(str(name))

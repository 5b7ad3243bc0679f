"""A run that is told to end does, at once, with what it measured; one that is killed leaves rows.

Whichever way a run ends, none of its processes is left, and nothing in the temporary folder.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.analysis.summary import summarise
from harness.rundir_reader import open_run
from tests.harness.driving import Driven, poll, short_folder

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.fault]

# The pause leaves the machine some room: how fast the agents are is no matter here.
FOR_LONG = ("--agents", 12, "--duration", 600, "--think-time", 0.005)


@pytest.fixture
def driven() -> Iterator[Driven]:
    """A run that would go on for ten minutes."""
    with short_folder() as folder:
        run = Driven(folder, *FOR_LONG)
        try:
            yield run
        finally:
            run.end()


def assert_nothing_left(run: Driven, timeout_s: float = 15.0) -> None:
    poll(lambda: not run.left(), f"the end of {run.left()}", timeout_s)
    assert len(run.seen) > 5, "the run's processes were not seen at all"
    poll(lambda: not list(run.temp.iterdir()), "an empty temporary folder", timeout_s)


def assert_interrupted(run: Driven) -> None:
    """Exit code, status, summary and the last line are those of an interrupted run."""
    assert run.wait(60) == 130, run.stderr
    assert_nothing_left(run)
    document = run.document()
    assert (document["status"], document["problems"]) == ("interrupted", [])
    assert run.stdout.splitlines()[-1] == str(run.out)
    assert "interrupted" in run.stdout
    assert "Traceback" not in run.stderr
    assert not (run.out / "data").exists()
    verdicts = {one["name"]: one["verdict"] for one in run.document("summary.json")["verdicts"]}
    assert verdicts["completion"] == "warning"
    summary = run.document("summary.json")
    assert summary["operations"] == open_run(run.out).operations().num_rows


def measuring_with_rows(run: Driven) -> None:
    """Wait until rows of the measured phase are on the disk."""
    run.until("measuring")
    poll(run.files, "a file of rows", 30)


def test_ctrl_c_before_the_start_ends_a_run(driven: Driven):
    """Interrupted while it starts, a run measures nothing, says so, and leaves nothing."""
    driven.until("starting")
    driven.signal_group(signal.SIGINT)
    assert_interrupted(driven)
    assert driven.document("summary.json")["operations"] == 0


def test_ctrl_c_in_the_middle_ends_a_run_with_a_summary(driven: Driven):
    """What was measured until the interruption is summed up; agents end within an operation."""
    measuring_with_rows(driven)
    driven.signal_group(signal.SIGINT)
    assert_interrupted(driven)
    summary = driven.document("summary.json")
    assert summary["operations"] > 100
    assert summary["failed"] == 0
    assert [one["failed_agents"] for one in driven.document()["cohorts"]] == [0]
    assert driven.phases()[-2:] == ["stopping", "ending"]


def test_sigterm_ends_a_run_like_ctrl_c(driven: Driven):
    """Told to terminate, the driver ends the run with a summary."""
    measuring_with_rows(driven)
    driven.process.terminate()
    assert_interrupted(driven)
    assert driven.document("summary.json")["operations"] > 100


def test_a_second_ctrl_c_insists(driven: Driven):
    """Interrupted twice, a run gives up its summary, never its processes."""
    measuring_with_rows(driven)
    for pid in driven.pids("run_cohort"):
        os.kill(pid, signal.SIGSTOP)
    driven.signal_group(signal.SIGINT)
    poll(lambda: "stopping" in driven.phases(), "phase stopping", 30)
    driven.signal_group(signal.SIGINT)
    assert driven.wait(60) == 130, driven.stderr
    assert_nothing_left(driven)
    assert driven.document()["status"] == "interrupted"
    assert "Traceback" not in driven.stderr


def test_a_driver_that_is_killed_leaves_rows_and_no_process(driven: Driven):
    """Killed outright, a run leaves a directory that can be read, with the rows until then."""
    measuring_with_rows(driven)
    driven.look()
    driven.process.kill()
    assert driven.wait(10) == -signal.SIGKILL
    assert_nothing_left(driven, 20)
    reader = open_run(driven.out)
    assert reader.run["status"] == "running"
    rows = reader.operations()
    assert rows.num_rows > 0
    assert reader.summary is None
    summary = summarise(reader)
    assert summary["operations"] == rows.num_rows
    assert summary["throughput_ops_s"] > 0
    assert Path(driven.out / "agents.parquet").exists()

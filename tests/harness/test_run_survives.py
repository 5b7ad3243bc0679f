"""Runs whose hosts die, whose head goes, whose disks fill: each has a result, and an end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from harness.rundir_reader import open_run
from tests.harness.audit import acknowledged, lost
from tests.harness.driving import Driven, poll, short_folder
from tests.harness.ray_nodes import RayNodes
from tests.processes import below
from tests.small_disks import fill, small_disk

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.fault,
    pytest.mark.timeout(300),
]


def cohorts_below(pid: int) -> list[psutil.Process]:
    """The cohorts of a node of Ray's."""
    return below(pid, "ray::run_cohort")


def assert_nothing_left(run: Driven) -> None:
    poll(lambda: not run.left(), f"the end of {run.left()}", 60)


def test_a_node_that_dies_and_a_cohort_that_stalls_take_their_agents_and_no_others(
    drive: Callable[..., Driven],
):
    """What is lost is counted, named, and the last moments of rows; the run ends in its time."""
    with short_folder() as folder, RayNodes(folder / "ray") as nodes:
        nodes.start_head("--num-cpus=2")
        node = nodes.start("--num-cpus=1")
        run = drive(
            *("--agents", 6, "--agents-per-task", 2, "--duration", 10, "--deadline", 2),
            *("--target", "embedded", "--address", nodes.address),
            bounds={"harness.losses.SILENT_S": 2.0, "harness.losses.LOST_S": 4.0},
            HOME=str(folder / "ray"),
        )
        run.until("measuring")
        # what was in flight is known from an agent's last row: there have to be some
        poll(lambda: len({rows.name[:12] for rows in run.files()}) == 3, "rows of every cohort", 60)
        [stalled, *others] = cohorts_below(nodes.head)
        stalled.suspend()
        for process in [*below(node.pid), psutil.Process(node.pid)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        assert run.wait() == 1, run.stderr
        poll(lambda: not stalled.is_running(), "the end of what was given up", 60)
    assert len(others) == 1, "of three cohorts one was on the other node"
    document, summary = run.document(), run.document("summary.json")
    died, silent = sorted(summary["losses"], key=lambda one: "not heard of" in one["cause"])
    [kept] = document["cohorts"]
    assert sorted([died["cohort"], silent["cohort"], kept["cohort"]]) == [0, 1, 2]
    node_of = {one["cohort"]: one["node_id"] for one in document["topology"]["cohorts"]}
    assert died["node_id"] == node_of[died["cohort"]] != node_of[silent["cohort"]]
    assert died["cause"].startswith("died: ")
    assert "did not end" in silent["cause"]
    assert document["status"] == "failed"
    assert summary["agents"]["lost"] == 4
    assert summary["failed"] == sum(one["in_flight_rows"] for one in (died, silent)) > 0
    for loss in (died, silent):
        assert loss["in_flight_rows"] <= loss["agents"] == 2
        # until its last report, by its own clock; two on a machine that has time to spare
        assert 0 <= (loss["unrecorded_s"] or 0.0) < 10
    reader = open_run(run.out)
    recorded = {metadata.cohort for metadata, _ in reader.operation_batches()}
    assert kept["cohort"] in recorded
    assert {metadata.cohort for metadata, _ in reader.in_flight_batches()} <= {
        died["cohort"],
        silent["cohort"],
    }
    events = [(event["kind"], event.get("what")) for event in reader.events()]
    for expected in (
        ("lost", f"cohort {died['cohort']}"),
        ("silent", f"cohort {silent['cohort']}"),
        ("lost", f"cohort {silent['cohort']}"),
    ):
        assert expected in events


def test_a_run_whose_head_hangs_ends_with_what_it_recorded(drive: Callable[..., Driven]):
    """Exit code 1, one sentence, a summary, and no process is left, though calls of Ray hang."""
    run = drive(
        *("--agents", 4, "--agents-per-task", 2, "--duration", 600, "--target", "noop"),
        *("--think-time", 0.01),
        bounds={
            "harness.head_watch.HEAD_LOST_S": 2.0,
            "harness.head_watch.INTERVAL_S": 0.5,
            "harness.steps._TEAR_DOWN_S": 1.0,
        },
    )
    run.until("measuring")
    poll(run.files, "a file of rows")
    [head] = below(run.process.pid, name="gcs_server")
    head.suspend()
    assert run.wait() == 1, run.stderr
    assert_nothing_left(run)
    [problem] = run.document()["problems"]
    assert run.document()["status"] == "failed"
    assert problem.startswith("the head of the Ray cluster at ")
    assert run.stderr.splitlines()[-1] == f"harness: {problem}"
    assert run.stdout.splitlines()[-1] == str(run.out)
    assert run.document("summary.json")["operations"] == open_run(run.out).operations().num_rows > 0


def outcomes(run: Driven) -> list[str]:
    """The outcomes of rows so far, in the order of their times."""
    rows = open_run(run.out).operations(["finished_ns", "outcome"]).sort_by("finished_ns")
    found: list[str] = rows["outcome"].to_pylist()
    return found


def test_full_disks_of_a_shard_and_of_the_driver(drive: Callable[..., Driven], tmp_path: Path):
    """A shard's is an outcome, and passes with it; the driver's ends the run with what it has."""
    with small_disk(tmp_path / "shard") as of_shard, small_disk(tmp_path / "driver") as of_driver:
        run = drive(
            *("--agents", 2, "--shards", 1, "--duration", 3_600, "--seed", 8, "--keep-data"),
            *("--think-time", 0.02, "--data-dir", of_shard / "data"),
            out=of_driver / "out",
        )
        run.until("measuring")
        poll(lambda: "ok" in outcomes(run), "a store")
        filler = fill(of_shard)
        poll(lambda: "unavailable" in outcomes(run), "a store that failed")
        filler.unlink()
        poll(lambda: "ok" in outcomes(run)[-2:], "a store that succeeds again")
        fill(of_driver)
        assert run.wait() == 1, run.stderr
        assert_nothing_left(run)
        assert "Traceback" not in run.stderr
        assert run.stdout.splitlines()[-1] == str(run.out)
        document, summary = run.document(), run.document("summary.json")
        assert document["status"] == "failed"
        full = "its rows could not be written (No space left on device), so its agents stopped"
        assert any(full in problem for problem in document["problems"])
        assert 0 < summary["failed"] == summary["outcomes"]["unavailable"] < summary["operations"]
        assert summary["operations"] == open_run(run.out).operations().num_rows
        assert not (run.out / ".reserve").exists()
        assert len(acknowledged(run.out)) > 0
        assert lost(run.out, of_shard / "data") == []

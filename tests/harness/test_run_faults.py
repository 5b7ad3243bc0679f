"""Processes of a run are killed: a shard costs time, a cohort its agents, and no store is lost.

Each run is of the default target; what was acknowledged is looked for in the databases after it.
"""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pyarrow.compute as pc
import pytest

from harness.rundir_reader import open_run
from tests.harness.audit import acknowledged, lost, rows_of_agents
from tests.harness.driving import Driven, poll

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.fault]

# Leaves the machine some room, where how fast the agents are is no matter.
PAUSE = ("--think-time", 0.005)


def measuring_with_rows(run: Driven) -> None:
    run.until("measuring")
    poll(run.files, "a file of rows", 30)


def assert_nothing_left(run: Driven) -> None:
    poll(lambda: not run.left(), f"the end of {run.left()}", 15)
    assert not list(run.temp.iterdir())


def verdict(run: Driven, name: str) -> str:
    verdicts: list[dict[str, Any]] = run.document("summary.json")["verdicts"]
    return next(one["verdict"] for one in verdicts if one["name"] == name)


def test_a_shard_that_is_killed_loses_nothing_that_was_acknowledged(drive: Any):
    """The run goes on and completes, operations are retried, none fails and none is lost."""
    run = drive("--agents", 24, "--duration", 5, "--seed", 11, "--keep-data", *PAUSE)
    measuring_with_rows(run)
    shard = run.document()["topology"]["target"]["shards"][0]
    os.kill(shard["pid"], signal.SIGKILL)
    assert run.wait() == 0, run.stderr
    assert_nothing_left(run)
    summary = run.document("summary.json")
    assert run.document()["status"] == "complete"
    assert summary["failed"] == 0
    assert summary["attempts_max"] >= 2
    assert sum(one["retries"] for one in run.document()["cohorts"]) >= 1
    assert summary["outcomes"]["ok"] == summary["operations"]
    stores = acknowledged(run.out)
    assert len(stores) == summary["store"]["count"] > 500
    assert lost(run.out, run.out / "data") == []
    retried = (
        open_run(run.out)
        .operations()
        .filter(pc.greater(open_run(run.out).operations()["attempts"], 1))
    )
    assert set(retried["shard"].to_pylist()) == {shard["shard"]}
    pids = (
        open_run(run.out)
        .processes()
        .filter(pc.equal(open_run(run.out).processes()["role"], "shard"))
    )
    assert len(set(pids["pid"].to_pylist())) == 3, "the shard's next process is sampled too"


def test_a_cohort_that_is_killed_fails_the_run_and_costs_no_other_its_rows(drive: Any):
    """Exit code 1, a sentence that names the cohort, and everything the others measured."""
    run = drive("--agents", 8, "--agents-per-task", 4, "--rounds", 150, "--json")
    measuring_with_rows(run)
    poll(lambda: len({path.name[:12] for path in run.files()}) == 2, "rows of both cohorts", 30)
    victim = run.pids("run_cohort")[0]
    os.kill(victim, signal.SIGKILL)
    assert run.wait() == 1, run.stderr
    assert_nothing_left(run)
    document = run.document()
    assert document["status"] == "failed"
    (problem,) = document["problems"]
    (kept,) = document["cohorts"]
    died = 1 - kept["cohort"]
    assert problem == f"cohort {died} died: its process was killed or crashed"
    assert run.stderr.splitlines()[-1] == f"harness: {problem}"
    assert json.loads(run.stdout) == run.document("summary.json")
    assert verdict(run, "completion") == verdict(run, "losses") == "failed"
    summary = run.document("summary.json")
    [loss] = summary["losses"]
    assert (loss["cohort"], loss["agents"], summary["agents"]["lost"]) == (died, 4, 4)
    assert loss["in_flight_rows"] == summary["outcomes"]["unavailable"] == summary["failed"] == 4
    assert summary["steady"]["settled"] is None
    counts = {number: rows.num_rows for number, rows in rows_of_agents(run.out).items()}
    whole = range(4 * kept["cohort"], 4 * kept["cohort"] + 4)
    assert [counts[number] for number in whole] == [150 * 18] * 4
    assert all(counts[number] > 1 for number in set(range(8)) - set(whole)), "what it had written"
    reader = open_run(run.out)
    in_flight = [rows for _, rows in reader.in_flight_batches()]
    assert [set(rows["agent"].to_pylist()) for rows in in_flight] == [set(range(8)) - set(whole)]
    [lost_event] = [one for one in reader.events() if one["kind"] == "lost"]
    assert lost_event["what"] == f"cohort {died}"


def test_a_control_actor_that_is_killed_fails_the_run_with_what_it_saw(drive: Any):
    """Nobody can stop the agents any more: the run ends, says why, and is summed up."""
    run = drive("--agents", 8, "--duration", 600, *PAUSE)
    measuring_with_rows(run)
    (control,) = run.pids("Control")
    os.kill(control, signal.SIGKILL)
    assert run.wait() == 1, run.stderr
    assert_nothing_left(run)
    assert "Traceback" not in run.stderr
    assert run.document()["status"] == "failed"
    assert run.document()["problems"][0].startswith("the control actor does not answer: ")
    assert run.stdout.splitlines()[-1] == str(run.out)
    assert run.document("summary.json")["operations"] > 0


def test_a_sampler_that_is_killed_is_started_again(drive: Any):
    """The run completes; the gap is told when it happens, and the figures go to the end."""
    run = drive("--agents", 4, "--duration", 3_600, "--target", "noop", *PAUSE)
    measuring_with_rows(run)
    (sampler,) = run.pids("Sampler")
    os.kill(sampler, signal.SIGKILL)
    poll(lambda: len(list((run.out / "resources").glob("*_1.arrows"))) == 2, "another sampler")
    pids = {process["pid"] for process in run.document()["topology"]["target"]["shards"]}
    poll(lambda: pids <= sampled(run, after=sampler), "samples of what was sampled before")
    run.process.send_signal(signal.SIGINT)
    assert run.wait() == 130, run.stderr
    assert_nothing_left(run)
    (problem,) = run.document()["problems"]
    assert problem.startswith("the sampler of node ")
    assert "until another began" in problem
    assert run.document("summary.json")["failed"] == 0
    [event] = [one for one in open_run(run.out).events() if one["kind"] == "lost"]
    assert event["what"] in problem
    assert len(run.document()["samplers"]) == 1


def sampled(run: Driven, *, after: int) -> set[int]:
    """The processes that were sampled after the first sampler's last sample."""
    rows = open_run(run.out).processes().select(["pid", "wall_ns"]).to_pylist()
    last_ns = max(row["wall_ns"] for row in rows if row["pid"] == after)
    return {row["pid"] for row in rows if row["wall_ns"] > last_ns}

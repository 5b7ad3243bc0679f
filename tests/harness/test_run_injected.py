"""Runs with ``--fault``: what is asked for is done to the run's processes, told, and undone."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import psutil
import pytest

from tests.harness.driving import Driven, poll

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.fault]

# Leaves the machine some room: how fast the agents are is no matter here.
PAUSE = ("--think-time", 0.005)


def faults(run: Driven) -> list[dict[str, Any]]:
    """The events of the run's faults so far."""
    run.look()
    try:
        lines = (run.out / "events.jsonl").read_text().splitlines()
        return [event for event in map(json.loads, lines) if event["kind"] == "fault"]
    except (OSError, ValueError):
        return []


def test_shards_are_killed_and_stalled_as_the_plan_says(drive: Any):
    """Each fault is an event with its time; the run goes on, nothing fails, nothing is lost."""
    texts = ("at 0s kill shard 1", "at 500ms for 500ms stall shard 0")
    run = drive(
        *("--agents", 8, "--duration", 4, "--shards", 2, "--audit", *PAUSE),
        *(word for text in texts for word in ("--fault", text)),
    )
    assert run.wait() == 0, run.stderr
    poll(lambda: not run.left(), f"the end of {run.left()}", 30)
    first, second = faults(run)
    assert (first["fault"], second["fault"]) == texts
    for event, shard in ((first, 1), (second, 0)):
        assert (event["done"], event["problem"]) == (True, None)
        assert (event["of"], event["number"]) == ("shard", shard)
        assert event["wall_ns"] <= event["answered_wall_ns"]
    assert second["t_s"] >= 0.5
    assert run.document()["plan"]["faults"] == list(texts)
    summary = run.document("summary.json")
    assert summary["failed"] == 0
    assert summary["attempts_max"] >= 2
    killed, stalled = summary["faults"]
    assert (killed["fault"], stalled["fault"]) == texts
    assert stalled["recovery_s"] >= 0.5
    assert killed["recovery_s"] > 0
    assert killed["sentence"].startswith("at 0s kill shard 1: shard 1 answered again after ")
    assert "at 0s kill shard 1: shard 1" in run.stdout
    assert "at 0s kill shard 1" in (run.out / "report.html").read_text()
    audit = summary["audit"]
    assert audit["verdict"] == "passed"
    assert audit["acknowledged"] == audit["verified"] == summary["store"]["count"] > 0
    assert audit["answers_checked"] == summary["retrieve"]["count"] + summary["search"]["count"]


def test_a_cohort_that_is_killed_has_lost_nothing_that_its_rows_acknowledge(drive: Any):
    """Its own store is opened after it and has every write of its rows, and maybe a few more."""
    run = drive(
        *("--agents", 4, "--agents-per-task", 2, "--duration", 3, "--target", "embedded"),
        *("--audit", "--fault", "at 1s kill cohort 1", *PAUSE),
    )
    run.wait()
    (event,) = faults(run)
    assert event["done"], event
    audit = run.document("summary.json")["audit"]
    assert audit["verdict"] == "passed", audit
    assert audit["acknowledged"] == audit["verified"] > 0


def test_a_driver_that_is_killed_leaves_nothing_stopped(drive: Any):
    """Its own Ray and what it had stalled are gone within seconds, as after any other run."""
    run = drive("--agents", 2, "--duration", 600, "--fault", "at 0s for 600s stall shard 0")
    (event,) = poll(lambda: faults(run), "the stall")
    assert event["done"]
    assert psutil.Process(event["pid"]).status() == psutil.STATUS_STOPPED
    os.kill(run.process.pid, signal.SIGKILL)
    run.wait()
    poll(lambda: not run.left(), "the end of what the run had started", 60)

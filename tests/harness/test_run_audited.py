"""Runs with ``--audit``: what stores break on purpose is found, whatever they answer meanwhile.

What a store that keeps its promises gives is in `test_run_injected`.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from harness.live.view import View
from harness.plan import RunPlan
from harness.ray_session import RaySession
from harness.rundir import RunDirectory
from harness.rundir_reader import open_run
from harness.runner import Outcome, StopRequest, prepare, run
from tests.cluster.fault_rounds import problems_of, round_of

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.fault]


def audited(folder: Path, ray_here: RaySession, **fields: Any) -> tuple[Outcome, dict[str, Any]]:
    """How a run ended, and the audit in its summary."""
    plan = RunPlan(audit=True, shards=2, **{"seed": 8, **fields})
    directory = RunDirectory.create(folder / "run", "run")
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    outcome = run(prepare(plan), directory, View(), StopRequest(), ray_here)
    summary = open_run(directory.path).summary
    assert summary is not None
    return outcome, summary["audit"]


def test_an_early_acknowledgement_is_found_after_a_kill(tmp_path: Path, ray_here: RaySession):
    """The writes that the store had acknowledged and not yet made are missing: the run failed."""
    outcome, audit = audited(
        tmp_path,
        ray_here,
        target="tests.harness.planted:EarlyTarget",
        agents=6,
        duration_s=3.0,
        mix="store=1",
        faults=("at 1s kill shard 1",),
    )
    (event,) = [one for one in open_run(tmp_path / "run").events() if one["kind"] == "fault"]
    assert event["done"], event
    assert outcome.status == "failed"
    assert audit["verdict"] == "failed"
    assert 1 <= audit["missing"] <= 64
    assert audit["verified"] + audit["missing"] == audit["acknowledged"]
    assert f"{audit['missing']} missing" in audit["sentence"]


def test_a_second_actor_on_one_folder_is_found(tmp_path: Path, ray_here: RaySession):
    """Each actor answers its own agents as it should; what one took, the other does not have."""
    outcome, audit = audited(
        tmp_path,
        ray_here,
        target="tests.harness.planted:SecondActorTarget",
        agents=8,
        agents_per_task=4,
        rounds=3,
    )
    assert outcome.status == "failed"
    assert audit["missing"] > 0
    assert open_run(tmp_path / "run").run["audit"]["answers"]["missing"] == 0


def test_answers_that_are_muddled_are_found(tmp_path: Path, ray_here: RaySession):
    """A state of before, one twice, a stranger's, and none: while all is kept as it should be."""
    outcome, audit = audited(
        tmp_path,
        ray_here,
        target="tests.harness.planted:MuddlingTarget",
        agents=4,
        agents_per_task=4,
        rounds=3,
    )
    assert outcome.status == "failed"
    found = open_run(tmp_path / "run").run["audit"]
    assert (found["acknowledged"], found["verified"]) == (120, 120)
    assert found["answers"]["checked"] == 4 * 3 * 8
    # the first state that agent 0 asks for is answered with itself
    assert found["answers"]["wrong"] == 3 * 5 - 1
    assert found["answers"]["doubled"] == 3 * 3
    assert found["answers"]["foreign"] == 3 * 3
    assert found["answers"]["missing"] == 3 * 5
    assert audit["wrong"] == found["answers"]["wrong"]
    assert audit["answers_checked"] == 96


@pytest.mark.parametrize("number", [0, 1])
def test_a_round_of_random_faults_loses_nothing(tmp_path: Path, ray_here: RaySession, number: int):
    """As scripts/fault_rounds does many: kills and stalls that follow from a seed."""
    one = round_of(7, number, duration_s=2.5)
    assert any("kill shard" in fault for fault in one.faults)
    audited(
        tmp_path,
        ray_here,
        agents=8,
        agents_per_task=4,
        duration_s=4.0,  # longer than the faults need, so that each is in time
        think_time_s=0.005,
        seed=one.seed,
        faults=one.faults,
        deadline_s=60.0,
    )
    reader = open_run(tmp_path / "run")
    assert reader.summary is not None
    assert problems_of(reader.run, reader.summary) == []

"""Rounds of random faults follow from their seed, and what is wrong with one is told.

Two of them are carried out in ``tests/harness/test_run_audited.py``.
"""

from __future__ import annotations

from typing import Any

import pytest

from harness.faults import check_numbers, parse_faults
from tests.cluster.fault_rounds import COHORTS, SHARDS, Harm, problems_of, round_of


def test_a_round_follows_from_the_seed_and_its_number():
    """The same again for the same, another for another; harmed are hosts of the lab only."""
    assert round_of(7, 3) == round_of(7, 3)
    rounds = [round_of(7, number, hosts=[2, 3, 4]) for number in range(50)]
    assert len({one.seed for one in rounds}) == 50
    assert {harm.host for one in rounds for harm in one.harms} == {2, 3, 4}
    assert all(len({harm.host for harm in one.harms}) == len(one.harms) for one in rounds)
    assert not any(round_of(7, number).harms for number in range(50))


def test_every_round_is_one_that_a_plan_takes():
    """Each fault is of the grammar, of what the run has, and within its time; all kinds come."""
    texts = []
    for number in range(200):
        faults = parse_faults(round_of(1, number, duration_s=4.0).faults, ends_s=4.0)
        check_numbers(faults, {"shard": SHARDS, "cohort": COHORTS})
        texts += [(fault.action, fault.what, fault.of) for fault in faults]
    assert {
        ("kill", "process", "shard"),
        ("stall", "process", "shard"),
        ("kill", "process", "cohort"),
        ("stall", "process", "cohort"),
        ("kill", "sampler", "shard"),
    } == set(texts)


def summary(verdict: str = "passed", *, done: bool = True, acknowledged: int = 5) -> dict[str, Any]:
    audit = {
        "verdict": verdict,
        "sentence": "The audit said so.",
        "acknowledged": acknowledged,
        "answers_checked": 9,
    }
    fault = {"fault": "at 1s kill shard 0", "done": done, "sentence": "It was not done."}
    return {"audit": audit, "faults": [fault], "agents": {"lost": 3}}


@pytest.mark.parametrize(
    ("status", "found", "problems"),
    [
        ("complete", summary(), []),
        ("failed", summary(), ["status failed"]),
        ("failed", summary("failed"), ["status failed", "The audit said so."]),
        ("complete", summary("incomplete"), ["The audit said so."]),
        ("complete", summary(acknowledged=0), ["nothing was acknowledged, or no answer checked"]),
        ("complete", summary(done=False), ["It was not done."]),
    ],
    ids=range(6),
)
def test_a_round_is_good_when_all_was_read_back_and_every_shard_was_hit(
    status: str, found: dict[str, Any], problems: list[str]
):
    """Anything less is a problem, in words."""
    assert problems_of({"status": status}, found) == problems


def test_a_harmed_host_may_take_agents_with_it_and_nothing_else():
    """The run has then failed, which is no problem of the round; a lost write is."""
    harms = [Harm("kill", 2, 1.0, 1.0)]
    assert problems_of({"status": "failed"}, summary(), harms) == []
    assert problems_of({"status": "interrupted"}, summary(), harms) == ["status interrupted"]
    assert problems_of({"status": "failed"}, summary("failed"), harms) == ["The audit said so."]


def test_a_run_may_end_before_a_fault_is_carried_out():
    """As on a machine that is too busy to do it in time."""
    found = summary(done=False)
    found["faults"][0]["sentence"] = "not done: the run was over before it could be done."
    assert problems_of({"status": "complete"}, found) == []

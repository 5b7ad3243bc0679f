"""The grammar of faults: what is asked for is understood, and what is not is refused in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.faults import (
    FAULTS_MAX,
    check_local,
    check_numbers,
    check_places,
    parse_fault,
    parse_faults,
)
from harness.plan import RunPlan
from harness.plan_file import load_plan


@pytest.mark.parametrize(
    ("text", "at_s", "for_s", "action", "what", "of", "number"),
    [
        ("at 20s kill shard 1", 20.0, None, "kill", "process", "shard", 1),
        ("at 30s kill node of shard 0", 30.0, None, "kill", "node", "shard", 0),
        ("at 10s for 5s stall shard 0", 10.0, 5.0, "stall", "process", "shard", 0),
        ("  AT 500ms  for 1.5s\tSTALL cohort 12 ", 0.5, 1.5, "stall", "process", "cohort", 12),
        ("at 0s for 20ms stall node of cohort 3", 0.0, 0.02, "stall", "node", "cohort", 3),
        ("at 1s kill sampler of node of shard 2", 1.0, None, "kill", "sampler", "shard", 2),
    ],
)
def test_a_fault_is_what_it_says(
    text: str, at_s: float, for_s: float | None, action: str, what: str, of: str, number: int
):
    """Each form of the grammar gives its time, its length, what is done, and to what."""
    fault = parse_fault(text)
    assert (fault.at_s, fault.for_s, fault.action) == (at_s, for_s, action)
    assert (fault.what, fault.of, fault.number) == (what, of, number)
    assert fault.end_s == at_s + (for_s or 0)
    assert parse_fault(fault.text) == fault


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "must begin with its time"),
        ("kill shard 1", "must begin with its time"),
        ("at", "must begin with its time"),
        ("at 20 kill shard 1", "'20' is no time of a run"),
        ("at -1s kill shard 1", "is no time"),
        ("at 1e3s kill shard 1", "is no time"),
        ("at nans kill shard 1", "is no time"),
        ("at .s kill shard 1", "is no time"),
        ("at ²s kill shard 1", "is no time"),
        ("at 99999999999s kill shard 1", "is no time"),
        ("at 20s", "must say kill or stall"),
        ("at 20s stop shard 1", "must say kill or stall"),
        ("at 20s for", "lacks the time after 'for'"),
        ("at 20s stall shard 1", "lacks how long"),
        ("at 20s for 0s stall shard 1", "lacks how long"),
        ("at 20s for 5s kill shard 1", "which a kill has not"),
        ("at 20s kill", "must name what it hits"),
        ("at 20s kill shard", "must name what it hits"),
        ("at 20s kill everything 1", "must name what it hits"),
        ("at 20s kill sampler 1", "must name what it hits"),
        ("at 20s kill shard one", "must end with a number"),
        ("at 20s kill shard -1", "must end with a number"),
        ("at 20s kill shard 1 2", "must name what it hits"),
        ("at 20s kill shard 9999999999", "must end with a number"),
        (3, "must be text"),
        pytest.param(10**5000, "must be text", id="digits"),
        pytest.param("at 20s kill " + "shard " * 1000, "must name what it hits", id="long"),
    ],
)
def test_what_is_no_fault_is_refused_in_one_sentence(text: Any, part: str):
    """The sentence names --fault, quotes what was given, cut short, and says what is wrong."""
    with pytest.raises(UsageError) as caught:
        parse_fault(text)
    assert caught.value.field == "--fault"
    assert part in caught.value.problem
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def test_faults_are_ordered_by_their_times():
    """Whatever the order in which they were given, the first comes first."""
    faults = parse_faults(["at 3s kill shard 0", "at 1s kill shard 1", "at 2s kill cohort 0"])
    assert [fault.at_s for fault in faults] == [1.0, 2.0, 3.0]
    assert parse_faults("at 1s kill shard 1")[0].number == 1


@pytest.mark.parametrize("value", [3, {"at 1s kill shard 0"}, ["at 1s kill shard 0", 1], None])
def test_a_value_that_is_no_list_of_texts_is_refused(value: Any):
    """A plan file may have anything in the place of its faults."""
    with pytest.raises(UsageError, match="--fault: must be "):
        parse_faults(value)


def test_more_faults_than_anyone_needs_are_refused():
    """Their number has a bound, which is named."""
    with pytest.raises(UsageError, match=f"{FAULTS_MAX:,} times"):
        parse_faults(["at 1s kill shard 0"] * (FAULTS_MAX + 1))


def test_a_number_that_the_run_does_not_have_is_refused():
    """The sentence says which there are; a count that is not known is not checked."""
    shard, cohort = parse_fault("at 1s kill shard 2"), parse_fault("at 1s kill node of cohort 1")
    check_numbers([shard, cohort], {"shard": 3})
    with pytest.raises(UsageError, match="there is no shard 2; they are 0 to 1"):
        check_numbers([shard], {"shard": 2})
    with pytest.raises(UsageError, match="there is no cohort 1; cohort 0 is the only one"):
        check_numbers([cohort], {"cohort": 1})
    with pytest.raises(UsageError, match="this run has no shard"):
        check_numbers([shard], {"shard": 0})


def test_the_drivers_node_is_not_taken_down():
    """What is on it is told from what is on others; its processes may be hit all the same."""
    both = parse_faults(["at 1s kill node of shard 1", "at 1s kill node of cohort 0"])
    check_places(both, ["driver", "n"], ["n"], "driver")
    with pytest.raises(UsageError, match="cohort 0 is on the driver's own node"):
        check_places(both, ["driver", "n"], ["driver"], "driver")
    with pytest.raises(UsageError, match="there is no shard 1"):
        check_places(both, ["n"], ["n"], "driver")
    check_places(parse_faults("at 1s kill shard 0"), ["driver"], ["driver"], "driver")


def test_a_node_is_not_taken_down_on_one_machine():
    """There all of a run is on the driver's own node: refused before anything starts."""
    check_local(parse_faults(["at 1s kill shard 0"]))
    with pytest.raises(UsageError, match=r"--fault: .*driver's own node"):
        RunPlan(faults=("at 1s kill node of shard 0",))
    assert RunPlan(faults=("at 1s kill node of shard 0",), address="10.0.0.1:6379").faults


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"duration_s": 20.0}, "the run is over after 20 s"),
        ({"duration_s": 15.0, "warmup_s": 5.0}, "the run is over after 20 s"),
        ({"shards": 1}, "there is no shard 1; shard 0 is the only one"),
        ({"record": False}, "contradicts --record off"),
    ],
)
def test_a_plan_refuses_faults_that_cannot_be(fields: dict[str, Any], part: str):
    """Too late, of a shard that the plan has not, or with nothing recorded of what they did."""
    with pytest.raises(UsageError, match="--fault: ") as caught:
        RunPlan(**fields, faults=("at 20s kill shard 1",))
    assert part in str(caught.value)


def test_faults_are_part_of_a_plan_and_of_its_file(tmp_path: Path):
    """As the option or the field of a TOML file, as JSON has them, and in an equal plan."""
    texts = ["at 2s  kill shard 0", "at 1s for 2s stall shard 0"]
    plan = RunPlan(rounds=1, faults=texts)
    assert plan.faults == ("at 1s for 2s stall shard 0", "at 2s kill shard 0")
    assert RunPlan(**json.loads(json.dumps(plan.as_dict()))) == plan
    for key in ("fault", "faults"):
        (tmp_path / "plan.toml").write_text(f"rounds = 1\n{key} = {json.dumps(texts)}\n")
        assert load_plan(tmp_path / "plan.toml", {}) == plan

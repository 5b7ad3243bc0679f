"""A wrong plan is refused where it is made, by the name of the option that is wrong."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from typing import Any

import pytest

from harness.errors import UsageError
from harness.plan import RunPlan, option_name, parse_mix

WRONG_VALUES = [
    ("agents", 0),
    ("agents", -1),
    ("agents", "abc"),
    ("agents", 2.5),
    ("agents", True),
    ("agents", 10**9),
    ("agents", 10**400),
    ("target", ""),
    ("target", 3),
    ("workload", "other"),
    ("rounds", 0),
    ("rounds", 1.0),
    ("rounds", 10**30),
    ("duration_s", 0.0),
    ("duration_s", math.nan),
    ("duration_s", math.inf),
    ("duration_s", 1e300),
    ("duration_s", 10**400),
    ("duration_s", "long"),
    ("warmup_s", -1.0),
    ("warmup_s", 1e300),
    ("warmup_s", None),
    ("seed", -1),
    ("seed", 2**63),
    ("mix", "store"),
    ("mix", "store=x"),
    ("mix", "store=1,store=2"),
    ("mix", "store=-1"),
    ("mix", "store=nan"),
    ("mix", "store=1e308,search=1e308"),
    ("mix", "store=0,search=0"),
    ("mix", "forget=1"),
    ("mix", {"store": "much"}),
    ("mix", {"store": True}),
    ("mix", {"store": 10**400}),
    ("mix", {}),
    ("mix", 3),
    ("think_time_s", -0.1),
    ("think_time_s", 1e300),
    ("ramp_s", -1),
    ("ramp_s", 1e300),
    ("rate", 0),
    ("rate", -5.0),
    ("rate", math.nan),
    ("rate", 1e-300),
    ("rate", 1e300),
    ("arrival", "weekly"),
    ("trace", ""),
    ("trace", 1),
    ("shards", 0),
    ("shards", 10**6),
    ("shards_per_node", 0),
    ("shards_per_node", 10**6),
    ("agents_per_task", 0),
    ("agents_per_task", 10**30),
    ("pipelining", "off"),
    ("pipelining", 0),
    ("dimension", 0),
    ("dimension", 10**6),
    ("durability", "maybe"),
    ("memory_limit_bytes", 0),
    ("memory_limit_bytes", 1.5),
    ("memory_limit_bytes", 2**60),
    ("data_dir", ""),
    ("keep_data", 1),
    ("address", ""),
    ("address", None),
    ("record", None),
    ("sample_interval_s", 0.0),
    ("sample_interval_s", 0.001),
    ("sample_interval_s", 1e300),
    ("deadline_s", 0.0),
    ("deadline_s", 1e300),
]


def case_name(case: object) -> str:
    return repr(case) if len(repr(case)) < 30 else repr(case)[:27] + "..."


def refusal(**given: Any) -> UsageError:
    with pytest.raises(UsageError) as caught:
        RunPlan(**given)
    return caught.value


@pytest.mark.parametrize(("field", "value"), WRONG_VALUES, ids=case_name)
def test_a_wrong_value_is_refused_by_the_name_of_its_option(field: str, value: object):
    """A field's wrong value is a UsageError of one line that names the option as it is typed."""
    error = refusal(**{field: value})
    assert error.field == option_name(field)
    assert "\n" not in str(error)
    assert len(str(error)) < 500


@pytest.mark.parametrize("field", [field.name for field in fields(RunPlan)])
def test_a_value_of_a_foreign_type_is_refused_in_every_field(field: str):
    """No field takes a value of a type that it does not have."""
    assert refusal(**{field: object()}).field == option_name(field)


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"rounds": 2, "duration_s": 3.0}, "--duration"),
        ({"rate": 100.0, "think_time_s": 0.1}, "--think-time"),
        ({"arrival": "poisson"}, "--arrival"),
        ({"rate": 100.0, "record": False}, "--record"),
        ({"rate": 5.0, "record": False}, "--record"),
        ({"mix": "store=1", "trace": "t.parquet"}, "--mix"),
        ({"duration_s": 1.0, "ramp_s": 5.0}, "--ramp"),
        ({"shards": 2, "shards_per_node": 1}, "--shards-per-node"),
        ({"whole_rounds": True}, "--whole-rounds"),
        ({"whole_rounds": True, "duration_s": 1.0, "rate": 5.0}, "--whole-rounds"),
    ],
)
def test_options_that_contradict_each_other_are_refused(given: dict[str, Any], option: str):
    """Two options that cannot hold together are refused, naming one as it is typed."""
    assert refusal(**given).field == option


def test_what_is_left_out_has_the_documented_default():
    """500 agents do 20 rounds; a duration or a trace takes the place of rounds."""
    plan = RunPlan()
    assert (plan.agents, plan.rounds, plan.durability, plan.shards) == (500, 20, "fsync", None)
    assert RunPlan(duration_s=1.0).rounds is None
    replayed = RunPlan(trace="t.parquet")
    assert (replayed.agents, replayed.rounds) == (None, None)


def test_a_plan_survives_json():
    """What a plan becomes in run.json makes an equal plan again."""
    plan = RunPlan(agents=7, mix="store=1,search=3", rate=2.5, arrival="poisson", duration_s=2.0)
    assert RunPlan(**json.loads(json.dumps(plan.as_dict()))) == plan


def test_mix_takes_text_or_a_table():
    """A mix names weights; an operation that is left out has the weight 0."""
    expected = {"store": 1.0, "retrieve": 8.0, "search": 0.0}
    assert parse_mix("store=1, retrieve = 8") == expected
    assert parse_mix({"retrieve": 8, "store": 1}) == expected


def test_states_before_the_start_contradict_a_trace():
    """A trace has its own states, and a number below zero is none."""
    with pytest.raises(UsageError, match=r"--preload.*--trace"):
        RunPlan(preload=5, trace="t.parquet")
    with pytest.raises(UsageError, match=r"--preload.*0 or more"):
        RunPlan(preload=-1)

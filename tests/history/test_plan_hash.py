"""The hash of a plan: the same for the same work, another for any other."""

from __future__ import annotations

import json
import random
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.history.plan_hash import canonical_plan, plan_hash, plan_words
from harness.plan import RunPlan

BASE = RunPlan(agents=50, rounds=4, rate=100.0, backup="/there", backup_interval_s=1.0)
# A value for each field that is another than BASE's.
OTHER: dict[str, Any] = {
    "agents": 51, "target": "embedded", "workload": "search", "preload": 5, "rounds": 5,
    "duration_s": 2.0, "whole_rounds": True, "warmup_s": 1.0, "seed": 2, "mix": {"store": 1.0},
    "think_time_s": 0.5, "ramp_s": 1.0, "rate": 101.0, "arrival": "poisson",
    "trace": "other.parquet", "shards": 3, "shards_per_node": 2, "agents_per_task": 7,
    "pipelining": False, "dimension": 32, "durability": "os", "memory_limit_bytes": 10**9,
    "record": False, "sample_interval_s": 0.5, "deadline_s": 5.0, "audit": True,
    "faults": ["at 3s kill shard 1"], "backup": None, "backup_interval_s": 2.0,
}  # fmt: skip
WHERE = {"data_dir": "/elsewhere", "keep_data": True, "address": "auto"}


def run_of(plan: dict[str, Any], **more: Any) -> dict[str, Any]:
    return json.loads(json.dumps({"command": "run", "plan": plan} | more))


def hash_of(plan: dict[str, Any], **more: Any) -> str:
    found = plan_hash(run_of(plan, **more))
    assert found is not None
    return found


def test_every_field_of_a_plan_is_decided_on():
    """Each field of a plan either changes its hash or says where a run is, and is one of both."""
    assert set(OTHER) | set(WHERE) == {one.name for one in fields(RunPlan)}


@pytest.mark.parametrize("name", OTHER)
def test_a_field_that_changes_what_is_measured_changes_the_hash(name: str):
    """Another value of such a field is another plan."""
    plan = BASE.as_dict()
    assert hash_of(plan | {name: OTHER[name]}) != hash_of(plan)


@pytest.mark.parametrize("name", WHERE)
def test_where_a_run_is_does_not_change_the_hash(name: str):
    """The same plan with its data elsewhere, on another cluster, is the same plan."""
    plan = BASE.as_dict()
    assert hash_of(plan | {name: WHERE[name]}) == hash_of(plan)
    assert hash_of(plan | {"backup": "s3://other"}) == hash_of(plan)


@given(order=st.randoms(use_true_random=False), changed=st.sampled_from(sorted(OTHER)))
def test_the_order_of_keys_does_not_matter(order: random.Random, changed: str):
    """Keys in whatever order, whole numbers in whichever form, give the same hash."""
    plan = BASE.as_dict() | {changed: OTHER[changed], "mix": {"store": 2.0, "search": 1.0}}
    names = list(plan)
    order.shuffle(names)
    shuffled = {name: plan[name] for name in names}
    shuffled["mix"] = {"search": 1, "store": 2}
    whole = {name: int(one) if isinstance(one, float) and one.is_integer() else one
             for name, one in shuffled.items()}  # fmt: skip
    assert hash_of(shuffled) == hash_of(plan) == hash_of(whole)


@given(st.sets(st.sampled_from(sorted(OTHER)), min_size=1), st.sets(st.sampled_from(sorted(OTHER))))
def test_different_plans_have_different_hashes(one: set[str], other: set[str]):
    """Plans have the same hash only if they were changed in the same fields."""
    plan = BASE.as_dict()
    hashes = [hash_of(plan | {name: OTHER[name] for name in names}) for names in (one, other)]
    assert (hashes[0] == hashes[1]) == (one == other)


def test_a_field_of_a_later_release_leaves_earlier_runs_alone():
    """A run that was written before a field was there has the hash of one at its default."""
    plan = BASE.as_dict()
    earlier = {name: value for name, value in plan.items() if name not in {"audit", "faults"}}
    assert hash_of(earlier) == hash_of(plan) == hash_of(plan | {"later": None, "more": False})
    assert hash_of(plan | {"later": 3}) != hash_of(plan)


def test_a_trace_is_known_by_its_content():
    """The same trace under another path is the same plan; another content is another."""
    plan = replace(BASE, rate=None).as_dict() | {"trace": "/a/trace.parquet"}
    here = hash_of(plan, trace={"fingerprint": "f1"})
    assert hash_of(plan | {"trace": "/b/trace.parquet"}, trace={"fingerprint": "f1"}) == here
    assert hash_of(plan, trace={"fingerprint": "f2"}) != here


def test_commands_and_settings_of_benchmarks_count():
    """A benchmark is another plan than a run of the same fields, and so are other settings."""
    plan = BASE.as_dict()
    bench = run_of(plan, command="bench-agents", bench={"counts": [1, 10], "repeats": 3})
    other = run_of(plan, command="bench-agents", bench={"counts": [1, 20], "repeats": 3})
    hashes = {hash_of(plan), plan_hash(bench), plan_hash(other)}
    assert len(hashes) == 3


@pytest.mark.parametrize("run", [{}, {"plan": 3}, {"plan": None, "bench": [1]}])
def test_what_says_nothing_has_no_hash(run: dict[str, Any]):
    """A directory without a plan is of none."""
    assert plan_hash(run) is None


def test_a_plan_in_words_names_what_was_given():
    """The words have the command, the target and what is not at its default."""
    found = canonical_plan(run_of(RunPlan(agents=50, duration_s=5, pipelining=False).as_dict()))
    assert found is not None
    words = plan_words(found)
    assert words == "run, memory_core, 50 agents, duration 5, pipelining off"

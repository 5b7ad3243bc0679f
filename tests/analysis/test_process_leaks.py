"""Leak detection over a run: which process, from when to when, and what it stored."""

from __future__ import annotations

import json

import pytest

from harness.analysis.process_leaks import held_bytes, process_leaks, run_leaks
from harness.analysis.rows import Window
from tests.analysis.leak_runs import DURATION_S, PLAN, S
from tests.analysis.leak_runs import samples as made_samples
from tests.analysis.leak_runs import stores as made_stores
from tests.analysis.memory_series import MIB_PER_MINUTE


def _run(tables, run_in_memory, rows, samples, plan=PLAN):
    return run_in_memory(
        run={"plan": plan, "status": "complete"}, files=[tables.file(rows)], process_rows=samples
    )


def test_each_process_has_a_finding_and_leaks_come_first(tables, run_in_memory):
    """The process that grows is named, with its role, number and node; the others are cleared."""
    samples = [
        *made_samples(0, pid=1, number=0),
        *made_samples(2 * MIB_PER_MINUTE, pid=2, number=1),
        *made_samples(0, pid=3, role="cohort"),
        *made_samples(0, pid=4, role="gcs"),
    ]
    found = run_leaks(_run(tables, run_in_memory, made_stores(1, op="search"), samples))
    assert [one["process"] for one in found] == ["shard 1", "shard 0", "cohort 0", "gcs"]
    assert [one["verdict"] for one in found] == ["leak", *["no leak"] * 3]
    assert (found[0]["role"], found[0]["number"], found[0]["node_id"]) == ("shard", 1, "n")
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_what_a_shard_stored_explains_its_growth(tables, run_in_memory):
    """Growth by what the stored memories hold is no leak of the shard that stored them."""
    growth_bytes_s = 10 * held_bytes({"plan": PLAN})
    samples = [
        *made_samples(growth_bytes_s, pid=1, number=0),
        *made_samples(growth_bytes_s, pid=2, number=1),
    ]
    found = run_leaks(_run(tables, run_in_memory, made_stores(10), samples))
    verdicts = {one["process"]: one for one in found}
    assert verdicts["shard 1"]["verdict"] == "leak"
    assert verdicts["shard 0"]["verdict"] != "leak"
    assert verdicts["shard 0"]["explained_bytes_s"] == pytest.approx(growth_bytes_s, rel=0.02)
    assert abs(verdicts["shard 0"]["slope_bytes_s"]["estimate"]) < 0.05 * growth_bytes_s


@pytest.mark.parametrize(
    "rows", [{"outcome": "timeout"}, {"op": "retrieve"}, {"shard": 1}, {"shard": -1}]
)
def test_only_what_was_stored_there_explains_growth(tables, run_in_memory, rows):
    """Failed stores, other operations and other shards' memories explain nothing."""
    samples = list(made_samples(10 * held_bytes({"plan": PLAN})))
    found = run_leaks(_run(tables, run_in_memory, made_stores(10, **rows), samples))
    assert (found[0]["verdict"], found[0]["explained_bytes_s"]) == ("leak", 0.0)


def test_an_embedded_store_is_in_its_cohort(tables, run_in_memory):
    """In process, a cohort's memory is explained by what its own agents stored."""
    plan = PLAN | {"target": "embedded"}
    samples = list(made_samples(10 * held_bytes({"plan": plan}), role="cohort"))
    found = run_leaks(_run(tables, run_in_memory, made_stores(10), samples, plan))
    assert found[0]["verdict"] != "leak"
    assert found[0]["explained_bytes_s"] > 0


def test_a_target_that_stores_nothing_has_no_excuse(tables, run_in_memory):
    """Growth of a shard of ``noop`` is a leak, whatever was sent to it."""
    plan = PLAN | {"target": "noop"}
    samples = list(made_samples(10 * held_bytes({"plan": PLAN})))
    found = run_leaks(_run(tables, run_in_memory, made_stores(10), samples, plan))
    assert found[0]["verdict"] == "leak"


def test_samples_outside_of_the_measured_phase_do_not_count(tables, run_in_memory):
    """What a process did before the measured phase is in no trend."""
    samples = list(made_samples(0, before_s=200))
    found = run_leaks(_run(tables, run_in_memory, made_stores(1), samples))
    assert found[0]["trend"][-1]["t_s"] < DURATION_S


def test_a_process_that_was_restarted_is_judged_as_two(tables, run_in_memory):
    """Two processes of one shard number are two findings, each too short by itself or not."""
    samples = [*made_samples(0, pid=1), *made_samples(0, pid=2)]
    found = run_leaks(_run(tables, run_in_memory, made_stores(1), samples))
    assert [one["process"] for one in found] == ["shard 0", "shard 0"]


def test_nothing_measured_or_nothing_sampled_gives_no_finding(tables, run_in_memory):
    """A run that measured nothing, or was not sampled, has no process to judge."""
    assert run_leaks(_run(tables, run_in_memory, [], list(made_samples(0)))) == []
    assert run_leaks(_run(tables, run_in_memory, made_stores(1), [])) == []
    assert process_leaks(tables.processes([]), Window(0, S), {}, 0.0) == []


def test_a_bent_time_of_a_store_makes_no_table_of_centuries(tables, run_in_memory):
    """A row a year away is counted, and costs no memory to speak of."""
    far = {"op": "store", "shard": 0, "scheduled_ns": 366 * 86_400 * S, "phase": "warmup"}
    rows = [*made_stores(1), far]
    found = run_leaks(_run(tables, run_in_memory, rows, list(made_samples(0))))
    assert found[0]["verdict"] == "no leak"

"""Leak detection over a run: which process, from when to when, and what it stored."""

from __future__ import annotations

import json

import numpy as np
import pytest

from harness.analysis.process_leaks import held_bytes, process_leaks, run_leaks
from harness.analysis.rows import Window
from tests.analysis.memory_series import MIB, MIB_PER_MINUTE

S = 1_000_000_000
WALL_NS = 1_700_000_000_000_000_000
PLAN = {"target": "memory_core", "dimension": 64}
DURATION_S = 600


def _samples(growth_bytes_s, *, pid=1, role="shard", number=0, before_s=0, step_s=2):
    """A process sampled through the measured phase and before, with own memory growing in it."""
    rng = np.random.default_rng(pid)
    for second in range(-before_s, DURATION_S, step_s):
        own = 80 * MIB + growth_bytes_s * max(second, 0) + rng.normal(0, 0.05 * MIB)
        yield {
            "wall_ns": WALL_NS + second * S,
            "pid": pid,
            "role": role,
            "number": number,
            "rss_bytes": int(own + 40 * MIB),
            "uss_bytes": int(own) if second % 4 == 0 else None,
        }


def _stores(each_s, *, shard=0, outcome="ok", op="store", phase="measure"):
    """So many operations in every second of the run."""
    for second in range(DURATION_S):
        for part in range(each_s):
            at_ns = second * S + part * S // each_s
            yield {
                "phase": phase,
                "op": op,
                "shard": shard,
                "outcome": outcome,
                "scheduled_ns": at_ns,
                "service_ns": 1_000_000,
            }


def _run(tables, run_in_memory, rows, samples, plan=PLAN):
    return run_in_memory(
        run={"plan": plan, "status": "complete"}, files=[tables.file(rows)], process_rows=samples
    )


def test_each_process_has_a_finding_and_leaks_come_first(tables, run_in_memory):
    """The process that grows is named, with its role, number and node; the others are cleared."""
    samples = [
        *_samples(0, pid=1, number=0),
        *_samples(2 * MIB_PER_MINUTE, pid=2, number=1),
        *_samples(0, pid=3, role="cohort"),
        *_samples(0, pid=4, role="gcs"),
    ]
    found = run_leaks(_run(tables, run_in_memory, _stores(1, op="search"), samples))
    assert [one["process"] for one in found] == ["shard 1", "shard 0", "cohort 0", "gcs"]
    assert [one["verdict"] for one in found] == ["leak", *["no leak"] * 3]
    assert (found[0]["role"], found[0]["number"], found[0]["node_id"]) == ("shard", 1, "n")
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_what_a_shard_stored_explains_its_growth(tables, run_in_memory):
    """Growth by what the stored memories hold is no leak of the shard that stored them."""
    growth_bytes_s = 10 * held_bytes(PLAN)
    samples = [
        *_samples(growth_bytes_s, pid=1, number=0),
        *_samples(growth_bytes_s, pid=2, number=1),
    ]
    found = run_leaks(_run(tables, run_in_memory, _stores(10), samples))
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
    samples = list(_samples(10 * held_bytes(PLAN)))
    found = run_leaks(_run(tables, run_in_memory, _stores(10, **rows), samples))
    assert (found[0]["verdict"], found[0]["explained_bytes_s"]) == ("leak", 0.0)


def test_an_embedded_store_is_in_its_cohort(tables, run_in_memory):
    """In process, a cohort's memory is explained by what its own agents stored."""
    plan = PLAN | {"target": "embedded"}
    samples = list(_samples(10 * held_bytes(plan), role="cohort"))
    found = run_leaks(_run(tables, run_in_memory, _stores(10), samples, plan))
    assert found[0]["verdict"] != "leak"
    assert found[0]["explained_bytes_s"] > 0


def test_a_target_that_stores_nothing_has_no_excuse(tables, run_in_memory):
    """Growth of a shard of ``noop`` is a leak, whatever was sent to it."""
    plan = PLAN | {"target": "noop"}
    samples = list(_samples(10 * held_bytes(PLAN)))
    found = run_leaks(_run(tables, run_in_memory, _stores(10), samples, plan))
    assert found[0]["verdict"] == "leak"


def test_samples_outside_of_the_measured_phase_do_not_count(tables, run_in_memory):
    """What a process did before the measured phase is in no trend."""
    samples = list(_samples(0, before_s=200))
    found = run_leaks(_run(tables, run_in_memory, _stores(1), samples))
    assert found[0]["trend"][-1]["t_s"] < DURATION_S


def test_a_process_that_was_restarted_is_judged_as_two(tables, run_in_memory):
    """Two processes of one shard number are two findings, each too short by itself or not."""
    samples = [*_samples(0, pid=1), *_samples(0, pid=2)]
    found = run_leaks(_run(tables, run_in_memory, _stores(1), samples))
    assert [one["process"] for one in found] == ["shard 0", "shard 0"]


def test_nothing_measured_or_nothing_sampled_gives_no_finding(tables, run_in_memory):
    """A run that measured nothing, or was not sampled, has no process to judge."""
    assert run_leaks(_run(tables, run_in_memory, [], list(_samples(0)))) == []
    assert run_leaks(_run(tables, run_in_memory, _stores(1), [])) == []
    assert process_leaks(tables.processes([]), Window(0, S), {}, 0.0) == []


def test_a_bent_time_of_a_store_makes_no_table_of_centuries(tables, run_in_memory):
    """A row a year away is counted, and costs no memory to speak of."""
    far = {"op": "store", "shard": 0, "scheduled_ns": 366 * 86_400 * S, "phase": "warmup"}
    rows = [*_stores(1), far]
    found = run_leaks(_run(tables, run_in_memory, rows, list(_samples(0))))
    assert found[0]["verdict"] == "no leak"

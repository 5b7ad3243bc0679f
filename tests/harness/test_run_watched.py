"""What views are told of a real run: counters that only grow, and at its end are the summary's."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harness.plan import RunPlan
from harness.ray_session import RaySession
from harness.rundir import RunDirectory
from harness.rundir_reader import open_run
from harness.runner import Outcome, prepare, run
from harness.schema import OPERATIONS
from tests.watching import (
    PARTS,
    Watching,
    assert_counters_only_grow,
    assert_counts_are_of,
    assert_times_are_of,
    measured,
)

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def watched(view: Watching, session: RaySession, folder: Path, **plan: Any) -> Outcome:
    """Carry out a run on our own store and one shard."""
    prepared = prepare(RunPlan(shards=1, **plan))
    return run(prepared, RunDirectory.create(folder / "run", "run"), view, view.stop, session)


def test_counters_of_a_run_with_warm_up_end_as_its_summary(ray_here: RaySession, tmp_path: Path):
    """They only grow; at the end counts are exact, and times to a float's accuracy."""
    view = Watching()
    plan = {"agents": 6, "warmup_s": 0.5, "duration_s": 1.0, "whole_rounds": True}
    outcome = watched(view, ray_here, tmp_path, **plan)
    assert (outcome.status, view.calls[0], view.calls[-1]) == ("complete", "begin", "end complete")
    assert view.summary == outcome.summary
    assert_counters_only_grow(view.seen)
    last = view.seen[-1]
    rows = open_run(tmp_path / "run").operations(["phase", "op"]).to_pylist()
    assert Counter((one["phase"], one["op"]) for one in rows) == {
        kind: one.operations for kind, one in last.counts.items()
    }
    assert set(measured(last.counts)) == set(OPERATIONS)
    assert_counts_are_of(outcome.summary, last.counts)
    assert_times_are_of(outcome.summary, last.counts)
    assert last.operations_done == outcome.summary["operations"]
    parts_ns = {
        part: sum(getattr(one, f"{part}_ns") for one in measured(last.counts).values())
        for part in (*PARTS, "response")
    }
    # in the closed loop an operation is due when it is issued
    assert sum(parts_ns[part] for part in PARTS) == parts_ns["response"]
    assert all(parts_ns[part] > 0 for part in PARTS)


def test_the_nodes_of_a_run_are_shown_with_their_processes(ray_here: RaySession, tmp_path: Path):
    """Each has its host's name, counters that only grow, and the roles that run on it."""
    expected = {"cohort", "shard", "driver", "sampler"}
    view = Watching(lambda now: bool(now.nodes) and expected <= set(now.nodes[0].roles))
    watched(view, ray_here, tmp_path, agents=4, duration_s=600.0)
    sampled = [one.nodes for one in view.seen if one.nodes]
    (here,) = ray_here.nodes
    assert {node.node_id for nodes in sampled for node in nodes} == {here.node_id}
    assert {node.host for nodes in sampled for node in nodes} == {here.host}
    for name in ("disk_read_bytes", "disk_write_bytes", "net_received_bytes", "net_sent_bytes"):
        read = [getattr(nodes[0], name) for nodes in sampled]
        assert read == sorted(read)
        assert all(one >= 0 for one in read)
    (all_roles,) = [nodes[0] for nodes in sampled if expected <= set(nodes[0].roles)][:1]
    assert all_roles.cpu_count > 0
    assert all_roles.memory_used_bytes > 0
    assert all(one.processes > 0 and one.rss_bytes > 0 for one in all_roles.roles.values())


def test_a_run_that_is_not_recorded_has_counts_of_outcomes(ray_here: RaySession, tmp_path: Path):
    """With --record off they are all there is, and those of the summary; times are not known."""
    view = Watching()
    outcome = watched(view, ray_here, tmp_path, agents=4, rounds=6, record=False)
    assert_counters_only_grow(view.seen)
    last = view.seen[-1]
    assert_counts_are_of(outcome.summary, last.counts)
    assert {kind: one.operations for kind, one in measured(last.counts).items()} == {
        "store": 240,
        "retrieve": 120,
        "search": 72,
    }
    assert all(not one.latencies and not one.response_ns for one in last.counts.values())
    assert last.nodes == ()


def test_counters_of_an_interrupted_run_end_as_its_summary(ray_here: RaySession, tmp_path: Path):
    """What was under way when the end was asked for is counted before the run is summed up."""
    view = Watching(lambda now: now.operations_done >= 100)
    outcome = watched(view, ray_here, tmp_path, agents=6, duration_s=600.0)
    assert (outcome.status, view.calls[-1]) == ("interrupted", "end interrupted")
    assert outcome.summary["operations"] >= 100
    assert_counters_only_grow(view.seen)
    assert_counts_are_of(outcome.summary, view.seen[-1].counts)
    assert_times_are_of(outcome.summary, view.seen[-1].counts)

"""The arithmetic of sizes."""

from __future__ import annotations

import pytest

from harness.errors import UsageError
from harness.sizing.cluster import Node, Wish, nodes_for, processes_at, processes_for
from harness.sizing.demands import fit_demands
from harness.sizing.laws import gathered_batch_ops, utilisation
from tests.sizing.made_evidence import COHORT_CPU_S, SHARD_CPU_S, made_run

DEMANDS = fit_demands([made_run(agents) for agents in (10, 50, 200)])


def wish(agents: int = 1_000, rate_ops_s: float = 1_000.0, **changes) -> Wish:
    fields = {"core_speed_ratio": 1.0, "growth": {}} | changes
    return Wish(agents=agents, rate_ops_s=rate_ops_s, **fields)


def test_no_process_is_busier_than_it_may_be():
    """And with one shard or one cohort fewer, one would be."""
    for rate_ops_s in (2_000.0, 50_000.0, 3e6):
        found = processes_for(wish(rate_ops_s=rate_ops_s), DEMANDS, 0.6)
        assert found.shard_busy_ratio <= 0.6
        assert found.cohort_busy_ratio <= 0.6
        fewer = processes_at(
            wish(rate_ops_s=rate_ops_s), DEMANDS, found.shards - 1 or 1, found.cohorts
        )
        assert found.shards == 1 or fewer.shard_busy_ratio > 0.57


def test_utilisation_is_what_the_law_says():
    """Rate times demand over servers, at the batches that gather."""
    found = processes_at(wish(rate_ops_s=2_000.0), DEMANDS, 4, 2)
    each_s = SHARD_CPU_S[0] / found.batch_ops + SHARD_CPU_S[1]
    assert found.shard_busy_ratio == pytest.approx(utilisation(2_000.0, each_s, 4))
    each_s = COHORT_CPU_S[0] / found.batch_ops + COHORT_CPU_S[1]
    assert found.cohort_busy_ratio == pytest.approx(utilisation(2_000.0, each_s, 2))


def test_batches_shrink_as_lanes_multiply():
    """The same load over more shards and cohorts gathers less, down to one operation a call."""
    sizes = [
        processes_at(wish(rate_ops_s=1e5), DEMANDS, count, count).batch_ops
        for count in (1, 4, 16, 256)
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 20
    assert sizes[-1] == pytest.approx(1.0, abs=0.01)


def test_faster_cores_need_fewer_processes_and_larger_stores_more():
    """Each in its proportion where a call costs little."""
    usual = processes_for(wish(rate_ops_s=1e6), DEMANDS, 0.5)
    fast = processes_for(wish(rate_ops_s=1e6, core_speed_ratio=2.0), DEMANDS, 0.5)
    slow = processes_for(
        wish(rate_ops_s=1e6, growth=dict.fromkeys(DEMANDS.mix, 50.0)), DEMANDS, 0.5
    )
    assert fast.shards == pytest.approx(usual.shards / 2, rel=0.1)
    assert slow.shards > usual.shards
    assert slow.cohorts <= usual.cohorts


def test_a_cohort_has_no_more_agents_than_a_task_takes():
    """However little these ask for."""
    assert processes_for(wish(agents=100_000, rate_ops_s=1.0), DEMANDS, 0.5).cohorts == 4


def test_the_scarcest_resource_decides_how_many_nodes():
    """Whole processes on each, by each resource alone; what is not needed is none."""
    node = Node(cores=10, memory_bytes=100.0, disk_bytes=1_000.0, network_bytes_s=50.0)
    each = Node(cores=1, memory_bytes=30.0, disk_bytes=10.0, network_bytes_s=0.0)
    found = nodes_for(25, each, node, option="--node")
    assert found.by == {"cores": 3, "memory": 9, "disk": 1, "network": 0}
    assert (found.count, found.binding) == (9, "memory")


def test_a_process_that_no_machine_holds_is_refused():
    """With the option that would help."""
    node = Node(cores=10, memory_bytes=100.0, disk_bytes=1.0, network_bytes_s=50.0)
    each = Node(cores=1, memory_bytes=300.0, disk_bytes=0.0, network_bytes_s=0.0)
    with pytest.raises(UsageError, match=r"--agent-node-memory: is too little.* 3 times"):
        nodes_for(5, each, node, option="--agent-node")


def test_shards_are_as_many_on_each_machine_that_is_filled():
    """Memories may need more of them than operations do."""
    quiet = processes_for(wish(rate_ops_s=1.0), DEMANDS, 0.5, machines=7)
    assert quiet.shards == 7
    busy = processes_for(wish(rate_ops_s=1e6), DEMANDS, 0.5, machines=7)
    alone = processes_for(wish(rate_ops_s=1e6), DEMANDS, 0.5)
    assert busy.shards % 7 == 0
    assert alone.shards <= busy.shards < alone.shards + 8


def test_laws_at_their_ends():
    """An idle lane sends one operation at a time, a busy one all that has come."""
    assert gathered_batch_ops(1e-9, 1.0) == pytest.approx(1.0)
    assert gathered_batch_ops(1_000.0, 1.0) == pytest.approx(1_000.0)

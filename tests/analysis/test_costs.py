"""What an operation costs: recovered from steps of known use, with an honest interval."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.analysis.costs import BlockUse, block_use, operation_cost
from harness.analysis.operation_times import read_operation_times
from harness.analysis.process_series import node_series, process_series

S = 1_000_000_000


def use(seed: int, rate_ops_s: float, cpu_us: float, blocks: int = 10) -> BlockUse:
    """Blocks of a step that costs so much an operation, with an idle store's noise under it."""
    noise = np.random.default_rng(seed).normal
    return BlockUse(
        rate_ops_s=rate_ops_s,
        use={
            "cpu_us": 0.05 + rate_ops_s * cpu_us / 1e6 + noise(0, 0.01, blocks),
            "memory_bytes": noise(0, 4_096, blocks),
            "disk_bytes": np.full(blocks, 1_000.0 * rate_ops_s),
        },
    )


def test_a_known_cost_is_found_within_its_interval():
    """The interval holds the true cost in about 19 of 20 cases."""
    held = 0
    for seed in range(200):
        found = operation_cost(use(2 * seed, 200, 500.0), use(2 * seed + 1, 1, 500.0))
        interval = found["intervals"]["cpu_us"]
        assert interval is not None
        held += interval["low"] <= 500 <= interval["high"]
    assert 180 <= held <= 199


def test_a_cost_that_is_not_told_from_nothing_is_none():
    """The interval stays: it says how much it could be."""
    found = operation_cost(use(1, 200, 500.0), use(2, 1, 500.0))
    interval = found["intervals"]["memory_bytes"]
    assert found["memory_bytes"] is None
    assert interval is not None
    assert interval["low"] < 0 < interval["high"]
    assert found["cpu_us"] == found["intervals"]["cpu_us"]["estimate"]


def test_what_does_not_vary_is_known_exactly():
    """Without any spread the interval is the figure."""
    found = operation_cost(use(1, 201, 1.0), use(2, 1, 1.0))
    assert found["disk_bytes"] == pytest.approx(1_000)
    assert found["intervals"]["disk_bytes"]["low"] == found["intervals"]["disk_bytes"]["high"]


def test_the_interval_is_welchs():
    """As scipy's, or wider by no more than the rounding of its degrees of freedom."""
    step, idle = use(3, 201, 300.0, blocks=12), use(4, 1, 300.0, blocks=7)
    found = operation_cost(step, idle)["intervals"]["cpu_us"]
    known = stats.ttest_ind(step.use["cpu_us"], idle.use["cpu_us"], equal_var=False)
    low, high = (end * 1e6 / 200 for end in known.confidence_interval(0.95))
    assert found["low"] == pytest.approx(low, rel=0.02)
    assert found["high"] == pytest.approx(high, rel=0.02)
    assert found["low"] <= low
    assert found["high"] >= high


@pytest.mark.parametrize(("step", "idle"), [(None, use(1, 1, 1)), (use(1, 200, 1), None)])
def test_a_missing_step_leaves_costs_unknown(step, idle):
    """Of a benchmark that was interrupted nothing is made up."""
    found = operation_cost(step, idle)
    assert found["cpu_us"] is None
    assert set(found["intervals"].values()) == {None}


def test_a_step_is_cut_into_seconds(tables, run_in_memory):
    """CPU is of all processes, memory of those that hold the store, disk of the machines."""
    run = {"plan": {"duration_s": 5.0}, "status": "complete"}
    rows = [{"scheduled_ns": n * S // 10, "service_ns": 1_000} for n in range(50)]
    times = read_operation_times(
        run_in_memory(run=run, files=[tables.file(rows, start_wall_ns=10 * S)])
    )
    ticks = range(9, 17)
    processes = [
        {
            "wall_ns": tick * S,
            "pid": pid,
            "role": role,
            "cpu_seconds": tick * share,
            "rss_bytes": tick * 1_000 * pid,
        }
        for pid, role, share in ((1, "shard", 0.25), (2, "cohort", 0.5))
        for tick in ticks
    ]
    nodes = [{"wall_ns": tick * S, "disk_write_bytes": 7_000 * tick} for tick in ticks]
    series = process_series(tables.processes(processes)), node_series(tables.nodes(nodes))
    found = block_use(times, *series, in_process=False)
    assert found is not None
    assert found.rate_ops_s == 10
    assert found.use["cpu_us"].tolist() == pytest.approx([0.75] * 5)
    assert found.use["memory_bytes"].tolist() == pytest.approx([1_000] * 5)
    assert found.use["disk_bytes"].tolist() == pytest.approx([7_000] * 5)
    embedded = block_use(times, *series, in_process=True)
    assert embedded is not None
    assert embedded.use["memory_bytes"].tolist() == pytest.approx([2_000] * 5)
    assert block_use(times, [], [], in_process=False) is None

"""The live view's figures follow from the snapshots of the last seconds."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from harness.control import Snapshot
from harness.live.counts import OperationCounts
from harness.live.progress import RoleFigures
from harness.operation_tally import OperationTally, kind_of
from harness.plan import RunPlan
from harness.progress_meter import WINDOW_S, ProgressMeter, operations_total, quantile_ms
from harness.recorder import bucket_of_ns
from harness.schema import OUTCOMES


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def snapshot(operations: int, latencies: dict[int, int] | None = None, **more: int) -> Snapshot:
    given: dict[str, Any] = {"agents_started": 4, "agents_done": 1, "failures": 2, "retries": 3}
    tally = {
        kind_of(1, 1): OperationTally(
            [operations, *[0] * (len(OUTCOMES) - 1)], latencies or {}, *[operations] * 5
        )
    }
    return Snapshot(ready=[], operations=operations, tally=tally, **given | more)


def meter_of(plan: RunPlan, clock: Clock) -> ProgressMeter:
    return ProgressMeter(plan, 4, clock=clock)


def test_rounds_say_how_many_operations_there_will_be():
    """18 operations a round of each agent; a duration or a trace leaves the number open."""
    assert operations_total(RunPlan(agents=4, rounds=5), 4) == 360
    assert operations_total(RunPlan(agents=4, rounds=5, mix="search=1"), 4) == 360
    assert operations_total(RunPlan(agents=4, duration_s=1.0), 4) is None
    assert operations_total(RunPlan(agents=4, rounds=5, trace="t"), 4) is None


def test_quantiles_are_those_of_the_latencies():
    """From the histogram a quantile is within a bucket's width of numpy's."""
    latency_ns = np.random.default_rng(1).lognormal(14, 1, 5_000).astype(np.int64)
    buckets, counts = np.unique(bucket_of_ns(latency_ns), return_counts=True)
    histogram = dict(zip(buckets.tolist(), counts.tolist(), strict=True))
    for quantile in (0.5, 0.9, 0.99):
        found = quantile_ms(histogram, quantile)
        assert found == pytest.approx(np.quantile(latency_ns, quantile) / 1e6, rel=0.05)
    assert quantile_ms({5: 19}, 0.5) is None
    assert quantile_ms({}, 0.99) is None


def test_before_the_start_nothing_is_claimed():
    """Without a snapshot there is no rate, no quantile and no time left."""
    clock = Clock()
    meter = meter_of(RunPlan(agents=4, rounds=5), clock)
    clock.now_s += 2.0
    shown = meter.at("starting")
    assert (shown.elapsed_s, shown.ops_per_s, shown.p50_ms, shown.eta_s) == (2.0, 0.0, None, None)
    assert (shown.operations_done, shown.operations_total, shown.in_flight) == (0, 360, 0)


def test_the_rate_is_of_the_last_seconds():
    """What was long ago counts no more: the rate follows a change within the window."""
    clock = Clock()
    meter = meter_of(RunPlan(agents=4, rounds=100), clock)
    meter.begin()
    done = 0
    for step in range(60):
        clock.now_s += 0.25
        done += 250 if step < 40 else 25
        meter.take(snapshot(done), [])
    assert meter.at("measuring").ops_per_s == pytest.approx(100.0)
    assert WINDOW_S < 20 * 0.25


def test_percentiles_are_of_the_last_seconds():
    """Latencies from before the window are forgotten."""
    clock = Clock()
    meter = meter_of(RunPlan(agents=4, rounds=5), clock)
    meter.begin()
    slow, fast = bucket_of_ns(np.array([500_000_000, 1_000_000])).tolist()
    meter.take(snapshot(100, {slow: 100}), [])
    assert (meter.at("measuring").p50_ms or 0) > 400
    for step in range(1, 21):
        clock.now_s += 0.25
        meter.take(snapshot(100 + 100 * step, {slow: 100, fast: 100 * step}), [])
    assert (meter.at("measuring").p99_ms or 0) < 2


def test_the_time_left_follows_from_the_duration_or_the_rate():
    """With a duration it is what is left of it, warm-up included, else operations over rate."""
    clock = Clock()
    timed = meter_of(RunPlan(agents=4, duration_s=8.0, warmup_s=2.0), clock)
    counted = meter_of(RunPlan(agents=4, rounds=5), clock)
    for meter in (timed, counted):
        meter.begin()
    clock.now_s += 1.0
    for meter in (timed, counted):
        meter.take(snapshot(60), [])
    assert timed.at("warm-up").eta_s == pytest.approx(9.0)
    assert counted.at("measuring").eta_s == pytest.approx(5.0)
    clock.now_s += 100.0
    assert timed.at("measuring").eta_s == 0.0


def sample(node_id: str, cpu: float, network: int = 1_000) -> dict[str, Any]:
    """As a sampler's `latest` has it."""
    return {
        "node_id": node_id,
        "wall_ns": 5,
        "cpu_percent": cpu,
        "cpu_count": 2,
        "memory_used_bytes": 6,
        "memory_available_bytes": 7,
        "disk_read_bytes": 8,
        "disk_write_bytes": 9,
        "network_received_bytes": network,
        "network_sent_bytes": 11,
        "roles": {"shard": {"processes": 1, "cpu_percent": 50.0, "rss_bytes": 10}},
    }


def test_counts_and_samples_are_passed_on():
    """Agents, failures, retries and each role's CPU and memory, summed up over the nodes."""
    clock = Clock()
    meter = meter_of(RunPlan(agents=4, rounds=5), clock)
    meter.begin()
    meter.take(snapshot(7), [sample("a", 20.0), sample("b", 40.0)], {"a": "first"})
    shown = meter.at("measuring")
    assert (shown.agents_started, shown.agents_done, shown.in_flight) == (4, 1, 3)
    assert (shown.failures, shown.retries, meter.operations) == (2, 3, 7)
    assert shown.node_cpu_percent == pytest.approx(30.0)
    assert dict(shown.cpu_percent_by_role) == {"shard": 100.0}
    assert dict(shown.rss_bytes_by_role) == {"shard": 20}
    assert [(node.node_id, node.host) for node in shown.nodes] == [("a", "first"), ("b", "")]
    assert shown.nodes[0].roles == {"shard": RoleFigures(processes=1, cpu_percent=50, rss_bytes=10)}
    node = shown.nodes[1]
    assert (node.cpu_percent, node.cpu_count, node.wall_ns) == (40.0, 2, 5)
    assert (node.memory_used_bytes, node.memory_available_bytes) == (6, 7)
    assert (node.disk_read_bytes, node.disk_write_bytes) == (8, 9)
    assert (node.net_received_bytes, node.net_sent_bytes) == (1_000, 11)


def test_counts_are_by_phase_and_operation():
    """Only kinds that occurred are there, and only outcomes that did."""
    meter = meter_of(RunPlan(agents=4, rounds=5), Clock())
    timeouts = OUTCOMES.index("timeout")
    tally = {
        kind_of(0, 2): OperationTally([3, 0, 0, 0, 0, 0, 0]),
        kind_of(1, 0): OperationTally(
            [4 if place == timeouts else 0 for place in range(len(OUTCOMES))], {7: 4}, 1, 2, 3, 4, 5
        ),
    }
    meter.take(msgspec.structs.replace(snapshot(4), tally=tally), [])
    shown = meter.at("measuring").counts
    assert dict(shown) == {
        ("warmup", "search"): OperationCounts(outcomes={"ok": 3}),
        ("measure", "store"): OperationCounts(
            outcomes={"timeout": 4},
            response_ns=1,
            queue_ns=2,
            transport_ns=3,
            shard_wait_ns=4,
            service_ns=5,
            latencies={7: 4},
        ),
    }
    assert shown["measure", "store"].operations == 4


def test_counters_of_nodes_only_grow():
    """When a network interface goes, so that the system's sum falls, the counter stands still."""
    meter = meter_of(RunPlan(agents=4, rounds=5), Clock())
    shown = []
    for read in (1_000, 1_500, 200, 300):
        meter.take(snapshot(7), [sample("a", 20.0, network=read), sample("b", 1.0, network=read)])
        shown.append([node.net_received_bytes for node in meter.at("measuring").nodes])
    assert shown == [[1_000] * 2, [1_500] * 2, [1_500] * 2, [1_600] * 2]

"""Lanes, cohorts and shards, where arithmetic says what must come out."""

from __future__ import annotations

import numpy as np
import pytest

from harness.simulation.memory_cluster import MAX_BATCH_OPS, Layout, simulate
from harness.sizing.laws import gathered_batch_ops
from tests.simulation.fixed_times import FixedTimes


def test_agents_of_a_lane_travel_together():
    """In the closed loop a lane's agents share every batch, and its cycle is their response."""
    times = FixedTimes(batch_s=0.002, each_s=0.0001, on_cohort_s=0.001, on_way_s=0.003)
    found = simulate(Layout(shards=2, cohorts=2, agents=40), times)
    # the two lanes of a cohort are out of step after the first turn, so neither waits
    cycle_s = 0.002 + 10 * 0.0001 + 0.001 + 0.003
    assert found.batch_ops == 10
    assert found.percentile_ms(50) == pytest.approx(cycle_s * 1e3)
    assert found.throughput_ops_s == pytest.approx(40 / cycle_s, rel=0.01)


def test_a_pause_is_between_an_answer_and_the_next_operation():
    """One agent: throughput is that of the interactive response time law."""
    times = FixedTimes(batch_s=0.010)
    layout = Layout(
        shards=1, cohorts=1, agents=1, think_time_s=0.040, duration_s=400.0, warmup_s=0.0
    )
    found = simulate(layout, times)
    assert found.throughput_ops_s == pytest.approx(1 / 0.050, rel=0.05)
    assert found.percentile_ms(99) == pytest.approx(10.0)


@pytest.mark.parametrize("rate_ops_s", [5.0, 100.0, 2_000.0])
def test_operations_of_a_cycle_leave_together(rate_ops_s: float):
    """A lane's batches are those of a Poisson stream gathered over a cycle, one at least."""
    times = FixedTimes(batch_s=0.010)
    layout = Layout(
        shards=1, cohorts=1, rate_ops_s=rate_ops_s, duration_s=20_000 / rate_ops_s, seed=5
    )
    found = simulate(layout, times)
    assert found.batch_ops == pytest.approx(gathered_batch_ops(rate_ops_s, 0.010), rel=0.05)
    assert found.throughput_ops_s == pytest.approx(rate_ops_s, rel=0.05)


def test_a_shard_commits_together_what_came_meanwhile():
    """Of 16 lanes the first goes alone, the 15 behind it together: two groups by turns."""
    times = FixedTimes(batch_s=0.010)
    found = simulate(Layout(shards=1, cohorts=16, agents=16), times)
    assert found.throughput_ops_s == pytest.approx(16 / 0.020, rel=0.02)
    assert found.shard_busy_ratio == pytest.approx(1.0, abs=0.01)


def test_a_shard_takes_so_many_calls_at_once_and_no_more():
    """Of 64 lanes 16 are served while the others wait: four turns make a cycle."""
    times = FixedTimes(batch_s=0.010)
    found = simulate(Layout(shards=1, cohorts=64, agents=64), times)
    assert found.percentile_ms(50) == pytest.approx(40.0, rel=0.01)


def test_a_cohort_is_one_event_loop():
    """Its lanes wait for one another: it sends and answers no more than its time allows."""
    times = FixedTimes(on_cohort_s=0.004)
    found = simulate(Layout(shards=8, cohorts=1, agents=8), times)
    assert found.throughput_ops_s == pytest.approx(1 / 0.004, rel=0.02)
    assert found.cohort_busy_ratio == pytest.approx(1.0, abs=0.01)


def test_a_batch_has_a_bound():
    """More agents than that in a lane go in several batches."""
    times = FixedTimes(batch_s=0.5)
    found = simulate(
        Layout(shards=1, cohorts=1, agents=MAX_BATCH_OPS + 10, warmup_s=0, duration_s=10.1), times
    )
    assert found.response_s.max() == pytest.approx(1.0)


def test_a_simulation_is_a_function_of_its_seed():
    """The same seed gives the same response times, another seed others."""
    times = FixedTimes(batch_s=0.003, each_s=0.0002)
    first, again, other = (
        simulate(Layout(shards=2, cohorts=2, rate_ops_s=500.0, seed=seed), times)
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first.response_s, again.response_s)
    assert not np.array_equal(first.response_s, other.response_s)


def test_many_agents_that_pause_are_a_poisson_stream():
    """Aggregation agrees at a small scale: exact agents and the stream give the same figures."""
    times = FixedTimes(batch_s=0.004, each_s=0.0005, on_cohort_s=0.0005, on_way_s=0.001)
    agents, rate_ops_s = 2_000, 400.0
    layout = Layout(shards=2, cohorts=4, duration_s=60.0)
    exact = simulate(
        Layout(
            shards=2, cohorts=4, duration_s=60.0, agents=agents, think_time_s=agents / rate_ops_s
        ),
        times,
    )
    stream = simulate(
        Layout(
            shards=layout.shards, cohorts=layout.cohorts, duration_s=60.0, rate_ops_s=rate_ops_s
        ),
        times,
    )
    assert stream.throughput_ops_s == pytest.approx(exact.throughput_ops_s, rel=0.05)
    for percent in (50, 90, 99):
        assert stream.percentile_ms(percent) == pytest.approx(
            exact.percentile_ms(percent), rel=0.10
        ), percent

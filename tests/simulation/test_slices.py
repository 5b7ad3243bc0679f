"""One shard of many stands for all of them."""

from __future__ import annotations

import pytest

from harness.simulation.memory_cluster import Layout, simulate
from harness.simulation.slices import simulate_slice
from tests.simulation.fixed_times import FixedTimes


@pytest.mark.parametrize(
    ("shards", "cohorts", "rate_ops_s"), [(2, 2, 300.0), (8, 8, 2_000.0), (8, 4, 3_000.0)]
)
def test_a_slice_agrees_with_the_whole(shards: int, cohorts: int, rate_ops_s: float):
    """Throughput, batches, utilisation and percentiles of one shard are those of all."""
    times = FixedTimes(batch_s=0.0015, each_s=0.0001, on_cohort_s=0.0008, on_way_s=0.001)
    layout = Layout(shards=shards, cohorts=cohorts, rate_ops_s=rate_ops_s, duration_s=20.0)
    whole, slice_ = simulate(layout, times), simulate_slice(layout, times)
    assert slice_.throughput_ops_s == pytest.approx(whole.throughput_ops_s, rel=0.05)
    assert slice_.batch_ops == pytest.approx(whole.batch_ops, rel=0.05)
    assert slice_.shard_busy_ratio == pytest.approx(whole.shard_busy_ratio, abs=0.04)
    assert slice_.cohort_busy_ratio == pytest.approx(whole.cohort_busy_ratio, abs=0.04)
    for percent in (50, 99):
        assert slice_.percentile_ms(percent) == pytest.approx(
            whole.percentile_ms(percent), rel=0.15
        ), percent


def test_a_slice_is_of_an_open_loop():
    """Agents of a closed loop belong to no shard's slice alone."""
    with pytest.raises(ValueError, match="rate_ops_s: is missing"):
        simulate_slice(Layout(shards=1, cohorts=1, agents=5), FixedTimes())

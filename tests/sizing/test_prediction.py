"""500 agents are predicted from runs with 10 to 100, on runs that were measured once."""

from __future__ import annotations

import pytest

from harness.errors import UsageError
from harness.sizing.cluster import Wish
from harness.sizing.demands import fit_demands
from harness.sizing.prediction import fitting_size, foretold_run, ranges
from tests.sizing.made_evidence import made_run, recorded, recorded_with_pauses


def wish_of(rate_ops_s: float) -> Wish:
    return Wish(agents=int(rate_ops_s), rate_ops_s=rate_ops_s, core_speed_ratio=1.0, growth={})


def test_a_run_of_500_agents_is_reproduced():
    """Throughput and percentiles of the simulation are those that were measured, to within 15%."""
    runs = recorded().runs
    largest = runs[-1]
    found = foretold_run(fit_demands(runs), largest)
    assert largest.agents == 500
    assert found.throughput_ops_s == pytest.approx(largest.throughput_ops_s, rel=0.15)
    assert found.batch_ops == pytest.approx(largest.batch_ops, rel=0.01)
    for name, measured_ms in largest.response_ms.items():
        assert found.percentile_ms(float(name[1:])) == pytest.approx(measured_ms, rel=0.15), name


def test_500_agents_are_predicted_from_10_to_100():
    """Throughput to within 20%, the median to within 40%, the p99 to within 30%."""
    *smaller, largest = recorded().runs
    assert [run.agents for run in smaller] == [10, 25, 50, 100]
    found = foretold_run(fit_demands(smaller), largest)
    assert found.throughput_ops_s == pytest.approx(largest.throughput_ops_s, rel=0.20)
    assert found.percentile_ms(50) == pytest.approx(largest.response_ms["p50"], rel=0.40)
    assert found.percentile_ms(99) == pytest.approx(largest.response_ms["p99"], rel=0.30)


def test_each_measured_run_is_reproduced():
    """Also those that the lines were fitted to keep to what was measured."""
    runs = recorded().runs
    demands = fit_demands(runs)
    for run in runs:
        found = foretold_run(demands, run)
        assert found.throughput_ops_s == pytest.approx(run.throughput_ops_s, rel=0.20), run.name


def test_a_rate_and_pauses_are_predicted_from_runs_that_had_neither():
    """500 agents, most of them idle: throughput to within 10%, the tail to within 40%."""
    *closed, with_rate, with_pauses = recorded_with_pauses().runs
    assert [run.agents for run in closed] == [10, 25, 50, 100]
    assert with_rate.open_loop
    assert with_pauses.think_time_s == 0.1
    for run in (with_rate, with_pauses):
        found = foretold_run(fit_demands(closed), run)
        assert found.throughput_ops_s == pytest.approx(run.throughput_ops_s, rel=0.10), run.name
        for percent in (90, 95, 99):
            measured_ms = run.response_ms[f"p{percent}"]
            assert found.percentile_ms(percent) == pytest.approx(measured_ms, rel=0.40), run.name


def test_a_tighter_target_needs_more_shards():
    """Processes are added until the predicted p99 keeps it."""
    demands = fit_demands([made_run(agents) for agents in (2, 20, 200)])
    wish = wish_of(20_000.0)
    loose = fitting_size(lambda _: wish, demands, 1.0)
    tight_s = loose.tried[0][1] / 1e3 * 0.8
    tight = fitting_size(lambda _: wish, demands, tight_s)
    assert len(loose.tried) == 1
    assert len(tight.tried) > 1
    assert tight.processes.shards > loose.processes.shards
    assert tight.outcome.percentile_ms(99) <= tight_s * 1e3


def test_a_target_that_nothing_keeps_is_refused():
    """With the best that these runs would give."""
    demands = fit_demands([made_run(agents) for agents in (2, 20, 200)])
    with pytest.raises(UsageError, match="--target-p99: of 1 ms is below what a nearly idle shard"):
        fitting_size(lambda _: wish_of(1_000.0), demands, 0.001)


def test_runs_that_differ_make_a_range():
    """Its ends are on both sides; with two runs it is not known."""
    runs = [made_run(agents) for agents in (2, 20, 50, 200)]
    off = [
        made_run(run.agents, shard_cpu_s=run.shard_cpu_s * factor)
        for run, factor in zip(runs, (0.8, 1.2, 0.9, 1.1), strict=True)
    ]
    wish = wish_of(100_000.0)
    found = fitting_size(lambda _: wish, fit_demands(off), 1.0)
    shards, cohorts = ranges(off, wish, found)
    assert shards.low < shards.estimate < shards.high
    assert cohorts.low <= cohorts.estimate <= cohorts.high
    assert cohorts.high - cohorts.low <= shards.high - shards.low
    assert ranges(off[:2], wish, found)[0].low is None

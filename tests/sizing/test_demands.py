"""Demands that are fitted to runs of known laws are those laws."""

from __future__ import annotations

import numpy as np
import pytest

from harness.errors import UsageError
from harness.sizing.demands import Line, fit_demands, fit_line
from tests.sizing import made_evidence
from tests.sizing.made_evidence import made_run


def test_runs_that_follow_a_law_give_it_back():
    """CPU, service time, passage and bytes: of a call and of each operation."""
    found = fit_demands([made_run(agents) for agents in (10, 50, 200)])
    pairs = [(found.shard_cpu, made_evidence.SHARD_CPU_S), (found.wire, made_evidence.WIRE_BYTES)]
    pairs.append((found.cohort_cpu, made_evidence.COHORT_CPU_S))
    for line, (call, each) in pairs:
        assert (line.call, line.each) == pytest.approx((call, each))
    for name, (call_us, each_us) in made_evidence.SERVICE_US.items():
        line = found.service.lines[name]
        assert (line.call * 1e6, line.each * 1e6) == pytest.approx((call_us, each_us))
        assert np.allclose(found.service.noise_near(name, 100), 0, atol=1e-9)
    assert found.batch_ops == (5.0, 100.0)
    assert (found.agents_max, found.mix["store"]) == (200, pytest.approx(10 / 18))


def test_cpu_is_shared_out_by_what_types_take():
    """The mean over the mix is what was measured; a type that takes longer costs more."""
    found = fit_demands([made_run(10), made_run(100)])
    by_type = found.by_type()
    mean = sum(found.mix[name] * cost for name, cost in by_type.items())
    assert mean == pytest.approx(found.shard_cpu.each)
    assert by_type["store"] / by_type["retrieve"] == pytest.approx(20 / 4)


def test_noise_is_that_of_the_run_nearest_in_size():
    """By ratio: 30 operations are nearer to 50 than to 5."""
    noisy = made_run(100)
    noisy.batches.service_us[0] += 5_000
    found = fit_demands([made_run(10), noisy])
    assert found.service.noise_near("store", 30).max() == pytest.approx(5e-3)
    assert found.service.noise_near("store", 6).max() == pytest.approx(0)


@pytest.mark.parametrize(
    ("calls", "each", "expected"), [(2.0, 3.0, (2, 3)), (0.0, 3.0, (0, 3)), (2.0, 0.0, (2, 0))]
)
def test_a_line_through_points_of_a_line_is_that_line(calls, each, expected):
    """Whatever the sizes."""
    batches, operations = np.array([10.0, 20.0, 30.0]), np.array([50.0, 400.0, 3_000.0])
    line = fit_line(batches, operations, calls * batches + each * operations)
    assert (line.call, line.each) == pytest.approx(expected, abs=1e-9)


def test_no_cost_is_negative():
    """Where the best line has one that is, the best without it is taken."""
    batches, operations = np.ones(3), np.array([1.0, 2.0, 3.0])
    assert fit_line(batches, operations, np.array([3.0, 2.0, 1.0])).each == 0
    steep = fit_line(batches, operations, np.array([0.1, 2.0, 4.0]))
    assert steep.call == 0
    assert steep.each > 0


def test_a_batch_costs_a_call_and_its_operations():
    """The line at a size."""
    assert Line(call=2.0, each=0.5).of(10) == 7.0


@pytest.mark.parametrize(
    ("runs", "part"),
    [
        ([], "has no run"),
        ([made_run(100)], "batches of 50 to 50 operations only"),
        ([made_run(100), made_run(120)], "do not tell what a call costs"),
    ],
)
def test_runs_that_do_not_suffice_are_refused(runs, part: str):
    """In a sentence with the remedy."""
    with pytest.raises(UsageError, match=part) as refused:
        fit_demands(runs)
    assert "bench agents" in str(refused.value)


def test_batches_of_several_types_alone_are_refused():
    """Nothing tells then what each type takes."""
    mixed = [made_run(agents) for agents in (10, 100)]
    for run in mixed:
        for counts in run.batches.operations.values():
            counts[:] = [1] * len(counts)
    with pytest.raises(UsageError, match="no batches of one type"):
        fit_demands(mixed)

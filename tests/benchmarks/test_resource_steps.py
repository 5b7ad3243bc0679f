"""Which steps the benchmark of resource utilization makes of its options."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.benchmarks.resource_utilization import (
    agents_for,
    check_rates,
    prepare_steps,
    rate_name,
    run_steps,
    step_plans,
)
from harness.errors import UsageError
from harness.plan import RunPlan

BASE = RunPlan(
    agents=10, preload=1_000, duration_s=300.0, rate=100.0, mix={"store": 1, "search": 3}
)


def test_each_rate_is_a_step_that_differs_in_nothing_else():
    """In the order in which they were given, then those of the costs."""
    plans = step_plans(BASE, [100.0, 0.5], cost_duration_s=10.0, cost_rate=None)
    assert list(plans) == [
        *("rate-100", "rate-0.5"),
        *("cost-idle", "cost-store", "cost-retrieve", "cost-search"),
    ]
    assert plans["rate-100"] == BASE
    assert plans["rate-0.5"].rate == 0.5
    assert plans["rate-0.5"].mix == BASE.mix


def test_the_steps_of_the_costs_are_of_one_operation_each():
    """As short as asked, on as many states, at the highest rate or what makes them measurable."""
    plans = step_plans(BASE, [100.0, 1_000.0], cost_duration_s=10.0, cost_rate=None)
    for operation in ("store", "retrieve", "search"):
        plan = plans[f"cost-{operation}"]
        assert plan.mix == {"store": 0, "retrieve": 0, "search": 0, operation: 1}
        assert (plan.rate, plan.duration_s, plan.preload) == (1_000.0, 10.0, 1_000)
    assert plans["cost-idle"].rate == 1.0
    low = step_plans(BASE, [10.0], cost_duration_s=10.0, cost_rate=None)
    assert low["cost-store"].rate == 200.0
    given = step_plans(BASE, [10.0], cost_duration_s=10.0, cost_rate=50.0)
    assert given["cost-store"].rate == 50.0


def test_costs_are_left_out_when_they_get_no_time():
    """``--cost-duration 0`` makes the rates alone."""
    assert list(step_plans(BASE, [10.0], cost_duration_s=0, cost_rate=None)) == ["rate-10"]


@pytest.mark.parametrize("cost_duration_s", [1e-3, 2.9, -1.0])
def test_steps_that_are_too_short_for_a_cost_are_refused(cost_duration_s):
    """Below three blocks of a second there is none, however many steps run; three will do."""
    with pytest.raises(UsageError, match=r"^--cost-duration: must be at least 3 s"):
        step_plans(BASE, [10.0], cost_duration_s=cost_duration_s, cost_rate=None)
    assert "cost-idle" in step_plans(BASE, [10.0], cost_duration_s=3.0, cost_rate=None)


@pytest.mark.parametrize(
    ("rates", "agents"), [([10.0], 10), ([200.0], 10), ([10.0, 10_000.0], 500)]
)
def test_there_are_agents_enough_for_the_highest_rate(rates, agents):
    """An agent has 50 ms for each of its operations."""
    assert agents_for(rates) == agents


@pytest.mark.parametrize("rates", [[], [10.0, 20.0, 10.0], [float(n) for n in range(1, 102)]])
def test_rates_that_make_no_sweep_are_refused(rates):
    """The sentence names the option."""
    with pytest.raises(UsageError, match="--rates"):
        check_rates(rates, "--rates")


@pytest.mark.parametrize("option", ["--rate", "--rates"])
@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf"), 1e10])
def test_a_rate_out_of_range_is_refused_by_the_option_that_named_it(option, rate):
    """Also one among others that are in range."""
    with pytest.raises(UsageError, match=f"^{option}: must be from 1e-06 to 1,000,000,000"):
        check_rates([10.0, rate], option)
    check_rates([1e-6, 1e9], option)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf"), 1e10])
def test_a_plan_of_a_rate_out_of_range_is_refused(rate):
    """As in a plan: the sentence names the option."""
    with pytest.raises(UsageError, match="--rate"):
        step_plans(BASE, [rate], cost_duration_s=0, cost_rate=None)


@pytest.mark.parametrize(
    ("rate", "name"), [(10.0, "10"), (0.25, "0.25"), (1_234_567.0, "1234567"), (1e-6, "1e-06")]
)
def test_a_rate_has_a_name_of_its_own(rate, name):
    """Whole where it is, and never rounded."""
    assert rate_name(rate) == name


def test_how_many_steps_there_are_to_be_is_known_before_the_first():
    """Whoever watches is told that with each step."""
    told: list[tuple[str, int]] = []
    bench: Any = SimpleNamespace(
        planned=0, run_prepared=lambda name, _: told.append((name, bench.planned))
    )
    plans = step_plans(BASE, [100.0, 0.5], cost_duration_s=10.0, cost_rate=None)
    run_steps(bench, prepare_steps(plans))
    assert told == [(name, 6) for name in plans]

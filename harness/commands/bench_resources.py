"""``harness bench resources``: what a load takes of the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.commands.judging import Judge
from harness.commands.options import (
    OUTPUT_OPTIONS,
    THRESHOLD_OPTIONS,
    plan_of,
    plan_options,
    with_options,
)
from harness.errors import UsageError
from harness.plan import RunPlan
from harness.plan_checks import MAX_TIME_S

__all__ = ["resources"]

DURATION_S = 300.0
RATE_OPS_S = 10.0
STATES = 1_000
COST_DURATION_S = 10.0
MIX = "store=1,retrieve=1,search=1"
_OWN = ("agents", "preload", "duration_s", "rate", "mix")
# The benchmark is an open loop for a time, and nothing without its rows.
_NONE = ("rounds", "whole_rounds", "think_time_s", "trace", "record", "workload", "plan_file")


@click.command()
@click.option(
    "--duration", "duration_s", type=float, default=DURATION_S, help="Seconds at each rate.  [300]"
)
@click.option("--rate", type=float, help="Operations a second that are offered.  [10]")
@click.option("--rates", help="Several, one after the other: 10,100,1000.")
@click.option("--agents", type=int, help="Concurrent agents.  [10, or one for 20 operations/s]")
@click.option("--preload", type=int, default=STATES, help="States that are stored first.  [1,000]")
@click.option("--mix", default=MIX, help=f"Weights of the operations.  [{MIX}]")
@click.option(
    "--cost-duration",
    "cost_duration_s",
    type=float,
    default=COST_DURATION_S,
    help="Seconds of each step that finds what an operation costs, at least 3; 0: none.  [10]",
)
@click.option(
    "--cost-rate", type=float, help="Rate of these steps.  [the highest rate, at least 200]"
)
@with_options(plan_options(without=(*_OWN, *_NONE)))
@with_options(THRESHOLD_OPTIONS)
@with_options(OUTPUT_OPTIONS)
def resources(
    rate: float | None,
    rates: str | None,
    cost_duration_s: float,
    cost_rate: float | None,
    out: Path | None,
    as_json: bool,
    thresholds: tuple[str, ...],
    junit: Path | None,
    **options: Any,
) -> int:
    """Offer a load for a time: what it takes of CPU, memory, disk and network, and what leaks."""
    from harness.benchmarks.resource_utilization import agents_for, check_rates

    judge = Judge.asked(thresholds, junit)
    wanted = _rates(rate, rates)
    check_rates(wanted, "--rate" if rates is None else "--rates")
    if options["agents"] is None:
        options["agents"] = agents_for(wanted)
    if not 0 <= cost_duration_s <= MAX_TIME_S:
        raise UsageError("--cost-duration", f"must be from 0 to {MAX_TIME_S:,}")
    plan = plan_of(None, {**options, "rate": max(wanted)})
    return _measure(plan, wanted, cost_duration_s, cost_rate, judge, out, as_json)


def _measure(
    plan: RunPlan,
    rates: list[float],
    cost_duration_s: float,
    cost_rate: float | None,
    judge: Judge,
    out: Path | None,
    as_json: bool,
) -> int:
    from harness.ray_session import set_environment
    from harness.rundir import check_out

    set_environment(plan.address)  # Ray reads it when it is imported
    from harness.analysis.resource_utilization import summarise_resources
    from harness.benchmarks import resource_utilization as benchmark
    from harness.benchmarks.templates import resources_template
    from harness.commands.benchmarking import measure_in_steps
    from harness.report.resource_utilization import render_resources

    judge.check(resources_template(rates))
    if out is not None:
        check_out(out)
    of_costs: dict[str, Any] = {"cost_duration_s": cost_duration_s, "cost_rate": cost_rate}
    steps = benchmark.prepare_steps(benchmark.step_plans(plan, rates, **of_costs))
    return measure_in_steps(
        "bench-resources",
        plan.address,
        out,
        as_json=as_json,
        settings={
            "plan": plan.as_dict(),
            "bench": benchmark.settings(rates, **of_costs),
        },
        steps=lambda running: benchmark.run_steps(running, steps),
        summarise=summarise_resources,
        render=render_resources,
        judge=judge,
    )


def _rates(rate: float | None, rates: str | None) -> list[float]:
    """The rates that were asked for."""
    if rates is None:
        return [RATE_OPS_S if rate is None else rate]
    if rate is not None:
        raise UsageError("--rates", "contradicts --rate: give one of the two")
    found = []
    for part in rates.split(","):
        try:
            found.append(float(part))
        except ValueError:
            raise UsageError("--rates", f"{part.strip()!r} is no rate; give 10,100,1000") from None
    return found

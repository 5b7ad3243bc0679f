"""The benchmark of resource utilization: an open loop at a rate, or at several, and what it takes.

First the rates, each a step on a fresh store that holds the states of the plan's preload
(``rate-100``). Then, at the highest of the rates or at `COST_RATE_OPS_S` where that is more, a
short step of each type of operation alone and one that does next to nothing (``cost-store``,
``cost-idle``): their difference is what an operation costs (`harness.analysis.costs`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from harness.analysis.costs import COST_DURATION_MIN_S
from harness.analysis.resource_utilization import COST_STEP, IDLE_STEP, RATE_STEP
from harness.benchmarks.bench import Bench
from harness.errors import UsageError
from harness.plan import RunPlan
from harness.plan_checks import MAX_RATE_OPS_S, MIN_RATE_OPS_S
from harness.runner import PreparedRun, prepare
from harness.schema import OPERATIONS

__all__ = [
    "COST_RATE_OPS_S",
    "agents_for",
    "check_rates",
    "prepare_steps",
    "rate_name",
    "run_steps",
    "settings",
    "step_plans",
]

# Below, the ticks in which the kernel counts CPU time are most of what a short step uses.
COST_RATE_OPS_S = 200.0
COST_WARMUP_S = 1.0
IDLE_RATE_OPS_S = 1.0
RATES_MAX = 100
AGENTS = 10
# An agent issues one operation at a time: at this many a second it has 50 ms for each.
OPS_S_AN_AGENT = 20.0


def check_rates(rates: Sequence[float], option: str) -> None:
    """Refuse rates that make no sweep.

    Raises:
        UsageError: there is none, one twice, one out of range, or there are too many.
    """
    if not rates:
        raise UsageError(option, "names no rate; give one, such as 10")
    if len(rates) > RATES_MAX:
        raise UsageError(option, f"must be at most {RATES_MAX} rates, not {len(rates):,}")
    for place, rate in enumerate(rates):
        if not MIN_RATE_OPS_S <= rate <= MAX_RATE_OPS_S:
            least, most = f"{MIN_RATE_OPS_S:g}", f"{MAX_RATE_OPS_S:,.0f}"
            raise UsageError(option, f"must be from {least} to {most} a second, not {rate:g}")
        if rate in rates[:place]:
            raise UsageError(option, f"names {rate:g} twice")


def agents_for(rates: Sequence[float]) -> int:
    """How many agents issue the highest of the rates without being late by themselves."""
    highest = max(rates)
    if not math.isfinite(highest):
        return AGENTS
    return max(AGENTS, math.ceil(highest / OPS_S_AN_AGENT))


def rate_name(rate: float) -> str:
    """A rate in the name of a step: ``100``, ``0.5``."""
    return str(int(rate)) if float(rate).is_integer() else repr(float(rate))


def step_plans(
    plan: RunPlan, rates: Sequence[float], *, cost_duration_s: float, cost_rate: float | None
) -> dict[str, RunPlan]:
    """Give the plans of all steps by name, in their order.

    Args:
        plan: of every rate but for the rate itself.
        rates: to be offered, operations a second.
        cost_duration_s: of each step for the costs; 0 leaves them out.
        cost_rate: of these steps; None is the highest rate, at least `COST_RATE_OPS_S`.

    Raises:
        UsageError: a rate is out of range, or the steps for the costs are too short to tell any.
    """
    plans = {f"{RATE_STEP}{rate_name(rate)}": replace(plan, rate=rate) for rate in rates}
    if not cost_duration_s:
        return plans
    if cost_duration_s < COST_DURATION_MIN_S:
        least = f"{COST_DURATION_MIN_S:g}"
        raise UsageError(
            "--cost-duration",
            f"must be at least {least} s to tell a cost, or 0 for none, not {cost_duration_s:g}",
        )
    try:
        short = replace(
            plan,
            rate=max(*rates, COST_RATE_OPS_S) if cost_rate is None else cost_rate,
            duration_s=cost_duration_s,
            warmup_s=min(COST_WARMUP_S, cost_duration_s),
            ramp_s=0.0,
        )
    except UsageError as error:
        option = {"--rate": "--cost-rate", "--duration": "--cost-duration"}.get(error.field)
        raise UsageError(option or error.field, error.problem) from None
    plans[IDLE_STEP] = replace(short, rate=IDLE_RATE_OPS_S, arrival="constant", mix={"retrieve": 1})
    for operation in OPERATIONS:
        plans[f"{COST_STEP}{operation}"] = replace(short, mix={operation: 1})
    return plans


def prepare_steps(plans: dict[str, RunPlan]) -> dict[str, PreparedRun]:
    """Check the plans of all steps, before any of them runs.

    Raises:
        UsageError: one does not fit this machine or its target.
    """
    return {name: prepare(plan) for name, plan in plans.items()}


def run_steps(bench: Bench, steps: dict[str, PreparedRun]) -> None:
    """Run the steps in their order; errors as of `Bench.run_step`."""
    bench.planned = len(steps)
    for name, prepared in steps.items():
        bench.run_prepared(name, prepared)


def settings(
    rates: Sequence[float], *, cost_duration_s: float, cost_rate: float | None
) -> dict[str, Any]:
    """What ``run.json`` says of the benchmark itself."""
    return {"rates": list(rates), "cost_duration_s": cost_duration_s, "cost_rate": cost_rate}

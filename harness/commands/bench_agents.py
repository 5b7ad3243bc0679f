"""``harness bench agents``: how a store carries more and more agents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.commands.benchmarking import measure_in_steps
from harness.commands.judging import Judge, run_template
from harness.commands.options import (
    OUTPUT_OPTIONS,
    THRESHOLD_OPTIONS,
    plan_of,
    plan_options,
    with_options,
)

__all__ = ["agents"]

# What the benchmark sets itself, or what rounds cannot be timed with.
_NOT_OURS = (
    *("agents", "rounds", "duration_s", "whole_rounds", "ramp_s"),
    *("rate", "arrival", "trace", "record", "keep_data"),
)


@click.command()
@click.option("--counts", default="1,10,50,100,500", show_default=True, help="Agents, each a step.")
@click.option("--repeats", type=int, default=3, show_default=True, help="Steps of each count.")
@click.option(
    "--step-duration",
    "step_duration_s",
    type=float,
    default=3.0,
    show_default=True,
    help="Seconds for which each step begins rounds.",
)
@click.option(
    "--baseline",
    type=click.Choice(["threads"]),
    help="Beside each step: the same agents as threads of one process.",
)
@with_options(plan_options(without=_NOT_OURS))
@with_options(THRESHOLD_OPTIONS)
@with_options(OUTPUT_OPTIONS)
def agents(
    counts: str,
    plan_file: Path | None,
    out: Path | None,
    as_json: bool,
    thresholds: tuple[str, ...],
    junit: Path | None,
    **options: Any,
) -> int:
    """Measure how throughput, latency and cost grow with the number of agents."""
    from harness.ray_session import set_environment
    from harness.rundir import check_out

    own = {name: options.pop(name) for name in ("repeats", "step_duration_s", "baseline")}
    judge = Judge.asked(thresholds, junit)
    plan = plan_of(plan_file, options)
    set_environment(plan.address)  # Ray reads it when it is imported
    from harness.analysis.agent_scaling import agents_template, summarise_agents
    from harness.benchmarks.agent_scaling import AgentScaling, parse_counts, run_steps
    from harness.report.agent_scaling import render_agents

    scaling = AgentScaling(plan=plan, counts=parse_counts(counts), **own)
    threads = scaling.baseline is not None
    judge.check(agents_template(run_template(), scaling.counts, threads=threads))
    if out is not None:
        check_out(out)
    prepared = scaling.prepared()
    settings = scaling.settings()
    return measure_in_steps(
        "bench-agents",
        plan.address,
        out,
        as_json=as_json,
        settings=settings,
        steps=lambda bench: run_steps(bench, prepared),
        summarise=summarise_agents,
        render=lambda summary: render_agents(summary, settings),
        judge=judge,
    )

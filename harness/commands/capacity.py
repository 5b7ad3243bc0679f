"""``harness capacity``: the most agents, or the highest rate, that keeps an objective.

Exit codes: 0 found; 1 a step could not be carried out; 2 wrong usage; 3 not even the smallest
load keeps the objective; 130 interrupted, with what was known until then.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands.judging import EXIT_BREACHED, run_template
from harness.commands.options import OUTPUT_OPTIONS, plan_of, plan_options, with_options
from harness.errors import UsageError
from harness.plan import RunPlan

if TYPE_CHECKING:
    from harness.analysis.thresholds import Threshold
    from harness.benchmarks.capacity_trials import CapacitySettings

__all__ = ["capacity"]

_START = {"agents": 16.0, "rate": 100.0}
_MOST = {"agents": 20_000.0, "rate": 1e6}
# So that the rush of the start is in no figure, unless the plan says otherwise.
_WARMUP_S = 1.0
# What the search sets itself, or cannot do without.
_NOT_OURS = ("rounds", "duration_s", "whole_rounds", "record", "keep_data")


@click.command()
@click.option(
    "--slo",
    "objectives",
    multiple=True,
    required=True,
    metavar="FIGURE<LIMIT",
    help="What has to be kept: 'p99_ms<50', 'search.p95_ms<20', 'failed<1%'. May be given "
    "several times: all of them.",
)
@click.option(
    "--search",
    type=click.Choice(["agents", "rate"]),
    default="agents",
    help="What grows: concurrent agents, or the rate they offer (open loop).  [agents]",
)
@click.option("--start", type=float, help="The first load.  [16 agents, or 100 operations/s]")
@click.option(
    "--max", "most", type=float, help="The largest load.  [20,000 agents, 1,000,000 operations/s]"
)
@click.option(
    "--tolerance",
    default="10%",
    help="How far apart the sides of the edge may lie: 10% or 0.1.  [10%]",
)
@click.option(
    "--repeats", type=click.IntRange(1, 100), default=3, help="Trials of the answer.  [3]"
)
@click.option(
    "--max-trials", "trials_max", type=click.IntRange(1, 1000), default=40, help="In all.  [40]"
)
@click.option(
    "--step-duration",
    "step_duration_s",
    type=float,
    default=5.0,
    help="Seconds that a trial is measured for, after 1 s of warm-up or --warmup; more where it "
    "does not settle.  [5]",
)
@with_options(plan_options(without=_NOT_OURS))
@with_options(OUTPUT_OPTIONS)
def capacity(
    plan_file: Path | None,
    out: Path | None,
    as_json: bool,
    objectives: tuple[str, ...],
    **options: Any,
) -> int:
    """Find the most agents, or the highest rate, that keeps an objective."""
    from harness.analysis.thresholds import check_paths, parse_threshold

    parsed = [parse_threshold(text, "--slo") for text in objectives]
    check_paths(parsed, run_template())
    names = ("search", "start", "most", "tolerance", "repeats", "trials_max", "step_duration_s")
    asked = {name: options.pop(name) for name in names}
    settings = _settings(parsed, asked)
    return _measure(_plan(plan_file, options, settings), settings, out, as_json)


def _settings(objectives: list[Threshold], asked: dict[str, Any]) -> CapacitySettings:
    """What the search is told, checked.

    Raises:
        UsageError: an option is out of its range, or two contradict each other.
    """
    from harness.benchmarks.capacity_trials import CapacitySettings

    search = asked["search"]
    most = _load(asked["most"], _MOST[search], search, "--max")
    start = _load(asked["start"], min(_START[search], most), search, "--start")
    if start > most:
        raise UsageError(
            "--start", f"is {start:g}, above the --max of {most:g}; give a smaller one"
        )
    duration_s = asked["step_duration_s"]
    if not 0 < duration_s <= 86_400:
        raise UsageError(
            "--step-duration", f"must be above 0 and at most a day, not {duration_s:g}"
        )
    return CapacitySettings(
        search=search,
        objectives=objectives,
        start=start,
        most=most,
        tolerance_ratio=_tolerance(asked["tolerance"]),
        repeats=asked["repeats"],
        trials_max=asked["trials_max"],
        step_duration_s=duration_s,
    )


def _load(given: float | None, default: float, search: str, option: str) -> float:
    load = default if given is None else given
    if not 1 <= load <= 1e9:  # not a number neither
        raise UsageError(option, f"must be from 1 to 1,000,000,000, not {load:g}")
    if search == "agents" and load != int(load):
        raise UsageError(option, f"must be a whole number of agents, not {load:g}")
    return load


def _tolerance(text: str) -> float:
    number = text.strip()
    try:
        ratio = float(number.removesuffix("%")) / (100 if number.endswith("%") else 1)
    except ValueError:
        raise UsageError("--tolerance", f"{text!r} is none; give 10% or 0.1") from None
    if not 0 < ratio <= 1:
        raise UsageError("--tolerance", f"must be above 0 and at most 100%, not {text}")
    return ratio


def _plan(plan_file: Path | None, options: dict[str, Any], settings: CapacitySettings) -> RunPlan:
    """The plan of the steps, found good for the largest load.

    Raises:
        UsageError: it is wrong, or sets what the search sets.
    """
    if options[settings.search] is not None:
        raise UsageError(
            f"--{settings.search}", "is what is searched for; give --start and --max instead"
        )
    load = int(settings.start) if settings.search == "agents" else settings.start
    plan = plan_of(plan_file, {**options, settings.search: load})
    if not plan.record:
        raise UsageError("--plan", "has record off, which leaves nothing to judge a trial by")
    if options["warmup_s"] is None and not plan.warmup_s:
        plan = replace(plan, warmup_s=_WARMUP_S)
    return plan


def _measure(plan: RunPlan, settings: CapacitySettings, out: Path | None, as_json: bool) -> int:
    from harness.ray_session import set_environment
    from harness.rundir import check_out

    set_environment(plan.address)  # Ray reads it when it is imported
    from harness.benchmarks.capacity_summary import summarise_capacity
    from harness.benchmarks.capacity_trials import plan_of_load, run_trials
    from harness.commands.benchmarking import measure_in_steps
    from harness.report.capacity import render_capacity
    from harness.runner import prepare

    if out is not None:
        check_out(out)
    for load, option in ((settings.start, "--start"), (settings.most, "--max")):
        try:
            prepare(plan_of_load(plan, settings, load, settings.step_duration_s))
        except UsageError as error:
            searched = error.field == f"--{settings.search}"
            raise UsageError(option if searched else error.field, error.problem) from None
    timed = replace(plan, rounds=None, duration_s=settings.step_duration_s)
    found: dict[str, Any] = {}

    def summarise(path: Path) -> dict[str, Any]:
        found.update(summarise_capacity(path))
        return found

    code = measure_in_steps(
        "capacity",
        plan.address,
        out,
        as_json=as_json,
        settings={"plan": timed.as_dict(), "bench": settings.as_dict()},
        steps=lambda bench: run_trials(bench, plan, settings),
        summarise=summarise,
        render=render_capacity,
    )
    return EXIT_BREACHED if code == 0 and found["capacity"]["ended"] == "never" else code

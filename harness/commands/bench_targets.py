"""``harness bench targets``: several stores side by side, at the same operations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands.bench_memory import parse_volumes
from harness.commands.benchmarking import measure_in_steps
from harness.commands.judging import Judge, run_template
from harness.commands.measuring import say
from harness.commands.options import (
    OUTPUT_OPTIONS,
    THRESHOLD_OPTIONS,
    plan_of,
    plan_options,
    with_options,
)
from harness.errors import NotInstalledError, RunFailedError, UsageError

if TYPE_CHECKING:
    from harness.benchmarks.bench import Bench

__all__ = ["COMMAND", "targets"]

COMMAND = "bench-targets"
# What the comparison sets itself, or what no two targets could be compared in.
_NOT_OURS = (
    *("target", "agents", "workload", "preload", "rounds", "duration_s", "whole_rounds", "mix"),
    *("think_time_s", "ramp_s", "rate", "arrival", "trace", "record", "keep_data", "plan_file"),
    *("pipelining", "warmup_s"),
)


@click.command()
@click.option("--targets", "named", required=True, metavar="NAME,NAME,...", help="As --target.")
@click.option("--counts", default="1,10,100,500", show_default=True, help="Agents, each a step.")
@click.option("--repeats", type=int, help="Of everything.  [3]")
@click.option(
    "--step-duration",
    "step_duration_s",
    type=float,
    help="Seconds for which a step begins rounds.  [3]",
)
@click.option("--rounds", type=int, help="Rounds of each agent in a step, instead.")
@click.option("--volumes", default="1000,10000", show_default=True, help="Memories; '' for none.")
@click.option("--volume-agents", type=int, help="Over which these are spread.  [10]")
@click.option("--probes", type=int, help="Operations of each kind at a volume.  [300]")
@click.option("--k", type=int, help="Hits of a search.  [10]")
@click.option(
    "--time-cap",
    "time_cap_s",
    type=float,
    help="Seconds that a step, a load, or the probes of a kind may take.  [60]",
)
@click.option("--skip-check", is_flag=True, help="Do not check the conformance of each first.")
@click.option("--strict", is_flag=True, help="Fail when a target is not installed.")
@with_options(plan_options(without=_NOT_OURS))
@with_options(THRESHOLD_OPTIONS)
@with_options(OUTPUT_OPTIONS)
def targets(
    named: str,
    counts: str,
    volumes: str,
    out: Path | None,
    as_json: bool,
    thresholds: tuple[str, ...],
    junit: Path | None,
    **options: Any,
) -> int:
    """Compare stores: the same operations from the same seed, interleaved and repeated.

    First it is checked what each does (`harness targets check`). Then throughput at each count of
    agents, and at each volume the time of a single operation, recall against exact search, load
    rate, memory and disk. Every step has a fresh store. With the defaults it takes about two
    minutes for each target on an idle machine, ten for five; a slow store takes longer, and what
    --time-cap cuts is said.
    """
    from harness.ray_session import set_environment
    from harness.rundir import check_out

    own = ("repeats", "step_duration_s", "rounds", "volume_agents", "probes", "k", "time_cap_s")
    given = {name: options.pop(name) for name in own}
    given = {name: value for name, value in given.items() if value is not None}
    if "rounds" in given:
        given.setdefault("step_duration_s", None)
    skip_check, strict = options.pop("skip_check"), options.pop("strict")
    judge = Judge.asked(thresholds, junit)
    plan = plan_of(None, options)
    set_environment(plan.address)  # Ray reads it when it is imported
    from harness.analysis.target_comparison import summarise_targets, targets_template
    from harness.benchmarks.agent_scaling import parse_counts
    from harness.benchmarks.target_checks import check_targets
    from harness.benchmarks.target_comparison import TargetComparison
    from harness.benchmarks.target_settings import TargetSettings, parse_targets
    from harness.report.target_comparison import render_targets

    wanted = parse_targets(named)
    installed, left_out = _installed(wanted)
    for sentence in left_out.values():
        say(sentence)
    if left_out and (strict or not installed):
        raise RunFailedError("not every target is installed" if installed else "no target is left")
    settings = TargetSettings(
        targets=installed,
        counts=parse_counts(counts),
        volumes=parse_volumes(volumes) if volumes.strip() else (),
        **given,
    )
    judge.check(
        targets_template(run_template(), settings.targets, settings.counts, settings.volumes)
    )
    if out is not None:
        check_out(out)
    comparison = TargetComparison(plan, settings, left_out)
    comparison.check()
    largest = comparison.plan_of(settings.targets[0], settings.counts[-1])
    described = {
        "plan": largest.as_dict() | {"target": ", ".join(settings.targets)},
        "seed": plan.seed,
        "bench": settings.as_dict(),
        "left_out": comparison.left_out(),
    }

    def steps(bench: Bench) -> None:
        if not skip_check:
            check_targets(bench, settings.targets, plan)
        comparison.measure(bench)

    return measure_in_steps(
        COMMAND,
        plan.address,
        out,
        as_json=as_json,
        settings=described,
        steps=steps,
        summarise=summarise_targets,
        render=render_targets,
        judge=judge,
    )


def _installed(wanted: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, str]]:
    """The targets that can be driven here, and of each other one a sentence that says why not.

    Raises:
        UsageError: a name or an option of one is wrong.
    """
    from harness.targets import load_target

    installed: list[str] = []
    left_out: dict[str, str] = {}
    for target in wanted:
        try:
            load_target(target)
            installed.append(target)
        except NotInstalledError as error:
            left_out[target] = f"{error.problem}; it is left out"
        except UsageError as error:
            raise UsageError("--targets", error.problem) from None
    return tuple(installed), left_out

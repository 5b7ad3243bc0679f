"""``harness bench all``: the three benchmarks, one after the other, into one directory."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands.bench_agents import agents
from harness.commands.bench_memory import memory, parse_volumes
from harness.commands.bench_resources import resources
from harness.commands.benchmarking import of_disk
from harness.commands.measuring import say
from harness.commands.options import OUTPUT_OPTIONS, plan_options, with_options
from harness.commands.report import make_report
from harness.commands.watching import watched
from harness.errors import HarnessError, UsageError

if TYPE_CHECKING:
    from harness.benchmarks.bench_directory import BenchDirectory
    from harness.rundir import Status

__all__ = ["every"]

# The options of a plan that all three take.
_SHARED = (
    *("target", "seed", "shards", "dimension", "durability"),
    *("memory_limit_bytes", "data_dir", "address", "sample_interval_s", "deadline_s"),
)
# Which exit code stands for several: an interrupt, a failure, wrong usage, INVALID, a breach.
_WORST = (130, 1, 2, 4, 3)
_STATUS: dict[int, Status] = {0: "complete", 3: "complete", 4: "invalid", 130: "interrupted"}


def _shared_options() -> list[Any]:
    from dataclasses import fields

    from harness.plan import RunPlan

    others = {field.name for field in fields(RunPlan)} - set(_SHARED)
    return plan_options(without={*others, "plan_file"})


@click.command(name="all")
@click.option("--counts", help="Of agents, for the benchmark of agents.")
@click.option("--repeats", type=int, help="Of each count.")
@click.option("--step-duration", "step_duration_s", type=float, help="Seconds of each count.")
@click.option("--baseline", type=click.Choice(["threads"]), help="Beside each count.")
@click.option("--volumes", help="Of memories, for the benchmark of memories.")
@click.option("--duration", "duration_s", type=float, help="Seconds of the load on resources.")
@click.option("--rate", type=float, help="Operations a second of that load.")
@with_options(_shared_options())
@with_options(OUTPUT_OPTIONS)
@click.pass_context
def every(context: click.Context, /, out: Path | None, as_json: bool, **options: Any) -> int:
    """Run the three benchmarks, one after the other, into one directory."""
    from harness.benchmarks.bench_directory import BenchDirectory

    given = {name: value for name, value in options.items() if value is not None}
    _check(given)
    existed = out is not None and out.exists()
    directory = BenchDirectory.create(out, "bench-all")
    _describe(directory, given)
    codes: list[int] = []
    try:
        with watched("bench-all", directory.path) as watching:
            _carry_out(context, given, directory.path, codes, quiet=as_json)
            code = next((one for one in _WORST if one in codes), 0)
            try:
                summary = _sum_up(directory, code)
            except OSError as error:
                if not as_json:
                    click.echo(directory.path)
                raise of_disk(error, directory.path) from error
            if as_json:
                click.echo((directory.path / "summary.json").read_text(), nl=False)
            else:
                click.echo(directory.path)
            watching.finish(_status(code), summary, directory.path)
    except UsageError:
        if not codes:  # nothing was measured: leave things as they were
            shutil.rmtree(directory.path, ignore_errors=True)
            if existed:
                directory.path.mkdir(exist_ok=True)
        else:
            _sum_up(directory, 2)
        raise
    return code


def _carry_out(
    context: click.Context, given: dict[str, Any], path: Path, codes: list[int], *, quiet: bool
) -> None:
    """Run the three one after the other, and note their exit codes, until one is interrupted."""
    try:
        for command in (agents, memory, resources):
            own = {one.name for one in command.params}
            settings = {name: value for name, value in given.items() if name in own}
            settings["out"] = path / str(command.name)
            codes.append(_carried_out(context, command, settings, quiet=quiet))
            if codes[-1] == 130:
                break
    except KeyboardInterrupt:
        codes.append(130)


def _check(given: dict[str, Any]) -> None:
    """Refuse what one of the three would refuse, before the first begins."""
    from harness.benchmarks.agent_scaling import AgentScaling, parse_counts
    from harness.plan import RunPlan

    plan = RunPlan(**{name: given[name] for name in _SHARED if name in given})
    own = {
        name: given[name] for name in ("repeats", "step_duration_s", "baseline") if name in given
    }
    AgentScaling(plan=plan, counts=parse_counts(given.get("counts", "1")), **own)
    if "volumes" in given:
        parse_volumes(given["volumes"])
    RunPlan(**{name: given[name] for name in ("rate", "duration_s") if name in given})


def _describe(directory: BenchDirectory, given: dict[str, Any]) -> None:
    import harness
    from harness.hosts import harness_commit, host_facts

    host = host_facts()
    directory.describe(
        hosts=[host],
        versions={"harness": harness.__version__, **host["packages"]},
        commit=harness_commit(),
        bench=given,
    )


def _carried_out(
    context: click.Context, command: click.Command, settings: dict[str, Any], *, quiet: bool
) -> int:
    """Run a benchmark; its exit code. One that fails leaves the others to be run."""
    try:
        with _silence() if quiet else contextlib.nullcontext():
            code: int = context.invoke(command, **settings) or 0
    except UsageError:
        raise
    except HarnessError as error:
        say(f"bench {command.name}: {error}")
        return 1
    return code


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
    ):
        yield


def _status(code: int) -> Status:
    return _STATUS.get(code, "failed")


def _sum_up(directory: BenchDirectory, code: int) -> dict[str, Any]:
    """Write what the three came to, and the report; the summary."""
    from harness.analysis.joined import join_summaries

    summary = join_summaries(directory.path)
    directory.update_status(_status(code), duration_s=summary["duration_s"])
    directory.write_summary(summary)
    make_report(directory.path)
    return summary

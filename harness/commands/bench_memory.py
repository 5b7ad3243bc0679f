"""``harness bench memory``: what a store does as its memories become many."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands.benchmarking import measure_in_steps
from harness.commands.judging import Judge
from harness.commands.options import (
    OUTPUT_OPTIONS,
    THRESHOLD_OPTIONS,
    plan_of,
    plan_options,
    with_options,
)
from harness.errors import RunDirectoryError, UsageError
from harness.plan import RunPlan, option_name

if TYPE_CHECKING:
    from harness.benchmarks.bench import Bench
    from harness.benchmarks.bench_directory import BenchDirectory
    from harness.benchmarks.memory_settings import MemorySettings

__all__ = ["COMMAND", "memory"]

COMMAND = "bench-memory"
_AGENTS = 1
# What agents do when they live as in a run, or what a benchmark that goes on cannot have.
_NOT_OURS = (
    *("workload", "mix", "trace", "preload", "rounds", "duration_s", "whole_rounds", "warmup_s"),
    *(
        "agents",
        "pipelining",
        "think_time_s",
        "ramp_s",
        "rate",
        "arrival",
        "agents_per_task",
        "record",
        "plan_file",
    ),
)
# What may be told anew when a benchmark goes on, since it changes nothing that is measured.
_FREE = frozenset({"address", "keep_data"})


@click.command()
@click.option(
    "--volumes",
    metavar="N,N,...",
    help="Memories at which to measure.  [1000,10000,100000,1000000]",
)
@click.option("--probes", type=int, help="Stores at each volume, and retrieves.  [10000]")
@click.option("--searches", type=int, help="Searches at each, and across tiers.  [1000]")
@click.option("--k", type=int, help="Hits of a search.  [10]")
@click.option("--agents", type=int, help="Over which memories are spread.  [1]")
@with_options(plan_options(without=_NOT_OURS))
@with_options(THRESHOLD_OPTIONS)
@with_options(OUTPUT_OPTIONS)
def memory(
    out: Path | None,
    as_json: bool,
    volumes: str | None,
    thresholds: tuple[str, ...],
    junit: Path | None,
    **options: Any,
) -> int:
    """Measure a store at volumes of memories, from none to a million.

    One agent by default (--agents spreads the memories over more). With --out of a benchmark
    that was stopped it goes on there: volumes that are done are not measured again.
    """
    given = {name: options.pop(name) for name in ("probes", "searches", "k")}
    given = {name: value for name, value in given.items() if value is not None}
    if volumes is not None:
        given["volumes"] = parse_volumes(volumes)
    judge = Judge.asked(thresholds, junit)
    with _reopened(out) as directory:
        return _measure(directory, out, options, given, judge, as_json=as_json)


def parse_volumes(text: str) -> tuple[int, ...]:
    """Volumes from ``1000,10000``; ``10_000`` and ``1e6`` are numbers too.

    Raises:
        UsageError: a part is no whole number, or comes twice.
    """
    found = []
    for part in text.split(","):
        try:
            value = float(part)
        except ValueError:
            raise UsageError(
                "--volumes", f"{part.strip()!r} is no number; give 1000,10000"
            ) from None
        if not value.is_integer():
            raise UsageError("--volumes", f"{part.strip()!r} is no whole number")
        if int(value) in found:
            raise UsageError("--volumes", f"names {int(value)} twice; name each volume once")
        found.append(int(value))
    return tuple(found)


@contextmanager
def _reopened(out: Path | None) -> Iterator[BenchDirectory | None]:
    """The directory of a benchmark that goes on, held against a second that would; else None."""
    if out is None or not (out / "run.json").is_file():
        yield None
        return
    from harness.benchmarks.bench_directory import BenchDirectory, open_bench

    with _held(out):
        try:
            status = open_bench(out).run.get("status")
        except RunDirectoryError as error:
            raise UsageError("--out", f"{error}; name a new folder or an empty one") from None
        if status == "complete":
            raise UsageError("--out", f"{out} is complete; name a new folder or an empty one")
        yield BenchDirectory.reopen(out, COMMAND)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a bench directory, so that no second command goes on in it meanwhile."""
    with (folder / ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError("--out", f"another command is at work in {folder}") from None
        yield


def _measure(
    reopened: BenchDirectory | None,
    out: Path | None,
    options: Mapping[str, Any],
    given: Mapping[str, Any],
    judge: Judge,
    *,
    as_json: bool,
) -> int:
    from harness.rundir import check_out

    plan, settings = _asked(reopened, options, given)
    from harness.ray_session import set_environment

    set_environment(plan.address)  # Ray reads it when it is imported
    from harness.analysis.memory_scaling import memory_template, summarise_memory_scaling
    from harness.benchmarks.memory_scaling import measure
    from harness.report.memory_scaling import render_memory_scaling
    from harness.runner import prepare

    if reopened is None and out is not None:
        check_out(out)
    prepared = prepare(plan)
    if prepared.target.agents_are_threads:
        raise UsageError("--target", f"{plan.target} is for agents that are threads; take embedded")
    if settings.volumes[0] < prepared.agents:
        raise UsageError("--agents", f"is more than the {settings.volumes[0]:,} of --volumes")
    judge.check(memory_template(settings.volumes))
    done = [] if reopened is None else reopened.step_names

    def steps(bench: Bench) -> None:
        with _held(bench.directory.path) if reopened is None else nullcontext():
            measure(bench, prepared, settings, _databases(bench, plan), done)

    return measure_in_steps(
        COMMAND,
        plan.address,
        out,
        as_json=as_json,
        settings={"plan": plan.as_dict(), "bench": settings.as_dict()},
        steps=steps,
        summarise=summarise_memory_scaling,
        render=render_memory_scaling,
        reopened=reopened,
        goes_on=True,
        judge=judge,
    )


def _asked(
    reopened: BenchDirectory | None, options: Mapping[str, Any], given: Mapping[str, Any]
) -> tuple[RunPlan, MemorySettings]:
    """What is to be measured: as told, or as the benchmark that goes on was told.

    Raises:
        UsageError: what was told contradicts what was begun.
    """
    from harness.benchmarks.memory_settings import MemorySettings

    told = {name: value for name, value in options.items() if value is not None}
    if reopened is None:
        return plan_of(None, {"agents": _AGENTS, **told}), MemorySettings(**given)
    run = reopened.run
    begun, bench = run.get("plan"), run.get("bench")
    if not isinstance(begun, dict) or not isinstance(bench, dict):
        raise UsageError("--out", f"{reopened.path} does not say what it was to measure")
    try:
        before = RunPlan(**begun)
        settings = MemorySettings(**bench)
    except TypeError as error:
        raise UsageError("--out", f"{reopened.path} cannot go on: {error}") from None
    _check_target(before.target, told.get("target"))
    plan = RunPlan(**{**before.as_dict(), **told})
    for name, value in plan.as_dict().items():
        if name not in _FREE and value != before.as_dict()[name]:
            was = before.as_dict()[name]
            raise UsageError(option_name(name), f"was {was} when {reopened.path} was begun")
    wanted = MemorySettings(**{**bench, **given})
    for name, now in wanted.as_dict().items():
        if now != settings.as_dict()[name]:
            was = settings.as_dict()[name]
            raise UsageError(option_name(name), f"was {was} when {reopened.path} was begun")
    return plan, settings


def _check_target(recorded: str, told: str | None) -> None:
    """What a file names is not loaded by its place, unless the caller names it too."""
    from harness.targets import BUILT_IN

    if recorded not in BUILT_IN and told is None:
        raise UsageError("--target", f"was {recorded} when it was begun: name it again")


def _databases(bench: Bench, plan: RunPlan) -> Path:
    """The folder of the store: in the bench directory, or one of its name elsewhere."""
    path = bench.directory.path.resolve()
    return path / "data" if plan.data_dir is None else Path(plan.data_dir).resolve() / path.name

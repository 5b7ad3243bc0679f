"""What commands do that measure in several steps: around `harness.benchmarks.bench.carry_out`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands.judging import Judge
from harness.commands.measuring import say, stop_on_signals
from harness.commands.report import make_report
from harness.errors import HarnessError, UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from harness.benchmarks.bench import Bench
    from harness.benchmarks.bench_directory import BenchDirectory
    from harness.runner import Outcome

__all__ = ["measure_in_steps"]


def measure_in_steps(  # noqa: PLR0913 - what a benchmark is made of, each by its name
    command: str,
    address: str,
    out: Path | None,
    *,
    as_json: bool,
    settings: dict[str, Any],
    steps: Callable[[Bench], None],
    summarise: Callable[[Path], dict[str, Any]],
    render: Callable[[dict[str, Any]], RenderableType],
    judge: Judge | None = None,
    reopened: BenchDirectory | None = None,
) -> int:
    """Carry a benchmark out, print what it says and where it is; its exit code.

    Call `harness.ray_session.set_environment` before anything that loads Ray, and check the
    plans of all steps (`harness.runner.prepare`) before this.

    Args:
        command: the name in the directory's name and in ``run.json``, such as ``bench-agents``.
        address: of the Ray cluster.
        out: the directory, or None for one under ``runs``.
        as_json: print the summary as JSON instead.
        settings: for ``run.json``: the plan of the steps, and what the benchmark was told.
        steps: as `carry_out`.
        summarise: as `carry_out`.
        render: makes of the summary what is shown in the terminal.
        judge: judges by thresholds that were asked for; check them before this.
        reopened: the directory of a benchmark that goes on, in the place of a new one.

    Raises:
        UsageError: nothing was measured; no directory is left, but one that went on.
        RunFailedError: a step could not be measured.
    """
    import harness
    from harness.benchmarks.bench import carry_out
    from harness.benchmarks.bench_directory import BenchDirectory
    from harness.hosts import harness_commit, host_facts
    from harness.report.live import live_view
    from harness.runner import StopRequest

    judge = judge or Judge(thresholds=(), junit=None)
    existed = out is not None and out.exists()
    directory = reopened or BenchDirectory.create(out, command)
    host = host_facts()
    versions = {"harness": harness.__version__, **host["packages"]}
    directory.describe(
        hosts=[host], versions=versions, commit=harness_commit(), arguments=sys.argv[1:]
    )
    directory.describe(**settings)
    stop = StopRequest()
    try:
        with stop_on_signals(stop), live_view() as view:
            outcome = carry_out(directory, address, view, stop, steps, summarise)
    except UsageError:  # nothing was measured: leave things as they were
        if reopened is None:
            shutil.rmtree(directory.path, ignore_errors=True)
            if existed:
                directory.path.mkdir(exist_ok=True)
        raise
    except (HarnessError, KeyboardInterrupt) as error:
        judge.tell_failure(directory.path, str(error) or "The benchmark was interrupted.")
        if not as_json:
            click.echo(directory.path)
        raise
    outcome = judge.judge(directory, outcome)
    for problem in outcome.problems:
        say(problem)
    make_report(directory.path)
    if as_json:
        click.echo((directory.path / "summary.json").read_text(), nl=False)
        judge.say_breaches(outcome)
    else:
        _print(render(outcome.summary), outcome, directory.path)
    return judge.finish(directory.path, outcome)


def _print(shown: RenderableType, outcome: Outcome, path: Path) -> None:
    """Print the summary as it was laid out, the thresholds, and the directory's name."""
    from rich.console import Console

    from harness.report.thresholds import render_thresholds

    console = Console(highlight=False)
    console.print(shown)
    if outcome.summary.get("thresholds"):
        console.print()
        console.print(render_thresholds(outcome.summary["thresholds"]))
    click.echo()
    click.echo(path)

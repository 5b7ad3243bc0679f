"""What commands do that measure in several steps: around `harness.benchmarks.bench.carry_out`."""

from __future__ import annotations

import contextlib
import errno
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands.concluding import conclude, discard
from harness.commands.judging import Judge
from harness.commands.measuring import stop_on_signals
from harness.commands.watching import watched
from harness.errors import HarnessError, RunFailedError, UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from harness.benchmarks.bench import Bench
    from harness.benchmarks.bench_directory import BenchDirectory
    from harness.runner import Outcome

__all__ = ["measure_in_steps", "of_disk"]

_FULL = (errno.ENOSPC, errno.EDQUOT)


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
    goes_on: bool = False,
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
        goes_on: one that was stopped goes on with ``--out``.

    Raises:
        UsageError: nothing was measured; no directory is left, but one that went on.
        RunFailedError: a step could not be measured, or a disk is full.
    """
    import harness
    from harness.benchmarks.bench import carry_out
    from harness.benchmarks.bench_directory import BenchDirectory
    from harness.hosts import harness_commit, host_facts
    from harness.live.terminal import live_view
    from harness.live.view import Views
    from harness.report.thresholds import render_thresholds
    from harness.runner import StopRequest

    judge = judge or Judge(thresholds=(), junit=None)
    existed = out is not None and out.exists()
    directory = reopened or BenchDirectory.create(out, command)
    stop = StopRequest()

    def shown(outcome: Outcome) -> Iterator[RenderableType]:
        yield render(outcome.summary)
        if outcome.summary.get("thresholds"):
            yield render_thresholds(outcome.summary["thresholds"])

    with _failures_told(directory.path, judge, settings, as_json=as_json, goes_on=goes_on):
        host = host_facts()
        versions = {"harness": harness.__version__, **host["packages"]}
        directory.describe(
            hosts=[host], versions=versions, commit=harness_commit(), arguments=sys.argv[1:]
        )
        directory.describe(**settings)
        try:
            with watched(command, directory.path) as watching:
                with stop_on_signals(stop), live_view() as terminal:
                    view = Views([terminal, watching])
                    outcome = carry_out(directory, address, view, stop, steps, summarise)
                code = conclude(directory, outcome, judge, watching, shown, as_json=as_json)
        except UsageError:  # nothing was measured: leave things as they were
            if reopened is None:
                discard(directory.path, existed=existed)
            raise
    return code


@contextlib.contextmanager
def _failures_told(
    path: Path, judge: Judge, settings: Mapping[str, Any], *, as_json: bool, goes_on: bool
) -> Iterator[None]:
    """Print where a benchmark that failed has left what it measured, and write its JUnit file."""
    try:
        yield
    except (UsageError, BrokenPipeError):
        raise
    except (HarnessError, KeyboardInterrupt, OSError) as error:
        failure: BaseException = error
        if isinstance(error, OSError):
            plan = settings.get("plan", {})
            failure = of_disk(error, path, plan.get("data_dir"), goes_on=goes_on)
        judge.tell_failure(path, str(failure) or "The benchmark was interrupted.")
        if not as_json:
            click.echo(path)
        if failure is error:
            raise
        raise failure from error


def of_disk(
    error: OSError, path: Path, data_dir: str | None = None, *, goes_on: bool = False
) -> RunFailedError:
    """What the file system refused a benchmark, in a sentence that says where and what to do.

    Args:
        error: names no file where a write failed.
        path: of the bench directory.
        data_dir: where the store works, if elsewhere.
        goes_on: the benchmark goes on with ``--out``.
    """
    reason = error.strerror or str(error)
    named = error.filename if isinstance(error.filename, str) else None
    kept = f"what was measured is in {path}"
    if goes_on:
        kept = f"the same command with --out {path} goes on"
    if error.errno not in _FULL:
        return RunFailedError(f"{named or path}: {reason}; {kept}")
    place = Path(named).parent if named else _fullest([path, data_dir, tempfile.gettempdir()])
    return RunFailedError(f"the disk of {place} is full ({reason}): make room there; {kept}")


def _fullest(places: list[Path | str | None]) -> Path:
    """Of the places that there are, the first with the least room."""
    room: dict[Path, int] = {}
    for place in places:
        with contextlib.suppress(OSError):
            if place is not None:
                room[Path(place)] = shutil.disk_usage(place).free
    return min(room, key=room.__getitem__, default=Path(str(places[0])))

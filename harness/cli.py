"""The command ``harness``: parse, build a plan, call one function, map errors to exit codes.

Exit codes: 0 done; 1 failed; 2 wrong usage; 4 the run is INVALID; 130 interrupted. Progress goes
to standard error; the last line on standard output is the run directory, or with ``--json`` the
summary is all there is.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import harness
from harness.errors import HarnessError, RunDirectoryError, UsageError
from harness.plan import ARRIVALS, DURABILITIES, WORKLOADS, RunPlan
from harness.plan_file import load_plan
from harness.store_commands import store

if TYPE_CHECKING:
    from harness.runner import Outcome, StopRequest

__all__ = ["main"]

# What click 8.2 and later raise for a command without a word after it; it carries the help.
_HELP_WANTED: tuple[type[Exception], ...] = tuple(
    kind for kind in [getattr(click.exceptions, "NoArgsIsHelpError", None)] if kind is not None
)
_EXIT = {"complete": 0, "failed": 1, "invalid": 4, "interrupted": 130}


def main() -> None:
    """The entry point: runs the command and exits."""
    try:
        code = _command.main(standalone_mode=False) or 0
    except click.exceptions.Abort:
        code = 130
    except KeyboardInterrupt:
        _say("interrupted")
        code = 130
    except click.ClickException as error:
        if isinstance(error, _HELP_WANTED):
            error.show()
        else:
            _say(_sentence(error))
        code = 2
    except (UsageError, RunDirectoryError) as error:
        _say(str(error))
        code = 2
    except HarnessError as error:
        _say(str(error))
        code = 1
    except BrokenPipeError:
        # whoever read our output has gone; there is nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as error:
        _say(f"{error.filename or 'the system'}: {error.strerror or error}")
        code = 1
    sys.exit(code)


def _sentence(error: click.ClickException) -> str:
    """What click refuses, as we say it: the option, and what is wrong with it."""
    if isinstance(error, click.BadParameter) and error.param is not None and error.message:
        return f"{error.param.opts[-1]}: {error.message}"
    return error.format_message()


def _say(text: str) -> None:
    click.echo(f"harness: {' '.join(text.split())}", err=True)


@click.group(
    name="harness",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(harness.__version__, prog_name="harness", message="%(prog)s %(version)s")
def _command() -> None:
    """A load harness for agent memories: how many agents does a store carry, and at what cost?"""


def _switch(name: str, text: str) -> Callable[[Any], Any]:
    return click.option(name, type=click.Choice(["on", "off"]), default=None, help=text)


_PLAN_OPTIONS: list[Callable[[Any], Any]] = [
    click.option("--agents", type=int, help="Concurrent agents.  [500, or the trace's own number]"),
    click.option(
        "--target", help="The store that is driven; see `harness targets`.  [memory_core]"
    ),
    click.option("--workload", help=f"What an agent does: {', '.join(WORKLOADS)}.  [standard]"),
    click.option("--rounds", type=int, help="Rounds of each agent.  [20]"),
    click.option("--duration", "duration_s", type=float, help="Seconds to measure, instead."),
    click.option("--warmup", "warmup_s", type=float, help="Seconds that do not count.  [0]"),
    click.option("--seed", type=int, help="The operations follow from it.  [1]"),
    click.option("--mix", help="Draw operations by weight: store=1,retrieve=8,search=1."),
    click.option("--think-time", "think_time_s", type=float, help="Pause after each operation, s."),
    click.option("--ramp", "ramp_s", type=float, help="Seconds over which agents start.  [0]"),
    click.option("--rate", type=float, help="Offer this many operations a second (open loop)."),
    click.option("--arrival", help=f"How they are spaced: {' or '.join(ARRIVALS)}.  [constant]"),
    click.option("--trace", help="File of recorded states that the agents replay."),
    click.option("--shards", type=int, help="Shards of the store.  [one a core]"),
    click.option("--agents-per-task", type=int, help="Agents in one Ray task.  [chosen]"),
    _switch("--pipelining", "off: one actor call an operation.  [on]"),
    click.option("--dimension", type=int, help="Length of the vectors.  [64]"),
    click.option("--durability", help=f"{' or '.join(DURABILITIES)}.  [fsync]"),
    click.option(
        "--memory-limit",
        "memory_limit_bytes",
        type=int,
        help="Bytes that a shard may hold in memory.  [no bound]",
    ),
    click.option("--data-dir", help="Folder for the databases.  [in the run directory]"),
    click.option("--keep-data", is_flag=True, default=None, help="Leave the databases there."),
    click.option(
        "--address",
        envvar="RAY_ADDRESS",
        help="Ray cluster, host:port.  [$RAY_ADDRESS, else a Ray of our own]",
    ),
    _switch("--record", "off: no rows and no samples, only totals.  [on]"),
    click.option("--sample-interval", "sample_interval_s", type=float, help="Seconds.  [0.2]"),
    click.option("--deadline", "deadline_s", type=float, help="An operation fails after, s.  [30]"),
    click.option(
        "--plan",
        "plan_file",
        type=click.Path(path_type=Path),
        help="TOML file with any of these options, or an earlier run's directory to repeat.",
    ),
]
_OUTPUT_OPTIONS: list[Callable[[Any], Any]] = [
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        help="Run directory, new or empty.  [runs/<UTC time>-<command>]",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON instead."),
]


def _with(options: list[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


@_command.command()
@_with(_PLAN_OPTIONS)
@_with(_OUTPUT_OPTIONS)
def run(plan_file: Path | None, out: Path | None, as_json: bool, **options: Any) -> int:
    """Let concurrent agents drive a store, and say how that went."""
    plan = _plan_of(plan_file, options)
    return _measure(plan, out, as_json)


@_command.command()
def targets() -> int:
    """List the stores that can be driven."""
    from harness.targets import BUILT_IN, load_target

    width = max(map(len, BUILT_IN))
    for name in BUILT_IN:
        click.echo(f"{name:{width}}  {load_target(name).description}")
    return 0


_command.add_command(store)


def _plan_of(plan_file: Path | None, options: dict[str, Any]) -> RunPlan:
    given = {name: value for name, value in options.items() if value is not None}
    for name in ("pipelining", "record"):
        if name in given:
            given[name] = given[name] == "on"
    if isinstance(given.get("trace"), str) and given["trace"]:
        given["trace"] = str(Path(given["trace"]).absolute())
    if plan_file is None:
        return RunPlan(**given)
    return load_plan(plan_file, given)


def _measure(plan: RunPlan, out: Path | None, as_json: bool) -> int:
    from harness.ray_session import set_environment
    from harness.report.live import live_view
    from harness.rundir import RunDirectory, check_out

    set_environment(plan.address)  # Ray reads it when it is imported
    from harness.runner import StopRequest, prepare
    from harness.runner import run as carry_out

    if out is not None:
        check_out(out)
    out_existed = out is not None and out.exists()
    prepared = prepare(plan)
    directory = RunDirectory.create(out, "run")
    stop = StopRequest()
    try:
        with _stop_on_signals(stop), live_view() as view:
            outcome = carry_out(prepared, directory, view, stop)
    except UsageError:  # nothing was measured: leave things as they were
        shutil.rmtree(directory.path, ignore_errors=True)
        if out_existed:
            directory.path.mkdir(exist_ok=True)
        raise
    except (HarnessError, KeyboardInterrupt):
        if not as_json:
            click.echo(directory.path)
        raise
    _print_outcome(outcome, directory.path, as_json)
    return _EXIT[outcome.status]


def _print_outcome(outcome: Outcome, path: Path, as_json: bool) -> None:
    for problem in outcome.problems:
        _say(problem)
    if as_json:
        click.echo((path / "summary.json").read_text(), nl=False)
        return
    from rich.console import Console

    from harness.report.terminal import render_summary
    from harness.rundir_reader import open_run

    Console(highlight=False).print(render_summary(outcome.summary, open_run(path).run))
    click.echo()
    click.echo(path)


@contextlib.contextmanager
def _stop_on_signals(stop: StopRequest) -> Iterator[None]:
    """The first Ctrl-C, SIGTERM or hang-up asks for the end, the next insists."""

    def ask(_signal: int, _frame: object) -> None:
        if stop.requested:
            raise KeyboardInterrupt
        stop.set()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup leaves it
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

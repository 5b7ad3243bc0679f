"""``harness runs``: which runs there are under a folder, and how one figure went over them.

Exit codes: 0 listed, also where there is nothing to list; 2 wrong usage, which a figure that no
summary has is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands.history_folder import MOMENT_OPTIONS, found_below, moments, print_lines
from harness.commands.judging import run_template
from harness.commands.options import with_options
from harness.commands.runs_trend import trend
from harness.errors import RunDirectoryError, UsageError

if TYPE_CHECKING:
    from harness.history.listed_run import ListedRun

__all__ = ["runs"]

_LIST = "list"


class _Runs(click.Group):
    """A group whose first command need not be named: `harness runs FOLDER` lists."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the name of the first command in, unless another is named or help is asked for."""
        named = args[0] if args else ""
        if named not in self.commands and named not in ctx.help_option_names:
            args = [_LIST, *args]
        return super().parse_args(ctx, args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show how it is used without a name."""
        formatter.write_usage(ctx.command_path, "[FOLDER] [OPTIONS]")
        formatter.write_usage(ctx.command_path, "trend --metric FIGURE [FOLDER] [OPTIONS]")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the options of the list."""
        self.commands[_LIST].format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


@click.group(cls=_Runs)
def runs() -> None:
    """List the runs and benchmarks under a folder, the newest first.

    FOLDER is `runs` unless it is named, and is looked through with all that is below it. Of each:
    its directory, when it began, command, target, agents, throughput, p99 of the response time (of
    a benchmark of agents those of its largest number), status, and the hash of its plan, which is
    the same for all runs that were asked to do the same, on whichever machine. A folder named
    `trend` is given as ./trend.
    """


@runs.command(_LIST, hidden=True)
@click.argument("folder", metavar="[FOLDER]", type=click.Path(path_type=Path), required=False)
@click.option(
    "--command",
    "commands",
    multiple=True,
    help="Only of this command: run, bench-agents ..., bench for every benchmark, capacity. Like "
    "--status and --target it may be given several times: any of them.",
)
@click.option(
    "--status",
    "statuses",
    multiple=True,
    help="Only of this status: complete, running, interrupted, failed, invalid, killed; damaged, "
    "newer and unreadable are those that could not be read.",
)
@click.option(
    "--target", "targets", multiple=True, help="Only of this target, with or without its settings."
)
@click.option("--plan", "plan", default="", help="Only of the plan whose hash begins like this.")
@with_options(MOMENT_OPTIONS)
@click.option(
    "--where",
    "conditions",
    multiple=True,
    metavar="FIGURE<LIMIT",
    help="Only where a figure of the summary keeps to this: 'search.p99_ms<20'. May be given "
    "several times: all of them.",
)
@click.option(
    "--sort",
    default="started",
    show_default=True,
    help="Order by started, name, command, target, agents, throughput, p99, duration, status, "
    "plan, or any figure of the summary (search.p99_ms): the newest, or the smallest, first.",
)
@click.option("--reverse", "is_reversed", is_flag=True, help="The other way round.")
@click.option("--limit", type=click.IntRange(min=1), help="Show so many at most.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print a JSON array instead, with whole summaries."
)
def list_runs(folder: Path | None, as_json: bool, conditions: tuple[str, ...], **asked: Any) -> int:
    """List the runs and benchmarks under a folder, the newest first."""
    from harness.analysis.thresholds import parse_threshold
    from harness.history import read_all
    from harness.history.listed_run import LISTED_STATUSES
    from harness.history.selection import Selection, select

    unknown = [one for one in asked["statuses"] if one not in LISTED_STATUSES]
    if unknown:
        raise UsageError("--status", f"{unknown[0]!r} is none; choose {', '.join(LISTED_STATUSES)}")
    asked["since"], asked["until"] = moments(asked["since"], asked["until"])
    selection = Selection(
        conditions=[parse_threshold(one, "--where") for one in conditions], **asked
    )
    place, found = found_below(folder)
    selected = select(read_all(found, place), selection, run_template)
    if as_json:
        _print_json(selected.runs)
        return 0
    from harness.report.run_list import run_list_lines

    total = len(found.runs) + len(found.unread)
    print_lines(run_list_lines(selected, total, place, selection.paths))
    return 0


def _print_json(listed: list[ListedRun]) -> None:
    """Print an array, one run after the other: no two summaries are held at once."""
    click.echo("[", nl=False)
    for place, run in enumerate(listed):
        # in ASCII: a folder's name need not be text
        text = _text(run).replace("\n", "\n  ")
        click.echo(f"{',' if place else ''}\n  {text}", nl=False)
    click.echo("\n]" if listed else "]")


def _text(run: ListedRun) -> str:
    from dataclasses import replace

    from harness.rundir import RUN_FILE, SUMMARY_FILE

    run_path, summary_path = run.path / RUN_FILE, run.path / SUMMARY_FILE
    try:
        return _json(run, _whole(run_path), _whole(summary_path))
    except RecursionError:  # nested deeper than what we write: without what may be
        return _json(replace(run, plan={}), None, None)


def _json(
    run: ListedRun, document: Mapping[str, Any] | None, summary: Mapping[str, Any] | None
) -> str:
    from dataclasses import asdict

    about = asdict(run)
    about["path"] = str(run.path)
    about["started"] = None if run.started is None else run.started.isoformat()
    return json.dumps(about | {"run": document, "summary": summary}, indent=2)


def _whole(path: Path) -> Mapping[str, Any] | None:
    """A document as it is; None where there is none, or none that can be read."""
    from harness.documents import read_document

    try:
        return read_document(path)
    except RunDirectoryError:
        return None


runs.add_command(trend)

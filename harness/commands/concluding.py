"""How a command that measures ends: it judges, says what came out, and where that is."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from harness.commands.judging import Judge
from harness.commands.measuring import say
from harness.commands.report import make_report

if TYPE_CHECKING:
    from rich.console import RenderableType

    from harness.live.view import View
    from harness.runner import Outcome

__all__ = ["conclude", "discard"]


class _Measured(Protocol):
    """The directory of a run or a benchmark."""

    @property
    def path(self) -> Path: ...

    def write_summary(self, summary: Mapping[str, Any]) -> None: ...


def conclude(
    directory: _Measured,
    outcome: Outcome,
    judge: Judge,
    watching: View,
    render: Callable[[Outcome], Iterable[RenderableType]],
    *,
    as_json: bool,
) -> int:
    """Judge what was measured, report it, print it, and end what was watched; the exit code.

    Args:
        directory: where it was measured into.
        outcome: what came out.
        judge: by thresholds that were asked for.
        watching: is told of the end last of all, when there is a report.
        render: makes of the outcome what is printed, above the directory's name.
        as_json: print the summary as JSON instead.
    """
    outcome = judge.judge(directory, outcome)
    for problem in outcome.problems:
        say(problem)
    make_report(directory.path)
    if as_json:
        click.echo((directory.path / "summary.json").read_text(), nl=False)
        judge.say_breaches(outcome)
    else:
        _print(render(outcome), directory.path)
    code = judge.finish(directory.path, outcome)
    watching.finish(outcome.status, outcome.summary, directory.path)
    return code


def _print(parts: Iterable[RenderableType], path: Path) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    for part in parts:
        console.print(part)
        click.echo()
    click.echo(path)


def discard(path: Path, *, existed: bool) -> None:
    """Remove a directory that nothing was measured into; if it was there before, its contents."""
    shutil.rmtree(path, ignore_errors=True)
    if existed:
        path.mkdir(exist_ok=True)

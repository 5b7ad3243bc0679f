"""``harness targets check``: whether a target does what it is asked, point by point.

Exit codes: 0 no point failed; 1 one did, or the store did not start; 2 there is no such target, or
it is not installed; 130 interrupted.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from collections.abc import Iterator

import click

from harness.commands.measuring import signals_handled
from harness.errors import UsageError

__all__ = ["check"]


@click.command()
@click.argument("name", metavar="NAME[:OPTIONS]")
@click.option(
    "--durability",
    type=click.Choice(["fsync", "os"]),
    default="fsync",
    help="What the store is asked for: on disk at acknowledgement, or with the system.  [fsync]",
)
@click.option("--dimension", type=click.IntRange(8, 65_536), default=64, help="Of vectors.  [64]")
@click.option("--seed", type=click.IntRange(0), help="Of what is stored and killed.  [random]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def check(name: str, durability: str, dimension: int, seed: int | None, as_json: bool) -> int:
    """Check what a target keeps, finds and forgets, also when it is killed.

    NAME is as run's --target takes it: chroma, chroma:server=true, package.module:Class.
    """
    from harness.ray_session import LOCAL, set_environment

    set_environment(LOCAL)  # Ray reads it when it is imported
    from rich.console import Console

    from harness.conformance import Point, check_target
    from harness.report.conformance import conformance_heading, point_lines, render_conformance

    # named, since what is standard output is changed while Ray runs
    console = Console(file=sys.stdout, highlight=False)
    shown = 0

    def show(point: Point) -> None:
        nonlocal shown
        if not shown:
            console.print(conformance_heading(), soft_wrap=True)
        shown += 1
        console.print(point_lines(point, console.width), soft_wrap=True)

    try:
        with _ended_by_signals():
            found = check_target(
                name,
                durability=durability,
                dimension=dimension,
                seed=seed,
                seen=None if as_json else show,
            )
    except UsageError as error:
        field = "NAME" if error.field == "--target" else error.field
        raise UsageError(field, error.problem) from None
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2))
    else:
        console.print(render_conformance(found, console.width), soft_wrap=True)
    return 0 if found.passed else 1


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and a hang-up end the check as Ctrl-C does, with all that it started."""

    def interrupt(_signal: int, _frame: object) -> None:
        signal.raise_signal(signal.SIGINT)

    with signals_handled(interrupt, signal.SIGTERM):
        yield

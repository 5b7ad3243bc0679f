"""What the commands about past runs share: the folder, times that are asked for, and printing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands.measuring import say
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.history.directories import Found

__all__ = ["DEFAULT_FOLDER", "MOMENT_OPTIONS", "found_below", "moments", "print_lines"]

DEFAULT_FOLDER = Path("runs")
# What `moments` reads.
MOMENT_OPTIONS: list[Callable[[Any], Any]] = [
    click.option(
        "--since",
        help="Only what began then or later: a date, 2026-11-23 or 2026-11-23T14:00 (UTC), or an "
        "age such as 7d.",
    ),
    click.option("--until", help="Only what began before; of a date alone, before its end."),
]
# Lines are not broken where there is no terminal.
_PLAIN_CELLS = 1_000


def found_below(folder: Path | None) -> tuple[Path, Found]:
    """The folder that is meant, and the directories below it.

    Raises:
        UsageError: it was named and is no folder.
    """
    from harness.history.directories import DEPTH_MAX, FOLDERS_MAX, Found, find_directories

    place = DEFAULT_FOLDER if folder is None else folder
    try:
        is_there = place.exists()
        if is_there and not place.is_dir():
            raise UsageError("FOLDER", f"{place} is not a folder; name one that has runs in it")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError("FOLDER", f"{str(place)!r:.200} cannot be read ({reason})") from None
    if not is_there:
        if folder is not None:
            raise UsageError("FOLDER", f"{place} does not exist; name one that has runs in it")
        return place, Found()
    found = find_directories(place)
    if found.cut:
        say(
            f"{place} has more than {FOLDERS_MAX:,} folders, or more than {DEPTH_MAX} one below "
            "the other: not all were looked into; name one further down"
        )
    return place, found


def moments(since: str | None, until: str | None) -> tuple[datetime | None, datetime | None]:
    """What ``--since`` and ``--until`` say.

    Raises:
        UsageError: one says nothing that is a time.
    """
    from harness.history.selection import parse_moment

    now = datetime.now(UTC)
    begin = None if since is None else parse_moment(since, "--since", now=now)
    end = None if until is None else parse_moment(until, "--until", now=now, whole_day=True)
    return begin, end


def print_lines(lines: Iterable[Any]) -> None:
    """Print for a terminal; where there is none, plainly and in lines as long as it takes."""
    from rich.console import Console

    console = Console(highlight=False)
    if console.is_terminal:
        for line in lines:
            console.print(line)
        return
    plain = Console(highlight=False, width=_PLAIN_CELLS)
    with plain.capture() as captured:
        for line in lines:
            plain.print(line)
    for text in captured.get().splitlines():
        click.echo(text.rstrip())

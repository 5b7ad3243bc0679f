"""``harness doctor``: whether this machine is fit to measure on, with a remedy for what is not.

Exit codes: 0 nothing failed; 1 a check failed; 2 wrong usage.
"""

from __future__ import annotations

import dataclasses
import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from harness.doctor import Check

__all__ = ["doctor"]

_STYLES = {"ok": "green", "warning": "bold dark_orange3", "failed": "bold red"}
_VERDICT_WIDTH, _NAME_WIDTH = 9, 16
_WIDTH_MAX, _ROOM_MIN = 100, 20
_SCHEMA_VERSION = 1


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    help="Where runs would go.  [runs]",
)
@click.option(
    "--address",
    envvar="RAY_ADDRESS",
    default="local",
    help="Ray cluster, host:port.  [$RAY_ADDRESS, else a Ray of our own, which is started]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def doctor(out: Path, address: str, as_json: bool) -> int:
    """Check Python, packages, the machine and Ray; say what to do about what is not well."""
    from harness.ray_session import set_environment

    set_environment(address)  # Ray reads it when it is imported
    from rich.console import Console

    from harness.doctor import examine, worst

    console = Console(highlight=False)
    checks = []
    for check in examine(out, address):
        checks.append(check)
        if not as_json:
            _print(console, check)
    verdict = worst(checks)
    if as_json:
        found = [dataclasses.asdict(check) for check in checks]
        document = {"schema_version": _SCHEMA_VERSION, "verdict": verdict, "checks": found}
        click.echo(json.dumps(document, indent=2))
    else:
        _print_end(console, checks)
    return 1 if verdict == "failed" else 0


def _print(console: Console, check: Check) -> None:
    """One check: verdict, name, sentence; its remedy below."""
    from rich.text import Text

    from harness.report.figures import plain

    indent = 1 + _VERDICT_WIDTH + _NAME_WIDTH
    room = max(_ROOM_MIN, min(console.width, _WIDTH_MAX) - indent)
    head = Text(" ")
    head.append(check.verdict.ljust(_VERDICT_WIDTH), _STYLES[check.verdict])
    head.append(check.name.ljust(_NAME_WIDTH))
    paragraphs = [(plain(check.sentence), "")]
    if check.remedy is not None:
        paragraphs.append((f"Remedy: {plain(check.remedy)}", "bold"))
    for text, style in paragraphs:
        for line in textwrap.wrap(text, room, break_on_hyphens=False):
            head.append(line, style or None)
            console.print(head, soft_wrap=True)
            head = Text(" " * indent)


def _print_end(console: Console, checks: list[Check]) -> None:
    failed = sum(check.verdict == "failed" for check in checks)
    warnings = sum(check.verdict == "warning" for check in checks)
    words = "Nothing is in the way of measuring here."
    if failed:
        words = f"{failed} of {len(checks)} checks failed: runs here will fail, or mean little."
    elif warnings:
        words = f"Runs will do here; figures suffer from {_number(warnings)} of the above."
    console.print()
    console.print(f" {words}", style=_STYLES["failed"] if failed else None)


def _number(count: int) -> str:
    return "one" if count == 1 else str(count)

"""``harness compare``: what is better and what is worse than it was.

Exit codes: 0 compared; 2 wrong usage, which directories without a figure in common are; 3 with
``--fail-on-regression``, when a figure is worse by more than that.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands.measuring import say
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.analysis.comparison import Comparison

__all__ = ["HTML_FILE", "compare", "parse_limit"]

HTML_FILE = "comparison.html"
_REGRESSION = 3
_NAMED_MAX = 8


@click.command()
@click.argument("base", metavar="BASE")
@click.argument("new", metavar="NEW...", nargs=-1, required=True)
@click.option(
    "--fail-on-regression",
    "limit",
    metavar="CHANGE",
    help="Exit with 3 when a figure is worse by more than this with confidence: 10% or 0.1.",
)
@click.option(
    "--html",
    type=click.Path(path_type=Path),
    help=f"Where the page goes.  [{HTML_FILE} in the first NEW; with --json none]",
)
@click.option("--all", "every", is_flag=True, help="Show figures that do not differ, however many.")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON instead.")
def compare(
    base: str,
    new: tuple[str, ...],
    limit: str | None,
    html: Path | None,
    every: bool,
    as_json: bool,
) -> int:
    """Compare runs or benchmarks with BASE: ratios, how sure they are, better or worse.

    Each side is a run directory or a bench directory. Repeats of one plan are given as a folder
    that holds their directories, or joined with commas; from three of each side on, intervals
    tell how runs differ from one another. A benchmark's own repeats count as such.
    """
    from harness.analysis.comparison import compare as carry_out

    limit_ratio = None if limit is None else parse_limit(limit)
    comparison = carry_out([base, *new])
    page = _write_page(comparison, html, as_json)
    regressed = _regressed(comparison, limit_ratio)
    if as_json:
        _print_json(comparison, limit_ratio, regressed)
    else:
        _print_table(comparison, every, page)
    if not regressed:
        return 0
    named = ", ".join(regressed[:_NAMED_MAX])
    rest = f" and {len(regressed) - _NAMED_MAX} more" if len(regressed) > _NAMED_MAX else ""
    say(f"worse by more than {limit}: {named}{rest}")
    return _REGRESSION


def parse_limit(text: str) -> float:
    """Read a change as ``10%`` or ``0.1``.

    Raises:
        UsageError: it is neither, or not from 0% to under 100%.
    """
    matched = re.fullmatch(r"\s*(\d{1,9}(?:\.\d{1,9})?|\.\d{1,9})\s*(%?)\s*", text, re.ASCII)
    ratio = float(matched[1]) / (100 if matched[2] else 1) if matched else -1.0
    if not 0 <= ratio < 1:
        raise UsageError(
            "--fail-on-regression", f"{text!r} is no change from 0% to under 100%; write 10% or 0.1"
        )
    return ratio


def _regressed(comparison: Comparison, limit_ratio: float | None) -> list[str]:
    """The paths of the figures that are worse by more, with their side where there are several."""
    from harness.analysis.comparison import regressions

    if limit_ratio is None:
        return []
    several = len(comparison.against) > 1
    found = regressions(comparison, limit_ratio)
    return [f"{one.path} of {side}" if several else one.path for side, one in found]


def _write_page(comparison: Comparison, html: Path | None, as_json: bool) -> Path | None:
    """Write the page; one that was asked for has to be, the one by default may fail."""
    from harness.report.comparison_page import comparison_page

    if html is None and as_json:
        return None
    named = comparison.against[0]
    folder = Path(named.new) if Path(named.new).is_dir() else Path(named.repeats[0])
    place = folder / HTML_FILE if html is None else html
    try:
        place.write_text(comparison_page(comparison), encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        if html is not None:
            raise UsageError("--html", f"{place} cannot be written: {reason}") from None
        say(f"{place} cannot be written: {reason}; --html names another place")
        return None
    return place


def _print_table(comparison: Comparison, every: bool, page: Path | None) -> None:
    from rich.console import Console

    from harness.report.comparison import render_comparison

    Console(highlight=False).print(render_comparison(comparison, every=every))
    if page is not None:
        click.echo()
        click.echo(page)


def _print_json(comparison: Comparison, limit_ratio: float | None, regressed: list[str]) -> None:
    import msgspec

    from harness.schema import SCHEMA_VERSION

    document: dict[str, Any] = {"schema_version": SCHEMA_VERSION}
    document |= msgspec.to_builtins(comparison)
    if limit_ratio is not None:
        document["fail_on_regression"] = {"limit_ratio": limit_ratio, "figures": regressed}
    # in ASCII: a folder's name need not be text
    click.echo(json.dumps(document, indent=2))

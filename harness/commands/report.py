"""``harness report DIR``: make the report of a run or a benchmark again, from its files alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.commands.measuring import say
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.report.document import Report

__all__ = ["make_report", "report"]

FORMATS = ("html", "markdown", "json", "csv")


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="html",
    show_default=True,
    help="html writes a file; the others are printed, unless --out names a file.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="File for the report.  [DIR/report.html, or standard output]",
)
def report(directory: Path, form: str, out: Path | None) -> int:
    """Make the report of a run or a benchmark again, from its files alone."""
    from harness.report.html import REPORT_FILE, read_report, write_text

    found = read_report(directory)
    target = out if out is not None else directory / REPORT_FILE if form == "html" else None
    text = _render(found, form)
    if target is None:
        click.echo(text, nl=False)
        return 0
    try:
        write_text(target, text)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(
            "--out", f"{target} cannot be written ({reason}); name a file that can be"
        ) from None
    click.echo(target)
    return 0


def _render(found: Report, form: str) -> str:
    if form == "html":
        from harness.report.page import render_page

        return render_page(found)
    if form == "markdown":
        from harness.report.markdown import render_markdown

        return render_markdown(found)
    from harness.report.exports import render_csv, render_json

    return render_json(found) if form == "json" else render_csv(found)


def make_report(directory: Path) -> None:
    """Make ``report.html`` at the end of a measurement, which it may not fail; say if it cannot."""
    try:
        from harness.report.html import write_report

        write_report(directory)
    except Exception as error:  # noqa: BLE001 - the figures are there, with or without a picture
        say(
            f"report.html could not be made ({type(error).__name__}: {error}); "
            f"`harness report {directory}` tries again"
        )

"""``harness runs trend``: one figure over the runs of one plan, and where it changed.

Exit codes: 0 drawn, also where there is nothing to draw; 2 wrong usage, which a figure that no
summary has is.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands.history_folder import MOMENT_OPTIONS, found_below, moments, print_lines
from harness.commands.judging import run_template
from harness.commands.options import with_options
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.history.trend import Trend

__all__ = ["trend"]


@click.command()
@click.argument("folder", metavar="[FOLDER]", type=click.Path(path_type=Path), required=False)
@click.option(
    "--metric",
    required=True,
    metavar="FIGURE",
    help="A figure of the summary: search.p99_ms, throughput_ops_s; of a benchmark as in "
    "counts.100.search.p99_ms.",
)
@click.option(
    "--plan", default="", help="Hash of the plan, or how it begins.  [the one with the most runs]"
)
@with_options(MOMENT_OPTIONS)
@click.option(
    "--html",
    "--out",
    "html",
    type=click.Path(path_type=Path),
    help="Write a page with the chart and all runs here.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def trend(
    folder: Path | None,
    metric: str,
    plan: str,
    since: str | None,
    until: str | None,
    html: Path | None,
    as_json: bool,
) -> int:
    """Draw one figure over the runs of one plan, and mark where it changed.

    The runs are those under FOLDER (`runs` unless it is named) that were asked to do the same and
    came to their end, in the order in which they began; machines, releases and commits may differ.
    Change points are found with ruptures, which the extra `trend` installs, in 8 runs or more.
    """
    from harness.history import read_all
    from harness.history.selection import Selection, is_described
    from harness.history.trend import find_trend

    begin, end = moments(since, until)
    selection = Selection(since=begin, until=end)
    place, found = found_below(folder)
    trend = find_trend(
        read_all(found, place),
        metric.strip(),
        plan,
        lambda run: is_described(run, selection),
        run_template,
    )
    if html is not None and trend.plan is not None:
        _write(html, trend)
    if as_json:
        click.echo(json.dumps(_document(trend), indent=2))  # in ASCII: a name need not be text
        return 0
    from harness.report.trend import trend_lines

    print_lines(trend_lines(trend, len(found.runs) + len(found.unread), place))
    if html is not None and trend.plan is not None:
        click.echo()
        click.echo(html)
    return 0


def _write(html: Path, trend: Trend) -> None:
    from harness.report.html import write_text
    from harness.report.trend_page import trend_page

    page = trend_page(trend)
    try:
        write_text(html, page)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError("--html", f"{html} cannot be written: {reason}") from None


def _document(trend: Trend) -> dict[str, Any]:
    from harness.schema import SCHEMA_VERSION

    runs = [
        {
            "path": str(run.path),
            "name": run.name,
            "started": run.started.isoformat() if run.started else None,
            "commit": run.commit or None,
            "modified": run.is_modified,
            "hosts": list(run.hosts),
            "value": value,
            "level": level,
        }
        for run, value, level in zip(trend.runs, trend.values, trend.levels, strict=True)
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "metric": trend.metric,
        "plan": None if trend.plan is None else dataclasses.asdict(trend.plan),
        "plans": [dataclasses.asdict(one) for one in trend.plans],
        "runs": runs,
        "left_out": dict(trend.left_out),
        "changes": [
            dataclasses.asdict(one) | {"run": trend.runs[one.index].name} for one in trend.changes
        ],
        "note": trend.note,
    }

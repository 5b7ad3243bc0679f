"""A report as data, for programs: JSON of all that it says, CSV of every figure of its summary."""

from __future__ import annotations

import csv
import io

import msgspec

from harness.analysis.paths import summary_paths, summary_value
from harness.report.document import Report
from harness.report.figures import plain
from harness.schema import SCHEMA_VERSION

__all__ = ["render_csv", "render_json"]

# A spreadsheet takes text that begins so for a formula.
_FORMULA = ("=", "+", "-", "@")


def render_json(report: Report) -> str:
    """The report and its summary as one JSON object; charts with every point they show."""
    whole = {"schema_version": SCHEMA_VERSION, "report": report}
    return msgspec.json.format(msgspec.json.encode(whole), indent=2).decode() + "\n"


def render_csv(report: Report) -> str:
    """One line a figure of the summary: its path (``search.p99_ms``) and its value.

    A figure that is not known has no value. Values have every digit.
    """
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(["path", "value"])
    for path in summary_paths(report.summary):
        value = summary_value(report.summary, path)
        name = plain(path)
        lines.writerow([f"'{name}" if name.startswith(_FORMULA) else name, value])
    return out.getvalue()

"""The steps of a benchmark: what each reached, and what their rows and samples add to its report.

Rows are read for two things only: the percentile curve of each count, and the timelines of a
steady load.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.benchmarks.bench_directory import STEPS_FOLDER, BenchReader
from harness.errors import RunDirectoryError
from harness.report import figures
from harness.report.distributions import nines_scale, percentile_curve
from harness.report.document import Cell, Chart, Link, Section, Series, Table
from harness.report.fields import group, groups, number, sized_groups, text
from harness.report.quantities import figure
from harness.report.run_data import RunData, read_run

__all__ = ["first_run", "percentiles_by_count", "steady_run", "steps_section"]

Summary = Mapping[str, Any]

_STEPS_MAX = 200
_PARTS = ("agents", "memory", "resources")
_COLOURS = ("sky", "blue", "teal", "olive", "orange", "red", "pink", "slate")


def percentiles_by_count(reader: BenchReader, summary: Summary) -> Section | None:
    """The percentile curve of each count, from the rows of its first repeat."""
    ordered = {}
    for size, found in sized_groups(summary, "counts"):
        repeats = groups(found, "repeats")
        data = _step_data(reader, text(repeats[0], "step")) if repeats else None
        if data is not None and data.rows.operations and not data.is_invalid:
            ordered[size] = np.sort(data.rows.column("response").astype(np.int64, copy=False))
    if not ordered:
        return None
    nines = nines_scale(max(times.size for times in ordered.values()))
    chart = Chart(
        key="percentiles-by-count",
        title="Percentiles by the number of agents",
        caption="Response time of all operations of the first repeat, from its rows. A line ends "
        "where its operations are too few to say more.",
        x=nines,
        x_label="percentile",
        x_spacing="nines",
        y_label="response time",
        y_quantity="milliseconds",
        y_log=True,
        series=[
            Series(
                label="1 agent" if size == 1 else f"{size:,} agents",
                values=percentile_curve(times, nines),
                colour=_COLOURS[place % len(_COLOURS)],
            )
            for place, (size, times) in enumerate(ordered.items())
        ],
    )
    return Section("distributions", "Distributions", "", [chart])


def _step_data(reader: BenchReader, path: str) -> RunData | None:
    """The run of a step by what a summary calls it; None where it is not there or unreadable."""
    name = path.removeprefix(f"{STEPS_FOLDER}/")
    if name != Path(name).name or name in {"", ".", ".."}:
        return None
    # Steps of a joined benchmark are in the directory of its part.
    for folder in (reader.path, *(reader.path / part for part in _PARTS)):
        try:
            return read_run(folder / STEPS_FOLDER / name)
        except (RunDirectoryError, OSError, ValueError):
            continue
    return None


def steady_run(reader: BenchReader, summary: Summary) -> RunData | None:
    """The one run of a steady load, whose rows and samples its report shows."""
    named = text(group(summary, "resources"), "step")
    if named:
        return _step_data(reader, named)
    rates = [name for name in _step_names(reader) if name.startswith("rate-")]
    return _step_data(reader, f"{STEPS_FOLDER}/{rates[0]}") if len(rates) == 1 else None


def _step_names(reader: BenchReader) -> list[str]:
    try:
        return reader.step_names()
    except (TypeError, ValueError, OSError):
        return []


def first_run(reader: BenchReader) -> Summary:
    """The ``run.json`` of the first step, for what its machines were."""
    for name in _step_names(reader)[:1]:
        try:
            return reader.step(name).run
        except (RunDirectoryError, OSError):
            return {}
    return {}


def steps_section(reader: BenchReader) -> Section | None:
    """Every step with its main figures, and its own report where it has one; None without any."""
    names = _step_names(reader)
    rows = [_step_row(reader, name) for name in names[:_STEPS_MAX]]
    rows += [
        [_link(reader.path, part), "", "", "", "", ""]
        for part in _PARTS
        if (reader.path / part / "run.json").is_file()
    ]
    if not rows:
        return None
    columns = ["step", "status", "operations", "operations a second", "p50", "p99"]
    more = len(names) - _STEPS_MAX
    return Section(
        "steps",
        "Steps",
        "Each is a run directory of its own; `harness report` makes a report of any of them.",
        [
            Table(
                title="Steps",
                columns=columns,
                rows=rows,
                caption=f"{more:,} more are in run.json." if more > 0 else "",
            )
        ],
    )


def _step_row(reader: BenchReader, name: str) -> list[Cell]:
    try:
        step = reader.step(name)
        run, summary = step.run, step.summary or {}
    except (RunDirectoryError, OSError):
        return [figures.plain(name), "cannot be read", "", "", "", ""]
    return [
        _link(reader.path, f"{STEPS_FOLDER}/{name}"),
        text(run, "status"),
        figure(number(summary, "operations"), "count"),
        figure(number(summary, "throughput_ops_s"), "rate"),
        figure(number(summary, "all", "p50_ms"), "milliseconds"),
        figure(number(summary, "all", "p99_ms"), "milliseconds"),
    ]


def _link(folder: Path, place: str) -> Cell:
    """The report of a step if there is one, else the step's name."""
    name = place.rsplit("/", 1)[-1]
    if (folder / place / "report.html").is_file():
        return Link(f"{place}/report.html", figures.plain(name))
    return figures.plain(name)

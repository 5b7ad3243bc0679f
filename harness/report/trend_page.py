"""A figure over the runs of a plan as a page, in the form that reports have."""

from __future__ import annotations

from collections.abc import Iterator

from harness.history.listed_run import ListedRun
from harness.history.plan_hash import SHORT_CHARACTERS
from harness.history.trend import Trend
from harness.report import figures
from harness.report.document import (
    Block,
    Cell,
    Chart,
    Facts,
    Figure,
    Mark,
    Note,
    Report,
    Section,
    Series,
    Table,
    Tile,
    Verdict,
)
from harness.report.page import render_page
from harness.report.quantities import figure, quantity_of
from harness.report.run_list import short_commit, when
from harness.report.trend import (
    change_sentence,
    left_out_sentence,
    machines_sentence,
    percent_words,
    trend_title,
)

__all__ = ["trend_page"]


def trend_page(trend: Trend) -> str:
    """The page as text; it is complete in itself.

    Raises:
        ValueError: there is no run in the trend.
    """
    if trend.plan is None:
        raise ValueError("a trend without runs has no page")
    report = Report(
        kind="trend",
        title=trend_title(trend),
        subtitle=trend.plan.words,
        started=trend.runs[-1].started.isoformat() if trend.runs[-1].started else "",
        verdicts=list(_verdicts(trend)),
        tiles=list(_tiles(trend)),
        sections=[
            Section("trend", "Over the runs", "", list(_blocks(trend))),
            Section("runs", "Runs", left_out_sentence(trend), [_runs(trend)]),
            Section("plans", "Plans", "", [_plans(trend)]),
        ],
    )
    return render_page(report)


def _verdicts(trend: Trend) -> Iterator[Verdict]:
    """Whether it changed; nothing where that was not looked for."""
    if trend.changes:
        times = "once" if len(trend.changes) == 1 else f"{len(trend.changes)} times"
        last = change_sentence(trend, trend.changes[-1])
        yield Verdict("change", "warning", f"It changed {times}; the last time {last}.")
    elif trend.is_searched:
        yield Verdict("change", "ok", "No change was found.")


def _tiles(trend: Trend) -> Iterator[Tile]:
    quantity = quantity_of(trend.metric)
    yield Tile("last run", figure(trend.values[-1], quantity), when(trend.runs[-1]))
    yield Tile("median of the last level", figure(trend.levels[-1], quantity))
    yield Tile("least", figure(min(trend.values), quantity))
    yield Tile("most", figure(max(trend.values), quantity))


def _blocks(trend: Trend) -> Iterator[Block]:
    quantity = quantity_of(trend.metric)
    marks = [
        Mark(change.index + 1, None, f"{number}: {_moved(change.change_ratio)}", "event")
        for number, change in enumerate(trend.changes, 1)
    ]
    yield Chart(
        key="trend",
        title=trend.metric,
        caption="Each run, in the order in which they began, and the median of the runs between "
        "changes.",
        x=list(range(1, len(trend.runs) + 1)),
        x_label="run, in the order of time",
        x_quantity="count",
        y_label=trend.metric,
        y_quantity=quantity,
        series=[
            Series(label="run", values=trend.values, style="points", colour="blue"),
            Series(label="median", values=trend.levels, style="steps", colour="orange"),
        ],
        marks=marks,
    )
    if trend.changes:
        yield Table(
            title="Changes",
            columns=["change", "by", "before", "after", "from", "commit", "run"],
            rows=[
                [
                    str(number),
                    Figure(change.change_ratio, _moved(change.change_ratio)),
                    figure(change.before, quantity),
                    figure(change.after, quantity),
                    _moment(trend.runs[change.index]),
                    short_commit(trend.runs[change.index]),
                    trend.runs[change.index].name,
                ]
                for number, change in enumerate(trend.changes, 1)
            ],
            caption="Levels are medians. A change is where the figure has another level for good; "
            "one or two odd runs are none.",
        )
    if trend.note:
        yield Note(trend.note)
    machines = machines_sentence(trend)
    if machines:
        yield Note(machines, "warning")
    if trend.plan is not None:
        yield Facts("Plan", [("hash", trend.plan.hash), ("plan", trend.plan.words)])


def _moved(change_ratio: float | None) -> str:
    return figures.UNKNOWN if change_ratio is None else percent_words(change_ratio)


def _moment(run: ListedRun) -> Figure:
    """When a run started, which is not broken over lines; its value is in seconds since 1970."""
    return Figure(None if run.started is None else run.started.timestamp(), when(run))


def _runs(trend: Trend) -> Table:
    quantity = quantity_of(trend.metric)
    numbers = {change.index: str(number) for number, change in enumerate(trend.changes, 1)}
    is_several = bool(machines_sentence(trend))
    rows: list[list[Cell]] = [
        [
            run.name,
            figure(place + 1, "count"),
            _moment(run),
            figure(value, quantity),
            numbers.get(place, ""),
            short_commit(run),
            *([", ".join(run.hosts) or figures.UNKNOWN] if is_several else []),
        ]
        for place, (run, value) in enumerate(zip(trend.runs, trend.values, strict=True))
    ]
    leaf = trend.metric.rpartition(".")[2]
    columns = ["run", "number", "started, UTC", leaf, "change", "commit"]
    return Table(
        title="Runs of the plan",
        columns=[*columns, "machine"] if is_several else columns,
        rows=rows,
        caption="A commit with a star had changed files.",
    )


def _plans(trend: Trend) -> Table:
    return Table(
        title="Plans whose runs know the figure",
        columns=["plan", "runs", "what was asked for"],
        rows=[
            [one.hash[:SHORT_CHARACTERS], figure(one.runs, "count"), one.words]
            for one in trend.plans
        ],
    )

"""A figure over the runs of a plan, in a terminal: a plot, changes in sentences, the runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from harness.history.plan_hash import SHORT_CHARACTERS
from harness.history.trend import Change, Trend
from harness.report import figures
from harness.report.grid import Column, Grid, indented
from harness.report.line_plot import plot
from harness.report.quantities import quantity_of, written
from harness.report.run_list import short_commit, when

__all__ = [
    "change_sentence",
    "left_out_sentence",
    "machines_sentence",
    "percent_words",
    "trend_lines",
    "trend_title",
]

# The last ones; the page and --json have all.
_RUNS_SHOWN_MAX = 25
_PLANS_SHOWN_MAX = 8
_PLOT_CELLS_MAX = 120
_NAME_CELLS_MAX = 44


def trend_lines(trend: Trend, total: int, folder: Path) -> Iterator[RenderableType]:
    """Everything that a trend says."""
    where = figures.plain(folder)
    if not total:
        yield Text(f"no runs under {where}")
        return
    if trend.plan is None:
        metric = figures.plain(trend.metric)
        yield Text(
            f"no complete run under {where} knows {metric}; {figures.count(total)} looked at"
        )
        return
    yield indented(Text(trend_title(trend), "bold"))
    yield indented(Text(figures.plain(trend.plan.words), "dim"))
    yield Text()
    yield _Plot(trend)
    yield Text()
    for number, change in enumerate(trend.changes, 1):
        yield indented(Text(f"{number}  {change_sentence(trend, change)}", "bold dark_orange3"))
    if trend.is_searched and not trend.changes:
        yield indented(Text("No change was found.", "green"))
    for words in (trend.note, left_out_sentence(trend), machines_sentence(trend)):
        if words:
            yield indented(Text(words, "dim"))
    yield Text()
    yield _runs(trend)
    yield from _elsewhere(len(trend.runs) - _RUNS_SHOWN_MAX, "earlier run")
    if len(trend.plans) > 1:
        yield Text()
        yield _plans(trend)
        yield from _elsewhere(len(trend.plans) - _PLANS_SHOWN_MAX, "more plan")


def _elsewhere(number: int, name: str) -> Iterator[RenderableType]:
    """That so many are not shown here, if there are any."""
    if number > 0:
        are = "is" if number == 1 else "are"
        words = f"{figures.counted(number, name)} {are} in --html and --json."
        yield indented(Text(words, "dim"))


class _Plot:
    """The plot, as wide as there is room, and the days of its ends."""

    def __init__(self, trend: Trend) -> None:
        self._trend = trend

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        trend = self._trend
        width = min(options.max_width, _PLOT_CELLS_MAX)
        places = [change.index for change in trend.changes]
        lines = plot(trend.values, trend.levels, places, quantity_of(trend.metric), width)
        yield from lines
        first, last = when(trend.runs[0]), when(trend.runs[-1])
        end = max(line.cell_len for line in lines)
        begin = lines[-1].plain.index("┤") + 2
        apart = end - begin - len(first) - len(last)
        days = f"{first} to {last}" if apart < 3 else f"{first}{' ' * apart}{last}"
        yield Text(f"{' ' * begin}{days}", "dim", no_wrap=True)


def trend_title(trend: Trend) -> str:
    """What is shown, in a line."""
    plan = trend.plan.hash[:SHORT_CHARACTERS] if trend.plan else ""
    runs = figures.counted(len(trend.runs), "run")
    return f"{figures.plain(trend.metric)} over {runs} of plan {plan}"


def change_sentence(trend: Trend, change: Change) -> str:
    """From which run on, by how much, and the level before and after."""
    run, quantity = trend.runs[change.index], quantity_of(trend.metric)
    commit = f", commit {short_commit(run)}" if run.commit else ""
    moved = f"{percent_words(change.change_ratio)}, " if change.change_ratio is not None else ""
    return (
        f"from {when(run)} on: {moved}median {written(change.before, quantity)} before, "
        f"{written(change.after, quantity)} after (run {figures.plain(run.name)}{commit})"
    )


def percent_words(change_ratio: float) -> str:
    """A change with its sign (``+12%``); from twice on as a factor."""
    if change_ratio >= 1:
        return f"{change_ratio + 1:.3g} times as much"
    return f"{change_ratio:+.1%}" if abs(change_ratio) < 0.0995 else f"{change_ratio:+.0%}"


def left_out_sentence(trend: Trend) -> str:
    """How many runs of the plan are not in it, and why; "" where there are none."""
    if not trend.left_out:
        return ""
    total = sum(trend.left_out.values())
    why = ", ".join(f"{figures.count(number)} {name}" for name, number in trend.left_out.items())
    return f"{figures.counted(total, 'run')} of this plan left out: {why}."


def machines_sentence(trend: Trend) -> str:
    """That runs are of several machines, where they are."""
    machines = list(dict.fromkeys(", ".join(run.hosts) for run in trend.runs))
    if len(machines) < 2:
        return ""
    named = "; ".join(one or "unknown" for one in machines[:4])
    more = f" and {len(machines) - 4} more" if len(machines) > 4 else ""
    return f"They ran on different machines, which a change may be of: {named}{more}."


def _runs(trend: Trend) -> Grid:
    """The last runs, in the order of time."""
    first = max(0, len(trend.runs) - _RUNS_SHOWN_MAX)
    runs, values = trend.runs[first:], trend.values[first:]
    quantity = quantity_of(trend.metric)
    numbers = {change.index: number for number, change in enumerate(trend.changes, 1)}
    marks = [str(numbers.get(first + place, "")) for place in range(len(runs))]
    return Grid(
        [
            Column(heading="run", cells=_names(runs), left=True, style="bold"),
            Column(heading="started, UTC", cells=[when(run) for run in runs], left=True, drop=1),
            Column(heading="commit", cells=[short_commit(run) for run in runs], left=True),
            Column(
                heading=trend.metric.rpartition(".")[2],
                cells=[written(value, quantity) for value in values],
            ),
            Column(heading="change", cells=marks, style="bold dark_orange3"),
        ]
    )


def _names(runs: Sequence[object]) -> list[str]:
    names = [figures.plain(getattr(run, "name", "")) for run in runs]
    return [
        one if len(one) <= _NAME_CELLS_MAX else f"…{one[1 - _NAME_CELLS_MAX :]}" for one in names
    ]


def _plans(trend: Trend) -> Grid:
    plans = trend.plans[:_PLANS_SHOWN_MAX]
    return Grid(
        [
            Column(
                heading="plan (--plan)",
                cells=[one.hash[:SHORT_CHARACTERS] for one in plans],
                left=True,
            ),
            Column(heading="runs", cells=[figures.count(one.runs) for one in plans]),
            Column(heading="", cells=[figures.plain(one.words) for one in plans], left=True),
        ]
    )

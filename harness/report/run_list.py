"""Runs of a folder as a table in a terminal, with what could not be read below it.

Figures are as `harness.history` has them; all text comes from files and names of folders, and is
shown as text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from harness.history.listed_run import UNREAD_STATUSES, ListedRun
from harness.history.plan_hash import SHORT_CHARACTERS
from harness.history.selection import Selected
from harness.report import figures
from harness.report.grid import Column, Grid, indented
from harness.report.quantities import quantity_of, written

__all__ = ["STATUS_STYLES", "RunList", "run_list_lines", "short_commit", "when"]

STATUS_STYLES = {
    "complete": "green",
    "running": "cyan",
    "interrupted": "dark_orange3",
    "invalid": "bold red",
    "failed": "bold red",
    "killed": "bold red",
    "damaged": "bold red",
    "newer": "dark_orange3",
    "unreadable": "bold red",
}
# Names are shown from their end, which tells them apart, and not in less than this.
_NAME_CELLS_MIN = 18
_TARGET_CELLS_MAX = 24
_REASONS_MAX = 20
_FIGURES_MAX = 3
_VALUE_MAX = 1e100
_INDENT = 1
_GAP = 2


@dataclass(frozen=True)
class RunList:
    """The table; it fits the width by leaving out columns, and has names whole where there is room.

    Attributes:
        runs: in their order.
        paths: figures that get a column of their own.
    """

    runs: Sequence[ListedRun]
    paths: Sequence[str] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Give the lines that fit the width."""
        yield from self.grid(options.max_width).__rich_console__(console, options)

    def grid(self, width: int) -> Grid:
        """The table for a terminal of a width in cells."""
        others = list(self._columns())
        kept = list(others)
        names = [figures.plain(run.name) for run in self.runs]
        least = min(_NAME_CELLS_MIN, max(map(cell_len, names), default=0))
        while (room := _room(kept, width)) < least and any(one.drop for one in kept):
            kept.remove(max(kept, key=lambda one: one.drop))
        names = [_tail(name, max(room, _NAME_CELLS_MIN)) for name in names]
        return Grid([Column(heading="run", cells=names, left=True, style="bold"), *kept])

    def _columns(self) -> Iterator[Column]:
        runs = self.runs
        yield Column(heading="started, UTC", cells=[when(run) for run in runs], left=True)
        commands = [figures.plain(run.command) or figures.UNKNOWN for run in runs]
        yield Column(heading="command", cells=commands, left=True, drop=6)
        targets = [
            _tail(figures.plain(run.target), _TARGET_CELLS_MAX) or figures.UNKNOWN for run in runs
        ]
        yield Column(heading="target", cells=targets, left=True, drop=5)
        yield Column(heading="agents", cells=[figures.count(run.agents) for run in runs], drop=2)
        rates = [figures.rate(_sane(run.throughput_ops_s)) for run in runs]
        # what was asked for goes before them, and last
        yield Column(heading="op/s", cells=rates, drop=3 if self.paths else 0)
        times = [figures.time(_sane(run.p99_ms)) for run in runs]
        yield Column(heading="p99", cells=times, drop=4 if self.paths else 0)
        for place, path in enumerate(self.paths[:_FIGURES_MAX]):
            quantity = quantity_of(path)
            cells = [written(_sane(run.figures.get(path)), quantity) for run in runs]
            yield Column(heading=_tail(figures.plain(path), 30), cells=cells, drop=int(place > 0))
        styles = [STATUS_STYLES.get(run.status, "") for run in runs]
        yield Column(heading="status", cells=[run.status for run in runs], left=True, styles=styles)
        plans = [(run.plan_hash or figures.UNKNOWN)[:SHORT_CHARACTERS] for run in runs]
        yield Column(heading="plan", cells=plans, left=True, style="dim")


def run_list_lines(
    selected: Selected, total: int, folder: Path, paths: Sequence[str]
) -> Iterator[RenderableType]:
    """Everything that a list says: how many, the table, what could not be read."""
    where = figures.plain(folder)
    if not total:
        yield Text(f"no runs under {where}")
        return
    if not selected.runs:
        are = "run is" if total == 1 else "runs are"
        yield Text(f"no runs under {where} match; {figures.count(total)} {are} there")
    else:
        yield RunList(selected.runs, paths)
        if len(selected.runs) < total:
            words = f"{figures.count(len(selected.runs))} of {figures.count(total)} runs"
            if len(selected.runs) < selected.matching < total:
                words += f"; {figures.count(selected.matching)} match"
            yield Text()
            yield indented(Text(f"{words}.", "dim"))
    yield from _unread(selected)


def _unread(selected: Selected) -> Iterator[RenderableType]:
    reasons = [run.reason for run in selected.runs if run.reason]
    if reasons:
        yield Text()
    for reason in reasons[:_REASONS_MAX]:
        yield indented(Text(f"{figures.plain(reason)}.", "dark_orange3"))
    if len(reasons) > _REASONS_MAX:
        more = figures.count(len(reasons) - _REASONS_MAX)
        yield indented(Text(f"{more} more could not be read; --json has why.", "dark_orange3"))
    if selected.unread:
        them = figures.counted(selected.unread, "directory", "directories")
        statuses = " ".join(f"--status {one}" for one in UNREAD_STATUSES)
        words = f"{them} could not be read, and so matched nothing: {statuses} lists them."
        yield indented(Text(words, "dark_orange3"))


def when(run: ListedRun) -> str:
    """The minute in which a run started, in UTC."""
    return figures.UNKNOWN if run.started is None else f"{run.started:%Y-%m-%d %H:%M}"


def short_commit(run: ListedRun) -> str:
    """The commit in short, with a mark if files were changed."""
    if not run.commit:
        return figures.UNKNOWN
    return f"{figures.plain(run.commit)[:10]}{'*' if run.is_modified else ''}"


def _sane(value: float | None) -> float | None:
    """A figure; None if it is beyond any that a run measures, and would take a line of digits."""
    return value if value is not None and abs(value) <= _VALUE_MAX else None


def _room(columns: Sequence[Column], width: int) -> int:
    """Cells that are left for names beside columns."""
    return width - _INDENT - sum(one.width + _GAP for one in columns)


def _tail(text: str, cells: int) -> str:
    """The end of a text that is too long."""
    shown = Text(text[-4 * cells :])
    if shown.cell_len <= cells and len(text) <= 4 * cells:
        return text
    while shown.cell_len >= cells:
        shown = shown[1:]
    return f"…{shown.plain}"

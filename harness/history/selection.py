"""Which runs of a folder are listed, and in which order.

A condition is written as a threshold is (`harness.analysis.thresholds`) and judged as one: a run
whose figure is not known, or that is INVALID, does not meet it. A path has to be one that some
summary of the folder has, or that every run's has; another is refused with what is near it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from harness.analysis.paths import known_figures, summary_path
from harness.analysis.thresholds import Threshold, check_paths, evaluate
from harness.errors import UsageError
from harness.history.listed_run import UNREAD_STATUSES, ListedRun
from harness.report.quantities import quantity_of

__all__ = ["COLUMNS", "Selected", "Selection", "is_described", "parse_moment", "select"]

# What a list can be ordered by besides figures, each as a key of which the smallest comes first.
COLUMNS: dict[str, Callable[[ListedRun], Any]] = {
    "started": lambda run: run.started and -run.started.timestamp(),
    "name": lambda run: run.name,
    "command": lambda run: run.command or None,
    "target": lambda run: run.target or None,
    "agents": lambda run: run.agents,
    "throughput": lambda run: run.throughput_ops_s,
    "p99": lambda run: run.p99_ms,
    "duration": lambda run: run.duration_s,
    "status": lambda run: run.status,
    "plan": lambda run: run.plan_hash,
}
_UNITS_S = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_AGE = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*([mhdw])", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What was asked for; the empty one is every run, the newest first.

    Attributes:
        commands: one of these; ``bench`` is every benchmark.
        statuses: one of these.
        targets: one of these, with or without its settings.
        plan: the hash of the plan begins with this.
        since, until: it started from then, and before then.
        conditions: all of these.
        sort: a name of COLUMNS, or the path of a figure.
        is_reversed: the other way round; what is not known comes last all the same.
        limit: so many at most.
    """

    commands: Sequence[str] = ()
    statuses: Sequence[str] = ()
    targets: Sequence[str] = ()
    plan: str = ""
    since: datetime | None = None
    until: datetime | None = None
    conditions: Sequence[Threshold] = ()
    sort: str = "started"
    is_reversed: bool = False
    limit: int | None = None

    @property
    def paths(self) -> list[str]:
        """The figures that it needs, in the order in which they are shown."""
        found = [] if self.sort in COLUMNS else [self.sort]
        return list(dict.fromkeys([*found, *(one.path for one in self.conditions)]))


@dataclass(kw_only=True)
class Selected:
    """The runs that were selected.

    Attributes:
        runs: in their order; `ListedRun.figures` has those of `Selection.paths`.
        matching: how many there are, of which a limit may have left some out.
        unread: directories that match nothing because they cannot be read.
    """

    runs: list[ListedRun] = field(default_factory=list)
    matching: int = 0
    unread: int = 0


def select(
    read: Iterable[tuple[ListedRun, Mapping[str, Any]]],
    selection: Selection,
    template: Callable[[], Mapping[str, Any]],
) -> Selected:
    """Choose and order runs, one after the other: no summary is kept.

    Args:
        read: runs with their summaries.
        selection: what was asked for.
        template: makes a summary with every path that a run's has.

    Raises:
        UsageError: a path is of no figure, or a per cent sign means nothing there.
    """
    unmet = set(selection.paths)  # no summary had them yet
    checked: set[str] = set()
    selected = Selected()
    total = 0
    for run, summary in read:
        total += 1
        figures = _figures(summary, selection.paths)
        for one in selection.conditions:
            if one.path in figures and one.text not in checked:
                check_paths([one], summary)
                checked.add(one.text)
        unmet -= figures.keys()
        listed = replace(run, figures=_shown(run, figures))
        if is_described(listed, selection) and all(
            _is_met(one, listed, summary) for one in selection.conditions
        ):
            selected.runs.append(listed)
        else:
            selected.unread += run.status in UNREAD_STATUSES
    if total:
        _check_unmet(unmet, selection, template)
    selected.matching = len(selected.runs)
    selected.runs = _ordered(selected.runs, selection)[: selection.limit]
    return selected


def parse_moment(text: str, option: str, *, now: datetime, whole_day: bool = False) -> datetime:
    """Read a date, a time, or how long ago it was (``7d``, ``12h``, ``30m``, ``2w``).

    Args:
        text: ISO 8601 in UTC unless it says otherwise, or an age.
        option: that it was given by.
        now: the time that an age counts from.
        whole_day: a date alone means its end.

    Raises:
        UsageError: it is neither.
    """
    text = text.strip()
    age = _AGE.fullmatch(text)
    try:
        if age:
            return now - timedelta(seconds=float(age[1]) * _UNITS_S[age[2]])
        found = datetime.fromisoformat(text)
        if whole_day and _DATE.fullmatch(text):
            found += timedelta(days=1)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            option, f"{text[:40]!r} is no date and no age; write 2026-11-23, 2026-11-23T14:00 or 7d"
        ) from None


def is_described(run: ListedRun, selection: Selection) -> bool:
    """Whether a run is what was asked for, figures and their conditions aside."""
    commands = [one.strip().replace(" ", "-") for one in selection.commands]
    kinds = {run.command, "bench"} if run.command.startswith("bench-") else {run.command}
    started = run.started
    return (
        (not commands or not kinds.isdisjoint(commands))
        and (not selection.statuses or run.status in selection.statuses)
        and (
            not selection.targets
            or not {run.target, run.target.split(":")[0]}.isdisjoint(selection.targets)
        )
        and (run.plan_hash or "").startswith(selection.plan.lower())
        and (selection.since is None or (started is not None and started >= selection.since))
        and (selection.until is None or (started is not None and started < selection.until))
    )


def _figures(summary: Mapping[str, Any], paths: Sequence[str]) -> dict[str, float | None]:
    """The figures at those of the paths that the summary has."""
    if not paths:
        return {}
    try:
        found = known_figures(summary, paths)
        return {path: None if value is None else float(value) for path, value in found.items()}
    except (RecursionError, OverflowError):  # no summary of ours
        return {}


def _shown(run: ListedRun, figures: Mapping[str, float | None]) -> Mapping[str, float | None]:
    """The figures without those that an INVALID run withholds: its times and rates."""
    if run.status != "invalid":
        return figures
    withheld = {"milliseconds", "rate"}
    return {
        path: None if quantity_of(path) in withheld else value for path, value in figures.items()
    }


def _is_met(condition: Threshold, run: ListedRun, summary: Mapping[str, Any]) -> bool:
    if run.status == "invalid" or run.figures.get(condition.path) is None:
        return False
    try:
        return evaluate([condition], {**summary, "verdicts": ()})[0]["verdict"] == "passed"
    except (RecursionError, OverflowError):
        return False


def _check_unmet(
    unmet: set[str], selection: Selection, template: Callable[[], Mapping[str, Any]]
) -> None:
    """Refuse paths that no summary had, unless every run's has them."""
    if not unmet:
        return
    known = template()
    check_paths([one for one in selection.conditions if one.path in unmet], known)
    if selection.sort in unmet:
        try:
            summary_path(known, selection.sort)
        except UsageError as error:
            columns = ", ".join(COLUMNS)
            problem = f"{error.field[:80]!r}: {error.problem}; the columns are {columns}"
            raise UsageError("--sort", problem) from None


def _ordered(runs: list[ListedRun], selection: Selection) -> list[ListedRun]:
    column = COLUMNS.get(selection.sort)

    def key(run: ListedRun) -> Any:
        return run.figures.get(selection.sort) if column is None else column(run)

    runs = sorted(runs, key=COLUMNS["name"])
    known = [run for run in runs if key(run) is not None]
    known.sort(key=key, reverse=selection.is_reversed)
    return known + [run for run in runs if key(run) is None]

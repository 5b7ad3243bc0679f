"""One figure over the runs of one plan, in the order of time, and where it changed.

Runs that did not come to their end, or are INVALID, are left out and counted, and so are those that
do not know the figure. The plan is the one with the most runs that do, unless one is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from harness.analysis.paths import known_figures, summary_path
from harness.errors import UsageError
from harness.history.change_points import (
    RUNS_MAX,
    RUNS_MIN,
    find_changes,
    is_installed,
)
from harness.history.listed_run import ListedRun
from harness.history.plan_hash import SHORT_CHARACTERS, plan_words

__all__ = ["Change", "PlanRuns", "Trend", "find_trend"]

_METRIC = "--metric"
_NAMED_MAX = 10
# No figure of ours comes near it.
_VALUE_MAX = 1e100


@dataclass(frozen=True, kw_only=True)
class PlanRuns:
    """A plan, and how many runs of it know the figure.

    Attributes:
        hash: of the plan.
        words: the plan in a line.
        runs: how many.
    """

    hash: str
    words: str
    runs: int


@dataclass(frozen=True, kw_only=True)
class Change:
    """The figure has another level from a run on.

    Attributes:
        index: of that run in `Trend.runs`.
        before, after: medians of the segments on both sides.
        change_ratio: ``after / before - 1``; None unless `before` is above 0 and `after` not below.
    """

    index: int
    before: float
    after: float
    change_ratio: float | None


@dataclass(frozen=True, kw_only=True)
class Trend:
    """What became of a figure.

    Attributes:
        metric: its whole path.
        plan: the plan whose runs these are; None where no run knows the figure.
        plans: all plans of which runs know it, the one with the most first.
        runs: in the order of time; their values are in `values`.
        values: ``(n,)`` of the figure.
        left_out: how many runs of the plan are not among them, by the reason.
        changes: in the order of time.
        is_searched: changes were looked for.
        note: why they were not, or not everywhere; "" if they were.
    """

    metric: str
    plan: PlanRuns | None = None
    plans: Sequence[PlanRuns] = ()
    runs: Sequence[ListedRun] = ()
    values: Sequence[float] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    changes: Sequence[Change] = ()
    is_searched: bool = False
    note: str = ""

    @property
    def levels(self) -> list[float]:
        """``(n,)`` the median of the segment that each run is in.

        Runs in which no change is looked for, before the last RUNS_MAX, are one of their own.
        """
        found: list[float] = []
        first = max(0, len(self.values) - RUNS_MAX)
        ends = [first, *(one.index for one in self.changes), len(self.values)]
        for begin, end in zip([0, *ends], ends, strict=False):
            part = self.values[begin:end]
            found += [median(part)] * len(part) if part else []
        return found


def find_trend(
    read: Iterable[tuple[ListedRun, Mapping[str, Any]]],
    metric: str,
    plan: str,
    wanted: Callable[[ListedRun], bool],
    template: Callable[[], Mapping[str, Any]],
) -> Trend:
    """Follow a figure over the runs of a plan.

    Args:
        read: runs with their summaries; no summary is kept.
        metric: path of the figure.
        plan: what the hash of the plan begins with; "" takes the plan with the most runs.
        wanted: whether a run is looked at.
        template: makes a summary with every path that a run's has.

    Raises:
        UsageError: no summary has such a figure, or the hash is of no plan, or of several.
    """
    runs: list[ListedRun] = []
    paths: set[str] = set()
    total = 0
    for run, summary in read:
        total += 1
        found = _figure(summary, metric)
        if found is not None:
            paths.add(found[0])
        if wanted(run):
            runs.append(run if found is None else replace(run, figures={metric: found[1]}))
    if not paths and total:
        _refuse_unknown(metric, template)
    plans = _plans(runs, metric)
    whole_path = next(iter(sorted(paths)), metric)
    chosen = _chosen(plans, runs, plan)
    if chosen is None:
        return Trend(metric=whole_path, plans=plans)
    of_plan = [run for run in runs if run.plan_hash == chosen.hash]
    usable = [run for run in of_plan if _is_usable(run, metric)]
    usable.sort(key=lambda run: (run.started, run.name))
    values = [float(run.figures[metric] or 0.0) for run in usable]
    changes, note = _changes(values)
    return Trend(
        metric=whole_path,
        plan=chosen,
        plans=plans,
        runs=usable,
        values=values,
        left_out=_left_out(of_plan, metric),
        changes=changes or (),
        is_searched=changes is not None,
        note=note,
    )


def _figure(summary: Mapping[str, Any], metric: str) -> tuple[str, float | None] | None:
    """The figure's whole path and its value; None where a summary has no such figure."""
    try:
        found = known_figures(summary, [metric])
        if metric not in found:
            return None
        value = found[metric]
        return summary_path(summary, metric), None if value is None else float(value)
    except (RecursionError, OverflowError):  # no summary of ours
        return None


def _refuse_unknown(metric: str, template: Callable[[], Mapping[str, Any]]) -> None:
    try:
        summary_path(template(), metric)
    except UsageError as error:
        problem = f"{error.field[:80]!r}: {error.problem}"
        raise UsageError(_METRIC, problem) from None


def _is_usable(run: ListedRun, metric: str) -> bool:
    return run.status == "complete" and _knows(run, metric) and run.started is not None


def _knows(run: ListedRun, metric: str) -> bool:
    value = run.figures.get(metric)
    return value is not None and abs(value) <= _VALUE_MAX  # not a number neither


def _plans(runs: Sequence[ListedRun], metric: str) -> list[PlanRuns]:
    """The plans of which runs know the figure: most runs first, and of as many the latest."""
    usable = [run for run in runs if run.plan_hash and _is_usable(run, metric)]
    counts = Counter(run.plan_hash for run in usable)
    latest = {run.plan_hash: run for run in sorted(usable, key=lambda run: str(run.started))}
    order = sorted(latest, key=lambda one: (counts[one], str(latest[one].started)), reverse=True)
    return [
        PlanRuns(hash=one or "", words=plan_words(latest[one].plan), runs=counts[one])
        for one in order
    ]


def _chosen(plans: Sequence[PlanRuns], runs: Sequence[ListedRun], begin: str) -> PlanRuns | None:
    """The plan that is meant.

    Raises:
        UsageError: the hash is of no plan, or of several.
    """
    if not begin:
        return plans[0] if plans else None
    meant = [one for one in plans if one.hash.startswith(begin.lower())]
    if len(meant) > 1 or not meant:
        several = "several plans" if meant else "no plan whose runs know the figure"
        named = ", ".join(one.hash[:SHORT_CHARACTERS] for one in (meant or plans)[:_NAMED_MAX])
        there = f": {named}" if named else ""
        if not meant and any((run.plan_hash or "").startswith(begin.lower()) for run in runs):
            several = "a plan of which no run knows the figure"
            several += "; of others some do" if plans else ""
        raise UsageError("--plan", f"{begin[:80]!r} is of {several}{there}")
    return meant[0]


def _left_out(runs: Sequence[ListedRun], metric: str) -> dict[str, int]:
    """Why runs of the plan are not in the trend, and how many."""
    reasons = Counter(
        run.status
        if run.status != "complete"
        else "without a time"
        if _knows(run, metric)
        else "without the figure"
        for run in runs
        if not _is_usable(run, metric)
    )
    return dict(reasons.most_common())


def _changes(values: Sequence[float]) -> tuple[list[Change] | None, str]:
    """The changes, None where none were looked for, and what is to be said of the looking."""
    if not is_installed():
        words = "Change points are not looked for: pip install 'agent-memory-harness[trend]' does."
        return None, words
    if len(values) < RUNS_MIN:
        return None, f"Change points are looked for in {RUNS_MIN} runs or more."
    first = max(0, len(values) - RUNS_MAX)
    places = [first + one for one in find_changes(values[first:])]
    changes = []
    ends = [first, *places, len(values)]
    for begin, place, end in zip(ends, ends[1:], ends[2:], strict=False):
        before, after = median(values[begin:place]), median(values[place:end])
        ratio = after / before - 1 if before > 0 <= after else None
        changes.append(Change(index=place, before=before, after=after, change_ratio=ratio))
    note = f"Change points are looked for in the last {RUNS_MAX} runs." if first else ""
    return changes, note

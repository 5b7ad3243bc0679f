"""A run's history as points of its charts, in bounded memory.

A `Slice` is what was between two moments, kept in a form in which two neighbours add up to one:
quotients as sums of numerator and denominator, response times as histograms, and levels that are
what they last were. So a point of a thinned history says what it would have said had points been
that far apart from the start; nothing is averaged, percentiles least of all.

`Points` keeps slices, and beside them what the page draws: one column for each series, with None
where a point has no value of it. When a history is full, neighbours become one, two and two, and
points come half as often from then on.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from harness.live.counts import PARTS, OperationCounts, summed
from harness.live.progress import NODE_COUNTERS, NodeFigures, Progress
from harness.live.web.plain_values import text_of
from harness.progress_meter import quantile_ms
from harness.schema import OPERATIONS, OUTCOMES, SUCCESSES

__all__ = ["INTERVAL_S", "POINTS_MAX", "Points", "Slice", "joined", "slice_between", "values_of"]

INTERVAL_S = 1.0
POINTS_MAX = 1_200

_QUANTILES = {"p50_ms": 0.50, "p90_ms": 0.90, "p99_ms": 0.99}
_FAILURES = tuple(how for how in OUTCOMES if how not in SUCCESSES)
# Of an operation that was due before it was issued.
_LATE = "late"
_BY_OUTCOME = "failures_per_s."
# Told from where they are not 0 on.
_RARE = (_BY_OUTCOME, f"{_LATE}_ms.")
_DIGITS = 6


@dataclass(frozen=True, kw_only=True)
class Slice:
    """What was between two moments.

    Attributes:
        t_s: the later moment.
        quotients: by series, numerator and denominator.
        levels: by series, what it was at the later moment.
        latencies: by operation, response times as `OperationCounts` has them.
    """

    t_s: float
    quotients: Mapping[str, tuple[float, float]]
    levels: Mapping[str, float]
    latencies: Mapping[str, Mapping[int, int]]


def slice_between(
    before: Progress | None,
    after: Progress,
    *,
    t_s: float,
    span_s: float,
    nodes: Collection[str],
) -> Slice:
    """What was between two snapshots of one run.

    Args:
        before: None for the run's beginning.
        after: the later one.
        t_s: when the later one was taken.
        span_s: seconds between the two, above 0.
        nodes: whose samples are told one by one.
    """
    quotients: dict[str, tuple[float, float]] = {}
    latencies: dict[str, Mapping[int, int]] = {}
    operations = 0
    failures = dict.fromkeys(_FAILURES, 0)
    for name in OPERATIONS:
        old, new = _of_operation(before, name), _of_operation(after, name)
        count = max(0, new.operations - old.operations)
        operations += count
        for how in _FAILURES:
            failures[how] += max(0, new.outcomes.get(how, 0) - old.outcomes.get(how, 0))
        if count and new.latencies:
            latencies[name] = Counter(new.latencies) - Counter(old.latencies)
            taken_ns = {part: _grown(old, new, f"{part}_ns") for part in PARTS}
            late_ns = max(0, _grown(old, new, "response_ns") - sum(taken_ns.values()))
            for part, ns in {**taken_ns, _LATE: late_ns}.items():
                quotients[f"{part}_ms.{name}"] = (ns / 1e6, count)
    if not after.counts:  # of a run that counts nothing but how many
        operations = max(0, after.operations_done - (before.operations_done if before else 0))
        failures = {"": max(0, after.failures - (before.failures if before else 0))}
    quotients["ops_per_s"] = (operations, span_s)
    quotients["failures_per_s"] = (sum(failures.values()), span_s)
    quotients.update({f"{_BY_OUTCOME}{how}": (n, span_s) for how, n in failures.items() if how})
    for part in (*PARTS, _LATE):
        of_all = [quotients[f"{part}_ms.{name}"] for name in latencies]
        if of_all:
            quotients[f"{part}_ms.all"] = (sum(n for n, _ in of_all), sum(d for _, d in of_all))
    for role, percent in after.cpu_percent_by_role.items():
        quotients[f"cpu_percent.role.{text_of(role)}"] = (percent * span_s, span_s)
    for role, size in after.rss_bytes_by_role.items():
        quotients[f"rss_bytes.role.{text_of(role)}"] = (size * span_s, span_s)
    earlier = {node.node_id: node for node in before.nodes} if before else {}
    for node in after.nodes:
        if text_of(node.node_id) in nodes:
            quotients.update(_of_node(earlier.get(node.node_id), node, span_s))
    levels = {
        "agents_started": after.agents_started,
        "agents_done": after.agents_done,
        "agents_at_work": max(0, after.agents_started - after.agents_done),
        "retries": after.retries,
    }
    return Slice(t_s=t_s, quotients=quotients, levels=levels, latencies=latencies)


def _of_operation(progress: Progress | None, name: str) -> OperationCounts:
    """An operation's counts, warm-up and all."""
    found = [] if progress is None else [n for (_, op), n in progress.counts.items() if op == name]
    return found[0] if len(found) == 1 else summed(found)


def _grown(old: OperationCounts, new: OperationCounts, name: str) -> int:
    grown: int = getattr(new, name) - getattr(old, name)
    return max(0, grown)


def _of_node(
    before: NodeFigures | None, after: NodeFigures, span_s: float
) -> dict[str, tuple[float, float]]:
    """A node's quotients; none from a sample that was seen before, as of a node that is gone."""
    if before is not None and before.wall_ns == after.wall_ns:
        return {}
    key = text_of(after.node_id)
    found = {f"memory_used_bytes.node.{key}": (after.memory_used_bytes * span_s, span_s)}
    if after.cpu_percent is not None:
        found[f"cpu_percent.node.{key}"] = (after.cpu_percent * span_s, span_s)
    # one machine's own clock, and no other is known for its samples
    sampled_s = (after.wall_ns - before.wall_ns) / 1e9 if before is not None else 0.0
    for name in NODE_COUNTERS:
        old, new = getattr(before, name, None), getattr(after, name)
        if sampled_s > 0 and old is not None and new is not None and new >= old:
            found[f"{name}_s.node.{key}"] = (new - old, sampled_s)
    for role, figures in after.roles.items():
        found[f"cpu_percent.role_node.{text_of(role)}@{key}"] = (
            figures.cpu_percent * span_s,
            span_s,
        )
        found[f"rss_bytes.role_node.{text_of(role)}@{key}"] = (figures.rss_bytes * span_s, span_s)
    return found


def joined(first: Slice, second: Slice) -> Slice:
    """Two neighbours as one."""
    quotients = dict(first.quotients)
    for name, (numerator, denominator) in second.quotients.items():
        n, d = quotients.get(name, (0.0, 0.0))
        quotients[name] = (n + numerator, d + denominator)
    latencies = {
        name: Counter(first.latencies.get(name, {})) + Counter(second.latencies.get(name, {}))
        for name in (*first.latencies, *(set(second.latencies) - set(first.latencies)))
    }
    return Slice(
        t_s=second.t_s,
        quotients=quotients,
        levels={**first.levels, **second.levels},
        latencies=latencies,
    )


def values_of(one: Slice) -> dict[str, float | None]:
    """A slice as the values of its point, to six digits; None where there were too few to tell."""
    values: dict[str, float | None] = {
        name: _rounded(n / d) if d else None for name, (n, d) in one.quotients.items()
    }
    values.update(one.levels)
    of_all: Counter[int] = Counter()
    for latencies in one.latencies.values():
        of_all.update(latencies)
    for name, latencies in {"all": of_all, **one.latencies}.items():
        for series, quantile in _QUANTILES.items():
            found = quantile_ms(latencies, quantile)
            values[f"{series}.{name}"] = None if found is None else _rounded(found)
    return values


def _rounded(value: float) -> float | None:
    if not math.isfinite(value):
        return None
    return float(f"{value:.{_DIGITS}g}")


class Points:
    """A history of at most ``most`` points.

    Args:
        most: an even number, from 2.
        interval_s: between points, to begin with.

    Attributes:
        interval_s: between points now.
        columns: by series, a value or None for each point; ``t`` is when it was.
        version: another one whenever the columns are others.
    """

    def __init__(self, most: int = POINTS_MAX, interval_s: float = INTERVAL_S) -> None:
        self._most = most
        self._slices: list[Slice] = []
        self.interval_s = interval_s
        self.columns: dict[str, list[float | None]] = {"t": []}
        self.version = 0

    def __len__(self) -> int:
        return len(self._slices)

    def add(self, one: Slice) -> bool:
        """Add the newest; whether the history had to be thinned for it."""
        is_full = len(self._slices) >= self._most
        if is_full:
            pairs = zip(self._slices[::2], self._slices[1::2], strict=True)
            self._slices = [joined(first, second) for first, second in pairs]
            self.interval_s *= 2
            self.columns = {"t": []}
            for place, kept in enumerate(self._slices):
                self._draw(kept, place)
        self._slices.append(one)
        self._draw(one, len(self._slices) - 1)
        self.version += 1
        return is_full

    def extend(self, one: Slice) -> None:
        """Have the newest point last until another moment; there has to be one."""
        whole = joined(self._slices[-1], one)
        self._slices[-1] = whole
        for column in self.columns.values():
            column.pop()
        self._draw(whole, len(self._slices) - 1)
        self.version += 1

    def last(self) -> dict[str, float | None]:
        """The newest point by series, without those that have no value."""
        return {name: column[-1] for name, column in self.columns.items() if column[-1] is not None}

    def _draw(self, one: Slice, place: int) -> None:
        values = {"t": _rounded_time(one.t_s), **values_of(one)}
        for name, value in values.items():
            is_told = value is not None and (value or not name.startswith(_RARE))
            if is_told and name not in self.columns:
                self.columns[name] = [None] * place
        for name, column in self.columns.items():
            column.append(values.get(name))


def _rounded_time(t_s: float) -> float:
    return round(t_s, 3)

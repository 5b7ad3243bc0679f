"""The summary of ``bench resources`` in a terminal: verdicts, rates, time, costs, leaks.

Figures come from the summary as it is. An INVALID step has its times withheld. All text that
comes from a run is put in as text, without control characters or markup.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from harness.live.panel import sparkline
from harness.report import figures
from harness.report.grid import Column, Grid, indented
from harness.schema import OPERATIONS, ROLES

__all__ = ["render_resources"]

_STYLES = {
    "invalid": "bold red",
    "failed": "bold red",
    "warning": "bold dark_orange3",
    "ok": "green",
}
_BARS = 40
_BARS_MIN = 6  # fewer say nothing
_LABEL_WIDTH = 16
_MIB = 2**20
_Show = Callable[[float | None], str]
# Verdicts that are said even when all is well: they answer what the benchmark asks.
_ALWAYS = ("schedule", "stalls", "leaks", "limit")


def render_resources(summary: Mapping[str, Any]) -> RenderableType:
    """Lay out a summary (`harness.analysis.resource_utilization`) for a terminal.

    Returns:
        A rich renderable that fits 80 columns.
    """
    blocks: list[RenderableType] = list(_verdicts(summary))
    found = summary["resources"]
    if found is None:
        return Group(*blocks)
    rates = summary.get("rates") or {"": found}
    blocks += [Text(), _rates(list(rates.values()))]
    if len(found["time_series"]) >= 2:
        blocks += [Text(), _OverTime(found)]
    if found["costs"]:
        blocks += [Text(), _costs(found["costs"]), *_costs_note(found["costs"])]
    judged = [one for one in found["leaks"] if one["slope_bytes_s"]["estimate"] is not None]
    if judged:
        blocks += [Text(), _leaks(judged)]
    return Group(*blocks)


def _verdicts(summary: Mapping[str, Any]) -> Iterator[Padding]:
    for one in summary["verdicts"]:
        if one["verdict"] == "ok" and one["name"] not in _ALWAYS:
            continue
        mark = "INVALID: " if one["verdict"] == "invalid" else ""
        style = "" if one["verdict"] == "ok" else _STYLES.get(one["verdict"], "")
        yield indented(Text(f"{mark}{figures.plain(one['sentence'])}", style))


def _rates(found: Sequence[Mapping[str, Any]]) -> Grid:
    """One row a rate."""

    def cells(key: str, show: Any, *, withheld: bool = False) -> list[str]:
        return [
            figures.UNKNOWN if withheld and one["status"] == "invalid" else show(one[key])
            for one in found
        ]

    memory = [figures.digits(one["operations_per_mb"]) for one in found]
    return Grid(
        [
            Column(
                heading="offered",
                cells=cells("offered_rate_ops_per_second", figures.rate),
                group="operations/s",
                style="bold",
            ),
            Column(
                heading="actual",
                cells=cells("actual_rate_ops_per_second", figures.rate),
                group="operations/s",
            ),
            Column(
                heading="mean",
                cells=cells("avg_operation_time_ms", figures.time, withheld=True),
                group="response",
                drop=4,
            ),
            Column(
                heading="p95",
                cells=cells("p95_operation_time_ms", figures.time, withheld=True),
                group="response",
                style="bold",
            ),
            Column(heading="late", cells=cells("late_operations", figures.count), drop=3),
            Column(heading="dropped", cells=cells("dropped_operations", figures.count), drop=2),
            Column(
                heading="CPU s",
                cells=cells("operations_per_cpu_second", figures.rate),
                group="operations per",
                drop=1,
            ),
            Column(
                heading="CPU %",
                cells=cells("operations_per_cpu_percent", figures.digits),
                group="operations per",
                drop=6,
            ),
            Column(heading="MB", cells=memory, group="operations per", drop=5),
        ]
    )


class _OverTime:
    """A line of bars for each series, with its least and its most; bars only where there is room.

    Args:
        found: the figures of a rate, with a ``time_series`` of two entries or more.
    """

    def __init__(self, found: Mapping[str, Any]) -> None:
        self._found = found

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """Give a line of what it is, and a line for each series."""
        series = self._found["time_series"]
        offered = figures.rate(self._found["offered_rate_ops_per_second"])
        length_s = series[-1]["t_s"] + series[1]["t_s"] - series[0]["t_s"]
        yield Text(f" over {figures.span(length_s)} at {offered} operations/s", "dim")
        known = [
            (label, [value for value in values if value is not None], show)
            for label, values, show in _series(self._found)
        ]
        lines = [
            (label, values, f"{show(min(values))} to {show(max(values))}")
            for label, values, show in known
            if values
        ]
        longest = max((len(words) for *_, words in lines), default=0)
        bars = min(_BARS, options.max_width - _LABEL_WIDTH - longest - 2)
        for label, values, words in lines:
            line = Text(f" {label}".ljust(_LABEL_WIDTH), "dim")
            if bars >= _BARS_MIN:
                drawn = sparkline(_averaged(values, bars), bars)
                line.append(f"{drawn.ljust(min(len(values), bars))}  ", "cyan")
            line.append(words)
            yield line


def _series(found: Mapping[str, Any]) -> Iterator[tuple[str, list[float | None], _Show]]:
    """The name of each series, its values, and how one is written."""
    series = found["time_series"]
    yield "operations/s", [one["ops_s"] for one in series], figures.rate
    if found["status"] != "invalid":
        yield "slowest", [one["max_ms"] for one in series], figures.time
    for role in ROLES:
        if role in ("shard", "cohort") and role in series[0]["cpu_percent"]:
            cpu = [one["cpu_percent"].get(role) for one in series]
            memory = [one["memory_bytes"].get(role) for one in series]
            yield f"{role} CPU", cpu, figures.percent
            yield f"{role} memory", memory, figures.size
    yield "disk writes/s", [one["disk_write_bytes_s"] for one in series], figures.size


def _averaged(values: Sequence[float], parts: int) -> list[float]:
    """At most so many values: means of neighbours."""
    if len(values) <= parts:
        return list(values)
    bounds = [len(values) * part // parts for part in range(parts + 1)]
    return [sum(values[first:last]) / (last - first) for first, last in itertools.pairwise(bounds)]


def _costs(costs: Mapping[str, Mapping[str, Any]]) -> Grid:
    """One row a type of operation; a cost that is not told from nothing has its interval only."""
    rows = list(OPERATIONS)
    return Grid(
        [
            Column(heading="one operation costs", cells=rows, left=True, style="bold"),
            *_cost_columns(costs, "cpu_us", "CPU", lambda value: figures.time(value / 1e3)),
            *_cost_columns(costs, "memory_bytes", "memory", figures.size),
            *_cost_columns(costs, "disk_bytes", "disk writes", figures.size),
        ]
    )


def _cost_columns(
    costs: Mapping[str, Mapping[str, Any]], name: str, group: str, show: Any
) -> Iterator[Column]:
    intervals = [costs[operation]["intervals"][name] for operation in OPERATIONS]
    values = [costs[operation][name] for operation in OPERATIONS]
    cells = [
        figures.UNKNOWN if interval is None else "~ 0" if value is None else show(value)
        for value, interval in zip(values, intervals, strict=True)
    ]
    at_most = [figures.UNKNOWN if one is None else show(max(0.0, one["high"])) for one in intervals]
    yield Column(heading="mean", cells=cells, group=group)
    yield Column(heading="at most", cells=at_most, group=group, drop=1)


def _costs_note(costs: Mapping[str, Mapping[str, Any]]) -> Iterator[Padding]:
    rates = [one["rate_ops_s"] for one in costs.values() if one["rate_ops_s"]]
    if not rates:
        return
    words = f"at {figures.rate(min(rates))} to {figures.rate(max(rates))} operations/s"
    if figures.rate(min(rates)) == figures.rate(max(rates)):
        words = f"at {figures.rate(rates[0])} operations/s"
    text = f"{words}, beyond an idle store; at most: the upper end of the 95% interval"
    yield indented(Text(text, "dim"))


def _leaks(leaks: Sequence[Mapping[str, Any]]) -> Grid:
    """One row a process: what its memory grew by beyond what was stored, with the interval."""

    def per_minute(value: float | None) -> str:
        if value is None:
            return figures.UNKNOWN
        words = figures.digits(value * 60 / _MIB)
        return f"-{words.lstrip('-')}" if value < 0 and words != "0" else words

    slopes = [one["slope_bytes_s"] for one in leaks]
    return Grid(
        [
            Column(
                heading="memory growth",
                cells=[figures.plain(one["process"]) for one in leaks],
                left=True,
                style="bold",
            ),
            Column(heading="verdict", cells=[one["verdict"] for one in leaks], left=True),
            Column(
                heading="slope",
                cells=[per_minute(one["estimate"]) for one in slopes],
                group="MiB a minute",
            ),
            Column(
                heading="low",
                cells=[per_minute(one["low"]) for one in slopes],
                group="MiB a minute",
                drop=1,
            ),
            Column(
                heading="high",
                cells=[per_minute(one["high"]) for one in slopes],
                group="MiB a minute",
                drop=1,
            ),
            Column(
                heading="explained",
                cells=[per_minute(one["explained_bytes_s"]) for one in leaks],
                drop=2,
            ),
        ]
    )

"""Where a design breaks, in a terminal: the way of operations, then what there is one of."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.report import figures
from harness.report.grid import Column, Grid, indented
from harness.simulation.breaking import Breaking
from harness.simulation.control_plane import REPORT_INTERVAL_S, Limit

__all__ = ["render_breaking"]

_REMEDIES_MAX = 5


def render_breaking(found: Breaking) -> RenderableType:
    """Lay out what was found for a terminal; it fits 80 columns."""
    return Group(
        indented(_headline(found)),
        Text(),
        indented(Text(_operations(found))),
        Text(),
        indented(Text(_control(found))),
        Text(),
        _limits(found),
        Text(),
        indented(Text("What changes first", "bold")),
        indented(_remedies(found)),
    )


def _headline(found: Breaking) -> Text:
    scale, first = found.scale, found.limits[0]
    line = Text(
        f"{figures.count(scale.agents)} agents in {figures.count(scale.cohorts)} tasks on "
        f"{figures.count(scale.shards)} shards, {figures.count(scale.nodes)} machines: "
    )
    if first.ratio <= 1:
        line.append("nothing breaks that is known.", "green")
        return line
    broken = sum(limit.ratio > 1 for limit in found.limits)
    line.append(
        f"{broken} of {len(found.limits)} limits are broken, the first ({first.name}) at "
        f"{_agents_at(first, found)} agents.",
        "bold dark_orange3",
    )
    return line


def _operations(found: Breaking) -> str:
    processes = found.processes
    carried = found.throughput_ops_s / found.rate_ops_s
    shards, tasks, calls = (
        figures.percent(ratio * 100)
        for ratio in (processes.shard_busy_ratio, processes.cohort_busy_ratio, found.call_ratio)
    )
    text = (
        f"Operations: {figures.rate(found.rate_ops_s)}/s are asked for and "
        f"{figures.percent(min(carried, 1) * 100)} of them carried, p50 "
        f"{figures.time(found.p50_ms)}, p99 {figures.time(found.p99_ms)}. A batch has "
        f"{figures.digits(processes.batch_ops)} operations, so {calls} of a shard's CPU goes into "
        f"calls; shards are {shards} busy, tasks {tasks}."
    )
    if carried < 0.97:
        text += " The shards cannot carry it: the times grow for as long as the run goes on."
    return text


def _control(found: Breaking) -> str:
    delays = found.delays
    return (
        f"Control: {figures.percent(delays.busy_ratio * 100)} busy. A cohort reports every "
        f"{figures.time(delays.report_interval_s * 1e3)} (asked for: "
        f"{figures.time(REPORT_INTERVAL_S * 1e3)}), a file waits "
        f"{figures.time(delays.file_wait_s * 1e3)}, and the driver "
        f"{figures.time(delays.answer_s * 1e3)} for an answer, as when a run is to stop."
    )


def _limits(found: Breaking) -> Grid:
    shown = found.limits
    return Grid(
        [
            Column(heading="", cells=[one.name for one in shown], left=True, style="bold"),
            Column(heading="load", cells=[figures.digits(one.load) for one in shown]),
            Column(heading="bears", cells=[figures.digits(one.bears) for one in shown]),
            Column(heading="", cells=[one.unit for one in shown], left=True, style="dim"),
            Column(
                heading="broken at, agents",
                cells=[_agents_at(one, found) for one in shown],
                styles=["bold red" if one.ratio > 1 else "" for one in shown],
            ),
        ]
    )


def _remedies(found: Breaking) -> Table:
    broken = [limit for limit in found.limits if limit.ratio > 1]
    table = Table.grid(padding=(0, 1))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for limit in (broken or list(found.limits[:1]))[:_REMEDIES_MAX]:
        table.add_row(limit.name, Text(limit.then))
    return table


def _agents_at(limit: Limit, found: Breaking) -> str:
    """At how many agents, everything else growing or shrinking with them, to two digits."""
    agents = limit.size_ratio * found.scale.agents
    return "-" if agents == float("inf") else figures.count(float(f"{agents:.2g}"))

"""How a store scales with agents: throughput with the fitted law, efficiency, limits, cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.report.document import Block, Cell, Chart, Quantity, Section, Series, Table
from harness.report.fields import group, number, sized_groups, text
from harness.report.latency_sections import (
    COLOURS,
    GROUPS,
    LATENCY_COLUMNS,
    latency_row,
    mean_parts,
    parts_bars,
)
from harness.report.quantities import figure
from harness.report.scaling_chart import operations_a_second, throughput_chart
from harness.report.scaling_tables import (
    FIGURES,
    figures_table,
    law_table,
    repeats_table,
    scaling_table,
)
from harness.schema import OPERATIONS

__all__ = ["scaling_sections"]

Summary = Mapping[str, Any]


def scaling_sections(summary: Summary) -> list[Section]:
    """The sections of a benchmark over counts of agents; none without ``counts``."""
    counts = list(sized_groups(summary, "counts"))
    if not counts:
        return []
    sections = [
        _throughput(summary, counts),
        _latency(counts),
        _time(counts),
        _cost(counts),
        _limits(counts),
    ]
    threads = _threads(summary, counts)
    if threads:
        sections.insert(1, threads)
    return [section for section in sections if section.blocks]


Counts = Sequence[tuple[float, Summary]]


def _throughput(summary: Summary, counts: Counts) -> Section:
    blocks: list[Block] = [throughput_chart(summary, counts)]
    efficiency = [(size, number(found, "efficiency")) for size, found in counts]
    if any(value is not None for _, value in efficiency):
        blocks.append(
            Chart(
                key="efficiency",
                title="Efficiency",
                caption="Throughput against that of the smallest count times as many agents; "
                "100% would be ideal.",
                x=[size for size, _ in efficiency],
                x_label="agents",
                x_quantity="count",
                x_spacing="log",
                y_label="efficiency",
                y_quantity="ratio",
                series=[
                    Series(
                        label="efficiency", values=[value for _, value in efficiency], colour="teal"
                    ),
                    Series(
                        label="ideal",
                        values=[1.0] * len(efficiency),
                        style="dashed",
                        colour="ideal",
                    ),
                ],
            )
        )
    blocks += [table for table in (scaling_table(summary), law_table(summary)) if table]
    blocks.append(figures_table(counts))
    blocks += [table for table in (repeats_table(counts),) if table]
    return Section("scaling", "Scaling with agents", text(summary, "scaling", "sentence"), blocks)


def _latency(counts: Counts) -> Section:
    known = [(size, found) for size, found in counts if number(found, "all", "count")]
    blocks: list[Block] = []
    if known:
        quantiles = {"p50": "p50_ms", "p90": "p90_ms", "p99": "p99_ms"}
        colours = ("teal", "blue", "orange")
        of_all = [
            Series(label=name, colour=colour, values=[number(one, "all", key) for _, one in known])
            for (name, key), colour in zip(quantiles.items(), colours, strict=True)
        ]
        by_operation = [
            Series(
                label=name,
                colour=COLOURS[name],
                values=[number(one, name, "p99_ms") for _, one in known],
            )
            for name in OPERATIONS
        ]
        sizes = [size for size, _ in known]
        blocks = [
            _latency_chart("all", "Percentiles of all operations", sizes, of_all),
            _latency_chart("operations", "99th percentile by operation", sizes, by_operation),
            Table(
                title="Response time by agents and operation",
                columns=["agents, operation", "count", *LATENCY_COLUMNS.values()],
                rows=[
                    latency_row(f"{size:,}, {name}", group(found, name))
                    for size, found in known
                    for name in GROUPS
                    if number(found, name, "count")
                ],
                folded=True,
            ),
        ]
    return Section("latency", "Response time against agents", "", blocks)


def _latency_chart(key: str, title: str, sizes: Sequence[float], series: list[Series]) -> Chart:
    return Chart(
        key=f"latency-{key}",
        title=title,
        caption="Response time; both axes are logarithmic.",
        x=sizes,
        x_label="agents",
        x_quantity="count",
        x_spacing="log",
        y_label="response time",
        y_quantity="milliseconds",
        y_log=True,
        series=series,
    )


def _time(counts: Counts) -> Section:
    parts = {_agents(size): mean_parts(found, "all") for size, found in counts}
    known = {name: values for name, values in parts.items() if values is not None}
    title = "Mean time of an operation, taken apart"
    caption = "Queueing in the client, transport there and back, service in the shard."
    blocks: list[Block] = [parts_bars("parts", title, caption, known)] if known else []
    return Section("parts", "Where the time goes", "", blocks)


def _agents(size: float) -> str:
    return "1 agent" if size == 1 else f"{size:,} agents"


def _cost(counts: Counts) -> Section:
    blocks = [
        chart
        for chart in (
            _used(
                "cpu",
                "CPU of our processes",
                "percent",
                "CPU, of one core",
                counts,
                ("avg_cpu_percent", "max_cpu_percent"),
            ),
            _used(
                "memory",
                "Memory of our processes",
                "bytes",
                "memory",
                counts,
                ("avg_memory_bytes", "max_memory_bytes"),
            ),
            _used(
                "moved",
                "Disk and network",
                "bytes",
                "bytes",
                counts,
                ("disk_write_bytes", "disk_read_bytes", "loopback_bytes", "network_sent_bytes"),
            ),
        )
        if chart
    ]
    return Section("cost", "What it cost", "", blocks)


def _used(
    key: str, title: str, quantity: Quantity, label: str, counts: Counts, names: tuple[str, ...]
) -> Chart | None:
    words = {name: said for name, said, _ in FIGURES}
    series = [
        Series(label=words[name], values=[number(found, name) for _, found in counts])
        for name in names
    ]
    series = [one for one in series if any(value for value in one.values)]
    if not series:
        return None
    return Chart(
        key=f"{key}-agents",
        title=title,
        caption="Of all our processes together, by the number of agents.",
        x=[size for size, _ in counts],
        x_label="agents",
        x_quantity="count",
        x_spacing="log",
        y_label=label,
        y_quantity=quantity,
        series=series,
    )


def _limits(counts: Counts) -> Section:
    rows: list[list[Cell]] = [
        [
            figure(size, "count"),
            text(found, "limit", "sentence") or "-",
            text(found, "steady", "sentence") or "-",
        ]
        for size, found in counts
        if text(found, "limit", "sentence") or text(found, "steady", "sentence")
    ]
    columns = ["agents", "what limited it", "whether it settled"]
    blocks: list[Block] = [Table(title="Limits", columns=columns, rows=rows)] if rows else []
    return Section("limits", "What limited each count", "", blocks)


def _threads(summary: Summary, counts: Counts) -> Section | None:
    threads = dict(sized_groups(summary, "threads"))
    rows: list[list[Cell]] = []
    for size, found in counts:
        ours, theirs = operations_a_second(found), operations_a_second(threads.get(size, {}))
        if ours is None or theirs is None:
            continue
        rows.append(
            [
                figure(size, "count"),
                figure(ours, "rate"),
                figure(theirs, "rate"),
                figure(ours / theirs if theirs else None),
                figure(number(threads[size], "all", "p99_ms"), "milliseconds"),
            ]
        )
    if not rows:
        return None
    columns = ["agents", "over Ray", "as threads", "times as much", "threads' p99"]
    table = Table(title="Agents over Ray against threads", columns=columns, rows=rows)
    lead = "The same agents as threads of one process on the same store: what one lock costs."
    return Section("threads", "Against threads", lead, [table])

"""Targets side by side: the one table that says most, and throughput against agents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.report.document import (
    Bar,
    Bars,
    Block,
    Cell,
    Chart,
    Section,
    Table,
)
from harness.report.fields import group, groups, number, sized_groups, text
from harness.report.figures import counted, plain
from harness.report.quantities import figure
from harness.report.targets_facts import points_cell, target_facts_section
from harness.report.targets_volumes import holdings_section, single_section, target_line
from harness.schema import OPERATIONS

__all__ = ["target_sections", "targets_title"]

Summary = Mapping[str, Any]
Named = Sequence[tuple[str, Summary]]


def target_sections(summary: Summary) -> list[Section]:
    """The sections of a comparison of targets; none without ``targets``."""
    targets = _targets(summary)
    if not targets:
        return []
    sections = [
        _overview(summary, targets),
        _throughput(summary, targets),
        single_section(summary, targets),
        holdings_section(targets),
        target_facts_section(targets),
    ]
    return [section for section in sections if section.blocks]


def targets_title(summary: Summary) -> str:
    """Who carried most, in a few words; "" for what is no comparison."""
    rankings = list(sized_groups(summary, "comparison", "throughput"))
    if not rankings:
        return ""
    agents, ranking = rankings[-1]
    order = groups(ranking, "order")
    if not order:
        return ""
    who, rate = text(order[0], "target"), figure(number(order[0], "value"), "rate").shown
    lead = number(ranking, "lead", "estimate")
    if len(order) < 2 or lead is None:
        return f"{who}: {rate} with {counted(agents, 'agent')}"
    second = text(order[1], "target")
    times = figure(lead).shown
    return f"{who} carries {rate} with {counted(agents, 'agent')}, {times} times what {second} does"


def _targets(summary: Summary) -> Named:
    found = group(summary, "targets")
    return [(plain(name), group(found, name)) for name in found]


def _overview(summary: Summary, targets: Named) -> Section:
    """The one table that says most: a line for each target, the best throughput first."""
    counts = list(sized_groups(summary, "comparison", "throughput"))
    volumes = list(sized_groups(summary, "comparison", "volumes"))
    agents = str(counts[-1][0]) if counts else ""
    volume = str(volumes[-1][0]) if volumes else ""
    rows: list[tuple[float, list[Cell]]] = []
    for name, one in targets:
        rate = number(one, "counts", agents, "operations_per_second")
        held = group(one, "volumes", volume)
        cells: list[Cell] = [
            name,
            figure(rate, "rate"),
            *(figure(number(held, f"{op}_latency_ms", "p50"), "milliseconds") for op in OPERATIONS),
            figure(number(held, "recall"), "ratio"),
            figure(number(held, "load_rate_ops_s"), "rate"),
            figure(number(held, "memory_bytes_per_memory"), "bytes"),
            figure(number(held, "disk_bytes_per_memory"), "bytes"),
            points_cell(one),
        ]
        rows.append((-(rate or 0.0), cells))
    k = next((number(group(one, "volumes", volume), "k") for _, one in targets), None)
    columns = [
        "target",
        f"with {counted(counts[-1][0], 'agent')}" if counts else "with agents",
        *OPERATIONS,
        f"recall@{k:.0f}" if k else "recall",
        *("loaded", "memory each", "disk each", "points"),
    ]
    blocks: list[Block] = [
        Table(
            title="Side by side",
            columns=columns,
            rows=[cells for _, cells in sorted(rows, key=lambda row: row[0])],
            caption="Medians of the repeats. Single operations are medians of the response time, "
            f"one at a time{f', at {volumes[-1][0]:,} memories' if volumes else ''}; memory and "
            "disk are beyond what the empty store takes. Points are those of conformance that it "
            "claims, and how many it passes.",
        )
    ]
    lead = "The same operations from the same seed on each, in turns, each time in a fresh store."
    return Section("targets", "Side by side", lead, blocks)


def _throughput(summary: Summary, targets: Named) -> Section:
    counts = list(sized_groups(summary, "comparison", "throughput"))
    if not counts:
        return Section("throughput-by-target", "Throughput", "", [])
    sizes = [size for size, _ in counts]
    measured = {
        (text(one, "target"), size): one for size, found in counts for one in groups(found, "order")
    }
    series = []
    for place, (name, _) in enumerate(targets):
        found = [measured.get((name, size), {}) for size in sizes]
        low, high = ([number(one, end) for one in found] for end in ("low", "high"))
        known = any(value is not None for value in (*low, *high))
        series.append(
            target_line(
                place,
                name,
                values=[number(one, "value") for one in found],
                low=low if known else None,
                high=high if known else None,
            )
        )
    blocks: list[Block] = [
        Chart(
            key="throughput-by-target",
            title="Throughput against agents",
            caption="Medians of the repeats with 95% intervals; both axes are logarithmic.",
            x=sizes,
            x_label="agents",
            x_quantity="count",
            x_spacing="log",
            y_label="operations a second",
            y_quantity="rate",
            y_log=True,
            series=series,
        )
    ]
    order = groups(counts[-1][1], "order")
    if order:
        blocks.append(
            Bars(
                key="throughput-bars",
                title=f"Throughput with {counted(counts[-1][0], 'agent')}",
                caption="Operations a second, medians of the repeats.",
                parts=["operations a second"],
                colours=["service"],
                bars=[Bar(text(one, "target"), [number(one, "value") or 0.0]) for one in order],
                quantity="rate",
            )
        )
    blocks += [_throughput_table(targets), *_limits(targets)]
    return Section("throughput-by-target", "Throughput", "", blocks)


def _throughput_table(targets: Named) -> Table:
    rows: list[list[Cell]] = []
    for name, one in targets:
        for size, found in sized_groups(one, "counts"):
            rows.append(
                [
                    f"{name}, {counted(size, 'agent')}",
                    figure(number(found, "operations_per_second"), "rate"),
                    figure(number(found, "all", "p50_ms"), "milliseconds"),
                    figure(number(found, "all", "p99_ms"), "milliseconds"),
                    *(figure(number(found, op, "p50_ms"), "milliseconds") for op in OPERATIONS),
                    figure(number(found, "avg_cpu_percent"), "percent"),
                    figure(number(found, "max_memory_bytes"), "bytes"),
                    figure(float(len(groups(found, "repeats"))), "count"),
                ]
            )
    columns = [
        *("target, agents", "operations", "p50", "p99", *(f"{op}, p50" for op in OPERATIONS)),
        *("CPU", "memory, most", "repeats"),
    ]
    return Table(
        title="Response time and cost with agents",
        columns=columns,
        rows=rows,
        caption="CPU of one core, and memory, of all our processes together.",
        folded=True,
    )


def _limits(targets: Named) -> Iterator[Table]:
    rows: list[list[Cell]] = []
    for name, one in targets:
        for size, found in list(sized_groups(one, "counts"))[-1:]:
            said = text(found, "limit", "sentence")
            if said:
                rows.append([f"{name}, {counted(size, 'agent')}", said])
    if rows:
        yield Table(title="What limited each", columns=["target", "limit"], rows=rows)

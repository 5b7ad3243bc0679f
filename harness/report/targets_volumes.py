"""Targets at volumes of memories: single operations, recall, loading, memory and disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from harness.report.document import (
    Bar,
    Bars,
    Block,
    Cell,
    Chart,
    Quantity,
    Section,
    Series,
    Style,
    Table,
)
from harness.report.fields import group, number, sized_groups
from harness.report.latency_sections import COLOURS
from harness.report.quantities import figure
from harness.schema import OPERATIONS

__all__ = ["holdings_section", "single_section", "target_line"]

Summary = Mapping[str, Any]
Named = Sequence[tuple[str, Summary]]

# One for each target, in the order in which they were named; a second round of them is dashed.
TARGET_COLOURS = ("blue", "orange", "teal", "pink", "olive", "sky", "red", "slate")


def target_line(place: int, label: str, **values: Any) -> Series:
    """A target's line, in its own colour wherever it is drawn."""
    style: Style = "dashed" if place >= len(TARGET_COLOURS) else "line"
    colour = TARGET_COLOURS[place % len(TARGET_COLOURS)]
    return Series(label=label, colour=colour, style=style, **values)


def single_section(summary: Summary, targets: Named) -> Section:
    """Single operations at volumes: a picture of the largest, lines over all, every figure."""
    volumes = [size for size, _ in sized_groups(summary, "comparison", "volumes")]
    if not volumes:
        return Section("single", "Single operations", "", [])
    blocks: list[Block] = [*_single_bars(targets, volumes[-1])]
    if len(volumes) > 1:
        for op in OPERATIONS:
            pick = _time_of(op)
            title = f"A single {op} against volume"
            blocks += _volume_chart(
                f"{op}-by-target", title, "milliseconds", targets, volumes, pick
            )
    rows: list[list[Cell]] = []
    keys = ("mean_ms", "p50", "p90", "p99", "max")
    for name, one in targets:
        for size, found in sized_groups(one, "volumes"):
            for op in OPERATIONS:
                times = group(found, f"{op}_latency_ms")
                cells = [
                    figure(number(times, "avg" if key == "mean_ms" else key), "milliseconds")
                    for key in keys
                ]
                service = figure(number(found, "service", op, "p50"), "milliseconds")
                first = f"{name}, {size:,}, {op}"
                rows.append([first, figure(number(times, "count"), "count"), *cells, service])
    columns = ["target, memories, operation", "count", "mean", "p50", "p90", "p99", "most"]
    blocks.append(
        Table(
            title="Every figure of single operations",
            columns=[*columns, "in the store, p50"],
            rows=rows,
            folded=True,
        )
    )
    lead = "One operation at a time, so that nothing waits for anything: what a single agent sees."
    return Section("single", "Single operations", lead, blocks)


def _time_of(op: str) -> Callable[[Summary], float | None]:
    return lambda found: number(found, f"{op}_latency_ms", "p50")


def _single_bars(targets: Named, volume: float) -> Iterator[Bars]:
    bars = []
    for name, one in targets:
        found = group(one, "volumes", str(volume))
        times = [number(found, f"{op}_latency_ms", "p50") for op in OPERATIONS]
        known = [value for value in times if value is not None]
        if len(known) == len(times):
            bars.append(Bar(name, known))
    if bars:
        yield Bars(
            key="single-bars",
            title=f"A store, a retrieve and a search at {volume:,} memories",
            caption="Medians of the response time, one after the other.",
            parts=list(OPERATIONS),
            colours=[COLOURS[op] for op in OPERATIONS],
            bars=sorted(bars, key=lambda bar: sum(bar.values)),
        )


def holdings_section(targets: Named) -> Section:
    """Recall, loading, memory and disk at each volume."""
    volumes = sorted({size for _, one in targets for size, _ in sized_groups(one, "volumes")})
    if not volumes:
        return Section("held", "Recall, loading, memory and disk", "", [])
    blocks: list[Block] = []
    if len(volumes) > 1:
        drawn: tuple[tuple[str, str, Quantity, str], ...] = (
            ("recall", "Recall", "ratio", "recall"),
            ("load", "Loading", "rate", "load_rate_ops_s"),
            ("memory", "Memory for each memory", "bytes", "memory_bytes_per_memory"),
            ("disk", "Disk for each memory", "bytes", "disk_bytes_per_memory"),
        )
        for key, title, quantity, name in drawn:
            pick = _figure_of(name)
            blocks += _volume_chart(f"{key}-by-target", title, quantity, targets, volumes, pick)
    rows: list[list[Cell]] = []
    for name, one in targets:
        for size, found in sized_groups(one, "volumes"):
            reached = number(found, "cut", "reached")
            rows.append(
                [
                    f"{name}, {size:,}",
                    figure(number(found, "recall"), "ratio"),
                    figure(number(found, "load_rate_ops_s"), "rate"),
                    figure(number(found, "flush_s"), "seconds"),
                    figure(number(found, "memory_usage_bytes"), "bytes"),
                    figure(number(found, "memory_bytes_per_memory"), "bytes"),
                    figure(number(found, "disk_usage_bytes"), "bytes"),
                    figure(number(found, "disk_bytes_per_memory"), "bytes"),
                    "" if reached is None else f"at {reached:,.0f} memories",
                ]
            )
    columns = ["target, memories", "recall", "loaded", "flush"]
    columns += ["memory", "for each", "disk", "for each"]
    blocks.append(
        Table(
            title="What a volume takes",
            columns=[*columns, "cut"],
            rows=rows,
            caption="Memory is that of the processes in which the store works, with the agents' "
            "own where that is their process; for each: beyond the empty store.",
        )
    )
    lead = "Recall is judged by the harness, against exact search with the same vectors."
    return Section("held", "Recall, loading, memory and disk", lead, blocks)


def _figure_of(name: str) -> Callable[[Summary], float | None]:
    return lambda found: number(found, name)


def _volume_chart(
    key: str,
    title: str,
    quantity: Quantity,
    targets: Named,
    volumes: Sequence[float],
    pick: Callable[[Summary], float | None],
) -> Iterator[Chart]:
    """A line for each target over the volumes; none where nothing is known."""
    series = [
        target_line(
            place, name, values=[pick(group(one, "volumes", str(size))) for size in volumes]
        )
        for place, (name, one) in enumerate(targets)
    ]
    if not any(value is not None for one in series for value in one.values):
        return
    is_ratio = quantity == "ratio"
    yield Chart(
        key=key,
        title=title,
        caption="Medians of the repeats, by the number of memories.",
        x=volumes,
        x_label="memories",
        x_quantity="count",
        x_spacing="log",
        y_label=title.split(" against ", maxsplit=1)[0].lower(),
        y_quantity=quantity,
        y_log=not is_ratio,
        y_max=1.02 if is_ratio else None,
        series=series,
    )

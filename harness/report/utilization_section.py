"""What a steady load costs: figures, series over time, costs of an operation, a sweep of rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.report.document import (
    Block,
    Cell,
    Chart,
    Facts,
    Figure,
    Quantity,
    Section,
    Series,
    Table,
)
from harness.report.fields import group, groups, number, sized_groups, text
from harness.report.figures import plain
from harness.report.leak_section import leak_section
from harness.report.moments import warmup_marks
from harness.report.quantities import figure
from harness.schema import OPERATIONS

__all__ = ["utilization_sections"]

Summary = Mapping[str, Any]

_FIGURES: tuple[tuple[str, str, Quantity], ...] = (
    ("offered_rate_ops_per_second", "offered", "rate"),
    ("actual_rate_ops_per_second", "carried", "rate"),
    ("avg_operation_time_ms", "operation time, mean", "milliseconds"),
    ("p95_operation_time_ms", "operation time, p95", "milliseconds"),
    ("operations_per_cpu_percent", "operations a second for 1% of a core", "number"),
    ("operations_per_cpu_second", "operations for a second of CPU", "number"),
    ("operations_per_mb", "operations for a MB of memory", "number"),
    ("late_operations", "late operations", "count"),
    ("dropped_operations", "dropped operations", "count"),
    ("lag_p99_ms", "schedule lag, p99", "milliseconds"),
)
# Figures of a cost, what makes them of their quantity, and that.
_COSTS: tuple[tuple[str, float, Quantity], ...] = (
    ("cpu_us", 1e-3, "milliseconds"),
    ("memory_bytes", 1.0, "bytes"),
    ("disk_bytes", 1.0, "bytes"),
)
_SERIES_MAX = 10


def utilization_sections(summary: Summary, *, with_series: bool) -> list[Section]:
    """The sections of a benchmark of a steady load; none without ``resources``.

    Args:
        summary: of the benchmark.
        with_series: also draw the summary's own series over time, where the samples of the run
            are not drawn.
    """
    used = group(summary, "resources")
    rates = list(sized_groups(summary, "rates"))
    if number(used, "actual_rate_ops_per_second") is None and not rates:
        return []
    sections = [_utilization(used, with_series), _costs(used)]
    leaks = leak_section(used)
    sections += [leaks] if leaks else []
    sections.append(_rates(rates))
    return [section for section in sections if section.blocks]


def _utilization(used: Summary, with_series: bool) -> Section:
    pairs = [
        (words, figure(number(used, key), quantity))
        for key, words, quantity in _FIGURES
        if number(used, key) is not None
    ]
    blocks: list[Block] = [Facts("Figures", pairs)] if pairs else []
    if uses := _uses(used):
        blocks.append(uses)
    if with_series:
        blocks += _series_charts(used)
    return Section("utilization", "A steady load", text(used, "limit", "sentence"), blocks)


def _uses(used: Summary) -> Table | None:
    """How near each resource was to its limit, the nearest first."""
    rows: list[list[Cell]] = [
        [text(one, "resource"), figure(number(one, "used_ratio"), "ratio")]
        for one in groups(used, "nearest", "uses")
    ]
    columns = ["resource", "used"]
    title, caption = "How near to its limit", text(used, "nearest", "sentence")
    return Table(title=title, columns=columns, rows=rows, caption=caption) if rows else None


def _series_charts(used: Summary) -> list[Block]:
    entries = [one for one in groups(used, "time_series") if number(one, "t_s") is not None]
    entries.sort(key=lambda one: number(one, "t_s") or 0.0)
    if len(entries) < 2:
        return []

    def line(name: str) -> list[float | None]:
        return [number(one, name) for one in entries]

    marks = warmup_marks(used)
    x = [number(one, "t_s") or 0.0 for one in entries]
    wanted: list[tuple[str, str, str, Quantity, Sequence[Series]]] = [
        (
            "rate",
            "Throughput",
            "operations a second",
            "rate",
            [Series(label="carried", values=line("ops_s"), colour="all")],
        ),
        (
            "p95",
            "Operation time",
            "p95",
            "milliseconds",
            [Series(label="p95", values=line("p95_ms"), colour="orange")],
        ),
        ("cpu", "CPU by role", "CPU, of one core", "percent", _by_role(entries, "cpu_percent")),
        ("memory", "Memory by role", "memory", "bytes", _by_role(entries, "memory_bytes")),
        (
            "moved",
            "Disk and network",
            "bytes a second",
            "bytes_s",
            [
                Series(label="disk written", values=line("disk_write_bytes_s")),
                Series(label="network", values=line("network_bytes_s")),
            ],
        ),
    ]
    return [
        Chart(
            key=f"series-{key}",
            title=title,
            caption="From the summary's time series.",
            x=x,
            x_label="seconds",
            x_quantity="seconds",
            y_label=label,
            y_quantity=quantity,
            series=series,
            marks=marks,
            sync="time",
        )
        for key, title, label, quantity, series in wanted
        if any(value is not None for one in series for value in one.values)
    ]


def _by_role(entries: Sequence[Summary], name: str) -> list[Series]:
    roles: dict[str, None] = {}
    for one in entries:
        roles |= dict.fromkeys(group(one, name))
    return [
        Series(label=plain(role)[:60], values=[number(one, name, role) for one in entries])
        for role in list(roles)[:_SERIES_MAX]
    ]


def _costs(used: Summary) -> Section:
    rows: list[list[Cell]] = []
    for operation in OPERATIONS:
        found = group(used, "costs", operation)
        if not found:
            continue
        cells: list[Cell] = [operation]
        for key, scale, quantity in _COSTS:
            cells.append(_scaled(number(found, key), scale, quantity))
            interval = group(found, "intervals", key)
            low, high = number(interval, "low"), number(interval, "high")
            known = low is not None and high is not None
            ends = [_scaled(one, scale, quantity).shown for one in (low, high)]
            cells.append(" to ".join(ends) if known else "-")
        rows.append(cells)
    columns = ["operation"]
    for words in ("CPU time", "memory kept", "disk written"):
        columns += [words, "95% interval"]
    caption = "Beyond what an idle store takes; - where the interval has 0 in it."
    blocks: list[Block] = []
    if rows:
        table = Table(title="Cost of one operation", columns=columns, rows=rows, caption=caption)
        blocks.append(table)
    return Section("costs", "What an operation costs", "", blocks)


def _scaled(value: float | None, scale: float, quantity: Quantity) -> Figure:
    return figure(None if value is None else value * scale, quantity)


def _rates(rates: Sequence[tuple[float, Summary]]) -> Section:
    if not rates:
        return Section("rates", "Against the rate", "", [])
    x = [size for size, _ in rates]

    def chart(key: str, title: str, quantity: Quantity, *names: str) -> Chart:
        words = {name: said for name, said, _ in _FIGURES}
        return Chart(
            key=f"rates-{key}",
            title=title,
            caption="By the rate that was offered.",
            x=x,
            x_label="operations a second, offered",
            x_quantity="count",
            x_spacing="log",
            y_label=title,
            y_quantity=quantity,
            y_log=quantity in {"rate", "milliseconds"},
            series=[
                Series(label=words[name], values=[number(found, name) for _, found in rates])
                for name in names
            ],
        )

    rows: list[list[Cell]] = []
    for key, words, quantity in _FIGURES:
        cells = [figure(number(found, key), quantity) for _, found in rates]
        if any(cell.value is not None for cell in cells):
            rows.append([words, *cells])
    columns = ["figure", *(f"{size:,}/s" for size in x)]
    blocks: list[Block] = [
        chart(
            "carried",
            "Offered and carried",
            "rate",
            "offered_rate_ops_per_second",
            "actual_rate_ops_per_second",
        ),
        chart(
            "time",
            "Operation time",
            "milliseconds",
            "avg_operation_time_ms",
            "p95_operation_time_ms",
        ),
        chart("cost", "Operations for a second of CPU", "number", "operations_per_cpu_second"),
        Table(title="Every figure by rate", columns=columns, rows=rows),
    ]
    return Section("rates", "Against the rate", "", blocks)

"""How a store bears a growing number of memories: times, recall, memory, disk, loading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from harness.report.document import Block, Cell, Chart, Mark, Quantity, Section, Series, Table
from harness.report.fields import group, groups, number, sized_groups, text
from harness.report.figures import count as whole
from harness.report.quantities import exponent, figure

__all__ = ["volume_sections"]

Summary = Mapping[str, Any]
Volumes = Sequence[tuple[float, Summary]]

_OPERATIONS = ("store", "retrieve", "search", "cross_tier")
_WORDS = {
    "store": "Store",
    "retrieve": "Retrieve",
    "search": "Search",
    "cross_tier": "Search across tiers",
}
_FIGURES = ("avg", "min", "p50", "p90", "p95", "p99", "p999", "max")
_HELD = ("memory_usage_bytes", "disk_usage_bytes")
_TIERS = {"stm": "teal", "im": "blue", "ltm": "orange", "all": "all"}


def volume_sections(summary: Summary) -> list[Section]:
    """The sections of a benchmark over volumes; none without ``volumes``."""
    volumes = list(sized_groups(summary, "volumes"))
    if not volumes:
        return []
    sections = [
        _degradation(summary, volumes),
        _recall(volumes),
        _holdings(summary, volumes),
    ]
    return [section for section in sections if section.blocks]


def _degradation(summary: Summary, volumes: Volumes) -> Section:
    blocks: list[Block] = []
    for name in _OPERATIONS:
        found = group(summary, "degradation", name)
        chart = _degradation_chart(name, found, volumes)
        if chart:
            blocks.append(chart)
    blocks += [table for table in (_exponents(summary), *_times(volumes)) if table]
    lead = "Service time is the store's own; response time has the way there and back with it."
    return Section("degradation", "Time against volume", lead, blocks)


def _degradation_chart(name: str, found: Summary, volumes: Volumes) -> Chart | None:
    points = {
        int(size): (number(one, "service_p50_ms"), number(one, "response_p50_ms"))
        for one in groups(found, "points")
        if (size := number(one, "memories")) is not None
    }
    for size, volume in volumes:
        service = number(volume, "service", name, "p50")
        points.setdefault(int(size), (service, number(volume, f"{name}_latency_ms", "p50")))
    fit = sorted(
        (at, ms)
        for one in groups(found, "fit")
        if (at := number(one, "memories")) is not None and (ms := number(one, "ms")) is not None
    )
    x = sorted({*map(float, points), *(at for at, _ in fit)})
    x = [at for at in x if at > 0]
    if not any(value is not None for pair in points.values() for value in pair):
        return None
    series = [
        Series(
            label=label,
            values=[
                points.get(int(at), (None, None))[place] if at == int(at) else None for at in x
            ],
            style="points",
            colour=colour,
        )
        for place, (label, colour) in enumerate(
            (("service, p50", "teal"), ("response, p50", "blue"))
        )
    ]
    if fit:
        at_all = np.array([at for at, _ in fit])
        ms_all = np.array([ms for _, ms in fit])
        values = [
            float(np.interp(at, at_all, ms_all)) if at_all[0] <= at <= at_all[-1] else None
            for at in x
        ]
        series.append(
            Series(label="fit to the service p50", values=values, style="dashed", colour="teal")
        )
    bend = number(found, "bend_at")
    return Chart(
        key=f"degradation-{name.replace('_', '-')}",
        title=_WORDS[name],
        caption=text(found, "sentence") or "Median by the number of memories.",
        x=x,
        x_label="memories",
        x_quantity="count",
        x_spacing="log",
        y_label="time of an operation",
        y_quantity="milliseconds",
        y_log=True,
        series=series,
        marks=[Mark(bend, None, "bend", "event")] if bend else [],
    )


def _exponents(summary: Summary) -> Table | None:
    rows: list[list[Cell]] = []
    for name in _OPERATIONS:
        found = group(summary, "degradation", name)
        if not found:
            continue
        power = group(found, "exponent")
        low, high = number(power, "low"), number(power, "high")
        rows.append(
            [
                _WORDS[name],
                exponent(number(power, "estimate")),
                f"{exponent(low).shown} to {exponent(high).shown}" if low is not None else "-",
                figure(number(found, "bend_at"), "count"),
                text(found, "sentence"),
            ]
        )
    columns = ["operation", "exponent", "95% interval", "bends at", "in words"]
    caption = "0 is a time that volume does not change, 1 one that grows as fast as it does."
    return (
        Table(title="How fast time grows", columns=columns, rows=rows, caption=caption)
        if rows
        else None
    )


def _times(volumes: Volumes) -> Iterator[Table]:
    for title, place, folded in (
        ("Response time by volume", "", False),
        ("Service time by volume", "service", True),
    ):
        rows: list[list[Cell]] = []
        for size, volume in volumes:
            for name in _OPERATIONS:
                found = (
                    group(volume, "service", name) if place else group(volume, f"{name}_latency_ms")
                )
                if found:
                    cells = [figure(number(found, key), "milliseconds") for key in _FIGURES]
                    first = f"{size:,}, {_WORDS[name].lower()}"
                    rows.append([first, figure(number(found, "count"), "count"), *cells])
        if rows:
            columns = ["memories, operation", "count", "mean", "least", *_FIGURES[2:7], "most"]
            columns[8] = "p99.9"
            yield Table(title=title, columns=columns, rows=rows, folded=folded)


def _recall(volumes: Volumes) -> Section:
    known = [(size, group(volume, "recall")) for size, volume in volumes]
    known = [(size, found) for size, found in known if found]
    if not known:
        return Section("recall", "Recall", "", [])
    k = number(known[-1][1], "k")
    series = [
        Series(
            label="every tier" if tier == "all" else tier,
            values=[number(found, tier) for _, found in known],
            colour=colour,
        )
        for tier, colour in _TIERS.items()
    ]
    series = [one for one in series if any(value is not None for value in one.values)]
    lowest = min((value for one in series for value in one.values if value is not None), default=0)
    rows: list[list[Cell]] = [
        [
            figure(size, "count"),
            *(figure(number(found, tier), "ratio") for tier in _TIERS),
            figure(number(found, "queries"), "count"),
        ]
        for size, found in known
    ]
    chart = Chart(
        key="recall",
        title=f"Recall@{whole(k)} by tier" if k else "Recall by tier",
        caption="Of the nearest memories by exact search, the share that the store found.",
        x=[size for size, _ in known],
        x_label="memories",
        x_quantity="count",
        x_spacing="log",
        y_label="recall",
        y_quantity="ratio",
        y_max=1.02,
        y_min=max(0.0, lowest - 0.05) if lowest > 0.5 else 0.0,
        series=series,
    )
    columns = ["memories", *("every tier" if tier == "all" else tier for tier in _TIERS), "queries"]
    lead = "Against exact search on vectors that were kept apart from the store."
    return Section(
        "recall", "Recall", lead, [chart, Table(title="Recall", columns=columns, rows=rows)]
    )


def _holdings(summary: Summary, volumes: Volumes) -> Section:
    baseline = group(summary, "baseline")
    blocks: list[Block] = []
    for key, title, names, quantity in (
        ("held", "Memory and disk", _HELD, "bytes"),
        ("each", "Memory for each memory", ("memory_bytes_per_memory",), "bytes"),
        ("loading", "Loading", ("load_rate_ops_s",), "rate"),
    ):
        chart = _volume_chart(key, title, names, quantity, volumes)
        if chart:
            blocks.append(chart)
    rows: list[list[Cell]] = []
    if baseline:
        held = [figure(number(baseline, name), "bytes") for name in _HELD]
        rows.append(["empty store", *held, "", "", "", "", ""])
    for size, volume in volumes:
        rows.append(
            [
                f"{size:,}",
                figure(number(volume, "memory_usage_bytes"), "bytes"),
                figure(number(volume, "disk_usage_bytes"), "bytes"),
                figure(number(volume, "memory_bytes_per_memory"), "bytes"),
                figure(number(volume, "load_rate_ops_s"), "rate"),
                *(figure(number(volume, "tiers", tier), "count") for tier in ("stm", "im", "ltm")),
            ]
        )
    columns = ["memories", "memory", "disk", "memory for each", "loaded", "stm", "im", "ltm"]
    blocks.append(Table(title="What a volume takes", columns=columns, rows=rows))
    return Section("holdings", "Memory and disk", "", blocks)


def _volume_chart(
    key: str, title: str, names: tuple[str, ...], quantity: Quantity | str, volumes: Volumes
) -> Chart | None:
    words = {
        "memory_usage_bytes": "memory",
        "disk_usage_bytes": "disk",
        "memory_bytes_per_memory": "memory for each memory",
        "load_rate_ops_s": "memories a second",
    }
    series = [
        Series(label=words[name], values=[number(volume, name) for _, volume in volumes])
        for name in names
    ]
    if not any(value for one in series for value in one.values):
        return None
    return Chart(
        key=f"volume-{key}",
        title=title,
        caption="By the number of memories.",
        x=[size for size, _ in volumes],
        x_label="memories",
        x_quantity="count",
        x_spacing="log",
        y_label=words[names[0]] if len(names) == 1 else "bytes",
        y_quantity="bytes" if quantity == "bytes" else "rate",
        y_log=key == "held",
        series=series,
    )

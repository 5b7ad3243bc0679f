"""Response times of a run: how long operations took, where that time went, how it changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.report import figures
from harness.report.distributions import (
    histogram_edges,
    nines_scale,
    percentile_curve,
    shares,
)
from harness.report.document import Bar, Bars, Block, Cell, Chart, Section, Series, Table
from harness.report.fields import group, number
from harness.report.quantities import figure
from harness.report.run_data import RunData
from harness.schema import OPERATIONS

__all__ = [
    "COLOURS",
    "GROUPS",
    "LATENCY_COLUMNS",
    "PARTS",
    "PART_COLOURS",
    "latency_row",
    "latency_section",
    "mean_parts",
    "parts_bars",
    "parts_section",
]

Times = npt.NDArray[np.int64]

GROUPS = ("all", *OPERATIONS)
COLOURS = {"all": "all", "store": "store", "retrieve": "retrieve", "search": "search"}
LATENCY_COLUMNS = {
    "mean_ms": "mean",
    "min_ms": "least",
    "p50_ms": "p50",
    "p90_ms": "p90",
    "p95_ms": "p95",
    "p99_ms": "p99",
    "p999_ms": "p99.9",
    "max_ms": "most",
}
# In the order in which an operation meets them.
PARTS = ("late issue", "queueing", "transport", "shard wait", "service")
PART_COLOURS = ("late", "queue", "transport", "wait", "service")


def latency_row(name: str, figures_of: Mapping[str, Any]) -> list[Cell]:
    """A row of a table: a name, how many, and every figure of `LATENCY_COLUMNS`."""
    cells: list[Cell] = [name, figure(number(figures_of, "count"), "count")]
    return cells + [figure(number(figures_of, key), "milliseconds") for key in LATENCY_COLUMNS]


def latency_section(data: RunData) -> Section | None:
    """How long operations took: the table, the percentile curve, the distribution."""
    summary = data.summary
    if not number(summary, "all", "count"):
        return None
    table = Table(
        title="Response time by operation",
        columns=["operation", "count", *LATENCY_COLUMNS.values()],
        rows=[
            latency_row(name, group(summary, name))
            for name in GROUPS
            if number(summary, name, "count")
        ],
        caption="Percentiles are of the rows; one that too few operations support is shown as -.",
    )
    blocks: list[Block] = [table, *_distributions(data)]
    return Section("latency", "Response time", _in_words(summary), blocks)


def _in_words(summary: Mapping[str, Any]) -> str:
    p50, p99 = number(summary, "all", "p50_ms"), number(summary, "all", "p99_ms")
    longest = number(summary, "all", "max_ms")
    sentences = []
    if p50 is not None:
        sentences.append(f"Half of the operations were answered within {figures.time(p50)}.")
    if p99 is not None:
        sentences.append(f"One in a hundred took longer than {figures.time(p99)}.")
    if longest is not None:
        sentences.append(f"The longest took {figures.time(longest)}.")
    return " ".join(sentences)


def _ordered(data: RunData) -> dict[str, Times]:
    """The response times of each group of operations in ascending order."""
    response = data.rows.column("response").astype(np.int64, copy=False)
    operation = data.rows.column("op")
    ordered = {name: np.sort(response[operation == code]) for code, name in enumerate(OPERATIONS)}
    return {"all": np.sort(response)} | {name: one for name, one in ordered.items() if one.size}


def _distributions(data: RunData) -> Iterator[Block]:
    if not data.rows.operations:
        return
    ordered = _ordered(data)
    everything = ordered["all"]
    nines = nines_scale(everything.size)
    yield Chart(
        key="percentiles",
        title="Percentiles",
        caption="How many operations were at least this fast. Each step of the lower scale is "
        "ten times rarer; a line ends where its operations are too few to say more.",
        x=nines,
        x_label="percentile",
        x_spacing="nines",
        y_label="response time",
        y_quantity="milliseconds",
        y_log=True,
        series=[
            Series(label=name, values=percentile_curve(times, nines), colour=COLOURS[name])
            for name, times in ordered.items()
        ],
    )
    edges = histogram_edges(int(everything[0]), int(everything[-1]), everything.size)
    yield Chart(
        key="distribution",
        title="Distribution",
        caption="Share of each kind of operation by its response time, in buckets of equal width "
        "on a logarithmic scale.",
        x=[float(one) for one in np.sqrt(edges[:-1] * edges[1:]) / 1e6],
        x_label="response time",
        x_quantity="milliseconds",
        x_spacing="log",
        y_label="share of operations",
        y_quantity="percent",
        series=[
            Series(label=name, values=shares(times, edges), style="steps", colour=COLOURS[name])
            for name, times in ordered.items()
            if name != "all" or len(ordered) == 1
        ],
    )


def mean_parts(summary: Mapping[str, Any], name: str) -> list[float] | None:
    """The mean milliseconds of each of `PARTS` for a group of operations; None where unknown."""
    response = group(summary, name) if name in summary else group(summary, "response", name)
    mean = number(response, "mean_ms")
    found = [number(summary, part, name, "mean_ms") for part in ("queue", "transport", "service")]
    queue, transport, service = (max(0.0, one or 0.0) for one in found)
    if mean is None or any(one is None for one in found):
        return None
    wait = min(max(0.0, number(summary, "shard_wait", name, "mean_ms") or 0.0), transport)
    # What the other parts do not explain passed before the operation was issued (open loop).
    late = mean - queue - transport - service
    late = late if late > 1e-6 * mean else 0.0
    return [late, queue, transport - wait, wait, service]


def parts_bars(key: str, title: str, caption: str, named: Mapping[str, list[float]]) -> Bars:
    """Bars of `mean_parts`, without the parts that are nought in all of them."""
    used = [
        place for place in range(len(PARTS)) if any(values[place] > 0 for values in named.values())
    ]
    return Bars(
        key=key,
        title=title,
        caption=caption,
        parts=[PARTS[place] for place in used],
        colours=[PART_COLOURS[place] for place in used],
        bars=[Bar(name, [values[place] for place in used]) for name, values in named.items()],
    )


def parts_section(data: RunData) -> Section | None:
    """Where the time of an operation went: mean parts as bars, and their percentiles."""
    named = {name: mean_parts(data.summary, name) for name in GROUPS}
    found = {name: parts for name, parts in named.items() if parts is not None}
    if not found:
        return None
    bars = parts_bars(
        "parts",
        "Mean time of an operation, taken apart",
        "Queueing: in the client, until its batch was sent. Transport: encoding, the wire and Ray, "
        "there and back. Shard wait: for its turn in the shard. Service: until it was durable.",
        found,
    )
    return Section(
        "parts",
        "Where the time goes",
        _greatest(found["all"]) if "all" in found else "",
        [bars, _parts_table(data.summary)],
    )


def _greatest(parts: list[float]) -> str:
    total = sum(parts)
    if total <= 0:
        return ""
    most = max(range(len(parts)), key=parts.__getitem__)
    return (
        f"Of a mean response time of {figures.time(total)}, {figures.time(parts[most])} "
        f"({figures.percent(100 * parts[most] / total)}) went in {PARTS[most]}."
    )


def _parts_table(summary: Mapping[str, Any]) -> Table:
    rows: list[list[Cell]] = []
    for name in GROUPS:
        for key, words in (
            ("queue", "queueing"),
            ("transport", "transport, with shard wait"),
            ("shard_wait", "shard wait"),
            ("service", "service"),
        ):
            found = group(summary, key, name)
            if number(found, "count"):
                rows.append(latency_row(f"{name}: {words}", found))
    return Table(
        title="Each part by itself",
        columns=["part", "count", *LATENCY_COLUMNS.values()],
        rows=rows,
        caption="Percentiles of parts do not add up to those of the whole; means do.",
        folded=True,
    )

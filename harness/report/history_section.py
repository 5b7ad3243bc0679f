"""How a run went over time: throughput, response time and its parts, bin by bin."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from harness.analysis.latency import fewest_samples
from harness.report import figures
from harness.report.document import Block, Chart, Mark, Section, Series
from harness.report.fields import group, number, text
from harness.report.latency_sections import COLOURS, PART_COLOURS, PARTS
from harness.report.moments import event_marks, event_table
from harness.report.run_data import RunData
from harness.report.timelines import Bins, counts_by_bin, known, means_by_bin, quantiles_by_bin
from harness.schema import OPERATIONS

__all__ = ["history_section"]

Places = npt.NDArray[np.int16]
_QUANTILES = (0.5, 0.95, 0.99)
# What a p99 of a bin needs (`harness.analysis.latency.fewest_samples`).
_OPERATIONS_A_BIN = fewest_samples(0.99)
_CLOCK_MS = 1e-6
_X_LABEL = "seconds since the first measured operation"


def history_section(data: RunData) -> Section | None:
    """Throughput and times over the run, with its phases and events."""
    if data.rows.window is None or not data.finished_ns.size:
        return None
    begin_ns, end_ns = data.rows.window.begin_ns, data.rows.window.end_ns
    if data.warmup_finished_ns.size:
        begin_ns = min(begin_ns, int(data.warmup_finished_ns.min()))
        end_ns = max(end_ns, int(data.warmup_finished_ns.max()))
    bins = Bins.over(begin_ns, end_ns)
    origin_ns = data.rows.window.begin_ns
    marks = [one for one in event_marks(data) if _touches(one, bins, origin_ns)]
    charts: list[Block] = [_throughput(data, bins, marks)]
    if not data.is_invalid:
        charts += _times(data, bins, marks)
    table = event_table(data)
    return Section(
        "history",
        "Over time",
        text(group(data.summary, "steady"), "sentence"),
        charts + ([table] if table else []),
    )


def _touches(mark: Mark, bins: Bins, origin_ns: int) -> bool:
    begin_s, end_s = (bins.begin_ns - origin_ns) / 1e9, (bins.end_ns - origin_ns) / 1e9
    last = mark.begin if mark.end is None else mark.end
    return last >= begin_s and mark.begin <= end_s


def _throughput(data: RunData, bins: Bins, marks: list[Mark]) -> Chart:
    place = bins.of(data.finished_ns)
    operation = data.rows.column("op")
    origin_ns = data.rows.window.begin_ns if data.rows.window else bins.begin_ns
    before = int(bins.of(np.array([origin_ns]))[0])  # bins of the warm-up have no measured rate

    def measured(places: Places) -> list[float | None]:
        return [None] * before + counts_by_bin(places, bins)[before:]

    series = [
        Series(label="all", values=measured(place), colour="all"),
        *(
            Series(label=name, values=measured(place[operation == code]), colour=COLOURS[name])
            for code, name in enumerate(OPERATIONS)
            if (operation == code).any()
        ),
    ]
    if data.warmup_finished_ns.size:
        of_warmup = counts_by_bin(bins.of(data.warmup_finished_ns), bins)
        values = [value or None for value in of_warmup]  # nothing, where there is none of it
        series.append(Series(label="warm-up", values=values, style="dashed", colour="quiet"))
    offered = number(group(data.run, "plan"), "rate")
    if offered is not None:
        series.append(
            Series(label="offered", values=[offered] * bins.size, style="dashed", colour="quiet")
        )
    return Chart(
        key="throughput",
        title="Throughput",
        caption=f"Operations that finished, in bins of {figures.span(bins.width_s)}.",
        x=bins.centres_s(data.origin_ns or 0),
        x_label=_X_LABEL,
        x_quantity="seconds",
        y_label="operations a second",
        y_quantity="rate",
        series=series,
        marks=marks,
        sync="time",
    )


def _times(data: RunData, bins: Bins, marks: list[Mark]) -> Iterator[Chart]:
    wider = bins.holding(_OPERATIONS_A_BIN, data.finished_ns.size)
    response_ms = data.rows.column("response").astype(np.float64) / 1e6
    lines = quantiles_by_bin(wider.of(data.finished_ns), response_ms, wider, _QUANTILES)
    names = ("p50", "p95", "p99")
    yield Chart(
        key="response-over-time",
        title="Response time over time",
        caption=f"Exact percentiles of the operations that finished in each bin of "
        f"{figures.span(wider.width_s)}.",
        x=wider.centres_s(data.origin_ns or 0),
        x_label=_X_LABEL,
        x_quantity="seconds",
        y_label="response time",
        y_quantity="milliseconds",
        y_log=True,
        series=[
            Series(label=name, values=values, colour=colour)
            for name, values, colour in zip(
                names, lines, ("service", "transport", "queue"), strict=True
            )
        ],
        marks=marks,
        sync="time",
    )
    yield _parts_over_time(data, bins, bins.of(data.finished_ns), marks)


def _parts_over_time(data: RunData, bins: Bins, place: Places, marks: list[Mark]) -> Chart:
    means = {  # one column in memory at a time
        name: np.array(means_by_bin(place, data.rows.column(name), bins), np.float64) / 1e6
        for name in ("response", "queue", "transport", "shard_wait", "service")
    }
    parts = (
        means["response"] - means["queue"] - means["transport"] - means["service"],
        means["queue"],
        means["transport"] - means["shard_wait"],
        means["shard_wait"],
        means["service"],
    )
    # What rounding leaves of a part that is not there is less than the clock can tell.
    series = [
        Series(label=name, values=known(np.maximum(values, 0)), colour=colour)
        for name, colour, values in zip(PARTS, PART_COLOURS, parts, strict=True)
        if np.nanmax(values, initial=0) > _CLOCK_MS
    ]
    return Chart(
        key="parts-over-time",
        title="Where the time went, over time",
        caption="Mean of each part in each bin; together they are the mean response time.",
        x=bins.centres_s(data.origin_ns or 0),
        x_label=_X_LABEL,
        x_quantity="seconds",
        y_label="mean time",
        y_quantity="milliseconds",
        series=series,
        stacked=True,
        marks=marks,
        sync="time",
    )

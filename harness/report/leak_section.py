"""Whether processes leak: each one's own memory over time, its trend, and a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.report.document import Block, Cell, Chart, Mark, Note, Section, Series, Table
from harness.report.fields import groups, number, text
from harness.report.quantities import figure, written

__all__ = ["leak_section"]

Summary = Mapping[str, Any]
Floats = npt.NDArray[np.float64]

# Processes that get a picture, those that leak first; all are in the table.
_CHARTS_MAX = 12
_ORDER = ("leak", "too little data", "no leak")


def leak_section(used: Summary) -> Section | None:
    """The verdict on each process, the trend of those that matter most; None without any."""
    found = sorted(groups(used, "leaks"), key=_rank)
    if not found:
        return None
    lead = _in_words(found)
    blocks: list[Block] = [_table(found)]
    for place, one in enumerate(found[:_CHARTS_MAX]):
        chart = _trend(f"leak-{place}", one)
        if chart:
            blocks.append(chart)
    if len(found) > _CHARTS_MAX:
        blocks.append(Note(f"{len(found) - _CHARTS_MAX:,} more processes are in the table alone."))
    return Section("leaks", "Leaks", lead, blocks)


def _in_words(found: list[Summary]) -> str:
    leaking = sum(text(one, "verdict") == "leak" for one in found)
    unknown = sum(text(one, "verdict") == "too little data" for one in found)
    if unknown == len(found):
        return "There is too little data to say whether anything leaks."
    lead = f"{leaking:,} of {len(found):,} processes leak." if leaking else "No process leaks."
    return f"{lead} Of {unknown:,} there is too little data to say." if unknown else lead


def _rank(found: Summary) -> int:
    verdict = text(found, "verdict")
    return _ORDER.index(verdict) if verdict in _ORDER else len(_ORDER)


def _table(found: list[Summary]) -> Table:
    rows: list[list[Cell]] = []
    for one in found:
        low, high = number(one, "slope_bytes_s", "low"), number(one, "slope_bytes_s", "high")
        rows.append(
            [
                text(one, "process") or text(one, "role"),
                text(one, "verdict"),
                figure(number(one, "slope_bytes_s", "estimate"), "bytes_s"),
                "-" if low is None else f"{written(low, 'bytes_s')} to {written(high, 'bytes_s')}",
                figure(number(one, "explained_bytes_s"), "bytes_s"),
                text(one, "sentence"),
            ]
        )
    columns = ["process", "verdict", "unexplained", "95% interval", "explained", "in words"]
    return Table(
        title="Verdicts",
        columns=columns,
        rows=rows,
        caption="Growth of a process's own memory after warm-up, by Theil and Sen: what stored "
        "memories explain of it, and what they do not.",
    )


def _trend(key: str, found: Summary) -> Chart | None:
    points = sorted(
        (at, size)
        for one in groups(found, "trend")
        if (at := number(one, "t_s")) is not None and (size := number(one, "bytes")) is not None
    )
    if len(points) < 2:
        return None
    at_s = np.array([at for at, _ in points])
    held = np.array([value for _, value in points])
    series = [Series(label="own memory", values=held.tolist(), colour="blue")]
    explained = number(found, "explained_bytes_s") or 0.0
    begin_s = number(found, "warmup_s") or 0.0
    lines = {
        key: _line(at_s, held, number(found, "slope_bytes_s", key), explained, begin_s)
        for key in ("estimate", "low", "high")
    }
    estimate, low, high = lines["estimate"], lines["low"], lines["high"]
    if estimate is not None:
        bounded = low is not None and high is not None
        series.append(
            Series(
                label="trend",
                values=estimate,
                low=low if bounded else None,
                high=high if bounded else None,
                style="dashed",
                colour="red" if text(found, "verdict") == "leak" else "teal",
            )
        )
    marks = [Mark(0.0, begin_s, "warm-up, as found", "warm-up")] if begin_s > 0 else []
    return Chart(
        key=key,
        title=text(found, "process") or text(found, "role") or "process",
        caption=text(found, "sentence"),
        x=at_s.tolist(),
        x_label="seconds",
        x_quantity="seconds",
        y_label="own memory",
        y_quantity="bytes",
        y_min=float(held.min() - 0.1 * (np.ptp(held) or 1)),
        series=series,
        marks=marks,
        sync="leaks",
    )


def _line(
    at_s: Floats, held: Floats, slope: float | None, explained: float, begin_s: float
) -> list[float | None] | None:
    """The trend of own memory, from the warm-up's end on; through medians, as Theil and Sen's.

    `slope` is of what stored memories do not explain, so what they do is added to it.
    """
    after = at_s >= begin_s
    if slope is None or not after.any():
        return None
    whole = slope + explained
    middle = float(np.median(held[after] - whole * at_s[after]))
    return [
        float(value) if inside else None
        for value, inside in zip(middle + whole * at_s, after, strict=True)
    ]

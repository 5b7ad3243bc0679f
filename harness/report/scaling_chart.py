"""Throughput against agents as one picture: what was measured, the fitted law, the ideal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from harness.report.document import Chart, Series, Style
from harness.report.fields import group, groups, number, sized_groups

__all__ = ["operations_a_second", "throughput_chart"]

Summary = Mapping[str, Any]
Counts = Sequence[tuple[float, Summary]]

# The picture, and the ideal line in it, ends at this many times what was reached.
_HEADROOM = 1.35


def operations_a_second(figures_of: Summary) -> float | None:
    """The throughput of a count."""
    return number(figures_of, "operations_per_second")


def throughput_chart(summary: Summary, counts: Counts) -> Chart:
    """Draw ``scaling`` and ``threads`` of a summary, with ``counts`` where it has no points."""
    points = [(number(one, "agents"), one) for one in groups(summary, "scaling", "points")]
    measured = {int(size): group(one, "ops_s") for size, one in points if size is not None}
    for size, found in counts:
        measured.setdefault(int(size), {"estimate": operations_a_second(found)})
    curve = [
        one
        for one in groups(summary, "scaling", "usl", "curve")
        if number(one, "agents") is not None and number(one, "ops_s") is not None
    ]
    threads = {
        int(size): {"estimate": operations_a_second(found)}
        for size, found in sized_groups(summary, "threads")
    }
    on_curve = (number(one, "agents") or 0.0 for one in curve)
    x = sorted({*map(float, measured), *map(float, threads), *on_curve})
    ideal = {int(size): number(one, "ideal_ops_s") for size, one in points if size is not None}
    per_agent = _ideal_of_one(ideal)

    def reached(x: Sequence[float]) -> list[Series]:
        found = [*_law_series(curve, x), _points("measured", measured, x, "all")]
        if threads:
            found.append(_points("as threads in one process", threads, x, "pink"))
        return found

    top = max((_top(series) for series in reached(x)), default=0.0) * _HEADROOM
    if per_agent is not None and x and top > 0:
        x = _with_end(x, top / per_agent)
    return Chart(
        key="scaling",
        title="Throughput against agents",
        caption="Medians of the repeats with 95% intervals, and the Universal Scalability Law "
        "fitted to them within its 95% band. What is dashed beyond the largest count is "
        "extrapolated.",
        x=x,
        x_label="agents",
        x_quantity="count",
        y_label="operations a second",
        y_quantity="rate",
        y_max=top if top > 0 else None,
        axes_choice=True,
        series=[*reached(x), *_ideal_series(per_agent, x, top)],
    )


def _top(series: Series) -> float:
    """The most that a series reaches; the top of an interval that is far beyond is left out."""
    values = [value for value in series.values if value is not None]
    most = max(values, default=0.0)
    high = max((value for value in series.high or () if value is not None), default=0.0)
    return max(most, min(high, 1.5 * most))


def _law_series(curve: Sequence[Summary], x: Sequence[float]) -> Iterator[Series]:
    """The fitted curve, solid where it was measured and dashed beyond, on the chart's x."""
    measured = [one for one in curve if one.get("extrapolated") is not True]
    beyond = [one for one in curve if one.get("extrapolated") is True]
    if measured:
        yield _law_part("fitted law", "line", measured, x)
    if beyond:  # begins where the measured part ends
        yield _law_part("extrapolated", "dashed", [*measured[-1:], *beyond], x)


def _law_part(label: str, style: Style, part: Sequence[Summary], x: Sequence[float]) -> Series:
    low, high = _along(part, "low", x), _along(part, "high", x)
    bounded = low is not None and high is not None
    return Series(
        label=label,
        values=_along(part, "ops_s", x) or [None] * len(x),
        low=low if bounded else None,
        high=high if bounded else None,
        style=style,
        colour="teal",
    )


def _along(part: Sequence[Summary], key: str, x: Sequence[float]) -> list[float | None] | None:
    """A column of the curve at the points of the chart's x, None outside of the curve."""
    pairs = [(number(one, "agents"), number(one, key)) for one in part]
    known = sorted((at, value) for at, value in pairs if at is not None and value is not None)
    if len(known) < len(pairs):
        return None
    at_all, values = np.array(known, np.float64).T
    inside = (at_all[0] <= np.array(x)) & (np.array(x) <= at_all[-1])
    found = np.interp(x, at_all, values)
    return [float(one) if fits else None for one, fits in zip(found, inside, strict=True)]


def _ideal_of_one(ideal: Mapping[int, float | None]) -> float | None:
    """The ideal throughput of each agent: that of the smallest count."""
    known = {size: value for size, value in ideal.items() if size > 0 and value}
    return (known[min(known)] or 0.0) / min(known) if known else None


def _with_end(x: Sequence[float], end: float) -> list[float]:
    """The points with one where the ideal line reaches the top, if that is between them."""
    if not x[0] < end < x[-1]:
        return list(x)
    whole = float(int(end))
    return sorted({*x, whole if whole > x[0] else end})


def _ideal_series(per_agent: float | None, x: Sequence[float], top: float) -> list[Series]:
    """The ideal line, as far as it is within the picture."""
    if per_agent is None:
        return []
    ideal = (per_agent * one for one in x)
    # a rounding error more, for the point where it reaches the top
    values = [one if top <= 0 or one <= top * (1 + 1e-9) else None for one in ideal]
    return [Series(label="ideal", values=values, style="dashed", colour="ideal")]


def _points(label: str, found: Mapping[int, Summary], x: Sequence[float], colour: str) -> Series:
    def along(key: str) -> list[float | None]:
        return [number(found.get(int(one), {}), key) if one == int(one) else None for one in x]

    low, high = along("low"), along("high")
    known = any(value is not None for value in low) and any(value is not None for value in high)
    return Series(
        label=label,
        values=along("estimate"),
        low=low if known else None,
        high=high if known else None,
        style="points",
        colour=colour,
    )

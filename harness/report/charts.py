"""Charts of a report as markup, and as the data that report's script draws them from.

Lines are drawn by the page's script with uPlot, from the specification here; values keep seven
significant digits. Stacked bars are SVG, drawn here.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from math import isfinite
from typing import Any

from harness.report.document import Bar, Bars, Chart, Series
from harness.report.figures import plain
from harness.report.quantities import written

__all__ = ["bars_markup", "chart_markup", "chart_specification"]

# Colours for series that name none, in their order (tokens.css).
_SEQUENCE = ("blue", "orange", "teal", "pink", "olive", "sky", "red", "slate")


def _text(value: object) -> str:
    return html.escape(plain(value), quote=True)


def chart_specification(chart: Chart) -> dict[str, Any]:
    """All that the page's script needs to draw a chart; plain JSON."""
    positive = chart.y_log
    return {
        "key": chart.key,
        "title": plain(chart.title),
        "x": [_compact(value) for value in chart.x],
        "xLabel": plain(chart.x_label),
        "xQuantity": chart.x_quantity,
        "xSpacing": chart.x_spacing,
        "yLabel": plain(chart.y_label),
        "yQuantity": chart.y_quantity,
        "yLog": chart.y_log,
        "yMin": chart.y_min,
        "yMax": chart.y_max,
        "axesChoice": chart.axes_choice,
        "stacked": chart.stacked,
        "sync": chart.sync,
        "series": [_series(one, place, positive) for place, one in enumerate(chart.series)],
        "marks": [
            {
                "begin": _compact(mark.begin),
                "end": _compact(mark.end),
                "label": plain(mark.label),
                "kind": mark.kind,
            }
            for mark in chart.marks
        ],
    }


def _series(series: Series, place: int, positive: bool) -> dict[str, Any]:
    return {
        "label": plain(series.label),
        "style": series.style,
        "colour": series.colour or _SEQUENCE[place % len(_SEQUENCE)],
        "values": _numbers(series.values, positive),
        "low": None if series.low is None else _numbers(series.low, positive),
        "high": None if series.high is None else _numbers(series.high, positive),
    }


def _numbers(values: Sequence[float | None], positive: bool) -> list[float | None]:
    """The values; without those that a logarithmic axis has no place for, if it is one."""
    return [
        None if value is None or (positive and value <= 0) else _compact(value) for value in values
    ]


def _compact(value: float | None) -> float | None:
    if value is None or not isfinite(value):
        return None
    short = float(f"{value:.7g}")
    return int(short) if short.is_integer() and abs(short) < 2**53 else short


def chart_markup(chart: Chart) -> str:
    """The place where a chart is drawn, with its words and room for its data as a table."""
    names = ", ".join(series.label for series in chart.series)
    described = f"{chart.title}: {chart.y_label} against {chart.x_label}; {names}."
    return (
        f'<figure class="chart" id="chart-{_text(chart.key)}" data-chart="{_text(chart.key)}">'
        f"<figcaption><h3>{_text(chart.title)}</h3><p>{_text(chart.caption)}</p></figcaption>"
        f'<div class="legend"></div><div class="plot" tabindex="0" role="group" '
        f'aria-roledescription="chart" aria-label="{_text(described)} Arrow keys read it out, '
        f'plus and minus zoom, Escape shows all.">'
        "<noscript>This chart is drawn by the page's script.</noscript></div>"
        '<p class="spoken" aria-live="polite"></p>'
        '<details class="data"><summary>The data as a table</summary></details></figure>\n'
    )


def bars_markup(bars: Bars) -> str:
    """Stacked bars, with their legend and their data as a table."""
    longest = max((sum(bar.values) for bar in bars.bars), default=0.0) or 1.0
    legend = "".join(
        f'<li><svg width="12" height="12" aria-hidden="true"><rect width="12" height="12" rx="3" '
        f'class="f-{_text(colour)}"/></svg>{_text(part)}</li>'
        for part, colour in zip(bars.parts, bars.colours, strict=True)
    )
    rows = "".join(_bar(bars, bar, longest) for bar in bars.bars)
    return (
        f'<figure class="bars wide" id="chart-{_text(bars.key)}"><figcaption>'
        f"<h3>{_text(bars.title)}</h3><p>{_text(bars.caption)}</p></figcaption>"
        f'<ul class="keys">{legend}</ul><div class="rows">{rows}</div>'
        f'<details class="data"><summary>The data as a table</summary>{_bars_table(bars)}'
        "</details></figure>\n"
    )


def _bar(bars: Bars, bar: Bar, longest: float) -> str:
    parts = []
    begin = 0.0
    for name, colour, value in zip(bars.parts, bars.colours, bar.values, strict=True):
        width = 100 * value / longest
        words = f"{bar.name}, {name}: {written(value, bars.quantity)}"
        parts.append(
            f'<rect x="{begin:.4f}%" width="{width:.4f}%" height="100%" class="f-{_text(colour)}" '
            f'data-words="{_text(words)}"><title>{_text(words)}</title></rect>'
        )
        begin += width
    total = written(sum(bar.values), bars.quantity)
    return (
        f'<div class="row"><span>{_text(bar.name)}</span>'
        f'<svg role="img" aria-label="{_text(bar.name)}, {_text(total)}">{"".join(parts)}</svg>'
        f"<b>{_text(total)}</b></div>"
    )


def _bars_table(bars: Bars) -> str:
    heads = "".join(f'<th scope="col" class="n">{_text(part)}</th>' for part in bars.parts)
    rows = "".join(
        f'<tr><th scope="row">{_text(bar.name)}</th>'
        + "".join(
            f'<td class="n"><data value="{value!r}">{_text(written(value, bars.quantity))}</data>'
            "</td>"
            for value in bar.values
        )
        + "</tr>"
        for bar in bars.bars
    )
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr><th></th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )

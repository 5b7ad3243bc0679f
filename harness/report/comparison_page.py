"""A comparison as one HTML page: what to know first, then each figure with its interval drawn.

Self-contained: no script, no request to anywhere. All text from files is escaped. An interval is
drawn on a logarithmic axis, so that half and twice are as far from no change.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterator
from itertools import groupby

from harness.analysis.comparison import Comparison, Versus, percent_text
from harness.analysis.figure_comparison import Compared
from harness.report import figures
from harness.report.comparison import interval_text, ratio_text, value_text
from harness.report.comparison_style import STYLE

__all__ = ["comparison_page"]

_AXES = (1.1, 1.25, 1.5, 2.0, 4.0, 10.0, 100.0)
_COLUMNS = ("figure", "base", "new", "ratio", "interval", "", "verdict")
_WIDTH, _HEIGHT = 200.0, 16.0


def comparison_page(comparison: Comparison) -> str:
    """Give the page as text."""
    title = f"{_text(_short(comparison.base))} compared"
    body = "\n".join(line for versus in comparison.against for line in _versus(comparison, versus))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<header>
<h1>Comparison</h1>
<p class="muted">Base: {_text(comparison.base)}{_repeats(len(comparison.repeats))}</p>
</header>
{body}
<footer class="muted">
<p>A ratio is the figure of the new side over the base's, of the medians of their repeats; the
interval holds it with {percent_text(comparison.confidence)} confidence. A figure is better or
worse when the interval leaves out 1 and the change is large enough to matter; each is judged for
itself.</p>
</footer>
</main>
</body>
</html>
"""


def _text(value: object) -> str:
    """Text from anywhere, for a place between tags or within quotes."""
    return html.escape(figures.plain(value), quote=True)


def _short(path: str) -> str:
    return path if len(path) <= 60 else f"…{path[-59:]}"


def _repeats(count: int) -> str:
    return f" ({count} repeats)" if count > 1 else ""


def _versus(comparison: Comparison, versus: Versus) -> Iterator[str]:
    yield "<section>"
    yield f"<h2>{_text(versus.new)}{_repeats(len(versus.repeats))}</h2>"
    yield f'<p class="headline">{_text(versus.sentence)}</p>'
    if versus.notes:
        yield "<ul class='notes'>"
        for note in versus.notes:
            kind = "warning" if note["verdict"] == "warning" else "muted"
            yield f'<li class="{kind}">{_text(note["sentence"])}</li>'
        yield "</ul>"
    changed = [one for one in versus.figures if one.verdict in {"worse", "better"}]
    if changed and len(versus.figures) > len(changed):
        yield "<h3>What differs</h3>"
        yield from _table(comparison, sorted(changed, key=_size, reverse=True), named=True)
    for section, rows in groupby(versus.figures, key=lambda one: one.section):
        yield f"<h3>{_text(section or 'All figures')}</h3>"
        yield from _table(comparison, list(rows), named=False)
    yield from _differences(versus)
    yield "</section>"


def _size(one: Compared) -> tuple[bool, float]:
    """How far a figure moved; the worse ones first."""
    ratio = one.ratio["estimate"]
    return one.verdict == "worse", math.inf if not ratio else abs(math.log(ratio))


def _table(comparison: Comparison, rows: list[Compared], *, named: bool) -> Iterator[str]:
    extent = _extent(rows)
    yield '<div class="scroll"><table><thead><tr>'
    for name in _COLUMNS:
        heading = f"{percent_text(comparison.confidence)} interval" if name == "interval" else name
        if not name:
            heading = f"{1 / extent:.2g} … 1 … {extent:.4g}"
        yield f'<th scope="col"{" class=picture" if not name else ""}>{heading}</th>'
    yield "</tr></thead><tbody>"
    for one in rows:
        label = f"{one.section}: {one.label}" if named and one.section else one.label
        kind = one.verdict.replace(" ", "-")
        way = "higher is better" if one.better == "more" else "lower is better"
        named_by = f"{one.path}, {way}"
        yield (
            f'<tr class="{kind}"><th scope="row" title="{_text(named_by)}">{_text(label)}</th>'
            f"<td>{_text(value_text(one.base, one.unit))}</td>"
            f"<td>{_text(value_text(one.new, one.unit))}</td>"
            f"<td>{ratio_text(one.ratio['estimate'])}</td>"
            f"<td>{_text(interval_text(one))}</td>"
            f'<td class="picture">{_drawn(one, extent)}</td>'
            f'<td class="verdict" title="{_text(one.reason)}">{one.verdict}</td></tr>'
        )
    yield "</tbody></table></div>"


def _extent(rows: list[Compared]) -> float:
    """The least of some round ratios that all intervals fit within, or the largest."""
    ends = [
        abs(math.log(end))
        for one in rows
        for end in (one.ratio["low"], one.ratio["high"], one.ratio["estimate"])
        if end
    ]
    furthest = math.exp(min(max(ends, default=0.0), math.log(_AXES[-1])))
    return next((axis for axis in _AXES if furthest <= axis), _AXES[-1])


def _drawn(one: Compared, extent: float) -> str:
    """The ratio as a point, its interval as a line, on an axis whose middle is no change."""
    ratio, low, high = one.ratio["estimate"], one.ratio["low"], one.ratio["high"]
    if not ratio:
        return ""

    def place(value: float) -> float:
        part = math.log(value) / math.log(extent) if value > 0 else -1.0
        return _WIDTH / 2 * (1 + 0.96 * min(1.0, max(-1.0, part)))

    middle = _HEIGHT / 2
    line = (
        f'<line class="interval" x1="{place(low):.1f}" x2="{place(high):.1f}" '
        f'y1="{middle}" y2="{middle}"/>'
        if low is not None and high is not None
        else ""
    )
    words = f"ratio {ratio_text(ratio)}, interval {interval_text(one)}"
    return (
        f'<svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-label="{_text(words)}">'
        f'<line class="one" x1="{_WIDTH / 2}" x2="{_WIDTH / 2}" y1="0" y2="{_HEIGHT:g}"/>{line}'
        f'<circle cx="{place(ratio):.1f}" cy="{middle}" r="4"/></svg>'
    )


def _differences(versus: Versus) -> Iterator[str]:
    if not versus.differences:
        return
    yield "<h3>What else differs</h3>"
    yield '<div class="scroll"><table><thead><tr>'
    yield "".join(f'<th scope="col">{name}</th>' for name in ("", "of", "base", "new"))
    yield "</tr></thead><tbody>"
    for one in versus.differences:
        cells = "".join(f"<td>{_text(part)}</td>" for part in (one.kind, one.base, one.new))
        yield f'<tr><th scope="row">{_text(one.name)}</th>{cells}</tr>'
    yield "</tbody></table></div>"

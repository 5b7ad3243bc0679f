"""A comparison as one HTML page: what to know first, then each figure with its interval drawn.

Self-contained: no script, no request to anywhere. All text from files is escaped. An interval is
drawn on a logarithmic axis, so that half and twice are as far from no change.
"""

from __future__ import annotations

import base64
import hashlib
import html
import math
from collections.abc import Iterator
from itertools import groupby

from harness.analysis.comparison import Comparison, Versus, percent_text
from harness.analysis.figure_comparison import Compared
from harness.report import figures
from harness.report.comparison import interval_text, ratio_text, value_text
from harness.report.page import asset

__all__ = ["comparison_page"]

_AXES = (1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0)
_COLUMNS = ("figure", "verdict", "ratio", "interval", "", "base", "new")
_CLASSES = {"figure": "name", "": "picture", "verdict": "judged"}
_WIDTH, _HEIGHT = 200.0, 16.0


_STYLES = ("tokens.css", "report.css", "comparison.css", "print.css")


def comparison_page(comparison: Comparison) -> str:
    """Give the page as text."""
    style = "\n".join(asset(name) for name in _STYLES)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    body = "\n".join(line for versus in comparison.against for line in _versus(comparison, versus))
    return f"""<!doctype html>
<html lang="en" data-theme="auto">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{_text(_short(comparison.base))} compared</title>
<style>{style}</style>
</head>
<body>
<header class="bar"><p class="brand"><span class="glyph" aria-hidden="true"></span>
agent-memory-harness <span>compare</span></p></header>
<div class="frame">
<main>
{body}
<p class="page-notes">A ratio is the figure of the new side over the base's, of the medians of
their repeats; the interval holds it with {percent_text(comparison.confidence)} confidence. A
figure is better or worse when the interval leaves out 1 and the change is large enough to matter;
each is judged for itself. Pictures are logarithmic, with no change in the middle.</p>
</main>
</div>
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
    base = f"{_text(comparison.base)}{_repeats(len(comparison.repeats))}"
    new = f"{_text(versus.new)}{_repeats(len(versus.repeats))}"
    yield f'<div class="head"><p class="when">{new} against {base}</p>'
    yield f"<h1>{_text(versus.sentence)}</h1>"
    yield '<ul class="verdicts">'
    for note in versus.notes:
        kind = "warning" if note["verdict"] == "warning" else "ok"
        name = "Warning" if kind == "warning" else "Note"
        sentence = f"<span>{_text(note['sentence'])}</span>"
        yield f'<li class="verdict {kind}"><strong>{name}</strong>{sentence}</li>'
    yield '</ul></div><section><div class="blocks stacked">'
    changed = [one for one in versus.figures if one.verdict in {"worse", "better"}]
    if changed and len(versus.figures) > len(changed):
        ordered = sorted(changed, key=_size, reverse=True)
        yield from _table(comparison, "What differs", ordered, named=True)
    for section, rows in groupby(versus.figures, key=lambda one: one.section):
        yield from _table(comparison, section or "All figures", list(rows), named=False)
    yield from _differences(versus)
    yield "</div></section>"


def _size(one: Compared) -> tuple[bool, float]:
    """How far a figure moved; the worse ones first."""
    ratio = one.ratio["estimate"]
    return one.verdict == "worse", math.inf if not ratio else abs(math.log(ratio))


def _table(
    comparison: Comparison, title: str, rows: list[Compared], *, named: bool
) -> Iterator[str]:
    extent = _extent(rows)
    yield f'<figure class="table compared"><figcaption><h3>{_text(title)}</h3></figcaption>'
    yield '<div class="scroll"><table><thead><tr>'
    for name in _COLUMNS:
        heading = f"{percent_text(comparison.confidence)} interval" if name == "interval" else name
        if not name:
            heading = f"{1 / extent:.2g} … 1 … {extent:.4g}"
        kind = _CLASSES.get(name, "n")
        yield f'<th scope="col" class="{kind}">{heading}</th>'
    yield "</tr></thead><tbody>"
    for one in rows:
        label = f"{one.section}: {one.label}" if named and one.section else one.label
        kind = one.verdict.replace(" ", "-")
        way = "higher is better" if one.better == "more" else "lower is better"
        named_by = f"{one.path}, {way}"
        yield (
            f'<tr class="{kind}"><th scope="row" title="{_text(named_by)}">{_text(label)}</th>'
            f'<td class="judged" title="{_text(one.reason)}">{one.verdict}</td>'
            f'<td class="n">{ratio_text(one.ratio["estimate"])}</td>'
            f'<td class="n">{_text(interval_text(one))}</td>'
            f'<td class="picture">{_drawn(one, extent)}</td>'
            f'<td class="n">{_text(value_text(one.base, one.unit))}</td>'
            f'<td class="n">{_text(value_text(one.new, one.unit))}</td></tr>'
        )
    yield "</tbody></table></div></figure>"


def _extent(rows: list[Compared]) -> float:
    """The least of some round ratios that all intervals fit within, or the largest."""
    ends = [
        abs(math.log(end)) for one in rows for end in (one.ratio["low"], one.ratio["high"]) if end
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
    yield '<figure class="table"><figcaption><h3>What else differs</h3></figcaption>'
    yield '<div class="scroll"><table><thead><tr>'
    yield "".join(f'<th scope="col">{name}</th>' for name in ("", "of", "base", "new"))
    yield "</tr></thead><tbody>"
    for one in versus.differences:
        cells = "".join(f"<td>{_text(part)}</td>" for part in (one.kind, one.base, one.new))
        yield f'<tr><th scope="row">{_text(one.name)}</th>{cells}</tr>'
    yield "</tbody></table></div></figure>"

"""A report as one HTML page, complete in itself.

Invariants
- Everything that is shown is escaped: text of the report by `_text`, data for the charts by
  `_script_safe`. Characters that do not print, or turn the direction of text, are replaced.
- The page asks for nothing: style, script and data are in it, and its Content-Security-Policy
  forbids any request, and any script or style but its own by their digests.
- Without its script the page still has every sentence and table; charts need it.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import quote

from harness.report.charts import bars_markup, chart_markup, chart_specification
from harness.report.document import (
    Bars,
    Block,
    Cell,
    Chart,
    Code,
    Facts,
    Figure,
    Link,
    Note,
    Report,
    Section,
    Table,
    Tile,
    Verdict,
)
from harness.report.figures import plain

__all__ = ["SCRIPTS", "STYLES", "asset", "render_page"]

STYLES = ("uplot.min.css", "tokens.css", "report.css", "print.css")
SCRIPTS = (
    "uplot.min.js",
    "quantities.js",
    "plot.js",
    "marks.js",
    "chart.js",
    "theme.js",
    "page.js",
)

# Tables of more columns take the whole width of the page.
_NARROW_COLUMNS = 3
_LABELS = {"invalid": "INVALID", "failed": "Failed", "warning": "Warning", "ok": "OK"}


@cache
def asset(name: str) -> str:
    """The text of a file of the package's ``assets``."""
    return (resources.files("harness.report") / "assets" / name).read_text("utf-8")


def render_page(report: Report) -> str:
    """The whole page as text."""
    style = "\n".join(asset(name) for name in STYLES)
    script = "\n".join(asset(name) for name in SCRIPTS)
    charts = [
        chart_specification(block)
        for section in report.sections
        for block in section.blocks
        if isinstance(block, Chart)
    ]
    title = _text(f"{report.title} · {report.kind}")
    return "".join(
        [
            '<!doctype html>\n<html lang="en" data-theme="auto">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{_policy(style, script)}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            '<meta name="color-scheme" content="light dark">\n',
            '<meta name="referrer" content="no-referrer">\n<link rel="icon" href="data:,">\n',
            f"<title>{title}</title>\n<style>{style}</style>\n</head>\n<body>\n",
            '<a class="skip" href="#main">Skip to the report</a>\n',
            _bar(report),
            '<div class="frame">\n',
            _contents(report),
            '<main id="main">\n',
            _head(report),
            *(_section(section) for section in report.sections),
            "</main>\n</div>\n<footer><p>Made by agent-memory-harness from the files of the run. "
            "This page is complete in itself and asks nothing of any server.</p></footer>\n",
            f'<script type="application/json" id="report-data">{_script_safe(charts)}</script>\n',
            f"<script>{script}</script>\n</body>\n</html>\n",
        ]
    )


def _text(value: object) -> str:
    return html.escape(plain(value), quote=True)


def _script_safe(value: Any) -> str:
    """JSON that can stand in a script element: no character that could end it, or be markup."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)  # ASCII alone
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _policy(style: str, script: str) -> str:
    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    return (
        f"default-src 'none'; style-src 'sha256-{digest(style)}'; "
        f"script-src 'sha256-{digest(script)}'; img-src data:; base-uri 'none'; form-action 'none'"
    )


def _bar(report: Report) -> str:
    choices = "".join(
        f'<button type="button" data-theme-choice="{name}" aria-pressed="false">{words}</button>'
        for name, words in (("auto", "Auto"), ("light", "Light"), ("dark", "Dark"))
    )
    return (
        '<header class="bar"><p class="brand"><span class="glyph" aria-hidden="true"></span>'
        f"agent-memory-harness <span>{_text(report.kind)}</span></p>"
        f'<div class="themes" role="group" aria-label="Colours">{choices}</div></header>\n'
    )


def _contents(report: Report) -> str:
    links = "".join(
        f'<li><a href="#{_text(section.key)}">{_text(section.title)}</a></li>'
        for section in report.sections
    )
    return f'<nav class="contents" aria-label="Contents"><ul>{links}</ul></nav>\n'


def _head(report: Report) -> str:
    problems = "".join(f"<li>{_text(one)}</li>" for one in report.problems)
    return "".join(
        [
            '<div class="head">\n',
            f'<p class="when">{_when(report.started)}</p>\n' if report.started else "",
            f"<h1>{_text(report.title)}</h1>\n",
            f'<p class="subtitle">{_text(report.subtitle)}</p>\n' if report.subtitle else "",
            _verdicts(report.verdicts),
            f'<ul class="problems">{problems}</ul>\n' if problems else "",
            _tiles(report.tiles),
            "</div>\n",
        ]
    )


def _when(started: str) -> str:
    try:
        moment = datetime.fromisoformat(started)
    except ValueError:
        return _text(started)
    return f'<time datetime="{_text(started)}">{moment:%-d %B %Y, %H:%M:%S %Z}</time>'


def _verdicts(verdicts: Iterable[Verdict]) -> str:
    items = "".join(
        f'<li class="verdict {_text(one.verdict)}"><strong>{_LABELS.get(one.verdict, "")}</strong>'
        f"<span>{_text(one.sentence)}</span></li>"
        for one in verdicts
    )
    return f'<ul class="verdicts" aria-label="Verdicts">{items}</ul>\n' if items else ""


def _tiles(tiles: Iterable[Tile]) -> str:
    shown = "".join(
        f"<div><dt>{_text(tile.name)}</dt><dd>{_cell(tile.figure)}</dd>"
        f'<dd class="remark">{_text(tile.remark)}</dd></div>'
        for tile in tiles
    )
    return f'<dl class="tiles">{shown}</dl>\n' if shown else ""


def _section(section: Section) -> str:
    lead = f'<p class="lead">{_text(section.lead)}</p>\n' if section.lead else ""
    blocks = "".join(_block(block) for block in section.blocks)
    key = _text(section.key)
    return (
        f'<section id="{key}" aria-labelledby="{key}-title">\n'
        f'<h2 id="{key}-title">{_text(section.title)}</h2>\n{lead}'
        f'<div class="blocks">\n{blocks}</div>\n</section>\n'
    )


def _block(block: Block) -> str:
    match block:
        case Chart():
            return chart_markup(block)
        case Bars():
            return bars_markup(block)
        case Table():
            return _table(block)
        case Facts():
            pairs = "".join(
                f"<div><dt>{_text(name)}</dt><dd>{_cell(value)}</dd></div>"
                for name, value in block.pairs
            )
            title = _text(block.title)
            return f'<div class="table wide"><h3>{title}</h3><dl class="facts">{pairs}</dl></div>\n'
        case Code():
            return (
                f'<div class="code wide"><h3>{_text(block.title)}</h3>'
                f'<pre tabindex="0"><code>{_text(block.text)}</code></pre></div>\n'
            )
        case Note():
            return f'<p class="note wide {_text(block.tone)}">{_text(block.text)}</p>\n'


def _table(table: Table) -> str:
    numeric = [
        any(isinstance(row[place], Figure) for row in table.rows if place < len(row))
        for place in range(len(table.columns))
    ]
    heads = "".join(
        f'<th scope="col"{_class(is_numeric and place > 0)}>{_text(name)}</th>'
        for place, (name, is_numeric) in enumerate(zip(table.columns, numeric, strict=True))
    )
    rows = "".join(_rows(table, numeric))
    caption = f'<p class="remark">{_text(table.caption)}</p>' if table.caption else ""
    title = _text(table.title)
    body = (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{title}">'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>{caption}"
    )
    if table.folded:
        return f'<details class="table wide"><summary>{title}</summary>{body}</details>\n'
    shape = " wide" if len(table.columns) > _NARROW_COLUMNS else ""
    return f'<div class="table{shape}"><h3>{title}</h3>{body}</div>\n'


def _rows(table: Table, numeric: list[bool]) -> Iterator[str]:
    for row in table.rows:
        first, *others = row
        cells = [f'<th scope="row">{_cell(first)}</th>']
        cells += [
            f"<td{_class(is_numeric)}>{_cell(cell)}</td>"
            for cell, is_numeric in zip(others, numeric[1:], strict=True)
        ]
        yield f"<tr>{''.join(cells)}</tr>"


def _class(is_numeric: bool) -> str:
    return ' class="n"' if is_numeric else ""


def _cell(cell: Cell) -> str:
    match cell:
        case Figure(value=None):
            return _text(cell.shown)
        case Figure():
            return f'<data value="{cell.value!r}">{_text(cell.shown)}</data>'
        case Link():
            return f'<a href="{_text(quote(cell.path))}">{_text(cell.text)}</a>'
        case _:
            return _text(cell)

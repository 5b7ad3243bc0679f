"""What the live page is made of, as a server sends it: one document, one style, one script.

Style and script are the report's own with the live page's behind them, so that there is one
palette, one way to draw a chart and one way to write a number. Nothing of a run is in them:
that comes by the stream of events, and becomes text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import NamedTuple

from harness.report.latency_sections import COLOURS, PART_COLOURS, PARTS
from harness.report.page import asset
from harness.report.resource_section import ROLE_COLOURS

__all__ = ["SCRIPTS", "STYLES", "PageFile", "page_files"]

_REPORT_STYLES = ("uplot.min.css", "tokens.css", "report.css")
_REPORT_SCRIPTS = ("uplot.min.js", "quantities.js", "plot.js", "marks.js", "chart.js", "theme.js")
STYLES = ("live.css",)
SCRIPTS = (
    "words.js",
    "points.js",
    "moments.js",
    "timelines.js",
    "cards.js",
    "tiles.js",
    "steps.js",
    "choices.js",
    "stream.js",
    "live.js",
)
# The names that the stream has for the parts of an operation's time, in the order of `PARTS`.
_PART_SERIES = ("late_ms", "queue_ms", "transport_ms", "shard_wait_ms", "service_ms")


class PageFile(NamedTuple):
    """A file as it is sent."""

    content_type: str
    body: bytes


@cache
def page_files() -> Mapping[str, PageFile]:
    """Every file of the page by its name, relative to the page, which is ``""``."""
    style = [*map(asset, _REPORT_STYLES), *map(_live_asset, STYLES)]
    script = [*map(asset, _REPORT_SCRIPTS), _meanings(), *map(_live_asset, SCRIPTS)]
    return {
        "": _file("text/html", _live_asset("live.html")),
        "live.css": _file("text/css", "\n".join(style)),
        "live.js": _file("text/javascript", "\n".join(script)),
    }


def _file(kind: str, text: str) -> PageFile:
    return PageFile(f"{kind}; charset=utf-8", text.encode())


def _live_asset(name: str) -> str:
    return (resources.files("harness.live.web") / "assets" / name).read_text("utf-8")


def _meanings() -> str:
    """The colours that stand for something in a report, and stand for the same here."""
    parts = [
        {"series": series, "label": label, "colour": colour}
        for series, label, colour in zip(_PART_SERIES, PARTS, PART_COLOURS, strict=True)
    ]
    known = {"operations": COLOURS, "parts": parts, "roles": ROLE_COLOURS}
    return f"const meanings = {json.dumps(known)};"

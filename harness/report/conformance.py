"""A target's conformance in the terminal: a line or two a point, with what was seen."""

from __future__ import annotations

import textwrap

from rich.text import Text

from harness.conformance.result import POINTS, Conformance, Point
from harness.report.figures import plain, span

__all__ = ["conformance_heading", "point_lines", "render_conformance"]

_STYLES = {"passed": "green", "failed": "bold red", "not claimed": "dim"}
_NAME_WIDTH = max(map(len, POINTS)) + 2
_STATE_WIDTH = max(map(len, _STYLES)) + 2
_INDENT = 1 + _NAME_WIDTH + _STATE_WIDTH
_WIDTH_MAX, _ROOM_MIN = 100, 20


def conformance_heading() -> Text:
    """What is above the points."""
    words = "point".ljust(_NAME_WIDTH) + "state".ljust(_STATE_WIDTH) + "what was seen"
    return Text(f" {words}", "dim")


def point_lines(point: Point, width: int) -> Text:
    """A point in lines of at most `width` cells, as far as its words are not longer."""
    text = Text(" " + point.name.ljust(_NAME_WIDTH))
    text.append(point.state.ljust(_STATE_WIDTH), _STYLES[point.state])
    room = max(_ROOM_MIN, min(width, _WIDTH_MAX) - _INDENT)
    style = _STYLES["not claimed"] if point.state == "not claimed" else ""
    lines = textwrap.wrap(plain(point.sentence), room, break_on_hyphens=False) or [""]
    text.append(f"\n{' ' * _INDENT}".join(lines), style)
    return text


def render_conformance(found: Conformance, width: int) -> Text:
    """What is below the points: which store that was, and how it came out."""
    room = max(_ROOM_MIN, min(width, _WIDTH_MAX) - 1)
    named = " ".join(part for part in (found.target, found.version) if part)
    facts = [f"{named}, checked in {span(found.duration_s)} with seed {found.seed}."]
    if found.durability:
        facts.append(f"Durability: {found.durability}.".replace("..", "."))
    text = Text("\n")
    for fact in facts:
        for line in textwrap.wrap(plain(fact), room, break_on_hyphens=False):
            text.append(f" {line}\n", "dim")
    failed = [point.name for point in found.failed]
    claimed = sum(point.state != "not claimed" for point in found.points)
    if failed:
        words = f"{len(failed)} of {claimed} points failed: {', '.join(failed)}."
        for line in textwrap.wrap(words, room, break_on_hyphens=False):
            text.append(f" {line}\n", _STYLES["failed"])
    else:
        text.append(f" All {claimed} points that are claimed passed.\n", _STYLES["passed"])
    text.rstrip()
    return text

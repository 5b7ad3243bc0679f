"""The phases and events of a run, as marks on its time axis and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.report.document import Cell, Mark, Table
from harness.report.fields import group, number
from harness.report.figures import plain
from harness.report.quantities import figure
from harness.report.run_data import RunData

__all__ = ["event_marks", "event_table", "warmup_marks"]

_MARKS_MAX = 60
_ROWS_MAX = 200
_TEXT_MAX = 120
_PLAIN_FIELDS = {"schema_version", "wall_ns", "kind", "phase"}


def event_marks(data: RunData) -> list[Mark]:
    """Phases as spans, other events as moments, and the warm-up that was found."""
    origin_ns = data.origin_ns
    if origin_ns is None:
        return []
    timed = _timed(data, origin_ns)
    phases = [(at_s, event) for at_s, event in timed if event.get("kind") == "phase"]
    ends = [at_s for at_s, _ in phases[1:]]
    marks = [
        Mark(at_s, end_s, _short(event.get("phase")), "phase")
        for (at_s, event), end_s in zip(phases, [*ends, None], strict=False)
    ]
    others = [(at_s, event) for at_s, event in timed if event.get("kind") != "phase"]
    marks += [_event_mark(at_s, event) for at_s, event in others]
    return [*warmup_marks(data.summary), *marks[:_MARKS_MAX]]


def _event_mark(at_s: float, event: Mapping[str, Any]) -> Mark:
    """A moment; of a fault in the words in which it was asked for, of a stall as long as it was."""
    if event.get("kind") != "fault" or not event.get("done"):
        return Mark(at_s, None, _short(event.get("kind")), "event")
    for_s = number(event, "for_s")
    return Mark(at_s, at_s + for_s if for_s else None, _short(event.get("fault")), "event")


def warmup_marks(summary: Mapping[str, Any]) -> list[Mark]:
    """The warm-up that was found in the data, from the first measured operation on."""
    warmup_s = number(group(summary, "steady"), "warmup_s")
    if not warmup_s or warmup_s < 0:
        return []
    return [Mark(0.0, warmup_s, "warm-up, as found", "warm-up")]


def event_table(data: RunData) -> Table | None:
    """Every event in the order of the file, the first of them if there are many."""
    origin_ns = data.origin_ns
    if origin_ns is None or not data.events:
        return None
    timed = _timed(data, origin_ns)
    rows: list[list[Cell]] = []
    for at_s, event in timed[:_ROWS_MAX]:
        what = _short(event.get("phase")) if event.get("kind") == "phase" else ""
        details = [
            f"{_short(name)} {_short(value)}"
            for name, value in event.items()
            if name not in _PLAIN_FIELDS
        ]
        words = ", ".join([*([what] if what else []), *details])
        rows.append([_short(event.get("kind")), figure(at_s, "seconds"), words])
    left_out = len(timed) - len(rows)
    return Table(
        title="Events",
        columns=["event", "at", "what"],
        rows=rows,
        caption="Seconds count from the first measured operation."
        + (f" {left_out:,} more are in events.jsonl." if left_out > 0 else ""),
    )


def _timed(data: RunData, origin_ns: int) -> list[tuple[float, Mapping[str, Any]]]:
    timed = []
    for event in data.events:
        at_ns = number(event, "wall_ns")
        if at_ns is not None:
            timed.append(((at_ns - origin_ns) / 1e9, event))
    return sorted(timed, key=lambda one: one[0])


def _short(value: object) -> str:
    shown = plain(value)
    return shown if len(shown) <= _TEXT_MAX else f"{shown[:_TEXT_MAX]}…"

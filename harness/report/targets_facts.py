"""What each target of a comparison is: version, what an acknowledgement means, conformance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.report.document import Block, Cell, Section, Table
from harness.report.fields import group, groups, listed, text
from harness.report.figures import plain

__all__ = ["points_cell", "target_facts_section"]

Summary = Mapping[str, Any]
Named = Sequence[tuple[str, Summary]]

_MARKS = {"passed": "passed", "failed": "FAILED", "not claimed": "not claimed"}


def points_cell(target: Summary) -> str:
    """How many of the claimed points of conformance a target passes."""
    points = groups(target, "conformance", "points")
    claimed = [one for one in points if text(one, "state") != "not claimed"]
    if not claimed:
        return "?" if text(target, "conformance", "problem") else "-"
    passed = [one for one in claimed if text(one, "state") == "passed"]
    return f"{len(passed)}/{len(claimed)}"


def target_facts_section(targets: Named) -> Section:
    """Versions, durability, settings, capabilities; and a table of conformance."""
    rows: list[list[Cell]] = []
    for name, one in targets:
        settings = ", ".join(
            f"{plain(key)}={plain(value)}" for key, value in group(one, "settings").items()
        )
        capabilities = ", ".join(plain(word) for word in listed(one, "capabilities"))
        cells = [text(one, "version"), text(one, "durability"), text(one, "stores")]
        rows.append([name, *(cell or "-" for cell in (*cells, capabilities, settings))])
    blocks: list[Block] = []
    if any(cell != "-" for row in rows for cell in row[1:]):
        columns = ["target", "version", "what an acknowledgement means", "stores"]
        blocks.append(
            Table(
                title="What each is",
                columns=[*columns, "capabilities", "settings"],
                rows=rows,
            )
        )
    blocks += _conformance(targets)
    lead = "An acknowledgement does not mean the same everywhere: read it beside the times."
    return Section("what", "What is compared", lead, blocks)


def _conformance(targets: Named) -> list[Block]:
    """The points by target, and a sentence for each that failed."""
    points = {
        name: {text(one, "name"): one for one in groups(target, "conformance", "points")}
        for name, target in targets
    }
    names = list(dict.fromkeys(point for found in points.values() for point in found))
    if not names:
        return []
    rows: list[list[Cell]] = [
        [name, *(_MARKS.get(text(found.get(point, {}), "state"), "-") for point in names)]
        for name, found in points.items()
    ]
    failed: list[list[Cell]] = [
        [f"{name}, {point}", text(one, "sentence")]
        for name, found in points.items()
        for point, one in found.items()
        if text(one, "state") == "failed"
    ]
    columns = ["target", *(point.replace("_", " ") for point in names)]
    blocks: list[Block] = [Table(title="Conformance", columns=columns, rows=rows)]
    if failed:
        columns = ["target, point", "what it did"]
        blocks.append(Table(title="Points that failed", columns=columns, rows=failed))
    return blocks

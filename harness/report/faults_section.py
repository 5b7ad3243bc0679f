"""What faults did to a run, and what its audit found, as sections of a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.analysis.audited import AUDIT_FIGURES
from harness.report.document import Cell, Quantity, Section, Table
from harness.report.fields import group, groups, number, text
from harness.report.quantities import figure

__all__ = ["audit_section", "faults_section"]

_ROWS_MAX = 200
_FIGURES: tuple[tuple[str, str, Quantity], ...] = (
    ("at", "at_s", "seconds"),
    ("recovered after", "recovery_s", "seconds"),
    ("operations meanwhile", "operations_meanwhile", "count"),
    ("failed", "errors", "count"),
    ("slowest", "slowest_ms", "milliseconds"),
    ("operations/s before", "throughput_before_ops_s", "rate"),
    ("operations/s meanwhile", "throughput_meanwhile_ops_s", "rate"),
)


def faults_section(summary: Mapping[str, Any]) -> Section | None:
    """Each fault with the time to recover, the errors and the dip."""
    faults = groups(summary, "faults")
    if not faults:
        return None
    rows: list[list[Cell]] = [
        [
            text(one, "fault"),
            *(figure(number(one, name), quantity) for _, name, quantity in _FIGURES),
            text(one, "sentence"),
        ]
        for one in faults[:_ROWS_MAX]
    ]
    table = Table(
        title="Faults",
        columns=["fault", *(words for words, _, _ in _FIGURES), "in words"],
        rows=rows,
        caption="Of the operations that a fault hit, from the fault until the first right answer "
        "after which a second passed without a failure.",
    )
    lead = "1 fault was injected." if len(faults) == 1 else f"{len(faults):,} faults were injected."
    done = sum(one.get("done") is True for one in faults)
    if done < len(faults):
        lead = f"{done:,} of {len(faults):,} faults were injected."
    return Section("faults", "Faults", lead, [table])


def audit_section(summary: Mapping[str, Any]) -> Section | None:
    """The counts of the audit, if one was asked for."""
    audit = group(summary, "audit")
    if text(audit, "verdict") in {"", "none"}:
        return None
    names = (*AUDIT_FIGURES, "answers_checked")
    table = Table(
        title="Memories",
        columns=[name.replace("_", " ") for name in names],
        rows=[[figure(number(audit, name), "count") for name in names]],
    )
    return Section("audit", "Audit", text(audit, "sentence"), [table])

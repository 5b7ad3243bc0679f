"""The search for capacity in a report."""

from __future__ import annotations

from typing import Any

import pytest

from harness.report.capacity_section import capacity_sections, capacity_title
from harness.report.document import Chart, Table


@pytest.fixture
def searched() -> dict[str, Any]:
    """A search that found its edge between 80 and 96 agents."""

    def load(trials: int, kept: int, p99_ms: float | None) -> dict[str, Any]:
        return {
            "trials": trials,
            "kept": kept,
            "settled": trials,
            "values": {"all.p99_ms": p99_ms},
            "throughput_ops_s": 1000.0,
            "why": None if kept == trials else "all.p99_ms is 60, and had to be < 50.",
            "limit": {"kind": "shard", "sentence": "The shards' CPU limited the run."},
        }

    loads = {"160": load(2, 0, 90.0), "80": load(3, 3, 40.0), "96": load(2, 0, None)}
    limits = [{"path": "all.p99_ms", "operator": "<", "limit": 50.0}]
    found = {
        "search": "agents",
        "low": 80.0,
        "high": 96.0,
        "sentence": "It is 80.",
        "limits": limits,
    }
    return {"bench": "capacity", "capacity": {**found, "loads": loads}}


def test_objectives_are_drawn_by_load_with_limit_and_edge(searched):
    """Smallest first; the two sides of the answer are marked."""
    (section,) = capacity_sections(searched)
    chart = next(block for block in section.blocks if isinstance(block, Chart))
    assert section.lead == "It is 80."
    assert chart.x == [80.0, 96.0, 160.0]
    assert [list(series.values) for series in chart.series] == [[40.0, None, 90.0], [50.0] * 3]
    assert [mark.begin for mark in chart.marks] == [80.0, 96.0]


def test_every_load_is_in_the_table_with_what_broke_it(searched):
    """What kept it has what limited it instead."""
    (section,) = capacity_sections(searched)
    table = next(block for block in section.blocks if isinstance(block, Table))
    assert [row[-1] for row in table.rows] == [
        "The shards' CPU limited the run.",
        "all.p99_ms is 60, and had to be < 50.",
        "all.p99_ms is 60, and had to be < 50.",
    ]
    assert all(len(row) == len(table.columns) for row in table.rows)


@pytest.mark.parametrize(
    "summary", [{}, {"capacity": None}, {"capacity": {"loads": {"x": {}, "nan": {}, "5": None}}}]
)
def test_what_is_no_search_has_no_section(summary):
    """A report is made of whatever is there."""
    assert capacity_sections(summary) == []


def test_the_title_is_the_answer(searched):
    """In a few words, also where nothing kept it."""
    searched["capacity"]["objectives"] = ["p99_ms<50", "failed<1%"]
    assert capacity_title(searched) == "p99_ms<50 and failed<1%: up to 80 agents"
    searched["capacity"]["low"] = None
    assert capacity_title(searched) == "p99_ms<50 and failed<1%: not kept"
    assert capacity_title({}) == ""

"""A comparison of targets in its report and in a terminal: who leads, and what each one is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.report.document import Bars, Chart, Report, Table
from harness.report.html import read_report, write_report
from harness.report.target_comparison import render_targets
from tests.report.made_benches import TARGETS, make_bench, targets_summary


def blocks(report: Report, kind: Any) -> dict[str, Any]:
    return {
        block.title: block
        for section in report.sections
        for block in section.blocks
        if isinstance(block, kind)
    }


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return read_report(make_bench(tmp_path / "bench", "targets"))


def shown(width: int, summary: dict[str, Any]) -> list[str]:
    console = Console(width=width, force_terminal=False)
    with console.capture() as captured:
        console.print(render_targets(summary))
    return captured.get().splitlines()


def test_the_title_says_who_leads_and_by_how_much(report: Report):
    """With the most agents, against the second."""
    assert "memory_core carries" in report.title
    assert "with 500 agents, 2.00 times what chroma:server=true does" in report.title


def test_the_first_table_has_a_line_for_each_best_first(report: Report):
    """Throughput, single operations, recall, loading, memory, disk and points of conformance."""
    table = blocks(report, Table)["Side by side"]
    assert [row[0] for row in table.rows] == list(TARGETS)
    first = dict(zip(table.columns, table.rows[1], strict=True))
    assert first["search"].shown == "400 µs"
    assert first["recall@10"].shown == "99.0%"
    assert first["memory each"].shown == "800 B"
    assert first["points"] == "1/2"


def test_a_target_has_its_colour_in_every_chart(report: Report):
    """Lines of all charts of targets are of the same colours, with intervals where known."""
    drawn = [chart for chart in blocks(report, Chart).values() if chart.key.endswith("by-target")]
    assert len(drawn) == 8
    colours = {tuple((one.label, one.colour) for one in chart.series) for chart in drawn}
    assert len(colours) == 1
    throughput = next(chart for chart in drawn if chart.key == "throughput-by-target")
    assert all(series.low is not None for series in throughput.series)


def test_bars_are_in_the_order_of_what_they_show(report: Report):
    """The most operations first, and the least time."""
    bars = blocks(report, Bars)
    single = "A store, a retrieve and a search at 10,000 memories"
    for title in ("Throughput with 500 agents", single):
        assert [bar.name for bar in bars[title].bars] == list(TARGETS)


def test_versions_durability_and_conformance_stand_beside_the_figures(report: Report):
    """What an acknowledgement means in a sentence, each point by target, failed ones in words."""
    tables = blocks(report, Table)
    rows = {row[0]: row for row in tables["What each is"].rows}
    assert rows["sqlite-vec"][1:3] == ["1.2", "Each batch is synced."]
    assert rows["sqlite-vec"][5] == "mode=wal, threads=2"
    table = tables["Conformance"]
    assert table.columns == ["target", "read your writes", "unicode", "filter"]
    assert ["sqlite-vec", "passed", "FAILED", "not claimed"] in table.rows
    failed = tables["Points that failed"].rows
    assert ["sqlite-vec, unicode", "It lost an accent."] in failed
    cut = {row[0]: row[-1] for row in tables["What a volume takes"].rows}
    assert cut["sqlite-vec, 10,000"] == "at 812 memories"
    assert cut["sqlite-vec, 1,000"] == ""


def test_a_comparison_that_never_measured_has_a_report(tmp_path: Path):
    """Whatever its summary lacks."""
    path = make_bench(tmp_path / "bench", "targets")
    for summary in ({"targets": {"a": {}}, "comparison": []}, {"targets": {"a": 1}}, {}):
        (path / "summary.json").write_text(json.dumps(summary))
        assert "<html" in write_report(path).read_text()


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_has_a_line_for_each_target(width: int):
    """Within the width; versions and durability below."""
    lines = shown(width, targets_summary())
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "operations/s, 500 agents" in text
    for name in TARGETS:
        assert sum(line.strip().startswith(name) for line in lines) >= 4
    assert "passes 1 of 2 points" in text
    assert "sqlite-vec (cut)" in text

"""The summary of ``bench resources`` in a terminal: what it says, and that it fits."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
from rich.console import Console

from harness.report.resource_utilization import render_resources

_COST = {
    "cpu_us": 812.4,
    "memory_bytes": None,
    "disk_bytes": 4_096.0,
    "rate_ops_s": 200.0,
    "intervals": {
        "cpu_us": {"estimate": 812.4, "low": 700.0, "high": 950.0},
        "memory_bytes": {"estimate": 3.0, "low": -200.0, "high": 206.0},
        "disk_bytes": {"estimate": 4_096.0, "low": 4_000.0, "high": 5_120.0},
    },
}
_LEAK = {
    "process": "shard 0",
    "verdict": "leak",
    "slope_bytes_s": {"estimate": 34_952.5, "low": 17_476.3, "high": 52_428.8},
    "explained_bytes_s": 1_747.6,
    "sentence": "It leaks.",
    "trend": [],
}
_UNKNOWN = {
    **_LEAK,
    "process": "sampler",
    "slope_bytes_s": {"estimate": None, "low": None, "high": None},
}
_FIGURES = {
    "status": "complete",
    "offered_rate_ops_per_second": 100.0,
    "actual_rate_ops_per_second": 99.8,
    "avg_operation_time_ms": 2.345,
    "p95_operation_time_ms": 6.789,
    "late_operations": 12,
    "dropped_operations": 3,
    "operations_per_cpu_second": 450.0,
    "operations_per_cpu_percent": 4.5,
    "operations_per_mb": 1.25,
    "time_series": [
        {
            "t_s": second,
            "ops_s": 100 + second % 3,
            "mean_ms": 2.0,
            "p95_ms": None,
            "max_ms": 9.5,
            "cpu_percent": {"shard": 20.0, "cohort": 10.0},
            "memory_bytes": {"shard": 5_000_000, "cohort": 6_000_000},
            "disk_write_bytes_s": 1_048_576,
        }
        for second in range(300)
    ],
    "costs": {"store": _COST, "retrieve": _COST, "search": _COST},
    "leaks": [_LEAK, {**_LEAK, "process": "shard 1", "verdict": "too little data"}, _UNKNOWN],
}
_SUMMARY = {
    "bench": "resources",
    "resources": _FIGURES,
    "verdicts": [
        {"name": "validity", "verdict": "ok", "sentence": "All is valid."},
        {"name": "schedule", "verdict": "ok", "sentence": "The offered rate was carried."},
        {"name": "leaks", "verdict": "warning", "sentence": "shard 0 leaks."},
    ],
}


def shown(summary: dict[str, Any], width: int = 80) -> str:
    out = io.StringIO()
    Console(file=out, width=width, highlight=False).print(render_resources(summary))
    return out.getvalue()


def summary(**more: Any) -> dict[str, Any]:
    return {**copy.deepcopy(_SUMMARY), **more}


def test_the_figures_are_there():
    """Rates, time, costs and leaks, each in its unit."""
    text = shown(summary())
    for words in ("99.8", "6.79 ms", "450", "4.50", "1.25", "812 µs", "950 µs", "~ 0", "206 B"):
        assert words in text
    assert "shard CPU" in text
    assert "100 to 102" in text
    assert "2.00" in text  # MiB a minute
    assert "too little data" in text
    assert "sampler" not in text  # nothing is known of it but that
    assert "over 5 min 00 s" in text


def test_what_is_asked_is_answered_though_all_is_well():
    """Other verdicts that are well are not said."""
    text = shown(summary())
    assert "The offered rate was carried." in text
    assert "All is valid." not in text


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_lines_fit_the_terminal(width):
    """Nothing wraps, whatever the width."""
    rates = {"10": _FIGURES, "1000000": {**_FIGURES, "offered_rate_ops_per_second": 1e6}}
    for line in shown(summary(rates=rates), width).splitlines():
        assert len(line) <= width


def test_in_a_narrow_terminal_verdicts_and_main_figures_stay():
    """At 40 columns what is less important goes, and nothing is cut without a sign."""
    text = shown(summary(), 40)
    for words in ("too little data", "2.00", "99.8", "6.79 ms", "450", "812 µs"):
        assert words in text
    assert "late" not in text
    (leaks,) = (line for line in text.splitlines() if line.startswith(" shard 1"))
    assert leaks.split() == ["shard", "1", "too", "little", "data", "2.00"]
    assert "MiB a minute" in text


@pytest.mark.parametrize(("width", "least"), [(40, 0), (60, 20), (80, 40)])
def test_bars_take_the_room_that_there_is(width: int, least: int):
    """Each series is one line, with its least and its most after its bars."""
    (line,) = (one for one in shown(summary(), width).splitlines() if "shard memory" in one)
    assert line.rstrip().endswith("4.77 MiB to 4.77 MiB")
    assert least <= line.count("█") <= 40


def test_a_sweep_has_a_row_a_rate():
    """In the order in which they were offered."""
    rates = {
        "10": {**_FIGURES, "offered_rate_ops_per_second": 10.0},
        "1000": {**_FIGURES, "offered_rate_ops_per_second": 1_000.0},
    }
    lines = shown(summary(rates=rates)).splitlines()
    (head,) = (place for place, line in enumerate(lines) if "offered  actual" in line)
    assert [line.split()[0] for line in lines[head + 1 : head + 3]] == ["10.0", "1,000"]


def test_times_of_an_invalid_step_are_withheld():
    """What a broken schedule measured is no figure of the store."""
    text = shown(summary(resources={**_FIGURES, "status": "invalid"}))
    assert "6.79" not in text
    assert "9.50 ms" not in text
    assert "99.8" in text


def test_text_of_others_is_shown_as_text():
    """Markup and control characters have no effect."""
    verdict = {"name": "leaks", "verdict": "warning", "sentence": "[red]x[/red]\x1b[2J"}
    text = shown(summary(verdicts=[verdict]))
    assert "[red]x[/red]" in text
    assert "\x1b[2J" not in text


def test_a_benchmark_without_a_step_is_its_verdicts():
    """Nothing else is known of it."""
    verdict = {"name": "completion", "verdict": "failed", "sentence": "No step was measured."}
    assert shown(summary(resources=None, verdicts=[verdict])).strip() == "No step was measured."

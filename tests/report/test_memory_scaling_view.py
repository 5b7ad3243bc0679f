"""Memory-size scaling in a terminal: verdicts first, and it fits 80 columns."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from harness.report.memory_scaling import render_memory_scaling

LATENCY = dict.fromkeys(("avg", "min", "max", "p50", "p90", "p95", "p99", "p999", "count"), 1234.5)
OPERATIONS = ("store", "retrieve", "search", "cross_tier")


def volume(**changed: Any) -> dict[str, Any]:
    return {
        **{f"{name}_latency_ms": LATENCY for name in OPERATIONS},
        "service": dict.fromkeys(OPERATIONS, LATENCY),
        "memory_usage_bytes": 999 * 2**20,
        "disk_usage_bytes": 999 * 2**20,
        "memory_bytes_per_memory": 1_023.0,
        "load_rate_ops_s": 28_123.4,
        "tiers": {"stm": 1_000, "im": 100_000, "ltm": 899_000},
        "recall": {"all": 0.987, "stm": 1.0, "im": None, "ltm": 0.99, "k": 10, "queries": 250},
        **changed,
    }


def summary(*volumes: int, **changed: Any) -> dict[str, Any]:
    return {
        "verdicts": [
            {"name": "forgets", "verdict": "failed", "sentence": "It forgets \x1b[31m[red]this."},
            {"name": "settled", "verdict": "ok", "sentence": "Nothing to see."},
        ],
        "baseline": {"memory_usage_bytes": 2**26, "disk_usage_bytes": None},
        "volumes": {str(size): volume(**changed) for size in volumes},
        "degradation": {name: {"sentence": f"{name} grows."} for name in OPERATIONS},
    }


def shown(found: dict[str, Any]) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=80, highlight=False).print(render_memory_scaling(found))
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_it_fits_eighty_columns_and_begins_with_the_verdict():
    """However large the figures; text of a store is no markup and no control sequence."""
    lines = shown(summary(1_000, 10_000, 100_000, 1_000_000))
    assert lines[0] == " It forgets \N{REPLACEMENT CHARACTER}[31m[red]this."
    assert max(map(len, lines)) <= 80
    assert not any("Nothing to see" in line for line in lines)


def test_each_volume_has_its_times_sizes_and_recall():
    """Four tables have a line for each, in the order of the volumes."""
    lines = shown(summary(1_000, 1_000_000))
    rows = [line.split() for line in lines if line.startswith((" 1,000 ", " 1,000,000 "))]
    assert [row[0] for row in rows] == ["1,000", "1,000,000"] * 4
    assert rows[-1][1:] == ["0.987", "1.00", "-", "0.990", "250"]
    assert " search grows." in lines


def test_what_is_not_known_is_a_dash():
    """A target without tiers and samples has its times all the same."""
    lines = shown(summary(1_000, tiers=None, memory_usage_bytes=None, memory_bytes_per_memory=None))
    sizes = [line.split() for line in lines if line.startswith(" 1,000 ")][2]
    assert sizes.count("-") >= 4


def test_nothing_measured_is_verdicts_alone():
    """A benchmark that was stopped at once has no tables."""
    assert len(shown(summary())) == 1

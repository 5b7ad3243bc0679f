"""A summary with figures in it, and a console that writes to memory."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from harness.analysis.rows import MeasuredRows
from harness.analysis.summary import summarise_rows
from harness.schema import LOADGEN_SCHEMA, NODES_SCHEMA, OPERATIONS, PROCESSES_SCHEMA


def _latency(count: int, scale: float = 1.0) -> dict[str, Any]:
    names = ("mean_ms", "min_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "p999_ms", "max_ms")
    values = (4.51, 0.52, 4.42, 7.91, 9.03, 12.4, 31.7, 1_042.0)
    return {"count": count} | {
        name: value * scale for name, value in zip(names, values, strict=True)
    }


@pytest.fixture
def summary() -> dict[str, Any]:
    """The summary of an empty run, with the figures of 180,000 operations put in."""
    made = summarise_rows(
        MeasuredRows(),
        NODES_SCHEMA.empty_table(),
        PROCESSES_SCHEMA.empty_table(),
        LOADGEN_SCHEMA.empty_table(),
        run={},
    )
    counts = dict(zip(("all", *OPERATIONS), (180_000, 100_000, 50_000, 30_000), strict=True))
    made |= {"operations": 180_000, "duration_s": 2.1, "throughput_ops_s": 85_714.3}
    made["agents"] |= {"count": 500, "in_flight_max": 500}
    for name, count in counts.items():
        made[name] = _latency(count)
        for part, scale in (("service", 0.2), ("queue", 0.4), ("transport", 0.4)):
            made[part][name] = _latency(count, scale)
    for role, processes in (("shard", 2), ("cohort", 2), ("sampler", 1)):
        made["resources"][role] |= {
            "processes": processes,
            "cpu_percent_avg": 71.0,
            "cpu_percent_max": 93.0,
            "rss_bytes_max": 212 * 2**20,
            "uss_bytes_max": 98 * 2**20,
        }
        made["cpu_us_per_operation"][role] = 6.4
    made["resources"]["node"] |= {"nodes": 1, "cpu_count": 2, "cpu_percent_avg": 97.0}
    made["limit"] = {"kind": "machine", "sentence": "The whole machine's CPU limited the run: 97%."}
    made["verdicts"] = [{"name": "failures", "verdict": "ok", "sentence": "None failed."}]
    return made


@pytest.fixture
def shown():
    """Give a renderable's lines on a plain console of a width."""

    def lines(renderable: Any, width: int = 100) -> list[str]:
        stream = io.StringIO()
        Console(file=stream, width=width, highlight=False).print(renderable)
        return [line.rstrip() for line in stream.getvalue().splitlines()]

    return lines

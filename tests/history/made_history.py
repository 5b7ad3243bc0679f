"""Run directories as a list reads them: two documents each, of chosen values."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from harness.plan import RunPlan

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
HOSTILE = "\x1b[31m<b>\u202e\x07 ;&\x00"


def summary_of(p99_ms: float | None = 4.0, **figures: Any) -> dict[str, Any]:
    """A summary with a few of the figures that a run's has."""
    times = {"count": 5_000, "p50_ms": 1.0, "p99_ms": p99_ms}
    return {
        "schema_version": 1,
        "operations": 20_000,
        "failed": 0,
        "duration_s": 10.0,
        "throughput_ops_s": 2_000.0,
        "all": times,
        "search": times,
        "verdicts": [],
    } | figures


def document(hours: float = 0.0, plan: dict[str, Any] | None = None, **run: Any) -> dict[str, Any]:
    """A ``run.json`` of a run that began so long after BEGIN."""
    whole = RunPlan(**(plan or {})).as_dict()
    return {
        "schema_version": 1,
        "status": "complete",
        "command": "run",
        "started": (BEGIN + timedelta(hours=hours)).isoformat(),
        "plan": whole,
        "agents": whole["agents"],
        "commit": {"commit": f"{int(hours):040x}", "modified": False},
        "hosts": [{"hostname": "one"}],
    } | run


def made(path: Path, run: dict[str, Any], summary: dict[str, Any] | None = None) -> Path:
    """Write both documents."""
    path.mkdir(parents=True)
    (path / "run.json").write_text(json.dumps(run))
    if summary is not None:
        (path / "summary.json").write_text(json.dumps(summary))
    return path


def made_series(folder: Path, values: list[float], **run: Any) -> None:
    """Runs of one plan, an hour apart, whose search.p99_ms is one of the values each."""
    for place, value in enumerate(values):
        made(folder / f"run-{place:03}", document(place, **run), summary_of(value))

"""The summary of several benchmarks in one directory: their sections side by side.

The three benchmarks have sections of different names (`counts`, `volumes`, `resources` and so
on), so that one document holds them all. What each says of itself stands under `benchmarks`, and
its verdicts carry its name.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.analysis.verdicts import VERDICTS, Verdict
from harness.errors import RunDirectoryError
from harness.rundir_reader import RunReader, open_run
from harness.schema import SCHEMA_VERSION

__all__ = ["BENCHMARKS", "join_summaries"]

BENCHMARKS = ("agents", "memory", "resources")
_OWN = frozenset({"schema_version", "bench", "duration_s", "verdicts", "thresholds"})


def _written(part: RunReader) -> dict[str, Any] | None:
    return part.summary


def join_summaries(
    path: Path, summary_of: Callable[[RunReader], dict[str, Any] | None] = _written
) -> dict[str, Any]:
    """Join what the benchmarks in a directory say; one that is missing is a verdict.

    Args:
        path: has a bench directory for each of `BENCHMARKS`, by its name.
        summary_of: gives the summary of one, None where there is none; by default as written.
    """
    sections: dict[str, Any] = {}
    benchmarks: dict[str, Any] = {}
    verdicts: list[Verdict] = []
    for name in BENCHMARKS:
        try:
            found = open_run(path / name)
            status, summary = found.run.get("status"), summary_of(found)
        except RunDirectoryError:
            status, summary = None, None
        if summary is None:
            verdicts.append(
                {
                    "name": f"{name}.completion",
                    "verdict": "failed",
                    "sentence": f"The benchmark of {name} has no figures.",
                }
            )
            benchmarks[name] = {"path": name, "status": status, "duration_s": None}
            continue
        benchmarks[name] = {
            "path": name,
            "status": status,
            "duration_s": summary.get("duration_s"),
        }
        sections |= {key: value for key, value in summary.items() if key not in _OWN}
        verdicts += [one | {"name": f"{name}.{one['name']}"} for one in summary["verdicts"]]
    durations_s = [one["duration_s"] or 0.0 for one in benchmarks.values()]
    return {
        "schema_version": SCHEMA_VERSION,
        "bench": "all",
        "duration_s": sum(durations_s),
        "benchmarks": benchmarks,
        **sections,
        "verdicts": sorted(verdicts, key=lambda one: VERDICTS.index(one["verdict"])),
    }

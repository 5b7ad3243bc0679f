"""The summary of a benchmark for its report: as it was written, else made anew from the steps.

A benchmark that was killed has no ``summary.json``, and a damaged one is no use, but the steps
are there all the same. Of what cannot be summed up anew there is an empty summary. Nothing raises
here, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.analysis.agent_scaling import summarise_agents
from harness.analysis.joined import join_summaries
from harness.analysis.memory_scaling import summarise_memory_scaling
from harness.analysis.resource_utilization import summarise_resources
from harness.analysis.target_comparison import summarise_targets
from harness.analysis.verdicts import VERDICTS
from harness.benchmarks.bench_directory import BenchReader
from harness.errors import RunDirectoryError
from harness.report.document import Verdict
from harness.report.fields import text, verdicts_of
from harness.rundir_reader import RunReader

__all__ = ["read_bench_summary"]

Summary = Mapping[str, Any]

_STEPWISE: Mapping[str, Callable[[Path], dict[str, Any]]] = {
    "bench-agents": summarise_agents,
    "bench-memory": summarise_memory_scaling,
    "bench-resources": summarise_resources,
    "bench-targets": summarise_targets,
}


def read_bench_summary(reader: BenchReader) -> tuple[Summary, list[Verdict]]:
    """Give the summary of a benchmark, and its verdicts, the most serious first.

    The verdicts say what stands in the place of a summary that is not there. A summary that was
    made anew is without thresholds, which were judged when it was written.
    """
    damaged = False
    try:
        written = reader.summary
        if written is not None:
            return written, verdicts_of(written)
    except RunDirectoryError:
        damaged = True
    summary = _made_anew(reader.path, text(reader.run, "command"))
    return summary, _judged(reader.run, summary, damaged)


def _made_anew(path: Path, command: str) -> Summary:
    """The summary from the files of the steps; an empty one where that fails."""
    try:
        if command == "bench-all":
            return join_summaries(path, _of_part)
        make = _STEPWISE.get(command)
        return {} if make is None else make(path)
    except Exception:  # noqa: BLE001 - files of any content are read; the report shows the steps
        return {}


def _of_part(part: RunReader) -> dict[str, Any] | None:
    """The summary of a part of a joined benchmark, None where there is none to be had."""
    try:
        if part.summary is not None:
            return part.summary
    except RunDirectoryError:
        pass
    made = dict(_made_anew(part.path, text(part.run, "command")))
    if not made:
        return None
    if part.run.get("status") == "running":
        made["verdicts"] = [
            one for one in made.get("verdicts", []) if one.get("name") != "completion"
        ]
        sentence = "The benchmark has not ended, or was killed: its figures are of the steps."
        made["verdicts"].append({"name": "completion", "verdict": "warning", "sentence": sentence})
    return made


def _judged(run: Summary, summary: Summary, damaged: bool) -> list[Verdict]:
    """The verdicts of a summary that was made anew, with what it stands in the place of."""
    found = verdicts_of(summary)
    shown = (
        "the figures are made anew from the steps that are there"
        if summary
        else "these are the steps that are there"
    )
    own = []
    if damaged:
        sentence = f"The summary of the benchmark is damaged: {shown}."
        own.append(Verdict("summary", "warning", sentence))
    if run.get("status") == "running":
        found = [one for one in found if one.name != "completion"]
        sentence = f"The benchmark has not ended, or was killed: {shown}."
        own.append(Verdict("completion", "warning", sentence))
    elif not damaged:
        sentence = f"The summary of the benchmark is missing: {shown}."
        own.append(Verdict("summary", "warning", sentence))
    return sorted([*own, *found], key=lambda one: VERDICTS.index(one.verdict))

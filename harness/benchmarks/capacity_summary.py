"""The summary of a search for capacity, from the files of its directory alone.

The search is gone through again with the trials that ``run.json`` has, so that one that was
stopped says what it knew then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from harness.benchmarks.bench_directory import open_bench
from harness.benchmarks.capacity_search import CapacityFinding, CapacitySearch
from harness.report import figures
from harness.schema import SCHEMA_VERSION

__all__ = ["load_words", "summarise_capacity", "summarise_trials"]

Trials = Sequence[Mapping[str, Any]]


def summarise_capacity(path: Path) -> dict[str, Any]:
    """Sum up a bench directory.

    Raises:
        RunDirectoryError: it cannot be read.
    """
    run = open_bench(path).run
    return summarise_trials(run["bench"], run.get("trials", []), run.get("status"))


def summarise_trials(
    settings: Mapping[str, Any], trials: Trials, status: str | None
) -> dict[str, Any]:
    """Sum up trials.

    Args:
        settings: `CapacitySettings.as_dict`.
        trials: in their order; ``load`` and ``kept`` of each decide.
        status: of the benchmark.
    """
    search = CapacitySearch(
        start=settings["start"],
        most=settings["most"],
        tolerance_ratio=settings["tolerance_ratio"],
        repeats=settings["repeats"],
        trials_max=settings["trials_max"],
        whole=settings["search"] == "agents",
    )
    for trial in trials:
        search.record(trial["load"], kept=trial["kept"])
    finding = search.finding()
    sentence = _answer(settings, finding)
    return {
        "schema_version": SCHEMA_VERSION,
        "bench": "capacity",
        "duration_s": float(sum(trial["duration_s"] for trial in trials)),
        "capacity": {
            "search": settings["search"],
            "objectives": list(settings["objectives"]),
            "tolerance_ratio": settings["tolerance_ratio"],
            **asdict(finding),
            "sentence": sentence,
            "limits": _limits(trials),
            "loads": {f"{load:.10g}": _of_load(load, trials) for load in _loads(trials)},
        },
        "verdicts": _verdicts(settings, finding, trials, sentence, status),
    }


def load_words(search: str, load: float | None) -> str:
    """A load with its unit: ``1 agent``, ``1,216 agents``, ``12.5 operations/s``."""
    if load is None:
        return figures.UNKNOWN
    if search == "agents":
        return f"{load:,.0f} {'agent' if load == 1 else 'agents'}"
    return f"{load:,.10g} operations/s"


def _loads(trials: Trials) -> list[float]:
    return sorted({trial["load"] for trial in trials})


def _limits(trials: Trials) -> list[dict[str, Any]]:
    """The limit of each objective, on its figure's whole path, in the figure's own unit."""
    names = ("path", "operator", "limit")
    first = trials[0]["findings"] if trials else []
    return [{name: finding[name] for name in names} for finding in first]


def _of_load(load: float, trials: Trials) -> dict[str, Any]:
    """What the trials of a load came to; figures are medians over those that know them."""
    of_load = [trial for trial in trials if trial["load"] == load]
    values: dict[str, list[float | None]] = {}
    for trial in of_load:
        for finding in trial["findings"]:
            values.setdefault(finding["path"], []).append(finding["value"])
    return {
        "trials": len(of_load),
        "kept": sum(trial["kept"] for trial in of_load),
        "values": {path: _median(known) for path, known in values.items()},
        "throughput_ops_s": _median([one["throughput_ops_s"] for one in of_load]),
        "settled": sum(trial["settled"] is True for trial in of_load),
        "why": next((trial["why"] for trial in of_load if not trial["kept"]), None),
        "limit": of_load[-1].get("limit"),
        "steps": [trial["step"] for trial in of_load],
    }


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def _answer(settings: Mapping[str, Any], finding: CapacityFinding) -> str:
    """The capacity, and how sure it is, in a sentence or two."""
    objectives = settings["objectives"]
    asked, verb = " and ".join(objectives), "is" if len(objectives) == 1 else "are"
    low, high = (load_words(settings["search"], load) for load in (finding.low, finding.high))
    if not finding.trials:
        return f"Whether {asked} {verb} kept is not known: no trial came to its end."
    if finding.ended == "never":
        return f"{asked} {verb} not kept even with {high}: broken in {_of(finding)}."
    tried = f"kept in {finding.low_trials} of {finding.low_trials} "
    tried += "trial" if finding.low_trials == 1 else "trials"
    if finding.ended == "max":
        return (
            f"{asked} {verb} kept up to {low}, the most that was tried ({tried}); "
            "the capacity is above that: raise --max."
        )
    if finding.low is None:
        return f"{asked} {verb} broken with {high} (in {_of(finding)}); no load kept it yet."
    if finding.high is None:
        return f"{asked} {verb} kept with {low} ({tried}); nothing larger broke it yet."
    sentence = (
        f"{asked} {verb} kept up to {low} ({tried}), and broken with {high} (in {_of(finding)})."
    )
    if finding.ended == "unfinished":
        sentence += " The search ended before that was sure."
    return sentence


def _of(finding: CapacityFinding) -> str:
    noun = "trial" if finding.high_trials == 1 else "trials"
    return f"{finding.high_broken} of {finding.high_trials} {noun}"


def _verdicts(
    settings: Mapping[str, Any],
    finding: CapacityFinding,
    trials: Trials,
    sentence: str,
    status: str | None,
) -> list[dict[str, str]]:
    """Judgements, most serious first; the capacity itself is always among them."""
    found = []
    kind = {"edge": "ok", "max": "warning", "never": "failed", "unfinished": "warning"}
    found.append(("capacity", kind[finding.ended], sentence))
    if status == "interrupted":
        text = "The search was interrupted: the answer is what was known until then."
        found.append(("completion", "warning", text))
    elif status == "failed":
        found.append(("completion", "failed", "A step could not be carried out."))
    if finding.erratic:
        loads = ", ".join(load_words(settings["search"], load) for load in finding.erratic)
        text = f"More than the load decides: smaller loads broke it at times ({loads})."
        found.append(("erratic", "warning", text))
    at_edge = [trial for trial in trials if trial["load"] == finding.high and not trial["kept"]]
    if any(_is_load_generators(trial) for trial in at_edge):
        text = "The load generator, not the store, was the limit where it broke."
        found.append(("limit", "warning", text))
    unsettled = sum(trial["settled"] is False for trial in trials)
    if unsettled:
        text = f"{unsettled} of {len(trials)} trials never settled, however long they were made."
        found.append(("steady", "warning", text))
    order = ("invalid", "failed", "warning", "ok")
    made = [{"name": name, "verdict": verdict, "sentence": text} for name, verdict, text in found]
    return sorted(made, key=lambda one: order.index(one["verdict"]))


def _is_load_generators(trial: Mapping[str, Any]) -> bool:
    limit = trial.get("limit") or {}
    return trial["status"] == "invalid" or limit.get("kind") == "load_generator"

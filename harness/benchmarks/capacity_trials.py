"""Trials of the search for capacity: steps of a benchmark, each judged by its objectives.

A trial is a step of a load. One that did not settle, or has too few samples for an objective, is
run again for twice as long, up to `LENGTHENINGS` times, unless it broke an objective by so much
that more time would change nothing; the last of them counts. What a trial came to is written into
``run.json`` (``trials``) as it ends, so that the summary follows from files alone.

Besides its objectives a load has to be carried: a step in which more than 1% of the operations
failed breaks it (unless an objective is about failures), and so does one that did not reach 95%
of the rate that it was offered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from harness.analysis.step_steady import STEP_COLUMNS, step_steady
from harness.analysis.thresholds import Threshold, ThresholdFinding, evaluate
from harness.benchmarks.bench import Bench, Step
from harness.benchmarks.capacity_search import CapacitySearch
from harness.plan import RunPlan
from harness.report import figures
from harness.rundir_reader import open_run
from harness.runner import prepare

__all__ = [
    "LENGTHENINGS",
    "CapacitySettings",
    "Judgement",
    "judge_step",
    "plan_of_load",
    "run_trials",
]

Searched = Literal["agents", "rate"]

LENGTHENINGS = 2
_FAILED_RATIO_MAX = 0.01
_CARRIED_RATIO_MIN = 0.95
# An objective missed, or kept, by this factor is so however long one looks.
_CLEARLY = 2.0


@dataclass(frozen=True, kw_only=True)
class CapacitySettings:
    """What a search was told.

    Attributes:
        search: what grows, ``agents`` or ``rate``.
        objectives: all of which a load has to keep.
        start: the first load.
        most: the largest load.
        tolerance_ratio: of `CapacitySearch`.
        repeats: of `CapacitySearch`.
        trials_max: of `CapacitySearch`.
        step_duration_s: that a step is measured for, at first.
    """

    search: Searched
    objectives: Sequence[Threshold]
    start: float
    most: float
    tolerance_ratio: float
    repeats: int
    trials_max: int
    step_duration_s: float

    def as_dict(self) -> dict[str, Any]:
        """As ``run.json`` has it; objectives as they were written."""
        return {**asdict(self), "objectives": [one.text for one in self.objectives]}

    def new_search(self) -> CapacitySearch:
        """The search, at its beginning."""
        return CapacitySearch(
            start=self.start,
            most=self.most,
            tolerance_ratio=self.tolerance_ratio,
            repeats=self.repeats,
            trials_max=self.trials_max,
            whole=self.search == "agents",
        )


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What a step says of its load.

    Attributes:
        kept: every objective, and the load was carried.
        why: what broke it, in sentences; empty if nothing did.
        findings: of the objectives.
        is_clear: more time would not change it.
    """

    kept: bool
    why: str
    findings: list[ThresholdFinding]
    is_clear: bool


def plan_of_load(
    plan: RunPlan, settings: CapacitySettings, load: float, duration_s: float
) -> RunPlan:
    """The plan of a step.

    Raises:
        UsageError: the plan and the load contradict each other.
    """
    timed = replace(plan, rounds=None, duration_s=duration_s)
    if settings.search == "agents":
        return replace(timed, agents=int(load))
    return replace(timed, rate=load)


def judge_step(
    summary: Mapping[str, Any], status: str, objectives: Sequence[Threshold]
) -> Judgement:
    """Judge a step that has ended by its summary."""
    found = evaluate(objectives, summary)
    broken = [one["sentence"] for one in found if one["verdict"] == "breached"]
    lost = []
    if status == "failed":
        lost.append("The run failed.")
    if status == "invalid":
        said = [one["sentence"] for one in summary["verdicts"] if one["verdict"] == "invalid"]
        broken, lost = [], said or ["The run is INVALID."]
    elif not_carried := _not_carried(summary, found):
        lost.append(not_carried)
    kept = not broken and not lost
    # in the open loop a queue may grow slowly, and only time shows it
    closed = summary["schedule"]["offered_rate_ops_s"] is None
    return Judgement(
        kept=kept,
        why=" ".join(dict.fromkeys([*lost, *broken])),
        findings=found,
        is_clear=bool(lost)
        or any(_is_far_off(one, "breached") for one in found)
        or (kept and closed and all(_is_far_off(one, "passed") for one in found)),
    )


def _not_carried(summary: Mapping[str, Any], found: Sequence[ThresholdFinding]) -> str:
    """Why a load was not carried, in a sentence; empty when it was."""
    about_failures = any(one["path"].split(".")[0] in {"failed", "outcomes"} for one in found)
    operations, failed = summary["operations"], summary["failed"]
    if not operations:
        return "No operation was measured."
    if failed > _FAILED_RATIO_MAX * operations and not about_failures:
        return f"{failed:,} of {operations:,} operations failed."
    offered = summary["schedule"]["offered_rate_ops_s"]
    achieved = summary["schedule"]["achieved_rate_ops_s"] or 0.0
    if offered is not None and achieved < _CARRIED_RATIO_MIN * offered:
        carried, wanted = figures.rate(achieved), figures.rate(offered)
        return f"Only {carried} of {wanted} operations/s were carried."
    return ""


def _is_far_off(finding: ThresholdFinding, verdict: str) -> bool:
    """Whether an objective was passed, or breached, by a factor of `_CLEARLY`."""
    value, limit = finding["value"], finding["limit"]
    if finding["verdict"] != verdict or value is None or limit <= 0:
        return False
    is_upper_bound = finding["operator"] in {"<", "<="}
    if is_upper_bound == (verdict == "breached"):
        return value > _CLEARLY * limit
    return value < limit / _CLEARLY


def run_trials(bench: Bench, plan: RunPlan, settings: CapacitySettings) -> None:
    """Search; each trial is a step or, where it has to be lengthened, several.

    Raises:
        BenchInterrupted: the end was asked for; what was found until then is in ``run.json``.
        RunFailedError: a step did not start.
    """
    # a load beyond the edge may fail or be INVALID: that is what is looked for
    bench.tolerated |= {"failed", "invalid"}
    search, trials = settings.new_search(), []
    duration_s = settings.step_duration_s
    tried: dict[float, int] = {}
    while (load := search.next_load()) is not None:
        while True:
            tried[load] = tried.get(load, 0) + 1
            name = f"{settings.search}-{load:.10g}-{tried[load]}"
            prepared = prepare(plan_of_load(plan, settings, load, duration_s))
            step = bench.run_prepared(name, prepared)
            judgement = judge_step(step.outcome.summary, step.outcome.status, settings.objectives)
            settled = _settled(step.path, step.outcome.summary)
            if judgement.is_clear or not _is_too_short(judgement, settled):
                break
            if duration_s >= settings.step_duration_s * 2**LENGTHENINGS:
                break
            # those to come are as long: the next load settles no sooner
            duration_s *= 2
            bench.view.note(f"  not settled; again, for {duration_s:g} s")
        search.record(load, kept=judgement.kept)
        trials.append(_trial(load, step, judgement, settled, duration_s))
        bench.directory.describe(trials=trials)
        bench.view.note(f"  {_said(judgement)}")


def _is_too_short(judgement: Judgement, settled: bool | None) -> bool:
    return settled is not True or any(one["value"] is None for one in judgement.findings)


def _settled(path: Path, summary: Mapping[str, Any]) -> bool | None:
    if not summary["duration_s"]:
        return None
    batches = open_run(path).operation_batches(STEP_COLUMNS)
    return step_steady(batches, summary["duration_s"])["settled"]


def _trial(
    load: float, step: Step, judgement: Judgement, settled: bool | None, duration_s: float
) -> dict[str, Any]:
    return {
        "load": load,
        "step": f"steps/{step.name}",
        "status": step.outcome.status,
        "kept": judgement.kept,
        "why": judgement.why,
        "settled": settled,
        "duration_s": duration_s,
        "throughput_ops_s": step.outcome.summary["throughput_ops_s"],
        "findings": judgement.findings,
        "limit": step.outcome.summary["limit"],
    }


def _said(judgement: Judgement) -> str:
    if judgement.kept:
        return f"kept: {' '.join(one['sentence'] for one in judgement.findings)}"
    return f"broke it: {judgement.why}"

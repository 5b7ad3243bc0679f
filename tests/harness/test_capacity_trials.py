"""Trials of the search for capacity, and what is said of them, on a made-up store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.analysis.thresholds import parse_threshold
from harness.benchmarks import capacity_trials
from harness.benchmarks.bench import BenchInterrupted, Step
from harness.benchmarks.capacity_summary import load_words, summarise_trials
from harness.benchmarks.capacity_trials import (
    CapacitySettings,
    judge_step,
    plan_of_load,
    run_trials,
)
from harness.commands.judging import run_template
from harness.plan import RunPlan
from harness.report.capacity import render_capacity
from harness.runner import Outcome

SLO = [parse_threshold("p99_ms<50", "--slo")]


def settings(**changed: Any) -> CapacitySettings:
    plain: dict[str, Any] = {
        "search": "agents",
        "objectives": SLO,
        "start": 10.0,
        "most": 1000.0,
        "tolerance_ratio": 0.1,
        "repeats": 3,
        "trials_max": 40,
        "step_duration_s": 5.0,
    }
    return CapacitySettings(**{**plain, **changed})


def summary_of(p99_ms: float | None, **changed: Any) -> dict[str, Any]:
    made = run_template() | {"operations": 10_000, "duration_s": 5.0, "throughput_ops_s": 2000.0}
    made["all"] |= {"count": 10_000, "p99_ms": p99_ms}
    made["limit"] = {"kind": "shard", "sentence": "The shards' CPU limited the run."}
    made["verdicts"] = []
    made["schedule"] |= changed.pop("schedule", {})
    return made | changed


@dataclass
class MadeUpBench:
    """A benchmark whose steps answer from a response curve: milliseconds by load."""

    p99_ms: Callable[[float], float | None]
    stop_after: int = 1000
    statuses: dict[float, str] = field(default_factory=dict)
    tolerated: set[str] = field(default_factory=set)
    described: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    steps: list[tuple[str, RunPlan]] = field(default_factory=list)

    @property
    def directory(self) -> MadeUpBench:
        return self

    view = directory

    def describe(self, **fields: Any) -> None:
        self.described |= fields

    def note(self, text: str) -> None:
        self.notes.append(text)

    def run_prepared(self, name: str, plan: RunPlan) -> Step:
        if len(self.steps) >= self.stop_after:
            raise BenchInterrupted
        self.steps.append((name, plan))
        load = float(plan.rate or plan.agents or 0)
        status: Any = self.statuses.get(load, "complete")
        outcome = Outcome(status=status, summary=summary_of(self.p99_ms(load)))
        return Step(name=name, path=Path(name), outcome=outcome)


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch):
    """Runs a search on a response curve; each step settles, unless `settled` says otherwise."""

    def run(
        p99_ms: Callable[[float], float | None],
        settled: Callable[[RunPlan], bool | None] = lambda _: True,
        stop_after: int = 1000,
        statuses: dict[float, str] | None = None,
        **changed: Any,
    ) -> tuple[MadeUpBench, dict[str, Any]]:
        bench = MadeUpBench(p99_ms, stop_after, statuses or {})
        monkeypatch.setattr(capacity_trials, "prepare", lambda plan: plan)
        monkeypatch.setattr(
            capacity_trials, "_settled", lambda path, _: settled(dict(bench.steps)[str(path)])
        )
        asked = settings(**changed)
        status = "complete"
        try:
            run_trials(bench, RunPlan(), asked)  # type: ignore[arg-type]
        except BenchInterrupted:
            status = "interrupted"
        trials = bench.described.get("trials", [])
        return bench, summarise_trials(asked.as_dict(), trials, status)

    return run


def verdicts(summary: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["verdict"] for one in summary["verdicts"]}


def test_the_capacity_of_a_known_curve_is_found_and_said(search):
    """p99 is a tenth of a millisecond for each agent: 50 ms are reached at 500."""
    _, summary = search(lambda agents: agents / 10)
    found = summary["capacity"]
    assert found["ended"] == "edge"
    assert found["low"] < 500 <= found["high"] <= found["low"] * 1.1
    assert found["sentence"] == (
        f"p99_ms<50 is kept up to {found['low']:,.0f} agents (kept in 3 of 3 trials), and broken "
        f"with {found['high']:,.0f} agents (in 2 of 2 trials)."
    )
    assert verdicts(summary) == {"capacity": "ok"}
    low = summary["capacity"]["loads"][f"{found['low']:.0f}"]
    assert (low["trials"], low["kept"]) == (3, 3)
    assert low["values"] == {"all.p99_ms": found["low"] / 10}


def test_a_step_is_named_by_its_load_and_repeat_and_is_of_its_length(search):
    """The plan of each has the load, and goes by time."""
    bench, _ = search(lambda agents: agents / 10)
    names = [name for name, _ in bench.steps]
    assert names[:2] == ["agents-10-1", "agents-20-1"]
    assert "agents-640-2" in names
    assert len(set(names)) == len(names)
    assert all(plan.duration_s == 5.0 and plan.rounds is None for _, plan in bench.steps)


def test_a_rate_is_searched_for_likewise(search):
    """The open loop's steps have the load as their rate."""
    bench, summary = search(lambda rate: rate / 10, search="rate", start=100.0)
    assert bench.steps[0][0] == "rate-100-1"
    assert summary["capacity"]["low"] < 500 <= summary["capacity"]["high"]
    assert "operations/s" in summary["capacity"]["sentence"]


def test_an_objective_that_is_never_kept_fails(search):
    """Not even one agent keeps it."""
    _, summary = search(lambda _: 80.0)
    assert summary["capacity"]["ended"] == "never"
    assert summary["verdicts"][0]["verdict"] == "failed"
    assert summary["verdicts"][0]["sentence"] == (
        "p99_ms<50 is not kept even with 1 agent: broken in 2 of 2 trials."
    )


def test_an_objective_that_is_always_kept_warns_that_the_capacity_is_above(search):
    """The most that was asked for is a bound of the search, not the store's."""
    _, summary = search(lambda _: 30.0)
    assert verdicts(summary) == {"capacity": "warning"}
    assert "raise --max" in summary["capacity"]["sentence"]


def test_an_interrupted_search_says_what_it_knew(search):
    """Ctrl-C sums up the trials that had ended."""
    _, summary = search(lambda agents: agents / 10, stop_after=5)
    assert (summary["capacity"]["low"], summary["capacity"]["high"]) == (160, None)
    assert verdicts(summary) == {"capacity": "warning", "completion": "warning"}
    assert "nothing larger broke it yet" in summary["capacity"]["sentence"]


def test_a_search_without_a_trial_knows_nothing(search):
    """The stop came in the first step."""
    _, summary = search(lambda _: 1.0, stop_after=0)
    assert "no trial came to its end" in summary["capacity"]["sentence"]
    assert summary["capacity"]["loads"] == {}


def test_a_step_that_does_not_settle_is_made_longer_and_only_the_last_counts(search):
    """Twice as long, and those that follow are as long from the start."""
    bench, summary = search(lambda _: 40.0, settled=lambda plan: plan.duration_s == 10.0)
    assert [plan.duration_s for _, plan in bench.steps[:3]] == [5.0, 10.0, 10.0]
    assert summary["capacity"]["trials"] == len(bench.steps) - 1
    assert verdicts(summary) == {"capacity": "warning"}


def test_a_step_that_never_settles_counts_at_its_longest_and_is_told_of(search):
    """Twice it is made longer, and not again."""
    bench, summary = search(lambda _: 40.0, settled=lambda _: False)
    assert max(plan.duration_s or 0 for _, plan in bench.steps) == 20.0
    assert len(bench.steps) == summary["capacity"]["trials"] + 2
    assert verdicts(summary)["steady"] == "warning"


def test_time_is_not_spent_on_what_is_clear(search):
    """An objective missed or kept by a factor of two is so however long one looks."""
    bench, _ = search(lambda agents: 10.0 if agents < 100 else 500.0, settled=lambda _: False)
    assert {plan.duration_s for _, plan in bench.steps} == {5.0}


def test_too_few_samples_make_a_step_longer_and_then_break_it(search):
    """What is not known is not kept."""
    bench, summary = search(lambda _: None, trials_max=1)
    assert [plan.duration_s for _, plan in bench.steps] == [5.0, 10.0, 20.0]
    assert summary["capacity"]["low"] is None


def test_a_load_that_is_invalid_or_fails_is_beyond_the_edge(search):
    """Which is no fault of the search: the benchmark itself is complete."""
    statuses = {40.0: "invalid", 80.0: "failed"}
    bench, summary = search(lambda _: 1.0, statuses=statuses, tolerance_ratio=1.0)
    assert bench.tolerated == {"failed", "invalid"}
    assert (summary["capacity"]["low"], summary["capacity"]["high"]) == (20, 40)
    assert verdicts(summary)["limit"] == "warning"


def test_a_rate_that_was_not_carried_is_broken_whatever_its_times():
    """A service time stays small while the queue before it grows."""
    schedule = {"offered_rate_ops_s": 1000.0, "achieved_rate_ops_s": 900.0}
    found = judge_step(summary_of(1.0, schedule=schedule), "complete", SLO)
    assert not found.kept
    assert found.why == "Only 900 of 1,000 operations/s were carried."


def test_failures_break_a_load_unless_an_objective_is_about_them():
    """One in a hundred is let pass."""
    assert judge_step(summary_of(1.0, failed=100), "complete", SLO).kept
    assert not judge_step(summary_of(1.0, failed=101), "complete", SLO).kept
    about = [*SLO, parse_threshold("failed<5%", "--slo")]
    assert judge_step(summary_of(1.0, failed=101), "complete", about).kept


def test_an_invalid_step_says_why_once():
    """The reason is the verdict's sentence."""
    verdict = {"name": "validity", "verdict": "invalid", "sentence": "It was late."}
    found = judge_step(summary_of(1.0, verdicts=[verdict]), "invalid", SLO)
    assert (found.kept, found.why, found.is_clear) == (False, "It was late.", True)


def test_in_the_open_loop_a_kept_objective_is_never_clear():
    """A queue may grow slowly."""
    schedule = {"offered_rate_ops_s": 1000.0, "achieved_rate_ops_s": 1000.0}
    assert not judge_step(summary_of(1.0, schedule=schedule), "complete", SLO).is_clear
    assert judge_step(summary_of(1.0), "complete", SLO).is_clear


def test_a_plan_with_rounds_goes_by_time_as_a_step():
    """As one from a file may have."""
    plan = plan_of_load(RunPlan(rounds=3), settings(), 7.0, 2.0)
    assert (plan.agents, plan.rounds, plan.duration_s) == (7, None, 2.0)


@pytest.mark.parametrize(
    ("searched", "load", "words"),
    [
        ("agents", 1.0, "1 agent"),
        ("agents", 1216.0, "1,216 agents"),
        ("rate", 12.5, "12.5 operations/s"),
        ("rate", 1e6, "1,000,000 operations/s"),
        ("rate", None, "-"),
    ],
)
def test_a_load_is_said_with_its_unit(searched, load, words):
    """In whole words."""
    assert load_words(searched, load) == words


def test_the_answer_comes_first_then_its_doubts_then_the_loads(search, capsys):
    """In a terminal of 80 columns."""
    from rich.console import Console

    _, summary = search(lambda agents: agents / 10)
    Console(width=80, highlight=False).print(render_capacity(summary))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(" p99_ms<50 is kept up to ")
    heads = next(number for number, line in enumerate(lines) if "all.p99_ms" in line)
    assert lines[heads].split() == ["agents", "trials", "kept", "settled", "all.p99_ms", "op/s"]
    assert lines[heads + 1].split() == ["10", "1", "1", "1", "1.00", "2,000"]
    assert lines[-1].rstrip().endswith("The shards' CPU limited the run.")
    assert all(len(line) <= 80 for line in lines)

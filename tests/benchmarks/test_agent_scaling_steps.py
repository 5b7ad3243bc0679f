"""Which steps the benchmark of agents has, in which order, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness import runner
from harness.benchmarks.agent_scaling import (
    FAILURES_IN_A_ROW,
    AgentScaling,
    parse_counts,
    run_steps,
)
from harness.benchmarks.bench import Bench, BenchInterrupted
from harness.errors import RunFailedError, UsageError
from harness.placement import Node
from harness.plan import RunPlan
from harness.runner import PreparedRun


def scaling(**given: Any) -> AgentScaling:
    plan = {"target": "noop", **given.pop("plan", {})}
    return AgentScaling(**{"plan": RunPlan(**plan), "counts": (1, 5, 9), "repeats": 2, **given})


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("1,10,50", (1, 10, 50)),
        ("7", (7,)),
        (" 3 , 1,2 ", (1, 2, 3)),
        ("10000000", (10_000_000,)),
    ],
)
def test_counts_are_taken_in_order(text: str, counts: tuple[int, ...]):
    """Whichever way they are given, the smallest comes first."""
    assert parse_counts(text) == counts


@pytest.mark.parametrize(
    "text",
    ["", ",", "1,,2", "0", "-1", "1.5", "ten", "1;2", "10000001", "9" * 5000, "٣", "1,0x10"],
)
def test_what_is_no_number_of_agents_is_refused(text: str):
    """One sentence, under the option's name, that does not run on."""
    with pytest.raises(UsageError) as caught:
        parse_counts(text)
    assert caught.value.field == "--counts"
    assert len(str(caught.value)) < 150
    with pytest.raises(UsageError, match="at most 100"):
        parse_counts(",".join(map(str, range(1, 102))))


@pytest.mark.parametrize(("text", "named"), [("1,1", 1), ("5,1,5", 5), ("10, 010", 10)])
def test_a_count_that_comes_twice_is_refused(text: str, named: int):
    """It is named, however it is written, with what measures a count again."""
    with pytest.raises(UsageError, match=rf"^--counts: names {named} twice; --repeats "):
        parse_counts(text)


def test_counts_are_interleaved_and_every_second_pass_goes_back():
    """A steady drift meets each count once early and once late."""
    names = [name for name, _ in scaling().steps()]
    assert names == [
        *("agents-1-1", "agents-5-1", "agents-9-1"),
        *("agents-9-2", "agents-5-2", "agents-1-2"),
    ]
    for count in (1, 5, 9):
        places = [at for at, name in enumerate(names) if name.startswith(f"agents-{count}-")]
        assert sum(places) == 5


def test_a_step_repeats_whole_rounds_for_its_time():
    """Its plan is the benchmark's own but for agents and duration."""
    base = RunPlan(target="noop", seed=9, dimension=32, shards=1)
    for _, plan in scaling(plan=base.as_dict() | {"rounds": 4}, step_duration_s=0.5).steps():
        assert (plan.duration_s, plan.whole_rounds, plan.rounds) == (0.5, True, None)
        assert (plan.seed, plan.dimension, plan.shards, plan.target) == (9, 32, 1, "noop")
    plans = [plan.agents for _, plan in scaling().steps()]
    assert plans == [1, 5, 9, 9, 5, 1]


def test_the_baseline_runs_right_beside_each_step():
    """The same agents, seed and durability, as threads; in turn before and after."""
    plan = {"target": "memory_core", "seed": 4, "durability": "os", "agents_per_task": 1}
    steps = list(scaling(plan=plan, baseline="threads", counts=(2, 3)).steps())
    assert [name for name, _ in steps] == [
        *("agents-2-1", "threads-2-1", "agents-3-1", "threads-3-1"),
        *("threads-3-2", "agents-3-2", "threads-2-2", "agents-2-2"),
    ]
    beside = dict(steps)["threads-3-1"]
    assert (beside.target, beside.agents, beside.seed) == ("threads", 3, 4)
    assert (beside.durability, beside.agents_per_task) == ("os", None)


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"repeats": 0}, "--repeats"),
        ({"repeats": 101}, "--repeats"),
        ({"step_duration_s": 0.0}, "--step-duration"),
        ({"step_duration_s": -1.0}, "--step-duration"),
        ({"step_duration_s": float("nan")}, "--step-duration"),
        ({"plan": {"rate": 5.0}}, "--plan"),
        ({"plan": {"trace": "t.parquet"}}, "--plan"),
        ({"plan": {"record": False}}, "--plan"),
        ({"baseline": "threads"}, "--baseline"),
    ],
    ids=str,
)
def test_what_cannot_be_measured_so_is_refused(given: dict[str, Any], option: str):
    """A wrong setting is named by its option before anything starts."""
    with pytest.raises(UsageError) as caught:
        scaling(**given)
    assert caught.value.field == option


def test_every_step_is_looked_at_before_the_first(monkeypatch: pytest.MonkeyPatch):
    """A count that does not fit is refused under --counts, naming the most that do."""
    monkeypatch.setattr(runner, "available_memory_bytes", lambda: 5.0 * 110 * 2**20)
    plan = {"agents_per_task": 1}
    assert len(scaling(plan=plan, counts=(1, 5)).prepared()) == 4
    with pytest.raises(UsageError, match="at most 5"):
        scaling(plan=plan, counts=(1, 6)).prepared()
    with pytest.raises(UsageError, match="--counts: makes 5,000 threads"):
        scaling(plan={"target": "memory_core"}, counts=(1, 5000), baseline="threads").prepared()


def test_the_document_says_what_was_asked_for():
    """Counts, repeats and the number of steps, beside the plan that they share."""
    settings = scaling(counts=(1, 9), repeats=3).settings()
    assert settings["bench"]["counts"] == [1, 9]
    assert settings["bench"]["steps"] == 6
    assert settings["plan"]["whole_rounds"] is True


class Steps:
    """A benchmark whose steps end as they are told to."""

    def __init__(self, becomes: Callable[[str], Exception | None], free_bytes: float = 2**40):
        self._becomes = becomes
        self.run: list[str] = []
        self.planned = 0
        node = Node(node_id="n", address="a", cpus=2, memory_bytes=free_bytes)
        self.session = SimpleNamespace(nodes=[node], cpus=2, node_id="n")

    def run_prepared(self, name: str, _prepared: PreparedRun) -> None:
        self.run.append(name)
        error = self._becomes(name)
        if error is not None:
            raise error


def carried_out(steps: Steps, **given: Any) -> list[str]:
    run_steps(cast(Bench, steps), scaling(**given).prepared())
    return steps.run


def test_a_step_that_fails_leaves_the_others_to_be_run():
    """All others are measured, and the benchmark fails in the end."""
    steps = Steps(lambda name: RunFailedError("no") if name == "agents-5-1" else None)
    with pytest.raises(RunFailedError, match="no"):
        carried_out(steps)
    assert len(steps.run) == steps.planned == 6


def test_steps_that_all_fail_are_given_up():
    """After some that fail one after the other the rest is not tried."""
    steps = Steps(lambda _: RunFailedError("Ray is gone"))
    with pytest.raises(RunFailedError):
        carried_out(steps)
    assert len(steps.run) == FAILURES_IN_A_ROW


def test_an_interrupt_ends_the_steps():
    """Nothing more is begun."""
    steps = Steps(lambda name: BenchInterrupted() if name == "agents-5-1" else None)
    with pytest.raises(BenchInterrupted):
        carried_out(steps)
    assert steps.run == ["agents-1-1", "agents-5-1"]


def test_what_does_not_fit_on_the_cluster_is_refused_before_the_first_step(tmp_path: Path):
    """The cluster's own memory and cores are looked at once it is known."""
    steps = Steps(lambda _: None, free_bytes=2 * 110 * 2**20)
    with pytest.raises(UsageError, match="--agents-per-task"):
        carried_out(steps, plan={"agents_per_task": 1}, counts=(1, 3))
    assert steps.run == []

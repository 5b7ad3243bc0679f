"""Which steps a comparison makes, in which order, and what it leaves out once one was cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.benchmarks import target_comparison
from harness.benchmarks.bench import Bench
from harness.benchmarks.step_cap import StepCap
from harness.benchmarks.target_comparison import FAILURES_IN_A_ROW, TargetComparison
from harness.benchmarks.target_settings import TargetSettings
from harness.benchmarks.target_steps import STEP_NAME, TargetStep, planned_steps, turns
from harness.errors import RunFailedError, UsageError
from harness.live.progress import Progress
from harness.live.view import View
from harness.placement import Node
from harness.plan import RunPlan
from harness.prepared import StopRequest

TARGETS = ("noop", "embedded", "memory_core")


def test_targets_take_turns_in_opposite_orders():
    """Over two repeats each has the same place on average, and the first is not always the same."""
    for place in range(3):
        forward, back = turns(TARGETS, 0, place), turns(TARGETS, 1, place)
        assert back == forward[::-1]
    firsts = {turns(TARGETS, repeat, 0)[0] for repeat in (0, 2, 4)}
    assert firsts == set(TARGETS)
    assert {turns(TARGETS, 0, place)[0] for place in range(3)} == set(TARGETS)


def test_every_target_has_every_step():
    """Counts go forth and back; volumes come last in each repeat."""
    steps = list(planned_steps(TARGETS, (1, 5), 2, volumes=True))
    assert Counter((step.kind, step.agents, step.repeat) for step in steps) == dict.fromkeys(
        [(kind, size, repeat) for repeat in (1, 2) for kind, size in
         (("agents", 1), ("agents", 5), ("volume", 0))], 3
    )  # fmt: skip
    assert [step.agents for step in steps if step.kind == "agents"] == [
        *(1, 1, 1, 5, 5, 5),
        *(5, 5, 5, 1, 1, 1),
    ]
    assert not any(step.kind == "volume" for step in planned_steps(TARGETS, (1,), 1, volumes=False))


def test_a_step_is_known_by_its_name():
    """Whatever the slug of its target is."""
    step = TargetStep("my.own:Target", "agents", 50, 2)
    found = STEP_NAME.fullmatch(step.name("my-own-Target-agents-1-1"))
    assert found is not None
    assert found.groups() == ("my-own-Target-agents-1-1", "agents", "50", "2")
    for volume, kind in ((0, "empty"), (1_000, "volume")):
        found = STEP_NAME.fullmatch(step.volume_name("noop", volume))
        assert found is not None
        assert found.groups() == ("noop", kind, str(volume), "2")


class Steps:
    """A benchmark whose steps end as they are told to."""

    def __init__(self, ends: Callable[[str], str] = lambda _: "complete") -> None:
        self._ends = ends
        self.run: list[str] = []
        self.planned = self.begun = 0
        self.described: dict[str, Any] = {}
        self.tolerated: set[str] = set()
        self.problems: list[str] = []
        self.stop = StopRequest()
        self.directory = SimpleNamespace(describe=self.described.update)
        node = Node(node_id="n", address="a", cpus=2, memory_bytes=2**40)
        self.session = SimpleNamespace(nodes=[node], cpus=2, node_id="n")

    def check_stop(self) -> None:
        pass

    def run_prepared(self, name: str, prepared: Any, cap: StepCap) -> Any:
        assert prepared.plan.target in name
        assert not cap.requested
        self.run.append(name)
        self.begun += 1
        status = self._ends(name)
        if status == "raises":
            raise RunFailedError(f"{name} did not start")
        return SimpleNamespace(outcome=SimpleNamespace(status=status))


def compared(steps: Steps, **given: Any) -> list[str]:
    settings = TargetSettings(
        **{"targets": ("noop", "embedded"), "counts": (1, 5), "repeats": 2, "volumes": (), **given}
    )
    comparison = TargetComparison(RunPlan(seed=9, dimension=32), settings)
    comparison.check()
    comparison.measure(cast(Bench, steps))
    return steps.run


def test_a_count_that_was_cut_is_not_repeated_nor_followed_by_larger_ones():
    """The other target has all of its steps."""
    steps = Steps(lambda name: "interrupted" if name.startswith("noop.agents-5") else "complete")
    run = compared(steps, counts=(1, 5, 9))
    assert [name for name in run if name.startswith("noop")] == [
        *("noop.agents-1-1", "noop.agents-5-1", "noop.agents-1-2"),
    ]
    assert len([name for name in run if name.startswith("embedded")]) == 6
    assert steps.planned == steps.begun == 9
    assert steps.described["cuts"] == [{"target": "noop", "agents": 5}]
    assert "interrupted" in steps.tolerated


@pytest.mark.parametrize("end", ["failed", "raises"])
def test_a_target_that_fails_again_and_again_is_given_up(end: str):
    """The others are measured to the end, and the comparison fails."""
    steps = Steps(lambda name: end if name.startswith("noop") else "complete")
    with pytest.raises(RunFailedError, match="noop"):
        compared(steps)
    assert len([name for name in steps.run if name.startswith("noop")]) == FAILURES_IN_A_ROW
    assert len([name for name in steps.run if name.startswith("embedded")]) == 4
    assert steps.planned == steps.begun


def test_the_volumes_of_a_repeat_share_a_store(monkeypatch: pytest.MonkeyPatch):
    """They are measured together; from the one that was cut on, no more."""
    asked: list[tuple[str, int, tuple[int, ...]]] = []

    def measured(*arguments: Any) -> int | None:
        _, _, _, step, slug, volumes = arguments
        # The empty store in the first repeat; the volume that is cut is the last.
        steps.begun += (step.repeat == 1) + len([one for one in volumes if one <= 500])
        asked.append((slug, step.repeat, volumes))
        return 500 if step.target == "noop" and 500 in volumes else None

    monkeypatch.setattr(target_comparison, "measure_volumes", measured)
    steps = Steps()
    compared(steps, volumes=(100, 500, 900), volume_agents=1, targets=("noop", "threads"))
    assert asked == [("noop", 1, (100, 500, 900)), ("noop", 2, (100,))]
    assert steps.planned == steps.begun


def test_steps_are_of_the_same_operations():
    """Only the target and the agents differ; with rounds there is no time."""
    settings = TargetSettings(targets=("noop",), rounds=4, step_duration_s=None)
    comparison = TargetComparison(RunPlan(seed=9, dimension=32), settings)
    plan = comparison.plan_of("noop", 5)
    assert (plan.rounds, plan.duration_s, plan.whole_rounds) == (4, None, False)
    assert (plan.seed, plan.dimension, plan.agents) == (9, 32, 5)


def test_what_is_wrong_is_refused_under_the_options_of_the_comparison():
    """The number of agents is one of its counts."""
    settings = TargetSettings(targets=("threads",), counts=(5_000,))
    with pytest.raises(UsageError, match=r"^--counts: "):
        TargetComparison(RunPlan(), settings).check()


def test_a_cap_ends_a_step_alone():
    """From when agents began; the benchmark's own wish is not touched, and ends the step too."""
    stop = StopRequest()
    short = StepCap(stop, 0.0)
    shown: list[Progress] = []
    view = short.seen_through(cast(View, SimpleNamespace(update=shown.append, note=lambda _: None)))
    view.update(Progress(elapsed_s=100.0, phase="starting"))
    assert not short.requested
    view.update(Progress(elapsed_s=200.0, phase="measuring"))
    assert short.requested
    assert [one.phase for one in shown] == ["starting", "measuring"]
    assert not stop.requested
    cap = StepCap(stop, 1e6)
    cap.begin()
    assert not cap.requested
    stop.set()
    assert cap.requested

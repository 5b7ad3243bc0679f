"""The comparison of targets: the same operations from the same seed on each, side by side.

Every step has a fresh store. With agents, a step repeats rounds of the standard workload for some
seconds and finishes the last, as ``harness bench agents`` does; at volumes, a store is loaded and
probed one operation at a time (`harness.benchmarks.target_volumes`). Targets take turns within
each count and each repeat (`harness.benchmarks.target_steps`).

A step may take `TargetSettings.time_cap_s`. One that is cut is kept, marked, and neither repeated
nor followed by larger ones of its target. A target of which steps fail one after the other is
given up; the others go on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from harness.benchmarks.bench import Bench
from harness.benchmarks.step_cap import StepCap
from harness.benchmarks.target_settings import TargetSettings, slugs_of
from harness.benchmarks.target_steps import TargetStep, planned_steps
from harness.benchmarks.target_volumes import measure_volumes
from harness.errors import HarnessError, NotInstalledError, RunFailedError, UsageError
from harness.plan import RunPlan
from harness.prepared import places_of
from harness.runner import PreparedRun, prepare
from harness.targets import load_target

__all__ = ["TargetComparison"]

# So many steps of a target that fail one after the other, and its others are not tried.
FAILURES_IN_A_ROW = 2


class TargetComparison:
    """What is compared, and how far it has come.

    Args:
        plan: of every step, but for its target, its agents and its length.
        settings: what the comparison was told.
        left_out: targets that are not installed, and a sentence that says what they need.
    """

    def __init__(
        self, plan: RunPlan, settings: TargetSettings, left_out: Mapping[str, str] | None = None
    ) -> None:
        self._plan = plan
        self._settings = settings
        self._slugs = slugs_of(settings.targets)
        # of each target: the least count and volume that were cut, and failures in a row
        self._cut_counts: dict[str, int] = {}
        self._cut_volumes: dict[str, int] = {}
        self._cuts: list[dict[str, object]] = []
        self._left_out = dict(left_out or {})
        self._failures: Counter[str] = Counter()
        self._failure: HarnessError | None = None

    def plan_of(self, target: str, agents: int) -> RunPlan:
        """The plan of a step with agents."""
        settings = self._settings
        return replace(
            self._plan,
            target=target,
            agents=agents,
            rounds=settings.rounds,
            duration_s=settings.step_duration_s,
            whole_rounds=settings.rounds is None,
        )

    def check(self) -> None:
        """Find every plan good before anything starts.

        Raises:
            UsageError: one is wrong.
        """
        for target in self._settings.targets:
            for agents in self._settings.counts:
                _prepared(self.plan_of(target, agents))

    def measure(self, bench: Bench) -> None:
        """Run all steps; one that fails leaves the others to be run.

        Raises:
            BenchInterrupted: the end was asked for.
            UsageError: a plan does not fit on this cluster, or its target; the last error.
            RunFailedError: a step failed; the last error.
        """
        settings = self._settings
        bench.tolerated.add("interrupted")
        for target in settings.targets:
            self._check_fits(bench, target)
        planned = list(
            planned_steps(
                settings.targets,
                settings.counts,
                settings.repeats,
                volumes=bool(settings.volumes),
            )
        )
        bench.planned = sum(map(self._run_directories, planned))
        for step in planned:
            bench.check_stop()
            begun = bench.begun
            if self._failures[step.target] < FAILURES_IN_A_ROW:
                self._measure_step(bench, step)
            # What was cut, or failed, has fewer.
            bench.planned -= self._run_directories(step) - (bench.begun - begun)
        if self._failure is not None:
            raise self._failure

    def _run_directories(self, step: TargetStep) -> int:
        """How many run directories a step has, if all goes well."""
        if step.kind == "agents":
            return 1
        return len(self._settings.volumes) + (step.repeat == 1)

    def _measure_step(self, bench: Bench, step: TargetStep) -> None:
        """Run a step, unless its target is left out; remember how it failed."""
        if step.target in self._left_out:
            return
        try:
            (self._agents if step.kind == "agents" else self._volumes)(bench, step)
            self._failures[step.target] = 0
        except NotInstalledError as error:
            self._leave_out(bench, step.target, error)
        except (RunFailedError, UsageError) as error:
            self._failures[step.target] += 1
            self._failure = error
            if not any(str(error) in problem for problem in bench.problems):
                bench.problems.append(f"{step.target}: {error}")

    def _leave_out(self, bench: Bench, target: str, error: NotInstalledError) -> None:
        self._left_out[target] = f"{error.problem}; it is left out"
        bench.directory.describe(left_out=self.left_out())

    def left_out(self) -> list[dict[str, str]]:
        """What ``run.json`` says of targets that are not installed."""
        return [
            {"target": target, "sentence": sentence} for target, sentence in self._left_out.items()
        ]

    def _agents(self, bench: Bench, step: TargetStep) -> None:
        if step.agents >= self._cut_counts.get(step.target, step.agents + 1):
            return
        name = step.name(self._slugs[step.target])
        cap = StepCap(bench.stop, self._settings.time_cap_s)
        done = bench.run_prepared(name, prepare(self.plan_of(step.target, step.agents)), cap)
        if done.outcome.status == "interrupted":
            self._cut_counts[step.target] = step.agents
            self._cuts.append({"target": step.target, "agents": step.agents})
            bench.directory.describe(cuts=self._cuts)
        if done.outcome.status == "failed":
            raise RunFailedError(f"{name} failed")

    def _volumes(self, bench: Bench, step: TargetStep) -> None:
        if load_target(step.target).agents_are_threads:  # nothing else can wait for its answers
            return
        least = self._cut_volumes.get(step.target)
        volumes = tuple(one for one in self._settings.volumes if least is None or one < least)
        if not volumes:
            return
        slug = self._slugs[step.target]
        cut = measure_volumes(bench, self._plan, self._settings, step, slug, volumes)
        if cut is not None:
            self._cut_volumes[step.target] = cut

    def _check_fits(self, bench: Bench, target: str) -> None:
        session, agents = bench.session, self._settings.counts[-1]
        one = _prepared(self.plan_of(target, agents))
        try:
            places_of(one.plan, agents, one.target, session.nodes, session.node_id)
        except UsageError as error:
            raise _of_counts(error) from None


def _prepared(plan: RunPlan) -> PreparedRun:
    try:
        return prepare(plan)
    except UsageError as error:
        raise _of_counts(error) from None


def _of_counts(error: UsageError) -> UsageError:
    """The error under the option that set the number of agents here, or the target."""
    names = {"--agents": "--counts", "--target": "--targets"}
    return UsageError(names.get(error.field, error.field), error.problem)

"""The benchmark of agents: how a store carries more and more of them.

Each count of agents is a step that repeats rounds of the workload for some seconds and finishes
the last; each step has a store of its own that is empty when it begins. Counts are interleaved,
and every second pass over them goes the other way, so that what drifts (caches, other programs,
the temperature of the machine) meets all counts alike: a steady drift cancels over two passes.
The threads of the baseline run right beside the agents of the same count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.analysis.agent_scaling import step_name
from harness.benchmarks.bench import Bench
from harness.errors import RunFailedError, UsageError
from harness.plan import RunPlan
from harness.plan_checks import MAX_AGENTS
from harness.prepared import places_of
from harness.runner import PreparedRun, prepare

__all__ = ["BASELINES", "AgentScaling", "parse_counts", "run_steps"]

BASELINES = ("threads",)
MAX_COUNTS = 100
MAX_REPEATS = 100
# So many steps that fail one after the other, and the rest is not tried.
FAILURES_IN_A_ROW = 3

_EXAMPLE = "give whole numbers like 1,10,50,100,500"
_THREADS_BESIDE = ("memory_core", "embedded")


def parse_counts(text: str) -> tuple[int, ...]:
    """Numbers of agents from ``1,10,50``: in order, whichever way they are given.

    Raises:
        UsageError: one is no number of agents or comes twice, or there are none or too many.
    """
    counts = set()
    for part in text.split(","):
        word = part.strip()
        if not (word.isascii() and word.isdigit()):
            raise UsageError("--counts", f"{word[:40]!r} is no number of agents; {_EXAMPLE}")
        if len(word) > 20 or not 0 < int(word) <= MAX_AGENTS:
            raise UsageError("--counts", f"{word[:40]} is not from 1 to {MAX_AGENTS:,} agents")
        if int(word) in counts:
            raise UsageError("--counts", f"names {int(word)} twice; --repeats measures all again")
        counts.add(int(word))
    if len(counts) > MAX_COUNTS:
        raise UsageError("--counts", f"has {len(counts):,} counts; give at most {MAX_COUNTS}")
    return tuple(sorted(counts))


@dataclass(frozen=True, kw_only=True)
class AgentScaling:
    """What the benchmark measures.

    Attributes:
        plan: of every step, but for its agents and its duration.
        counts: of agents, ascending.
        repeats: of each count.
        step_duration_s: for which a step begins rounds.
        baseline: of `BASELINES`, or None.

    Raises:
        UsageError: something is out of range, or the plan is none for this.
    """

    plan: RunPlan
    counts: Sequence[int]
    repeats: int = 3
    step_duration_s: float = 3.0
    baseline: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.repeats <= MAX_REPEATS:
            raise UsageError("--repeats", f"must be from 1 to {MAX_REPEATS}, not {self.repeats}")
        if not self.step_duration_s > 0:
            raise UsageError("--step-duration", f"must be above 0, not {self.step_duration_s}")
        wrong = {
            "--rate": self.plan.rate is not None,
            "--trace": self.plan.trace is not None,
            "--record off": not self.plan.record,
        }
        for option, given in wrong.items():
            if given:
                problem = f"has {option}, of which durations of rounds cannot be made; take it out"
                raise UsageError("--plan", problem)
        if self.baseline is not None and self.plan.target not in _THREADS_BESIDE:
            raise UsageError(
                "--baseline",
                f"is of our own store: leave it out, or choose --target {_THREADS_BESIDE[0]}",
            )

    def settings(self) -> dict[str, Any]:
        """What ``run.json`` says of it."""
        return {
            "plan": self._plan(self.counts[-1]).as_dict(),
            "agents": list(self.counts),
            "seed": self.plan.seed,
            "bench": {
                "counts": list(self.counts),
                "repeats": self.repeats,
                "step_duration_s": self.step_duration_s,
                "baseline": self.baseline,
                "steps": len(list(self.steps())),
            },
        }

    def steps(self) -> Iterator[tuple[str, RunPlan]]:
        """Names and plans of the steps, in their order."""
        for repeat in range(1, self.repeats + 1):
            forward = repeat % 2 == 1
            for agents in self.counts if forward else reversed(self.counts):
                beside = [("agents", self._plan(agents))]
                if self.baseline is not None:
                    beside.append((self.baseline, self._baseline_plan(agents)))
                for kind, plan in beside if forward else reversed(beside):
                    yield step_name(kind, agents, repeat), plan

    def prepared(self) -> list[tuple[str, PreparedRun]]:
        """All steps, found good. Starts nothing.

        Raises:
            UsageError: the plan is wrong, or so many agents do not fit.
        """
        try:
            return [(name, prepare(plan)) for name, plan in self.steps()]
        except UsageError as error:
            raise _of_counts(error) from None

    def _plan(self, agents: int) -> RunPlan:
        return replace(
            self.plan,
            agents=agents,
            rounds=None,
            duration_s=self.step_duration_s,
            whole_rounds=True,
        )

    def _baseline_plan(self, agents: int) -> RunPlan:
        return replace(self._plan(agents), target=str(self.baseline), agents_per_task=None)


def run_steps(bench: Bench, prepared: Sequence[tuple[str, PreparedRun]]) -> None:
    """Run all steps; one that fails leaves the others to be run.

    Raises:
        BenchInterrupted: the end was asked for.
        UsageError: so many agents do not fit on this cluster; no step was run.
        RunFailedError: a step failed; the last error.
    """
    bench.planned = len(prepared)
    for _, one in prepared:
        _check_fits(bench, one)
    failure: RunFailedError | None = None
    in_a_row = 0
    for name, one in prepared:
        try:
            bench.run_prepared(name, one)
            in_a_row = 0
        except RunFailedError as error:
            failure = error
            in_a_row += 1
            if in_a_row == FAILURES_IN_A_ROW:
                break
    if failure is not None:
        raise failure


def _check_fits(bench: Bench, prepared: PreparedRun) -> None:
    session = bench.session
    try:
        places_of(prepared.plan, prepared.agents, prepared.target, session.nodes, session.node_id)
    except UsageError as error:
        raise _of_counts(error) from None


def _of_counts(error: UsageError) -> UsageError:
    """The error under the option that set the number of agents here."""
    return UsageError("--counts", error.problem) if error.field == "--agents" else error

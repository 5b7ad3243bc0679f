"""A benchmark under way: its steps, one after the other, on one connection to Ray."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.benchmarks.bench_directory import BenchDirectory
from harness.benchmarks.step_cap import StepCap
from harness.errors import HarnessError, RunFailedError, UsageError
from harness.live.view import View
from harness.plan import RunPlan
from harness.ray_session import RaySession, ray_session
from harness.rundir import Status
from harness.runner import Outcome, PreparedRun, StopRequest, prepare, run

__all__ = ["Bench", "BenchInterrupted", "Step", "carry_out"]

_WORST: tuple[Status, ...] = ("failed", "invalid", "interrupted", "complete")


class BenchInterrupted(Exception):  # noqa: N818 - it is a wish, no error
    """Someone asked for the end of a benchmark between two steps, or in one."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step that has ended.

    Attributes:
        name: of its folder.
        path: its run directory.
        outcome: how it ended, with its summary.
    """

    name: str
    path: Path
    outcome: Outcome


@dataclass(kw_only=True)
class Bench:
    """A benchmark that goes on.

    Attributes:
        directory: where it writes.
        session: the connection to Ray that its steps share.
        view: shows how it goes.
        stop: asks for its end.
        planned: how many steps there are to be, those that have ended included; 0 when that is
            not known.
        begun: how many have begun.
        steps: those that have ended.
        problems: what went wrong, in sentences.
        tolerated: statuses of a step that say nothing of the benchmark's own: a search for the
            edge goes over it.
    """

    directory: BenchDirectory
    session: RaySession
    view: View
    stop: StopRequest
    planned: int = 0
    steps: list[Step] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    tolerated: set[Status] = field(default_factory=set)
    begun: int = 0

    def run_step(self, name: str, plan: RunPlan) -> Step:
        """Run one step as `harness run` would; a step that fails does not end the benchmark.

        Raises:
            BenchInterrupted: the end was asked for; an interrupted step is in ``steps``.
            UsageError: the plan does not fit this machine or its target.
            RunFailedError: nothing of it could be measured.
        """
        return self.run_prepared(name, prepare(plan))

    def run_prepared(self, name: str, prepared: PreparedRun, cap: StepCap | None = None) -> Step:
        """As `run_step`, of a plan that was found good; a cap may end this step alone."""
        self.check_stop()
        self.begin_step(name)
        try:
            directory = self.directory.step(name)
            view = self.view if cap is None else cap.seen_through(self.view)
            outcome = run(prepared, directory, view, cap or self.stop, self.session)
        except HarnessError as error:
            if isinstance(error, RunFailedError):
                self.problems.append(f"{name}: {error}")
            self.view.end("failed", {})
            raise
        step = Step(name=name, path=directory.path, outcome=outcome)
        self.steps.append(step)
        self.problems += [f"{name}: {problem}" for problem in outcome.problems]
        if outcome.status == "interrupted" and (cap is None or self.stop.requested):
            raise BenchInterrupted
        return step

    def begin_step(self, name: str) -> None:
        """Say that a step begins, to whoever watches; one that carries itself out calls it."""
        self.begun += 1
        self.view.step(name, self.begun, self.planned)

    def check_stop(self) -> None:
        """Raise BenchInterrupted when the end was asked for."""
        if self.stop.requested:
            raise BenchInterrupted

    @property
    def status(self) -> Status:
        """The worst status of the steps that have ended."""
        found = {step.outcome.status for step in self.steps} - self.tolerated
        return next((status for status in _WORST if status in found), "complete")


def carry_out(
    directory: BenchDirectory,
    address: str,
    view: View,
    stop: StopRequest,
    steps: Callable[[Bench], None],
    summarise: Callable[[Path], dict[str, Any]],
) -> Outcome:
    """Carry a benchmark out; one that is interrupted is summed up as far as it came.

    Args:
        directory: made for it.
        address: of the Ray cluster.
        view: shows how it goes.
        stop: asks for its end.
        steps: runs them; raises BenchInterrupted to end early.
        summarise: makes the summary of the directory, from its files alone.

    Raises:
        UsageError: a plan or the address is wrong; the directory is as it was.
        RunFailedError: a step could not be measured.
    """
    status: Status = "failed"
    problems: list[str] = []
    began_s = time.monotonic()
    try:
        with ray_session(address) as session:
            bench = Bench(directory=directory, session=session, view=view, stop=stop)
            problems = bench.problems
            try:
                steps(bench)
                status = bench.status
            except BenchInterrupted:
                status = "interrupted"
            except (RunFailedError, UsageError) as error:
                if not bench.steps:
                    raise
                if isinstance(error, UsageError):
                    problems.append(str(error))
    except BaseException:
        directory.update_status("interrupted" if stop.requested else "failed", problems=problems)
        raise
    # before the summary, which says how the benchmark ended
    took_s = time.monotonic() - began_s
    directory.update_status(status, problems=problems, duration_s=took_s)
    summary = summarise(directory.path)
    directory.write_summary(summary)
    return Outcome(status=status, summary=summary, problems=problems)

"""A run from its plan to its summary: place, release, watch, take down, sum up.

    prepare   trace, target and places are checked, nothing is started
    start     Ray, control, samplers, the target's shards; cohorts come to the barrier
    measure   the barrier opens; the driver only watches
    end       cohorts return, samplers and shards stop, databases go
    sum up    from the run directory alone

Whichever way it ends, everything that was started is ended, and the run directory says how far
it came.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

import harness
from harness.analysis.summary import Summary, summarise
from harness.capacity import agents_per_task, check_fits, cohort_ranges
from harness.cohort import CohortSpec
from harness.errors import RunFailedError, UsageError
from harness.hosts import (
    available_memory_bytes,
    harness_commit,
    host_facts,
    is_tmpfs,
)
from harness.launch import BackgroundRefresh, Cohorts, Controller, Samplers
from harness.plan import RunPlan, with_agents
from harness.progress_meter import ProgressMeter
from harness.ray_session import LOCAL, RaySession, check_address, ray_session
from harness.report.live import View
from harness.rundir import RunDirectory, Status
from harness.rundir_reader import open_run
from harness.targets import load_target
from harness.targets.base import Placement, Prepared, Target, WatchedProcess
from harness.trace import Trace, load_trace
from harness.workload import agent_id

__all__ = ["Outcome", "PreparedRun", "StopRequest", "prepare", "run"]

POLL_INTERVAL_S = 0.25
_BARRIER_S = 60.0
_BARRIER_S_A_COHORT = 3.0
_STOP_GRACE_S = 40.0


class StopRequest:
    """A wish to end the run early; set by a signal handler, looked at between steps."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Ask for the end."""
        self._event.set()

    @property
    def requested(self) -> bool:
        """Whether the end was asked for."""
        return self._event.is_set()


@dataclass(frozen=True, kw_only=True)
class PreparedRun:
    """A plan that was found good, with what was loaded to find out."""

    plan: RunPlan
    agents: int
    target: Target
    trace: Trace | None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended."""

    status: Status
    summary: Summary
    problems: list[str] = field(default_factory=list)


def prepare(plan: RunPlan) -> PreparedRun:
    """Check everything about a plan that needs a look beyond it. Starts nothing.

    Raises:
        UsageError: the trace, the target, the data folder or the address is wrong.
    """
    target = load_target(plan.target)
    trace = None
    if plan.trace is not None:
        trace = load_trace(Path(plan.trace))
        if plan.agents is None:
            plan = with_agents(plan, trace.agents)
    if plan.agents is None:
        raise UsageError("--agents", "is missing")
    if trace is not None:
        trace.check_agents(plan.agents)
    if plan.agents_per_task is not None and plan.address == LOCAL:
        _check_capacity(plan.agents, plan.agents_per_task, host_facts()["cpu_count"])
    if plan.data_dir is not None:
        _check_data_dir(Path(plan.data_dir))
    check_address(plan.address)
    return PreparedRun(plan=plan, agents=plan.agents, target=target, trace=trace)


def run(prepared: PreparedRun, directory: RunDirectory, view: View, stop: StopRequest) -> Outcome:
    """Carry a run out into its directory.

    Raises:
        UsageError: no cluster is at the plan's address, or the tasks do not fit on it.
        RunFailedError: something did not start.
    """
    plan = prepared.plan
    _describe(prepared, directory)
    data_dir = Path(plan.data_dir) if plan.data_dir else directory.path / "data"
    if plan.durability == "fsync" and is_tmpfs(data_dir):
        view.note(f"warning: {data_dir} is on a memory file system, so fsync makes nothing durable")
    running = _Run(prepared, directory, view, stop)
    status: Status = "failed"
    try:
        with ray_session(plan.address) as session, _databases(data_dir, directory, plan):
            status = running.carry_out(session, data_dir / directory.path.name)
    except BaseException:
        directory.update_status("interrupted" if stop.requested else "failed")
        raise
    summary = _sum_up(directory, running, status)
    if status == "complete" and any(one["verdict"] == "invalid" for one in summary["verdicts"]):
        status = "invalid"
    directory.write_summary(summary)
    directory.update_status(status, problems=running.problems)
    return Outcome(status=status, summary=summary, problems=running.problems)


class _Run:
    def __init__(
        self, prepared: PreparedRun, directory: RunDirectory, view: View, stop: StopRequest
    ) -> None:
        self._plan = prepared.plan
        self._prepared = prepared
        self._directory = directory
        self._view = view
        self._stop = stop
        self.problems: list[str] = []
        self.meter = ProgressMeter(prepared.plan, prepared.agents, states=_states(prepared))
        self.measured_s = 0.0

    def carry_out(self, session: RaySession, data_dir: Path) -> Status:
        """Start, measure and end; how that went."""
        plan, directory = self._plan, self._directory
        per_task = plan.agents_per_task or agents_per_task(
            self._prepared.agents, session.cpus, in_process=self._prepared.target.in_process
        )
        ranges = cohort_ranges(self._prepared.agents, per_task)
        if not session.owned:
            _check_capacity(self._prepared.agents, per_task, session.cpus, session)
        self._phase("starting")
        controller = Controller(session, directory.path)
        samplers = None
        if plan.record:
            samplers = Samplers(session, controller, directory.path, plan.sample_interval_s)
        cohorts = None
        refresh = BackgroundRefresh()
        try:
            placement = Placement(
                run_id=directory.path.name,
                data_dir=data_dir,
                shards=plan.shards or session.cpus,
            )
            ready = self._prepared.target.prepare(plan, placement)
            self._write_agents(ranges)
            cohorts = Cohorts(self._specs(ranges, ready, session), controller.actor)
            directory.write_run({"topology": _topology(session, ready, ranges)})
            self._gather(controller, cohorts, len(ranges))
            if samplers is not None:
                samplers.watch(self._processes(session, controller, ready))
            status = self._measure(controller, cohorts, samplers, refresh)
            self._phase("ending")
            if samplers is not None:
                reports = [msgspec.to_builtins(report) for report in samplers.stop()]
                directory.write_run({"samplers": reports})
            directory.write_run(
                {"cohorts": [msgspec.to_builtins(result) for result in cohorts.results]}
            )
            return status
        finally:
            refresh.close()
            if cohorts is not None:
                cohorts.cancel()
            self._prepared.target.destroy()

    def _specs(
        self, ranges: list[tuple[int, int]], ready: Prepared, session: RaySession
    ) -> list[CohortSpec]:
        trace = self._prepared.trace
        plan = self._plan.as_dict()
        return [
            CohortSpec(
                plan=plan,
                agents=self._prepared.agents,
                cohort=cohort,
                first=first,
                last=last,
                connection=ready.connection,
                replay=None if trace is None else trace.slice_for(range(first, last)),
                run_directory=str(self._directory.path.resolve()),
                driver_node_id=session.node_id,
            )
            for cohort, (first, last) in enumerate(ranges)
        ]

    def _gather(self, controller: Controller, cohorts: Cohorts, expected: int) -> None:
        """Wait until every cohort is at the barrier."""
        deadline = time.monotonic() + _BARRIER_S + _BARRIER_S_A_COHORT * expected
        while not self._stop.requested:
            snapshot = controller.snapshot()
            if len(snapshot.ready) >= expected:
                return
            cohorts.wait(0.02)
            if cohorts.errors or cohorts.running < expected:
                raise RunFailedError(
                    cohorts.errors[0] if cohorts.errors else "a cohort ended before the start"
                )
            if time.monotonic() > deadline:
                raise RunFailedError(
                    f"only {len(snapshot.ready)} of {expected} cohorts came to the start"
                )
            self._view.update(self.meter.at("starting"))

    def _processes(
        self, session: RaySession, controller: Controller, ready: Prepared
    ) -> list[WatchedProcess]:
        import os

        def watched(pid: int, node_id: str, role: str, number: int) -> WatchedProcess:
            return WatchedProcess(pid=pid, node_id=node_id, role=role, number=number)

        return [
            *ready.processes,
            *(
                watched(one.pid, one.node_id, "cohort", one.cohort)
                for one in controller.snapshot().ready
            ),
            watched(controller.pid(), session.node_id, "control", 0),
            watched(os.getpid(), session.node_id, "driver", 0),
        ]

    def _measure(
        self,
        controller: Controller,
        cohorts: Cohorts,
        samplers: Samplers | None,
        refresh: BackgroundRefresh,
    ) -> Status:
        """Open the barrier and watch until all cohorts have ended."""
        self._phase("warm-up" if self._plan.warmup_s else "measuring")
        self.meter.begin()
        stopped_at: float | None = None
        if not self._stop.requested:
            controller.release()
        warm = not self._plan.warmup_s
        retries = 0
        while cohorts.running:
            cohorts.wait(POLL_INTERVAL_S)
            snapshot = controller.snapshot()
            if not warm and self.meter.elapsed_s >= self._plan.warmup_s:
                warm = True
                self._phase("measuring")
            if snapshot.retries > retries and samplers is not None:
                restarted = refresh.ask(self._prepared.target.processes)
                if restarted is not None:
                    retries = snapshot.retries
                    samplers.watch(restarted)
                    self._directory.append_event("retries", total=retries)
            self.meter.take(snapshot, [] if samplers is None else samplers.latest())
            self._view.update(self.meter.at("measuring" if warm else "warm-up"))
            if self._stop.requested and stopped_at is None:
                stopped_at = time.monotonic()
                self._phase("stopping")
                controller.stop()
            if stopped_at is not None and time.monotonic() - stopped_at > _STOP_GRACE_S:
                self.problems.append("cohorts did not stop in time and were ended")
                break
        self.measured_s = max((one.lived_s for one in cohorts.results), default=0.0)
        self.problems += cohorts.errors
        if self._stop.requested:
            return "interrupted"
        return "failed" if cohorts.errors else "complete"

    def _write_agents(self, ranges: list[tuple[int, int]]) -> None:
        agents = range(self._prepared.agents)
        trace = self._prepared.trace
        name = agent_id if trace is None else trace.agent_id
        cohort_of = [
            cohort for cohort, (first, last) in enumerate(ranges) for _ in range(first, last)
        ]
        self._directory.write_agents(
            {
                "agent": list(agents),
                "agent_id": [name(agent) for agent in agents],
                "cohort": cohort_of,
            }
        )

    def _phase(self, name: str) -> None:
        self._directory.append_event("phase", phase=name)
        self._view.update(self.meter.at(name))


@contextlib.contextmanager
def _databases(data_dir: Path, directory: RunDirectory, plan: RunPlan) -> Iterator[None]:
    """See to it that the run's databases go when it ends, unless they are to stay."""
    own = data_dir / directory.path.name
    try:
        yield
    finally:
        if not plan.keep_data:
            shutil.rmtree(own, ignore_errors=True)
            if plan.data_dir is None:
                with contextlib.suppress(OSError):
                    data_dir.rmdir()


def _describe(prepared: PreparedRun, directory: RunDirectory) -> None:
    trace = prepared.trace
    directory.write_run(
        {
            "plan": prepared.plan.as_dict(),
            "agents": prepared.agents,
            "seed": prepared.plan.seed,
            "arguments": sys.argv[1:],
            "versions": {"harness": harness.__version__, **host_facts()["packages"]},
            "commit": harness_commit(),
            "hosts": [host_facts()],
            "trace": None
            if trace is None
            else {
                "fingerprint": trace.fingerprint,
                "agents": trace.agents,
                "states": trace.states,
            },
        }
    )


def _topology(
    session: RaySession, ready: Prepared, ranges: list[tuple[int, int]]
) -> dict[str, object]:
    return {
        "driver_node_id": session.node_id,
        "nodes": [msgspec.to_builtins(node) for node in session.nodes],
        "target": ready.topology,
        "cohorts": [
            {"cohort": cohort, "first_agent": first, "agents": last - first}
            for cohort, (first, last) in enumerate(ranges)
        ],
    }


def _sum_up(directory: RunDirectory, running: _Run, status: Status) -> dict[str, Any]:
    directory.update_status(status)
    summary = summarise(open_run(directory.path))
    if not running._plan.record:
        # without rows, what the cohorts counted is all there is
        summary |= {
            "operations": running.meter.operations,
            "failed": running.meter.failures,
            "duration_s": running.measured_s,
            "throughput_ops_s": running.meter.operations / max(running.measured_s, 1e-9),
        }
    return summary


def _states(prepared: PreparedRun) -> int | None:
    return None if prepared.trace is None else prepared.trace.states


def _check_capacity(
    agents: int, per_task: int, cpus: int, session: RaySession | None = None
) -> None:
    if session is None:
        available = float(available_memory_bytes())
    else:
        available = sum(node.memory_bytes for node in session.nodes)
    check_fits(len(cohort_ranges(agents, per_task)), cpus, available)


def _check_data_dir(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".harness-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError("--data-dir", f"{path} cannot be written ({error.strerror})") from None

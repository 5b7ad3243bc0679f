"""The steps of a run between the start of Ray and its end.

start     control, samplers, the target's shards; cohorts come to the barrier
measure   the barrier opens; the driver only watches
end       cohorts return, samplers and shards stop
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from functools import partial
from typing import Protocol

import msgspec

from harness.audit_run import RunAudit
from harness.cohort import CohortSpec
from harness.databases import Databases
from harness.errors import RunFailedError
from harness.fault_injection import FaultInjection
from harness.faults import check_places, parse_faults
from harness.head_watch import HeadLostError, HeadWatch, within
from harness.launch import BackgroundRefresh, Cohorts, Controller
from harness.live.view import View
from harness.losses import CohortWatch
from harness.measurement import Measurement, Started
from harness.node_watch import NodeWatch
from harness.placement import Places
from harness.prepared import PreparedRun, StopRequest, places_of
from harness.progress_meter import ProgressMeter
from harness.ray_session import RaySession
from harness.run_backups import RunBackups
from harness.rundir import RunDirectory, Status
from harness.rundir_reader import open_run
from harness.samplers import Samplers
from harness.targets.driven import Placement, Prepared, WatchedProcess
from harness.topology import cohort_documents, hosts_of
from harness.workload import agent_id

__all__ = ["Steps"]

_BARRIER_S = 60.0
_BARRIER_S_A_COHORT = 3.0
_BARRIER_S_A_PRELOADED_STATE = 0.01
# For ending what is there when Ray's head is gone.
_TEAR_DOWN_S = 5.0


class Closing(Protocol):
    """Something that the run started and is to end."""

    def close(self) -> None:
        """End it."""


class Steps:
    """Carries out one prepared run on a connected Ray.

    Attributes:
        meter: what is known of the progress.
        measurement: the part that is measured; its problems are those of the whole run.
    """

    def __init__(
        self, prepared: PreparedRun, directory: RunDirectory, view: View, stop: StopRequest
    ) -> None:
        self.plan = prepared.plan
        self._prepared = prepared
        self._directory = directory
        self._view = view
        self._stop = stop
        self.meter = ProgressMeter(prepared.plan, prepared.agents)
        self.measurement = Measurement(prepared, directory, view, stop, self.meter)

    @property
    def problems(self) -> list[str]:
        """What went wrong, in sentences."""
        return self.measurement.problems

    @property
    def has_begun(self) -> bool:
        """Whether the barrier was opened, or a stop came before."""
        return self.measurement.has_begun

    @property
    def measured_s(self) -> float:
        """How long the slowest cohort's agents lived after the warm-up."""
        return self.measurement.measured_s

    def carry_out(self, session: RaySession, databases: Databases) -> Status:
        """Start, measure and end; how that went."""
        plan, directory = self.plan, self._directory
        session = session.refreshed()
        target, agents = self._prepared.target, self._prepared.agents
        places = places_of(plan, agents, target, session.nodes, session.node_id)
        ranges = places.ranges
        injection = self._injection(places, session)
        self.measurement.tell_phase("starting")
        controller = Controller(session, directory.path)
        samplers = None
        if plan.record:
            samplers = Samplers(session, controller, directory.path, plan.sample_interval_s)
        nodes = NodeWatch(session, samplers, directory)
        head = HeadWatch(session.head_address)
        backups = RunBackups(plan, target, directory)
        refresh = BackgroundRefresh()
        cohorts = None
        try:
            databases.hosts.update(hosts_of(session.nodes, _with_files(places, session.node_id)))
            cohorts = Cohorts(self._specs(ranges, session), places.cohorts, controller.actor)
            self._write_agents(ranges)
            ready = self._start_store(databases, places, controller, nodes)
            started = Started(
                controller=controller,
                cohorts=cohorts,
                samplers=samplers,
                nodes=nodes,
                head=head,
                injection=injection,
                backups=backups,
                refresh=refresh,
            )
            self._gather(started, len(ranges))
            if samplers is not None:
                processes = self._processes(session, controller, ready)
                samplers.watch(processes)
                injection.know(processes, samplers.processes)
            watch = self._watch(session, controller, ranges)
            status = self.measurement.carry_out(started, watch)
            self._end(cohorts, samplers, nodes)
            self._audit(session, controller, cohorts, ready, places)
            return status
        except HeadLostError as error:
            self._tell_head_lost(error, session, controller, cohorts)
            raise
        finally:
            closing = (head, injection, backups, refresh, nodes)
            ending = partial(self._tear_down, closing, cohorts)
            within(_TEAR_DOWN_S, ending) if session.head_lost.is_set() else ending()

    def _start_store(
        self, databases: Databases, places: Places, controller: Controller, nodes: NodeWatch
    ) -> Prepared:
        """Start the store, and tell the cohorts how to reach it."""
        ready = self._prepared.target.prepare(self.plan, _placement(databases, places))
        controller.connect(ready.connection)
        nodes.describe(target=ready.topology, cohorts=cohort_documents(places))
        return ready

    def _tell_head_lost(
        self,
        error: HeadLostError,
        session: RaySession,
        controller: Controller,
        cohorts: Cohorts | None,
    ) -> None:
        """Write how the run ended, and give agents that can be reached a moment to end theirs.

        Before anything else: without its head, Ray ends this process sooner or later.
        """
        session.head_lost.set()
        self._directory.update_status("failed", problems=[*self.problems, str(error)])
        within(_TEAR_DOWN_S, controller.stop)
        if cohorts is not None and cohorts.running:
            cohorts.wait(_TEAR_DOWN_S)

    def _tear_down(self, closing: Sequence[Closing], cohorts: Cohorts | None) -> None:
        for one in closing:
            one.close()
        if cohorts is not None:
            cohorts.cancel()
        self._prepared.target.destroy()

    def _injection(self, places: Places, session: RaySession) -> FaultInjection:
        """What injects the plan's faults. Raises UsageError for one that hits nothing there is."""
        faults, refresh = parse_faults(self.plan.faults), self._prepared.target.processes
        check_places(faults, places.shards, places.cohorts, session.node_id)
        return FaultInjection(faults, session.node_id, self._directory, refresh)

    def _audit(
        self,
        session: RaySession,
        controller: Controller,
        cohorts: Cohorts,
        ready: Prepared,
        places: Places,
    ) -> None:
        """Read back what was acknowledged, if asked to; ``run.json`` says what was found."""
        if not self.plan.audit or self._stop.requested:
            return
        self.measurement.tell_phase("auditing")
        well = {one.cohort for one in cohorts.results if one.error is None}
        prepared = self._prepared
        audit = RunAudit(
            self.plan,
            prepared.agents,
            prepared.target,
            prepared.trace,
            ranges=places.ranges,
            nodes=places.cohorts,
            cores=session.cpus,
        )
        found = audit.carry_out(
            open_run(self._directory.path),
            ready.connection,
            len(places.shards),
            lost=set(range(len(places.ranges))) - well,
            lived_s=self.measured_s + self.plan.warmup_s,
            answers=controller.snapshot().answers,
            stopped=lambda: self._stop.requested,
        )
        self._directory.write_run({"audit": found})

    def _end(self, cohorts: Cohorts, samplers: Samplers | None, nodes: NodeWatch) -> None:
        self.measurement.tell_phase("ending")
        nodes.finish()
        self.problems.extend(nodes.problems)
        if samplers is not None:
            self._end_sampling(samplers, nodes)
        self._directory.write_run(
            {"cohorts": [msgspec.to_builtins(result) for result in cohorts.results]}
        )

    def _end_sampling(self, samplers: Samplers, nodes: NodeWatch) -> None:
        reports = [msgspec.to_builtins(report) for report in samplers.stop()]
        self._directory.write_run({"samplers": reports})
        self.problems.extend(
            f"the sampler of node {nodes.name(node_id)} died or hangs: its samples end early"
            for node_id in samplers.lost
        )

    def _specs(self, ranges: list[tuple[int, int]], session: RaySession) -> list[CohortSpec]:
        trace = self._prepared.trace
        plan = self.plan.as_dict()
        return [
            CohortSpec(
                plan=plan,
                agents=self._prepared.agents,
                cohort=cohort,
                first=first,
                last=last,
                replay=None if trace is None else trace.slice_for(range(first, last)),
                run_directory=str(self._directory.path.resolve()),
                driver_node_id=session.node_id,
            )
            for cohort, (first, last) in enumerate(ranges)
        ]

    def _gather(self, started: Started, expected: int) -> None:
        """Wait until every cohort is at the barrier."""
        cohorts = started.cohorts
        allowed_s = _BARRIER_S + _BARRIER_S_A_COHORT * expected
        allowed_s += _BARRIER_S_A_PRELOADED_STATE * self.plan.preload
        deadline = time.monotonic() + allowed_s
        while not self._stop.requested:
            snapshot = started.controller.snapshot()
            if len(snapshot.ready) >= expected:
                return
            started.head.check()
            started.nodes.look()
            cohorts.wait(0.02)
            if cohorts.errors or len(cohorts.running) < expected:
                died = [f"cohort {cohort} died: {cause}" for cohort, cause in cohorts.died.items()]
                raise RunFailedError([*died, *cohorts.errors, "a cohort ended before the start"][0])
            if time.monotonic() > deadline:
                raise RunFailedError(
                    f"only {len(snapshot.ready)} of {expected} cohorts came to the start"
                )
            self._view.update(self.meter.at("starting"))

    def _processes(
        self, session: RaySession, controller: Controller, ready: Prepared
    ) -> list[WatchedProcess]:
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

    def _watch(
        self, session: RaySession, controller: Controller, ranges: list[tuple[int, int]]
    ) -> CohortWatch:
        return CohortWatch(
            self.plan,
            ranges,
            controller.snapshot().ready,
            {node.node_id: node.host or node.address for node in session.nodes},
            session.node_id,
            controller.lose,
            self._directory.append_event,
        )

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


def _placement(databases: Databases, places: Places) -> Placement:
    return Placement(
        run_id=databases.memory,
        data_dir=databases.path,
        shards=len(places.shards),
        node_ids=places.shards,
    )


def _with_files(places: Places, driver_node_id: str) -> list[str]:
    """The nodes that may have files of the store; a server that a target starts has them here."""
    return places.shards or [*places.cohorts, driver_node_id]

"""A cohort: a Ray task full of agents, in a process of its own.

`run_cohort` opens the session, makes its agents, waits at the barrier with the other cohorts,
lets all agents live on one event loop, and writes their rows. Beside the agents three small
coroutines run: one reports, one hands rows on, one watches the loop's own timer lag.

A cohort whose reports are not answered, or whose rows are not taken, within a bound ends by itself:
nobody would see what its agents do.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import ray
import uvloop

from harness.agent import Counters, RunClock, live
from harness.agent_threads import AgentThreads, SharedRecorder, sleep_on_thread
from harness.answer_checks import AnswerCounts, CheckedSession, own_prefixes
from harness.control import CohortReady, CohortReport
from harness.errors import RunFailedError
from harness.plan import RunPlan
from harness.recorder import CountingRecorder, Recorder, RowRecorder
from harness.remote_put import PUT_TIMEOUT_S, RemotePut
from harness.sinks import LoadgenWriter, LocalSink, OpsWriter, RemoteSink, Sink
from harness.targets import load_target
from harness.targets.driven import Session
from harness.trace import ReplaySlice
from harness.workload import (
    MixedAgent,
    ReplayAgent,
    StandardAgent,
    WorkloadAgent,
    preload_share,
)
from memory_core.results import Failure

__all__ = ["CohortResult", "CohortSpec", "cohort_task", "workload_agent"]

REPORT_INTERVAL_S = 0.25
WRITE_CHECK_INTERVAL_S = 0.25
FLUSH_INTERVAL_S = 1.0
LAG_INTERVAL_S = 0.01
# How long it goes on without an answer from the driver's node.
REPORT_TIMEOUT_S = 30.0
ALIVE_INTERVAL_S = 1.0
PRELOAD_TOGETHER = 1_000
_GC_THRESHOLDS = (100_000, 50, 100)


class CohortSpec(msgspec.Struct, frozen=True):
    """What a cohort needs to know; of the run's ``agents`` it has ``first`` to ``last - 1``."""

    plan: dict[str, Any]
    agents: int
    cohort: int
    first: int
    last: int
    replay: bytes | None
    run_directory: str
    driver_node_id: str


class CohortResult(msgspec.Struct, frozen=True):
    """How a cohort ended.

    ``complaints`` are what the store said of failures that count as ``error``, and how often.
    """

    cohort: int
    operations: int
    retries: int
    stalls: int
    cpu_s: float
    lived_s: float
    failed_agents: int
    error: str | None
    complaints: dict[str, int] = {}


def workload_agent(plan: RunPlan, number: int, replay: ReplaySlice | None) -> WorkloadAgent:
    """Agent ``number`` of the plan's workload."""
    if replay is not None:
        return ReplayAgent(replay, number)
    if plan.mix is not None:
        return MixedAgent(plan.seed, number, plan.mix)
    return StandardAgent(plan.seed, number)


def cohort_task() -> Any:
    """`run_cohort` as a Ray task that is never repeated."""
    return ray.remote(num_cpus=0, max_retries=0, max_calls=1)(run_cohort)


def run_cohort(data: bytes, control: Any) -> bytes:
    """Run one cohort to its end; a packed `CohortResult`.

    Args:
        data: a packed `CohortSpec`.
        control: the control actor's handle.
    """
    spec = msgspec.msgpack.decode(data, type=CohortSpec)
    return msgspec.msgpack.encode(uvloop.run(_Cohort(spec, control).run()))


class _Cohort:
    def __init__(self, spec: CohortSpec, control: Any) -> None:
        self._spec = spec
        self._control = control
        self._plan = RunPlan(**spec.plan)
        self._node_id: str = ray.get_runtime_context().get_node_id()
        self._counters: list[Counters] = []
        self._operations = 0
        self._clock = RunClock(0, 0, 0)
        self._wall_ns = self._origin_ns = 0
        self._error: str | None = None
        self._threads: AgentThreads | None = None
        self._answers = AnswerCounts()

    async def run(self) -> CohortResult:
        spec, plan = self._spec, self._plan
        replay = None if spec.replay is None else ReplaySlice.from_bytes(spec.replay)
        numbers = range(spec.first, spec.last)
        workloads = [workload_agent(plan, number, replay) for number in numbers]
        target = load_target(plan.target)
        connection: bytes = await self._control.connection.remote()
        session = await target.connect(plan, connection, spec.cohort)
        if plan.audit:
            session = self._checked(session, workloads)
        await self._preload(workloads, session)
        if target.agents_are_threads:
            self._threads = AgentThreads(len(workloads))
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)
        me = CohortReady(spec.cohort, os.getpid(), self._node_id)
        go: bool = await self._control.ready.remote(msgspec.msgpack.encode(me))
        cpu_before_s = time.process_time()
        self._wall_ns, self._origin_ns = time.time_ns(), time.perf_counter_ns()
        recorder = self._recorder()
        self._clock = RunClock.of(plan, self._origin_ns)
        if self._threads is not None:
            recorder = SharedRecorder(recorder)
            self._clock.sleep = sleep_on_thread
        failed = 0
        if go:
            failed = await self._live(workloads, session, recorder)
        lived_s = (time.perf_counter_ns() - self._origin_ns) / 1e9
        await self._close(session, recorder)
        return CohortResult(
            cohort=spec.cohort,
            operations=self._operations,
            retries=session.retries,
            stalls=recorder.stalls,
            cpu_s=time.process_time() - cpu_before_s,
            lived_s=lived_s,
            failed_agents=failed,
            error=self._error,
            complaints=dict(getattr(session, "complaints", {})),
        )

    async def _close(self, session: Session, recorder: Recorder) -> None:
        """Let go of everything; the driver is told meanwhile that this cohort is there."""
        if self._threads is not None:
            self._threads.close()
        alive = asyncio.create_task(self._keep_alive())
        try:
            await session.close()
        except RunFailedError as error:
            self._note(error)
        finally:
            try:
                await asyncio.to_thread(recorder.close)
            except OSError as error:
                self._note(error)
            alive.cancel()
            await asyncio.gather(alive, return_exceptions=True)

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(ALIVE_INTERVAL_S)
            await self._control.alive.remote(self._spec.cohort)

    def _checked(self, session: Session, workloads: list[WorkloadAgent]) -> Session:
        """The session with its answers checked as they come."""
        generated = self._spec.replay is None
        agents = [
            (workload.agent_id, own_prefixes(number) if generated else ())
            for number, workload in enumerate(workloads, self._spec.first)
        ]
        checked = CheckedSession(session, agents)
        self._answers = checked.counts
        return checked

    async def _preload(self, workloads: list[WorkloadAgent], session: Session) -> None:
        """Store what is to be there before the start, much of it at once."""
        agents, states = self._spec.agents, self._plan.preload
        stores = (
            store
            for number, workload in enumerate(workloads, self._spec.first)
            for store in workload.preload(preload_share(states, agents, number))
        )
        together = getattr(session, "window", PRELOAD_TOGETHER)
        while some := list(islice(stores, together)):
            for answer in await asyncio.gather(*map(session.submit, some)):
                if isinstance(answer.result, Failure):
                    reason = answer.result.exception()
                    raise RunFailedError(f"--preload: a state could not be stored: {reason}")

    async def _live(
        self, workloads: list[WorkloadAgent], session: Session, recorder: Recorder
    ) -> int:
        """Let the agents live; how many ended with an exception."""
        agents = self._agents(workloads, session, recorder)
        company = [
            asyncio.create_task(self._keep_reporting(session, recorder)),
            asyncio.create_task(self._keep_writing(recorder)),
            asyncio.create_task(self._watch_lag(recorder)),
        ]
        ended = await asyncio.gather(*agents, return_exceptions=True)
        for task in company:
            task.cancel()
        last = asyncio.gather(self._report(session, recorder), return_exceptions=True)
        for outcome in [*await asyncio.gather(*company, return_exceptions=True), *await last]:
            self._note(outcome)
        for outcome in ended:
            self._note(outcome)
        return sum(isinstance(outcome, BaseException) for outcome in ended)

    def _agents(
        self, workloads: list[WorkloadAgent], session: Session, recorder: Recorder
    ) -> list[asyncio.Future[None]]:
        """Start the agents: what awaits the end of each."""
        spec = self._spec
        # threads count for themselves: what several add to would lose some
        self._counters = [Counters() for _ in (workloads if self._threads else range(1))]
        lives = [
            partial(
                live,
                self._plan,
                spec.agents,
                spec.first + position,
                workload,
                session,
                recorder,
                self._clock,
                self._counters[position if self._threads else 0],
            )
            for position, workload in enumerate(workloads)
        ]
        if self._threads is not None:
            return self._threads.live(lives)
        return [asyncio.create_task(life()) for life in lives]

    def _note(self, outcome: object) -> None:
        if not isinstance(outcome, Exception) or self._error is not None:
            return
        self._error = f"{type(outcome).__name__}: {outcome}"
        if isinstance(outcome, OSError):
            why = outcome.strerror or str(outcome)
            self._error = f"its rows could not be written ({why}), so its agents stopped"

    def _recorder(self) -> Recorder:
        spec = self._spec
        if not self._plan.record:
            return CountingRecorder()
        sink: Sink = LocalSink(Path(spec.run_directory))
        if self._node_id != spec.driver_node_id:
            sink = RemoteSink(RemotePut(self._control, spec.cohort, PUT_TIMEOUT_S))
        place = (sink, spec.cohort, self._node_id, self._wall_ns, self._origin_ns)
        return RowRecorder(OpsWriter(*place), LoadgenWriter(*place), self._origin_ns)

    async def _keep_reporting(self, session: Session, recorder: Recorder) -> None:
        """Report; when that fails, or is answered with a stop, the agents stop."""
        try:
            while True:
                if not await self._report(session, recorder):
                    return
                await asyncio.sleep(REPORT_INTERVAL_S)
        finally:
            self._clock.end_ns = 0

    async def _keep_writing(self, recorder: Recorder) -> None:
        """Hand rows on; when that fails the agents stop: nobody would see what they do."""
        flush_due_s = time.monotonic() + FLUSH_INTERVAL_S
        try:
            while True:
                await asyncio.sleep(WRITE_CHECK_INTERVAL_S)
                if time.monotonic() >= flush_due_s or recorder.is_full:
                    recorder.flush()
                    flush_due_s = time.monotonic() + FLUSH_INTERVAL_S
        finally:
            self._clock.end_ns = 0

    async def _report(self, session: Session, recorder: Recorder) -> bool:
        """Say how far this cohort is; False when it is to stop."""
        done = recorder.progress()
        self._operations += done.operations
        report = CohortReport(
            cohort=self._spec.cohort,
            agents_started=sum(one.started for one in self._counters),
            agents_done=sum(one.done for one in self._counters),
            operations=done.operations,
            failures=done.failures,
            retries=session.retries,
            tally=done.tally,
            at_ns=time.perf_counter_ns() - self._origin_ns,
            start_wall_ns=self._wall_ns,
            start_monotonic_ns=self._origin_ns,
            answers=self._answers,
        )
        answer = self._control.report.remote(msgspec.msgpack.encode(report))
        try:
            # asyncio.wait_for would swallow a cancellation that comes with the answer
            async with asyncio.timeout(REPORT_TIMEOUT_S):
                go_on: bool = await answer
        except TimeoutError:
            raise RunFailedError(
                f"the driver's node did not answer for {REPORT_TIMEOUT_S:g} s"
            ) from None
        return go_on

    async def _watch_lag(self, recorder: Recorder) -> None:
        while True:
            due_ns = time.perf_counter_ns() + round(LAG_INTERVAL_S * 1e9)
            await asyncio.sleep(LAG_INTERVAL_S)
            now_ns = time.perf_counter_ns()
            recorder.add_lag(now_ns, max(now_ns - due_ns, 0))

"""A cohort reports, writes and ends whatever becomes of its store, its disk and its control actor.

The cohort runs in this process; the control actor, Ray's context and the target are made here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from harness import cohort
from harness.cohort import CohortResult, CohortSpec, run_cohort, workload_agent
from harness.control import CohortReady, CohortReport, Control, Snapshot
from harness.plan import RunPlan
from harness.rundir import RunDirectory
from harness.rundir_reader import RunReader, open_run
from harness.sinks import LocalSink
from harness.workload import MixedAgent, StandardAgent
from memory_core.client import Answer, BatchTiming
from memory_core.results import DONE

CONNECTION = b"where the store is"


class Remote:
    """An actor's method as its handle has it."""

    def __init__(self, method: Callable[..., Awaitable[Any]]) -> None:
        self.remote = method


class Handle:
    """The control actor of a test, in this process; `broken` names methods that fail."""

    def __init__(self, directory: Path, *, broken: tuple[str, ...] = ()) -> None:
        self.control = Control(str(directory))
        self.broken = broken
        self.reports: list[CohortReport] = []
        self.stop_after: int | None = None

    def __getattr__(self, name: str) -> Remote:
        async def method(*given: Any) -> Any:
            if name in self.broken and self.reports:
                raise ConnectionError("the actor died")
            if name == "report":
                self.reports.append(msgspec.msgpack.decode(given[0], type=CohortReport))
            if name == "ready":
                await self.control.release()
            if len(self.reports) == self.stop_after:
                await self.control.stop()
            return await getattr(self.control, name)(*given)

        return Remote(method)

    def snapshot(self) -> Snapshot:
        return msgspec.msgpack.decode(asyncio.run(self.control.snapshot()), type=Snapshot)


class Session:
    retries = 0

    def __init__(self) -> None:
        self.closed = False
        self.fails: type[Exception] | None = None

    async def submit(self, operation: Any) -> Answer:
        sent_ns = time.perf_counter_ns()
        await asyncio.sleep(0.001)
        if self.fails is not None and operation.agent_id == "agent_1":
            raise self.fails("broken")
        return Answer(DONE, BatchTiming(0, 1, 1, sent_ns, 0, 1_000))

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    """The session that cohorts get, with files handed on every few milliseconds."""
    session = Session()

    async def connect(_plan: RunPlan, connection: bytes, _cohort: int) -> Session:
        assert connection == CONNECTION
        return session

    target = SimpleNamespace(connect=connect, agents_are_threads=False)
    context = SimpleNamespace(get_node_id=lambda: "node")
    monkeypatch.setattr(cohort.ray, "get_runtime_context", lambda: context)
    monkeypatch.setattr(cohort, "load_target", lambda _: target)
    monkeypatch.setattr(cohort.gc, "freeze", lambda: None)
    monkeypatch.setattr(cohort.gc, "set_threshold", lambda *_: None)
    monkeypatch.setattr(cohort, "REPORT_INTERVAL_S", 0.01)
    monkeypatch.setattr(cohort, "WRITE_CHECK_INTERVAL_S", 0.01)
    monkeypatch.setattr(cohort, "FLUSH_INTERVAL_S", 0.03)
    return session


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", "run")


def ran(plan: RunPlan, directory: RunDirectory, handle: Handle) -> CohortResult:
    asyncio.run(handle.control.connect(CONNECTION))
    handle.control._go = asyncio.Event()
    handle.control._connected = asyncio.Event()
    handle.control._connected.set()
    spec = CohortSpec(
        plan=plan.as_dict(),
        agents=plan.agents or 0,
        cohort=2,
        first=0,
        last=plan.agents or 0,
        replay=None,
        run_directory=str(directory.path),
        driver_node_id="node",
    )
    packed = run_cohort(msgspec.msgpack.encode(spec), handle)
    return msgspec.msgpack.decode(packed, type=CohortResult)


def reader(directory: RunDirectory) -> RunReader:
    return open_run(directory.path)


def test_a_cohort_writes_a_row_for_each_operation(session: Session, directory: RunDirectory):
    """All agents live; rows, result and what was reported agree to the operation."""
    handle = Handle(directory.path)
    result = ran(RunPlan(agents=8, rounds=15), directory, handle)
    rows = reader(directory).operations()
    assert rows.num_rows == result.operations == 8 * 15 * 18
    assert handle.snapshot().operations == rows.num_rows
    assert (result.cohort, result.failed_agents, result.error) == (2, 0, None)
    assert set(rows["cohort"].to_pylist()) == {2}
    assert handle.reports[-1].agents_done == 8
    assert session.closed
    assert len(list((directory.path / "ops").iterdir())) > 1
    assert reader(directory).loadgen().num_rows > 1


def test_a_cohort_counts_what_is_not_recorded(session: Session, directory: RunDirectory):
    """With --record off the counts are exact all the same, and no file is written."""
    handle = Handle(directory.path)
    result = ran(RunPlan(agents=4, rounds=5, record=False), directory, handle)
    assert result.operations == handle.snapshot().operations == 4 * 5 * 18
    assert list((directory.path / "ops").iterdir()) == []
    assert list((directory.path / "loadgen").iterdir()) == []


def test_a_stop_that_a_report_brings_ends_the_agents(session: Session, directory: RunDirectory):
    """Asked to stop, agents end early and everything they did is written."""
    handle = Handle(directory.path)
    handle.stop_after = 3
    result = ran(RunPlan(agents=4, duration_s=60.0), directory, handle)
    assert result.lived_s < 30
    assert result.error is None
    assert reader(directory).operations().num_rows == result.operations > 0
    assert handle.reports[-1].agents_done == 4


def test_a_disk_that_refuses_ends_the_agents_and_is_reported(
    session: Session, directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
):
    """Agents whose rows cannot be written stop, and the result says why."""

    def refuse(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LocalSink, "write", refuse)
    result = ran(RunPlan(agents=4, duration_s=60.0), directory, Handle(directory.path))
    assert result.lived_s < 30
    assert "No space left on device" in (result.error or "")
    assert result.operations > 0
    assert session.closed


def test_a_disk_that_refuses_the_last_rows_is_reported(
    session: Session, directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
):
    """A write that fails when all agents have ended does not cost the cohort's result."""
    monkeypatch.setattr(cohort, "FLUSH_INTERVAL_S", 60.0)
    written = LocalSink.write

    def refuse(sink: LocalSink, name: str, data: bytes) -> None:
        if name.startswith("ops/"):
            raise OSError(28, "No space left on device")
        written(sink, name, data)

    monkeypatch.setattr(LocalSink, "write", refuse)
    result = ran(RunPlan(agents=2, rounds=1), directory, Handle(directory.path))
    assert "No space left on device" in (result.error or "")
    assert (result.operations, result.failed_agents) == (36, 0)
    assert reader(directory).loadgen().num_rows > 0


def test_a_control_actor_that_dies_ends_the_agents_and_keeps_their_rows(
    session: Session, directory: RunDirectory
):
    """Nobody listens any more: agents stop, and what they did until then is written."""
    handle = Handle(directory.path, broken=("report",))
    result = ran(RunPlan(agents=4, duration_s=60.0), directory, handle)
    assert result.lived_s < 30
    assert "the actor died" in (result.error or "")
    assert reader(directory).operations().num_rows == result.operations > 0


def test_a_control_actor_that_does_not_answer_ends_the_agents(
    session: Session, directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
):
    """Cut off from the driver, agents go on for a bound and no longer; their rows are written."""
    monkeypatch.setattr(cohort, "REPORT_TIMEOUT_S", 0.05)
    answered = Control.report

    async def never(control: Control, data: bytes) -> bool:
        if control._operations_of[2]:
            await asyncio.Event().wait()
        return await answered(control, data)

    monkeypatch.setattr(Control, "report", never)
    result = ran(RunPlan(agents=4, duration_s=600.0), directory, Handle(directory.path))
    assert result.lived_s < 500
    assert "the driver's node did not answer for 0.05 s" in (result.error or "")
    assert reader(directory).operations().num_rows == result.operations > 0


def test_a_cohort_that_closes_gives_signs_of_life(
    session: Session, directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
):
    """While what is in flight is waited for, and rows are written, the driver hears of it."""
    monkeypatch.setattr(cohort, "ALIVE_INTERVAL_S", 0.01)
    heard: list[int] = []
    enough = asyncio.Event()

    async def alive(_control: Control, number: int) -> None:
        heard.append(number)
        if len(heard) == 3:
            enough.set()

    async def close() -> None:
        await asyncio.wait_for(enough.wait(), 60)

    monkeypatch.setattr(Control, "alive", alive)
    monkeypatch.setattr(session, "close", close)
    result = ran(RunPlan(agents=2, rounds=1), directory, Handle(directory.path))
    assert result.error is None
    assert heard[:3] == [2, 2, 2]


def test_a_report_says_when_it_was_made_on_the_clock_of_the_rows(
    session: Session, directory: RunDirectory
):
    """So that what was recorded can be compared with the last sign of life."""
    handle = Handle(directory.path)
    ran(RunPlan(agents=2, rounds=3), directory, handle)
    [metadata] = {
        one.start_wall_ns: one for one, _ in reader(directory).operation_batches()
    }.values()
    last = handle.reports[-1]
    assert last.start_wall_ns == metadata.start_wall_ns
    assert last.start_monotonic_ns == metadata.start_monotonic_ns
    finished = reader(directory).operations(["finished_ns"])["finished_ns"].to_pylist()
    assert handle.reports[0].at_ns < max(finished) <= last.at_ns


def test_an_agent_that_breaks_ends_alone(session: Session, directory: RunDirectory):
    """An exception ends the agent that met it, is counted and named; the others go on."""
    session.fails = ValueError
    result = ran(RunPlan(agents=3, rounds=2), directory, Handle(directory.path))
    assert (result.failed_agents, result.error) == (1, "ValueError: broken")
    agents = reader(directory).operations(["agent"])["agent"].to_pylist()
    assert {number: agents.count(number) for number in set(agents)} == {0: 36, 2: 36}


def test_a_cohort_that_was_stopped_before_the_start_does_nothing(
    session: Session, directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
):
    """Sent home at the barrier, a cohort issues nothing and writes nothing."""

    async def not_go(_control: Control, data: bytes) -> bool:
        assert msgspec.msgpack.decode(data, type=CohortReady).cohort == 2
        return False

    monkeypatch.setattr(Control, "ready", not_go)
    result = ran(RunPlan(agents=3, rounds=2), directory, Handle(directory.path))
    assert result.operations == 0
    assert reader(directory).operations().num_rows == 0
    assert session.closed


def test_the_plan_chooses_the_workload():
    """Agents follow the plan: the workload's own order, or a mix."""
    assert isinstance(workload_agent(RunPlan(), 0, None), StandardAgent)
    assert isinstance(workload_agent(RunPlan(mix="store=1"), 0, None), MixedAgent)

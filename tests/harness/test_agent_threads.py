"""Agents that are threads live the same lives, and no row of theirs is lost."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harness import agent_threads
from harness.agent_threads import AgentThreads, SharedRecorder, sleep_on_thread
from harness.capacity import MAX_THREADS, check_threads
from harness.errors import RunFailedError, UsageError
from harness.operation_tally import OperationTally, kind_of
from harness.plan import RunPlan
from harness.recorder import RowProgress
from harness.schema import OUTCOMES
from harness.targets import load_target
from harness.targets.driven import Placement
from harness.workload import StandardAgent
from memory_core.operations import Retrieve, Store
from memory_core.results import DONE, Failure, Record


class Rows:
    """A recorder that keeps rows; it changes hands at every flush, as the real one does."""

    stalls = 3
    is_full = True

    def __init__(self) -> None:
        self.kept: list[list[tuple[int, ...]]] = [[]]
        self.add = self.kept[-1].append
        self.closed = False

    def add_lag(self, at_ns: int, lag_ns: int) -> None:
        self.lag = (at_ns, lag_ns)

    def progress(self) -> RowProgress:
        outcomes = [sum(map(len, self.kept)), *[0] * (len(OUTCOMES) - 1)]
        return RowProgress({kind_of(1, 0): OperationTally(outcomes)})

    def flush(self) -> None:
        self.kept.append([])
        self.add = self.kept[-1].append

    def close(self) -> None:
        self.closed = True


def test_rows_of_many_threads_all_reach_the_recorder():
    """Threads add while the loop hands buffers on: none is lost, each thread's keep their order."""
    rows = Rows()
    shared = SharedRecorder(rows)

    def add(number: int) -> None:
        for value in range(2_000):
            shared.add((number, value))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        shared.flush()
    for thread in threads:
        thread.join()
    assert shared.progress().operations == 16_000
    shared.close()
    assert rows.closed
    kept = [row for buffer in rows.kept for row in buffer]
    for number in range(8):
        assert [value for thread, value in kept if thread == number] == list(range(2_000))


def test_the_rest_of_a_recorder_is_passed_on():
    """Lags, fullness and stalls are the recorder's own."""
    rows = Rows()
    shared = SharedRecorder(rows)
    shared.add_lag(1, 2)
    assert rows.lag == (1, 2)
    assert shared.is_full
    assert shared.stalls == 0
    shared.flush()
    assert shared.stalls == 3


def test_each_life_is_lived_on_a_thread_of_its_own_and_all_at_once():
    """None begins before all may; each waits for all others, which one loop could not do."""
    barrier = threading.Barrier(20, timeout=30)
    names: list[str] = []

    async def life() -> None:
        names.append(threading.current_thread().name)
        barrier.wait()
        await sleep_on_thread(0.001)

    async def run() -> None:
        threads = AgentThreads(20)
        assert names == []
        await asyncio.wait_for(asyncio.gather(*threads.live([life] * 20)), 30)
        threads.close()

    asyncio.run(run())
    assert len(set(names)) == 20


def test_what_ends_a_life_is_told_for_that_one():
    """An exception is the end of its own agent; a life that needs an event loop is an error."""

    async def good() -> None: ...

    async def bad() -> None:
        raise ValueError("broken")

    async def astray() -> None:
        await asyncio.sleep(0)

    async def run() -> list[Any]:
        threads = AgentThreads(3)
        ends = threads.live([good, bad, astray])
        return await asyncio.gather(*ends, return_exceptions=True)

    none, broken, waited = asyncio.run(run())
    assert none is None
    assert str(broken) == "broken"
    assert "event loop" in str(waited)


def test_threads_that_get_no_life_end():
    """A run that is stopped before its start leaves none behind."""

    async def run() -> None:
        AgentThreads(5).close()

    before = threading.active_count()
    asyncio.run(run())
    deadline = threading.Event()
    for _ in range(1_000):
        if threading.active_count() <= before:
            break
        deadline.wait(0.01)
    assert threading.active_count() <= before


def test_a_system_without_room_for_threads_is_told(monkeypatch: pytest.MonkeyPatch):
    """The sentence has how many could be started; those that were end."""
    started: Counter[str] = Counter()
    real = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name == "agent-2":
            raise RuntimeError("can't start new thread")
        started[thread.name] += 1
        real(thread)

    async def run() -> None:
        monkeypatch.setattr(agent_threads.threading.Thread, "start", start)
        AgentThreads(4)

    with pytest.raises(RunFailedError, match="only 2 of 4 threads"):
        asyncio.run(run())
    assert set(started) == {"agent-0", "agent-1"}


def test_threads_beyond_the_bound_are_refused():
    """They are of one process, so neither too many nor several tasks go with them."""
    check_threads(MAX_THREADS, None)
    with pytest.raises(UsageError, match="at most 4,096"):
        check_threads(MAX_THREADS + 1, None)
    with pytest.raises(UsageError, match="one process"):
        check_threads(10, 5)


def test_a_session_of_the_target_answers_without_an_event_loop(tmp_path: Path):
    """Awaiting an answer never suspends; its parts of time are those of the one call."""
    target = load_target("threads")
    assert target.agents_are_threads
    placement = Placement(run_id="r", data_dir=tmp_path, shards=1, node_ids=[])
    plan = RunPlan(agents=1, target="threads", durability="os")
    ready = target.prepare(plan, placement)
    session = asyncio.run(target.connect(plan, ready.connection, 0))

    def answered(operation: Any) -> Any:
        with pytest.raises(StopIteration) as ended:
            session.submit(operation).send(None)  # type: ignore[attr-defined]
        return ended.value.value

    store, *_ = StandardAgent(1, 0).round(0)
    assert isinstance(store, Store)
    answer = answered(store)
    assert answer.result == DONE
    assert (answer.timing.batch_ops, answer.timing.attempts) == (1, 1)
    assert answer.timing.service_ns > 0
    assert isinstance(answered(Retrieve(store.agent_id, store.state_id)).result, Record)
    asyncio.run(session.close())
    assert isinstance(answered(store).result, Failure)

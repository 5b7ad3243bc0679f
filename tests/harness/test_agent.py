"""An agent issues its operations in order, on time, and its rows say what became of each.

Sessions are made here and answer as the tests want; the clock is the real one, so bounds from
above are loose and bounds from below exact.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from itertools import pairwise
from time import perf_counter_ns
from typing import Any

import pytest

from harness.agent import Counters, RunClock, live, outcome_code
from harness.plan import RunPlan
from harness.recorder import FIELDS
from harness.schema import OPERATIONS, OUTCOMES, PHASES
from harness.workload import StandardAgent, WorkloadAgent
from memory_core import errors
from memory_core.client import Answer, BatchTiming
from memory_core.errors import BadInputError, MemoryCoreError
from memory_core.operations import Retrieve, Search, Store
from memory_core.results import DONE, MISSING, Described, Failure, Hits, Record

MS = 1_000_000
SERVICE_NS = 1_000


@dataclass
class Row:
    """A row by the names of its fields."""

    values: tuple[int, ...]

    def __getattr__(self, name: str) -> int:
        return self.values[FIELDS.index(name)]

    @property
    def response(self) -> int:
        return self.finished - self.scheduled


class Rows:
    """A recorder that keeps rows."""

    stalls = 0
    is_full = False

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def add(self, row: tuple[int, ...]) -> None:
        assert len(row) == len(FIELDS)
        assert all(type(value) is int for value in row)
        self.rows.append(Row(row))

    def of(self, agent: int) -> list[Row]:
        return [row for row in self.rows if row.agent == agent]

    def measured(self) -> list[Row]:
        return [row for row in self.rows if PHASES[row.phase] == "measure"]


class Session:
    """Answers each operation by `answer`, and keeps who was under way at once."""

    retries = 0

    def __init__(self, answer: Callable[[Any], Awaitable[Any]] | None = None) -> None:
        self._answer = answer
        self.submitted: list[Any] = []
        self.under_way: Counter[str] = Counter()
        self.most_under_way = 0

    def submit(self, operation: Any) -> Awaitable[Answer]:
        self.submitted.append(operation)
        return self._submitted(operation)

    async def _submitted(self, operation: Any) -> Answer:
        sent_ns = perf_counter_ns()
        self.under_way[operation.agent_id] += 1
        self.most_under_way = max(self.most_under_way, self.under_way[operation.agent_id])
        result = await self._answer(operation) if self._answer else await asyncio.sleep(0, DONE)
        self.under_way[operation.agent_id] -= 1
        return Answer(result, BatchTiming(3, 4, 2, sent_ns, 500, SERVICE_NS))


class Finite:
    """A workload whose states run out after so many operations."""

    def __init__(self, number: int, operations: int) -> None:
        self.agent_id = f"agent_{number}"
        self._left = {False: operations, True: operations}

    def round(self, number: int, *, warmup: bool = False) -> list[Any]:
        left, self._left[warmup] = self._left[warmup], 0
        return [Retrieve(self.agent_id, "w" if warmup else "m")] * left


def standard(number: int, rounds: int) -> list[Any]:
    """What agent ``number`` does in so many rounds, with seed 1."""
    agent = StandardAgent(1, number)
    return [operation for count in range(rounds) for operation in agent.round(count)]


def lived(
    plan: RunPlan,
    session: Session | None = None,
    workload: Callable[[int], WorkloadAgent] | None = None,
    beside: Callable[[RunClock], Coroutine[Any, Any, None]] | None = None,
) -> tuple[Rows, RunClock, Counters]:
    """Let the plan's agents live on one loop; `beside` runs with them."""
    rows, counters = Rows(), Counters()
    session = session or Session()
    workload = workload or (lambda number: StandardAgent(plan.seed, number))
    agents = plan.agents or 0

    async def run() -> RunClock:
        clock = RunClock.of(plan, perf_counter_ns())
        lives = [
            live(plan, agents, number, workload(number), session, rows, clock, counters)
            for number in range(agents)
        ]
        if beside is not None:
            lives.insert(0, beside(clock))
        await asyncio.wait_for(asyncio.gather(*lives), 30)
        return clock

    return rows, asyncio.run(run()), counters


def test_a_closed_loop_issues_all_operations_in_order():
    """Each agent has one operation under way at a time, and a row for each, in its own order."""
    session = Session()
    rows, _, counters = lived(RunPlan(agents=3, rounds=2), session)
    assert len(rows.rows) == 3 * 2 * 18
    assert session.most_under_way == 1
    for number in range(3):
        expected = standard(number, 2)
        mine = [one for one in session.submitted if one.agent_id == f"agent_{number}"]
        assert mine == expected
        kinds = [OPERATIONS[row.op] for row in rows.of(number)]
        assert kinds == (["store"] * 10 + ["retrieve"] * 5 + ["search"] * 3) * 2
    assert (counters.started, counters.done) == (3, 3)


def test_an_agents_operations_do_not_overlap():
    """The next operation of an agent is issued after the one before was answered."""
    rows, clock, _ = lived(RunPlan(agents=5, rounds=1))
    for number in range(5):
        mine = rows.of(number)
        assert mine[0].started >= clock.start_ns
        for one, following in pairwise(mine):
            assert one.started <= one.sent <= one.finished <= following.started


def test_in_the_closed_loop_an_operation_is_due_when_it_is_issued():
    """Without a schedule nothing is late: response time runs from the issue."""
    rows, _, _ = lived(RunPlan(agents=2, rounds=1))
    assert all(row.scheduled == row.started for row in rows.rows)
    assert {PHASES[row.phase] for row in rows.rows} == {"measure"}


def test_a_row_has_what_the_answer_says_of_its_batch():
    """Shard, batch, attempts, waiting and service are those of the answer's timing."""
    rows, _, _ = lived(RunPlan(agents=1, rounds=1))
    for row in rows.rows:
        assert (row.shard, row.batch_ops, row.attempts) == (3, 4, 2)
        assert (row.shard_wait, row.service) == (500, SERVICE_NS)


RESULTS = [
    (DONE, "ok"),
    (Record(b"", "stm"), "ok"),
    (Hits([]), "ok"),
    (MISSING, "not_found"),
    (Failure("BadInputError", ["k", "is wrong"]), "bad_input"),
    (Failure("OverloadedError", ["full"]), "overloaded"),
    (Failure("UnavailableError", ["down"]), "unavailable"),
    (Failure("DeadlineError", ["late"]), "timeout"),
    (Failure("StorageFullError", ["p", "full"]), "unavailable"),
    (Failure("CorruptionError", ["p", "damaged"]), "error"),
    (Failure("DatabaseError", ["p", "wrong"]), "error"),
    (Failure("SomethingElse", []), "error"),
    (Described(0, ()), "error"),
    (None, "error"),
]


@pytest.mark.parametrize(("result", "outcome"), RESULTS, ids=lambda one: str(one)[:24])
@pytest.mark.parametrize("rate", [None, 1e6], ids=["closed", "open"])
def test_every_result_has_its_outcome(result: Any, outcome: str, rate: float | None):
    """What becomes of an operation is its row's outcome; a failure ends no agent."""

    async def answer(_: Any) -> Any:
        return result

    rows, _, _ = lived(RunPlan(agents=1, rounds=1, rate=rate), Session(answer))
    assert {OUTCOMES[row.outcome] for row in rows.rows} == {outcome}
    assert len(rows.rows) == 18


def test_every_error_of_the_store_has_an_outcome():
    """No error that the store can raise is taken for a success."""
    for name in errors.__all__:
        kind = getattr(errors, name)
        if kind is MemoryCoreError or issubclass(kind, MemoryCoreError):
            assert OUTCOMES[outcome_code(Failure(name, []))] not in {"ok", "not_found"}


@pytest.mark.parametrize("rate", [None, 1e6], ids=["closed", "open"])
def test_bad_input_that_is_refused_at_once_is_a_row(rate: float | None):
    """An operation that the client refuses to send has a row; the agent goes on."""

    class Refusing(Session):
        def submit(self, operation: Any) -> Awaitable[Answer]:
            if isinstance(operation, Search):
                raise BadInputError("k", "is wrong")
            return super().submit(operation)

    rows, _, _ = lived(RunPlan(agents=1, rounds=1, rate=rate), Refusing())
    refused = [row for row in rows.rows if OUTCOMES[row.outcome] == "bad_input"]
    assert [OPERATIONS[row.op] for row in refused] == ["search"] * 3
    for row in refused:
        assert (row.shard, row.batch_ops, row.attempts, row.service) == (-1, 0, 0, 0)
        assert row.started <= row.sent <= row.finished
    assert len(rows.rows) == 18


def test_a_session_that_breaks_its_promise_ends_the_agent_with_its_error():
    """What awaiting must not raise is not hidden: the agent ends, counted, with that error."""

    async def answer(_: Any) -> Any:
        raise RuntimeError("broken")

    counters = Counters()

    async def run() -> None:
        plan = RunPlan(agents=1, rounds=1)
        clock = RunClock.of(plan, perf_counter_ns())
        agent = StandardAgent(1, 0)
        await live(plan, 1, 0, agent, Session(answer), Rows(), clock, counters)

    with pytest.raises(RuntimeError, match="broken"):
        asyncio.run(run())
    assert (counters.started, counters.done) == (1, 1)


def test_an_agent_thinks_between_operations():
    """The pause runs from an answer to the next issue, and counts in no response time."""
    rows, _, _ = lived(
        RunPlan(agents=2, duration_s=30.0, think_time_s=0.01), workload=lambda n: Finite(n, 10)
    )
    for number in range(2):
        mine = rows.of(number)
        assert len(mine) == 10
        for one, following in pairwise(mine):
            assert following.started - one.finished >= 10 * MS
    assert all(row.scheduled == row.started for row in rows.rows)


def test_a_duration_ends_a_closed_loop():
    """No operation is issued after the end, and the agents work until then."""
    rows, clock, _ = lived(RunPlan(agents=2, duration_s=0.5))
    assert clock.end_ns - clock.start_ns == 500 * MS
    assert all(clock.start_ns <= row.started < clock.end_ns for row in rows.rows)
    assert len(rows.rows) > 4


def test_whole_rounds_are_finished_when_the_time_is_up():
    """Every agent ends with a round's last operation, and no round follows one that ended late."""
    rows, clock, _ = lived(RunPlan(agents=3, duration_s=0.05, whole_rounds=True))
    for number in range(3):
        mine = rows.of(number)
        assert len(mine) >= 18
        assert len(mine) % 18 == 0
        assert all(row.finished < clock.last_round_ns for row in mine[17:-1:18])


def test_a_round_that_takes_longer_than_the_time_is_finished_once():
    """With whole rounds a slow agent has one, and not a part of one."""

    async def answer(_: Any) -> Any:
        return await asyncio.sleep(0.005, DONE)

    rows, _, _ = lived(RunPlan(agents=2, duration_s=0.01, whole_rounds=True), Session(answer))
    assert [len(rows.of(number)) for number in range(2)] == [18, 18]


@pytest.mark.parametrize(
    "given",
    [
        {"think_time_s": 600.0},
        {"rate": 0.001},
        {"rate": 1e5},
        {"ramp_s": 600.0},
        {"warmup_s": 600.0},
        {"whole_rounds": True},
        {},
    ],
    ids=str,
)
def test_a_stop_ends_an_agent_within_one_operation(given: dict[str, Any]):
    """After a stop nothing more is issued, whatever the agent waits for, and it ends at once."""
    session = Session()
    seen: list[int] = []

    async def stop(clock: RunClock) -> None:
        await asyncio.sleep(0.05)
        seen.append(len(session.submitted))
        clock.end_ns = 0

    before_ns = perf_counter_ns()
    plan = RunPlan(agents=3, duration_s=1_000.0, **given)
    rows, _, counters = lived(plan, session, beside=stop)
    assert perf_counter_ns() - before_ns < 10_000 * MS
    assert len(session.submitted) - seen[0] <= 0
    assert len(rows.rows) == len(session.submitted)
    assert counters.done == 3


def test_warm_up_is_a_phase_of_its_own_and_changes_nothing_measured():
    """Warm-up works under ids of its own until its time is up; then all rounds are measured."""
    session = Session()
    rows, clock, _ = lived(RunPlan(agents=2, rounds=2, warmup_s=0.05), session)
    assert len(rows.measured()) == 2 * 2 * 18
    warm = [row for row in rows.rows if PHASES[row.phase] == "warmup"]
    assert warm
    assert all(row.started < clock.measure_ns for row in warm)
    assert all(row.started >= clock.measure_ns for row in rows.measured())
    for number in range(2):
        expected = standard(number, 2)
        mine = [one for one in session.submitted if one.agent_id == f"agent_{number}"]
        assert mine[-36:] == expected
        stored = [one.state_id for one in mine[:-36] if isinstance(one, Store)]
        assert all(name.startswith("warmup_") for name in stored)


def test_an_agent_whose_states_run_out_in_warm_up_waits_for_its_end():
    """Nothing is measured before warm-up is over, however short the recorded states are."""
    rows, clock, _ = lived(
        RunPlan(agents=2, trace="t", warmup_s=0.1), workload=lambda n: Finite(n, 3)
    )
    assert len(rows.measured()) == 6
    assert all(row.started >= clock.measure_ns for row in rows.measured())


def test_warm_up_of_an_open_loop_takes_nothing_from_what_is_measured():
    """All rounds are measured, from the first state on, whatever was due during warm-up."""
    session = Session()
    plan = RunPlan(agents=2, rounds=1, rate=400.0, warmup_s=0.05)
    rows, clock, _ = lived(plan, session)
    warm = [row for row in rows.rows if PHASES[row.phase] == "warmup"]
    assert len(warm) == 20
    assert all(row.scheduled < clock.measure_ns for row in warm)
    assert len(rows.measured()) == 2 * 18
    for number in range(2):
        mine = [one for one in session.submitted if one.agent_id == f"agent_{number}"]
        assert mine[-18:] == standard(number, 1)


def test_an_open_loop_replays_on_after_a_warm_up_that_ran_out():
    """Recorded states that run out in warm-up are replayed whole when it is over."""
    plan = RunPlan(agents=1, trace="t", rate=200.0, warmup_s=0.1)
    rows, clock, _ = lived(plan, workload=lambda n: Finite(n, 3))
    assert [PHASES[row.phase] for row in rows.rows] == ["warmup"] * 3 + ["measure"] * 3
    assert rows.measured()[0].scheduled == clock.measure_ns


def test_agents_start_over_the_ramp():
    """With a ramp agent n begins its nth part later, in the closed loop as in the open one."""
    for rate in (None, 400.0):
        plan = RunPlan(agents=4, rounds=1, ramp_s=0.2, rate=rate)
        rows, clock, _ = lived(plan)
        for number in range(4):
            begin_ns = clock.start_ns + number * 50 * MS
            assert min(row.started for row in rows.of(number)) >= begin_ns
            assert min(row.scheduled for row in rows.of(number)) >= begin_ns


def test_an_open_loop_issues_when_operations_are_due():
    """Operations are due by the rate whatever the store does, and none is issued early."""
    rows, clock, _ = lived(RunPlan(agents=4, rounds=1, rate=1_000.0))
    due = sorted(row.scheduled - clock.start_ns for row in rows.rows)
    assert due == [index * MS for index in range(4 * 18)]
    assert all(row.started >= row.scheduled for row in rows.rows)


def test_an_open_loop_that_is_stalled_shows_the_stall_in_what_was_due_meanwhile():
    """A stall of 300 ms is in the response time of all that fell due in it (omits none).

    Service time alone, and the time from the issue, show it in one operation of each agent.
    """
    agents, rate = 4, 200.0
    stall: list[tuple[int, int]] = []

    async def stalling(_: Any) -> Any:
        begin_ns, end_ns = stall[0]
        if begin_ns <= perf_counter_ns() < end_ns:
            await asyncio.sleep((end_ns + MS - perf_counter_ns()) / 1e9)
        return DONE

    async def plan_stall(clock: RunClock) -> None:
        stall.append((clock.start_ns + 200 * MS, clock.start_ns + 500 * MS))

    plan = RunPlan(agents=agents, duration_s=0.8, rate=rate)
    rows, _, _ = lived(plan, Session(stalling), beside=plan_stall)
    begin_ns, end_ns = stall[0]
    due_meanwhile = [row for row in rows.rows if begin_ns <= row.scheduled < end_ns]
    # One each 5 ms is offered, and every one of them is there.
    assert len(rows.rows) == 160
    assert len(due_meanwhile) == 60
    for row in due_meanwhile:
        assert row.response >= end_ns - row.scheduled
    slow = [row for row in due_meanwhile if row.response >= 100 * MS]
    assert len(slow) >= 40
    slow_from_issue = [row for row in due_meanwhile if row.finished - row.started >= 100 * MS]
    assert 1 <= len(slow_from_issue) <= 2 * agents  # should the machine stall once, too
    assert {row.service for row in rows.rows} == {SERVICE_NS}


def test_an_open_loop_far_above_capacity_ends_and_counts_what_was_too_late():
    """What comes to its turn after its deadline is a timeout, and none of them is left out."""

    async def slow(_: Any) -> Any:
        await asyncio.sleep(0.02)
        return DONE

    session = Session(slow)
    plan = RunPlan(agents=2, duration_s=0.5, rate=2_000.0, deadline_s=0.2)
    began_ns = perf_counter_ns()
    rows, clock, _ = lived(plan, session)
    assert perf_counter_ns() - began_ns < 8 * 10**9  # in their turn they would take 10 s
    assert len(rows.rows) == 1_000
    late = [row for row in rows.rows if OUTCOMES[row.outcome] == "timeout"]
    assert len(late) + len(session.submitted) == 1_000
    assert len(late) > 800
    assert all(row.response > 200 * MS for row in late)
    assert max(row.finished for row in rows.rows) < clock.end_ns + 7 * 10**9


def test_a_closed_loop_issues_nothing_during_a_stall():
    """The same stall in a closed loop is seen by one operation of each agent: no more were due."""
    agents = 4
    first: dict[str, bool] = {}

    async def stalling(operation: Any) -> Any:
        if operation.agent_id not in first:
            first[operation.agent_id] = True
            await asyncio.sleep(0.3)
        return DONE

    rows, _, _ = lived(RunPlan(agents=agents, rounds=2), Session(stalling))
    assert sum(row.response >= 290 * MS for row in rows.rows) == agents

"""An agent's life: a coroutine that issues operations one after another and keeps their times.

Closed loop: the next operation is issued when the one before has been answered (and after the
think time); it is due when it is issued. Open loop: operations are due on a schedule; the agent
sleeps until the next one is, and issues at once what is due already. What comes to its turn later
than its deadline is not sent any more: it is a timeout, with the response time that it has had.

All clocks are ``time.perf_counter_ns``. An operation is finished when the agent has its answer
in hand: what the event loop takes to get there is part of the response time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, count, dropwhile, takewhile
from time import perf_counter_ns

from harness.pacing import due_times_ns, start_delay_ns
from harness.plan import RunPlan
from harness.recorder import Recorder
from harness.schema import OPERATIONS, OUTCOMES, PHASES
from harness.targets.driven import Session
from harness.workload import WorkloadAgent
from memory_core.client import Answer, BatchTiming
from memory_core.errors import BadInputError, DeadlineError, MemoryCoreError
from memory_core.operations import Retrieve, Search, Store
from memory_core.results import Done, Failure, Hits, Missing, Record, Result

__all__ = ["Counters", "RunClock", "live", "outcome_code"]

_FOREVER = 2**63 - 1
_WARMUP, _MEASURE = (PHASES.index(phase) for phase in ("warmup", "measure"))
_OP_CODE = {
    Store: OPERATIONS.index("store"),
    Retrieve: OPERATIONS.index("retrieve"),
    Search: OPERATIONS.index("search"),
}
_OK = OUTCOMES.index("ok")
_OUTCOME = {Done: _OK, Record: _OK, Hits: _OK, Missing: OUTCOMES.index("not_found")}
_FAILURES = {
    "BadInputError": OUTCOMES.index("bad_input"),
    "OverloadedError": OUTCOMES.index("overloaded"),
    "DeadlineError": OUTCOMES.index("timeout"),
    "UnavailableError": OUTCOMES.index("unavailable"),
    "StorageFullError": OUTCOMES.index("unavailable"),
}
_ERROR = OUTCOMES.index("error")

_Operation = Store | Retrieve | Search


def outcome_code(result: Result) -> int:
    """The index in OUTCOMES of what became of an operation."""
    code = _OUTCOME.get(type(result))
    if code is not None:
        return code
    return _FAILURES.get(result.error, _ERROR) if isinstance(result, Failure) else _ERROR


@dataclass(slots=True)
class RunClock:
    """When the phases of a run begin and end, on the monotonic clock of this process.

    ``end_ns`` is set to 0 to stop every agent before its next operation. No round but the first
    begins after ``last_round_ns``. ``sleep`` takes seconds, and suits what agents live on.
    """

    start_ns: int
    measure_ns: int
    end_ns: int
    last_round_ns: int = _FOREVER
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    @classmethod
    def of(cls, plan: RunPlan, start_ns: int) -> RunClock:
        """The clock of a run that starts at ``start_ns``."""
        measure_ns = start_ns + round(plan.warmup_s * 1e9)
        if plan.duration_s is None:
            return cls(start_ns, measure_ns, _FOREVER)
        end_ns = measure_ns + round(plan.duration_s * 1e9)
        if plan.whole_rounds:
            return cls(start_ns, measure_ns, _FOREVER, last_round_ns=end_ns)
        return cls(start_ns, measure_ns, end_ns)


@dataclass(slots=True)
class Counters:
    """How many agents of a cohort have begun and ended."""

    started: int = 0
    done: int = 0


async def live(
    plan: RunPlan,
    agents: int,
    number: int,
    workload: WorkloadAgent,
    session: Session,
    recorder: Recorder,
    clock: RunClock,
    counters: Counters,
) -> None:
    """Live the life of agent ``number``, of ``agents`` in the run, until it is over."""
    delay_ns = start_delay_ns(plan.ramp_s, agents, number)
    if delay_ns:
        await _sleep_until(clock.start_ns + delay_ns, clock)
    counters.started += 1
    try:
        measured = _operations(workload, _rounds(plan, clock))
        if plan.rate is not None:
            due = due_times_ns(plan.arrival, plan.rate, agents, number, plan.seed)
            # What is due before the agent starts is not offered: so the ramp is one of load.
            due = dropwhile(lambda due_ns: due_ns < delay_ns, due)
            phases = (_operations(workload, count(), warmup=True), measured)
            await _open_loop(number, phases, due, plan, session, recorder, clock)
            return
        if clock.measure_ns > clock.start_ns:
            warm_up = _operations(workload, count(), warmup=True)
            warm_up = takewhile(lambda _: perf_counter_ns() < clock.measure_ns, warm_up)
            await _closed_loop(number, _WARMUP, warm_up, plan, session, recorder, clock)
            # An agent whose recorded states ran out waits for the others.
            await _sleep_until(clock.measure_ns, clock)
        await _closed_loop(number, _MEASURE, measured, plan, session, recorder, clock)
    finally:
        counters.done += 1


def _rounds(plan: RunPlan, clock: RunClock) -> Iterable[int]:
    """The rounds that an agent is to measure."""
    numbers = count() if plan.rounds is None else range(plan.rounds)
    if not plan.whole_rounds:
        return numbers
    return takewhile(lambda one: one == 0 or perf_counter_ns() < clock.last_round_ns, numbers)


def _operations(
    workload: WorkloadAgent, numbers: Iterable[int], *, warmup: bool = False
) -> Iterator[_Operation]:
    """The operations of these rounds, or of as many as there are."""
    made = (workload.round(number, warmup=warmup) for number in numbers)
    return chain.from_iterable(takewhile(bool, made))


async def _closed_loop(
    number: int,
    phase: int,
    operations: Iterator[_Operation],
    plan: RunPlan,
    session: Session,
    recorder: Recorder,
    clock: RunClock,
) -> None:
    submit, think_time_s = session.submit, plan.think_time_s
    for operation in operations:
        started_ns = perf_counter_ns()
        if started_ns >= clock.end_ns:
            return
        try:
            answer = await submit(operation)
        except BadInputError as error:
            answer = _not_sent(error)
        finished_ns = perf_counter_ns()
        timing = answer.timing
        outcome = _OUTCOME.get(type(answer.result))
        recorder.add(
            (
                phase,
                number,
                _OP_CODE[type(operation)],
                started_ns,
                started_ns,
                finished_ns,
                outcome if outcome is not None else outcome_code(answer.result),
                timing.shard,
                timing.batch_ops,
                timing.attempts,
                timing.sent_ns,
                timing.shard_wait_ns,
                timing.service_ns,
            )
        )
        if think_time_s:
            await _sleep_until(finished_ns + round(think_time_s * 1e9), clock)


async def _open_loop(
    number: int,
    phases: tuple[Iterator[_Operation], Iterator[_Operation]],
    due: Iterator[int],
    plan: RunPlan,
    session: Session,
    recorder: Recorder,
    clock: RunClock,
) -> None:
    deadline_ns = round(plan.deadline_s * 1e9)
    # An operation that is due during warm-up is one of it, whenever it is issued.
    for due_ns in due:
        scheduled_ns = clock.start_ns + due_ns
        phase = _WARMUP if scheduled_ns < clock.measure_ns else _MEASURE
        operation = next(phases[phase], None)
        if operation is None:
            if phase == _MEASURE:
                return
            continue
        await _sleep_until(scheduled_ns, clock)
        if scheduled_ns >= clock.end_ns:
            return
        started_ns = perf_counter_ns()
        if started_ns - scheduled_ns > deadline_ns:
            # Its time was over before its turn came: so a run far above capacity ends as well.
            answer = _not_sent(DeadlineError("was not sent before its deadline"))
            await clock.sleep(0)
        else:
            try:
                answer = await session.submit(operation)
            except BadInputError as error:
                answer = _not_sent(error)
        timing = answer.timing
        recorder.add(
            (
                phase,
                number,
                _OP_CODE[type(operation)],
                scheduled_ns,
                started_ns,
                perf_counter_ns(),
                outcome_code(answer.result),
                timing.shard,
                timing.batch_ops,
                timing.attempts,
                timing.sent_ns,
                timing.shard_wait_ns,
                timing.service_ns,
            )
        )


_LONGEST_SLEEP_S = 0.25


async def _sleep_until(at_ns: int, clock: RunClock) -> None:
    """Sleep until a moment of the clock, or until the run is stopped."""
    while True:
        remaining_s = (min(at_ns, clock.end_ns) - perf_counter_ns()) / 1e9
        if remaining_s <= 0:
            return
        await clock.sleep(min(remaining_s, _LONGEST_SLEEP_S))


def _not_sent(error: MemoryCoreError) -> Answer:
    """What the client refused, or what was too late, before it was sent."""
    return Answer(Failure.of(error), BatchTiming(-1, 0, 0, perf_counter_ns(), 0, 0))

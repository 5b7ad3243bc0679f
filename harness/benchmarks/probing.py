"""Probing: one operation at a time, each a row, so that a response time is of that operation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import perf_counter_ns

from harness.agent import outcome_code
from harness.recorder import Recorder
from harness.schema import OPERATIONS, PHASES
from harness.targets.driven import Session
from memory_core.client import Answer, BatchTiming
from memory_core.errors import BadInputError
from memory_core.operations import Retrieve, Search, Store
from memory_core.results import Failure, Result

__all__ = ["probe"]

_MEASURE = PHASES.index("measure")
_OP_CODE = {
    Store: OPERATIONS.index("store"),
    Retrieve: OPERATIONS.index("retrieve"),
    Search: OPERATIONS.index("search"),
}


async def probe(
    session: Session,
    operations: Iterable[tuple[int, Store | Retrieve | Search]],
    recorder: Recorder,
    stopping: Callable[[], bool],
) -> list[Result]:
    """Issue operations one after the other; their results, those until a stop.

    Args:
        session: to the store.
        operations: each with the number of its agent.
        recorder: takes a row of each, of the phase ``measure``.
        stopping: whether to stop.
    """
    results: list[Result] = []
    submit = session.submit
    for agent, operation in operations:
        if stopping():
            break
        started_ns = perf_counter_ns()
        try:
            answer = await submit(operation)
        except BadInputError as error:
            answer = Answer(Failure.of(error), BatchTiming(-1, 0, 0, perf_counter_ns(), 0, 0))
        finished_ns = perf_counter_ns()
        timing = answer.timing
        recorder.add(
            (
                _MEASURE,
                agent,
                _OP_CODE[type(operation)],
                started_ns,
                started_ns,
                finished_ns,
                outcome_code(answer.result),
                timing.shard,
                timing.batch_ops,
                timing.attempts,
                timing.sent_ns,
                timing.shard_wait_ns,
                timing.service_ns,
            )
        )
        results.append(answer.result)
    return results

"""What agents had under way that were lost with their process: one operation each, at most.

An agent issues one operation at a time, and its operations follow from the plan. So of a lost agent
it is known which operation is the first without a row: the one after its last recorded. In the
closed loop it was issued when the one before was answered and the think time was over, in the open
loop when it was due and its turn had come. If that was before the agent's last sign of life, it
counts as in flight. Later ones there may have been too, for rows of the last moments are lost with
the process; nothing is made up about them.

Pure: from a plan and recorded rows to columns of more rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import dropwhile, islice

import numpy as np
import numpy.typing as npt

from harness.agent import RunClock
from harness.pacing import due_times_ns, start_delay_ns
from harness.plan import RunPlan
from harness.schema import OPERATIONS, OUTCOMES, PHASES
from harness.workload import ROUND_OPERATIONS, operation_kind

__all__ = ["Recorded", "in_flight_columns"]

_WARMUP, _MEASURE = (PHASES.index(phase) for phase in ("warmup", "measure"))
_UNAVAILABLE = OUTCOMES.index("unavailable")
_NEITHER_SENT_NOR_ANSWERED = ("queue_ns", "service_ns", "shard_wait_ns", "batch_ops", "attempts")


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What was recorded of an agent: rows of each phase, and when the last one finished."""

    warmup: int = 0
    measured: int = 0
    finished_ns: int = 0


@dataclass(frozen=True, kw_only=True)
class _Issued:
    phase: int
    place: int
    scheduled_ns: int
    started_ns: int


def in_flight_columns(
    plan: RunPlan,
    agents: int,
    recorded: Mapping[int, Recorded],
    seen_ns: int,
    states: Mapping[int, int] | None,
) -> dict[str, npt.NDArray[np.int64]]:
    """Columns of `harness.schema.OPS_SCHEMA` with the operations in flight, as writers take them.

    Args:
        plan: of the run.
        agents: of the run.
        recorded: of each agent that was lost, by its number.
        seen_ns: the last sign of life of their process, on its own clock from its start.
        states: of each of these agents in the trace that they replay; None without one.
    """
    rows = []
    for agent, known in recorded.items():
        issued = _issued(plan, agents, agent, known)
        if issued is None or issued.started_ns > seen_ns:
            continue
        kind = operation_kind(
            plan,
            agents,
            agent,
            issued.place,
            warmup=issued.phase == _WARMUP,
            states=None if states is None else states[agent],
        )
        if kind is not None:
            code = OPERATIONS.index(kind)
            rows.append((issued.phase, agent, code, issued.scheduled_ns, issued.started_ns))
    table = np.array(rows, np.int64).reshape(-1, 5)
    phase, agent_column, op, scheduled, started = table.T
    nothing = np.zeros(len(table), np.int64)
    finished = np.maximum(started, seen_ns)
    return {
        "phase": phase,
        "agent": agent_column,
        "op": op,
        "shard": nothing - 1,
        "scheduled_ns": scheduled,
        "started_ns": started,
        "finished_ns": finished,
        "transport_ns": finished - started,
        "outcome": nothing + _UNAVAILABLE,
        **dict.fromkeys(_NEITHER_SENT_NOR_ANSWERED, nothing),
    }


def _issued(plan: RunPlan, agents: int, agent: int, known: Recorded) -> _Issued | None:
    """The first operation of an agent that has no row; None where it had no more to do."""
    clock = RunClock.of(plan, 0)
    delay_ns = start_delay_ns(plan.ramp_s, agents, agent)
    if plan.rate is not None:
        due = due_times_ns(plan.arrival, plan.rate, agents, agent, plan.seed)
        due = dropwhile(lambda due_ns: due_ns < delay_ns, due)
        scheduled_ns = next(islice(due, known.warmup + known.measured, None))
        started_ns = max(scheduled_ns, known.finished_ns)
        ended = scheduled_ns >= clock.end_ns
    else:
        thinking_ns = round(plan.think_time_s * 1e9) if known.warmup + known.measured else 0
        scheduled_ns = started_ns = max(delay_ns, known.finished_ns + thinking_ns)
        begins_round = known.measured % ROUND_OPERATIONS == 0 and known.measured > 0
        end_ns = min(clock.end_ns, clock.last_round_ns) if begins_round else clock.end_ns
        ended = started_ns >= end_ns
    if ended:
        return None
    phase = _WARMUP if scheduled_ns < clock.measure_ns else _MEASURE
    place = known.warmup if phase == _WARMUP else known.measured
    return _Issued(phase=phase, place=place, scheduled_ns=scheduled_ns, started_ns=started_ns)

"""What was in flight at a lost agent follows from its recorded rows: one operation, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.cohort import workload_agent
from harness.in_flight import Recorded, in_flight_columns
from harness.pacing import due_times_ns
from harness.plan import RunPlan
from harness.schema import OPERATIONS, OUTCOMES, PHASES
from harness.workload import ROUND_OPERATIONS, ReplayAgent, operation_kind
from tests.harness.test_workload import replayed

S = 1_000_000_000


def rows(
    plan: RunPlan, seen_ns: int, states: dict[int, int] | None = None, **known: Any
) -> list[dict[str, Any]]:
    """What is made of one lost agent, number 1 of 3."""
    columns = in_flight_columns(plan, 3, {1: Recorded(**known)}, seen_ns, states)
    lists = {name: values.tolist() for name, values in columns.items()}
    return [
        {name: values[place] for name, values in lists.items()}
        for place in range(len(lists["agent"]))
    ]


def test_in_the_closed_loop_it_is_the_operation_after_the_last_recorded():
    """Issued when the one before was answered, it was under way at the last sign of life."""
    [row] = rows(RunPlan(agents=3, rounds=5), 7 * S, measured=12, finished_ns=6 * S)
    assert (row["agent"], row["shard"], row["attempts"]) == (1, -1, 0)
    assert OPERATIONS[row["op"]] == "retrieve"
    assert PHASES[row["phase"]] == "measure"
    assert OUTCOMES[row["outcome"]] == "unavailable"
    assert row["scheduled_ns"] == row["started_ns"] == 6 * S
    assert row["finished_ns"] == 7 * S
    parts = row["queue_ns"] + row["transport_ns"] + row["service_ns"]
    assert parts == row["finished_ns"] - row["started_ns"]


def test_an_agent_without_a_row_was_at_its_first_operation():
    """From the start of its process on, if it had begun by then."""
    [row] = rows(RunPlan(agents=3, rounds=5), S)
    assert (OPERATIONS[row["op"]], row["started_ns"]) == ("store", 0)
    ramp = RunPlan(agents=3, rounds=5, ramp_s=30.0)
    assert rows(ramp, 9 * S) == []
    [row] = rows(ramp, 11 * S)
    assert row["started_ns"] == 10 * S


@pytest.mark.parametrize(
    ("plan", "known", "seen_ns"),
    [
        (RunPlan(rounds=2), {"measured": 2 * ROUND_OPERATIONS, "finished_ns": S}, 2 * S),
        (RunPlan(duration_s=5.0), {"measured": 7, "finished_ns": 5 * S}, 6 * S),
        (RunPlan(rounds=2, think_time_s=3.0), {"measured": 7, "finished_ns": S}, 2 * S),
        (
            RunPlan(duration_s=5.0, whole_rounds=True),
            {"measured": ROUND_OPERATIONS, "finished_ns": 5 * S},
            6 * S,
        ),
    ],
)
def test_an_agent_that_had_ended_or_was_thinking_had_nothing_in_flight(
    plan: RunPlan, known: dict[str, int], seen_ns: int
):
    """After its last round, after the time was up, or between two operations: no row."""
    assert rows(plan, seen_ns, **known) == []


def test_a_round_that_was_begun_in_time_is_finished():
    """With whole rounds an operation within a round is issued after the time was up too."""
    plan = RunPlan(duration_s=5.0, whole_rounds=True)
    [row] = rows(plan, 6 * S, measured=ROUND_OPERATIONS + 1, finished_ns=5 * S)
    assert OPERATIONS[row["op"]] == "store"


def test_an_operation_of_the_warm_up_stays_one():
    """What began in the warm-up belongs to it, and places are counted for each phase."""
    plan = RunPlan(rounds=5, warmup_s=4.0)
    [row] = rows(plan, 3 * S, warmup=16, finished_ns=2 * S)
    assert (PHASES[row["phase"]], OPERATIONS[row["op"]]) == ("warmup", "search")
    [row] = rows(plan, 6 * S, warmup=16, finished_ns=4 * S)
    assert (PHASES[row["phase"]], OPERATIONS[row["op"]]) == ("measure", "store")


@pytest.mark.parametrize("arrival", ["constant", "poisson"])
def test_in_the_open_loop_it_is_the_next_that_was_due(arrival: str):
    """It counts from when it was due; what was not due yet was not in flight."""
    plan = RunPlan(agents=3, duration_s=60.0, rate=6.0, arrival=arrival, seed=4)
    due = due_times_ns(arrival, 6.0, 3, 1, 4)
    next_ns = [next(due) for _ in range(9)][8]
    [row] = rows(plan, next_ns + 5, measured=8, finished_ns=next_ns - 7)
    assert row["scheduled_ns"] == row["started_ns"] == next_ns
    [late] = rows(plan, next_ns + 5, measured=8, finished_ns=next_ns + 3)
    assert (late["scheduled_ns"], late["started_ns"]) == (next_ns, next_ns + 3)
    assert rows(plan, next_ns - 1, measured=8, finished_ns=next_ns - 7) == []


@pytest.mark.parametrize("warmup", [False, True])
@pytest.mark.parametrize("plan", [RunPlan(), RunPlan(mix="store=1,retrieve=2,search=1", seed=9)])
@pytest.mark.parametrize("preload", [0, 5])
def test_kinds_are_those_of_the_workload(plan: RunPlan, preload: int, warmup: bool):
    """Of every operation of some rounds, without making the ones before it."""
    plan = RunPlan(mix=plan.mix, seed=plan.seed, preload=preload if plan.mix else 0)
    workload = workload_agent(plan, 1, None)
    workload.preload(2 if plan.preload else 0)
    made = [one for number in range(6) for one in workload.round(number, warmup=warmup)]
    assert [
        operation_kind(plan, 3, 1, place, warmup=warmup, states=None) for place in range(len(made))
    ] == [type(one).__name__.lower() for one in made]


@pytest.mark.parametrize("states", [13, 20])
def test_kinds_of_a_replay_end_with_its_states(tmp_path: Path, states: int):
    """The last round is as long as the states that are left; after it there is none."""
    workload = ReplayAgent(replayed(tmp_path, {"a": states}), 0)
    made = [one for number in range(3) for one in workload.round(number)]
    plan = RunPlan(trace="recorded")
    kinds = [
        operation_kind(plan, 1, 0, place, warmup=False, states=states)
        for place in range(len(made) + 1)
    ]
    assert kinds == [*(type(one).__name__.lower() for one in made), None]

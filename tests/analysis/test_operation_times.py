"""Operations on one time line: phases, what was late, and what was never sent."""

from __future__ import annotations

from harness.analysis.operation_times import read_operation_times

S = 1_000_000_000


def test_operations_of_all_cohorts_are_on_the_wall_clock(tables, run_in_memory):
    """Each row counts from its own cohort's start; the phase begins with the first cohort."""
    rows = [{"scheduled_ns": S, "service_ns": S // 10}]
    files = [
        tables.file(rows, cohort=0, start_wall_ns=100 * S),
        tables.file(rows, cohort=1, start_wall_ns=103 * S),
    ]
    run = {"plan": {"duration_s": 2.0}, "status": "complete"}
    times = read_operation_times(run_in_memory(run=run, files=files))
    assert times.scheduled_ns.tolist() == [101 * S, 104 * S]
    assert times.cohort.tolist() == [0, 1]
    assert times.begin_ns == 100 * S
    assert times.end_ns == 104 * S + S // 10
    assert times.starts_ns == {0: 100 * S, 1: 103 * S}


def test_a_whole_run_lasts_as_long_as_its_plan(tables, run_in_memory):
    """Idle time at the end counts, unless the run was cut short."""
    files = [tables.file([{"scheduled_ns": 0, "service_ns": S}], start_wall_ns=0)]
    plan = {"duration_s": 10.0}
    for status, end_ns in (("complete", 10 * S), ("invalid", 10 * S), ("interrupted", S)):
        run = {"plan": plan, "status": status}
        assert read_operation_times(run_in_memory(run=run, files=files)).end_ns == end_ns


def test_late_and_dropped_are_told_apart(tables, run_in_memory):
    """What was sent late has attempts and a lag; what was never sent is dropped."""
    rows = [
        {"scheduled_ns": 0, "started_ns": S, "service_ns": S},
        {"scheduled_ns": 0, "started_ns": 9 * S, "shard": -1, "attempts": 0, "outcome": "timeout"},
        {"scheduled_ns": 0, "outcome": "timeout"},
    ]
    run = {"plan": {}, "status": "complete"}
    times = read_operation_times(run_in_memory(run=run, files=[tables.file(rows, start_wall_ns=0)]))
    assert times.dropped.tolist() == [False, True, False]
    assert times.succeeded.tolist() == [True, False, False]
    assert times.lag_ns.tolist() == [S, 9 * S, 0]
    assert times.response_ns.tolist() == [2 * S, 9 * S, 0]


def test_a_run_without_a_row_is_of_no_time(run_in_memory):
    """Nothing is made up where nothing was measured."""
    times = read_operation_times(run_in_memory())
    assert times.duration_s == 0
    assert times.response_ns.size == 0

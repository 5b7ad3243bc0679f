"""A store that stalls is called by its name, and one that is slow or idle is not."""

from __future__ import annotations

from typing import Any

import pytest

from harness.analysis.operation_times import read_operation_times
from harness.analysis.stalls import find_stalls

S = 1_000_000_000
MS = 1_000_000


def load(
    seconds: int, rate: int, *, stall_s: float = 0.0, every_s: float = 2.0, shard: int = 0
) -> list[dict[str, Any]]:
    """An open loop on a shard that answers in 2 ms and stands still at the end of each cycle."""
    rows = []
    for number in range(seconds * rate):
        due_s = number / rate
        into_s = due_s % every_s
        waits_s = max(0.0, every_s - into_s) if into_s > every_s - stall_s else 0.0
        rows.append(
            {
                "scheduled_ns": round(due_s * S),
                "service_ns": 2 * MS,
                "transport_ns": round(waits_s * S),
                "shard": shard,
            }
        )
    return rows


def found_in(tables: Any, run_in_memory: Any, rows: list[dict[str, Any]], **more: Any):
    loadgen = tables.loadgen(more.pop("loadgen", []))
    run = {"plan": {"duration_s": 30.0}, "status": "complete"}
    times = read_operation_times(
        run_in_memory(run=run, files=[tables.file(rows, start_wall_ns=100 * S)])
    )
    return find_stalls(times, loadgen, in_process=more.pop("in_process", False))


@pytest.mark.parametrize(("stall_s", "every_s"), [(0.5, 2.0), (0.2, 1.0), (1.5, 10.0)])
def test_a_stall_is_named_with_its_length_and_how_often(tables, run_in_memory, stall_s, every_s):
    """Both are found to within the time between two operations."""
    rows = load(30, 100, stall_s=stall_s, every_s=every_s)
    found = found_in(tables, run_in_memory, rows)
    assert found["stalls"]
    assert found["shards"] == [0]
    assert found["count"] == pytest.approx(30 / every_s, abs=1)
    assert found["median_s"] == pytest.approx(stall_s, abs=0.015)
    assert found["every_s"] == pytest.approx(every_s, abs=0.02)
    assert "The store stalls: shard 0" in found["sentence"]
    assert f"one every {every_s:.1f} s" in found["sentence"]


def test_a_stall_of_one_shard_is_not_hidden_by_another(tables, run_in_memory):
    """Answers of a shard that goes on are no answers of the one that stands still."""
    rows = load(30, 50, stall_s=0.5, shard=1) + load(30, 50, shard=0)
    found = found_in(tables, run_in_memory, rows)
    assert found["stalls"]
    assert found["shards"] == [1]


def test_a_store_that_is_idle_does_not_stall(tables, run_in_memory):
    """Ten seconds between two operations are nobody's silence."""
    rows = [{"scheduled_ns": second * S, "service_ns": 2 * MS} for second in range(0, 30, 10)]
    found = found_in(tables, run_in_memory, rows)
    assert not found["stalls"]
    assert found["count"] == 0
    assert found["longest_s"] == pytest.approx(0.002)


def test_a_store_that_is_slow_all_the_time_does_not_stall(tables, run_in_memory):
    """Half a second for each operation is its pace, which other figures show."""
    rows = [{"scheduled_ns": number * S, "service_ns": S // 2} for number in range(30)]
    assert not found_in(tables, run_in_memory, rows)["stalls"]


def test_one_short_pause_is_no_stall(tables, run_in_memory):
    """It has to be often, or long; the sentence has the longest."""
    found = found_in(tables, run_in_memory, load(30, 100, stall_s=0.3, every_s=20.0))
    assert found["count"] == 1
    assert not found["stalls"]
    assert "300 ms" in found["sentence"] or "29" in found["sentence"]


def test_one_long_pause_is_a_stall(tables, run_in_memory):
    """A second without an answer is said, though it happened once."""
    found = found_in(tables, run_in_memory, load(30, 100, stall_s=1.5, every_s=20.0))
    assert found["stalls"]
    assert "once" in found["sentence"]
    assert found["every_s"] is None


def test_what_held_up_the_load_generator_is_no_stall_of_the_store(tables, run_in_memory):
    """Answers cannot be seen while the event loop stands still."""
    rows = load(30, 100, stall_s=0.5)
    loadgen = [{"at_ns": (2 * n + 2) * S, "lag_ns": 450 * MS} for n in range(15)]
    assert found_in(tables, run_in_memory, rows)["stalls"]
    assert not found_in(tables, run_in_memory, rows, loadgen=loadgen)["stalls"]


def test_stores_in_the_agents_processes_are_looked_at_by_process(tables, run_in_memory):
    """Their shards all have the number 0."""
    run = {"plan": {"duration_s": 30.0}, "status": "complete"}
    files = [
        tables.file(load(30, 50), cohort=0, start_wall_ns=0),
        tables.file(load(30, 50, stall_s=0.5), cohort=1, start_wall_ns=0),
    ]
    times = read_operation_times(run_in_memory(run=run, files=files))
    found = find_stalls(times, tables.loadgen([]), in_process=True)
    assert found["shards"] == [1]


def test_nothing_sent_shows_nothing(tables, run_in_memory):
    """Operations that never went to a shard do not tell of it."""
    rows = [{"scheduled_ns": 0, "shard": -1, "attempts": 0, "outcome": "timeout"}]
    found = found_in(tables, run_in_memory, rows)
    assert not found["stalls"]
    assert found["longest_s"] is None

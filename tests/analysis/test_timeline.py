"""Series over time: what is counted where, by role and by node."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.analysis.operation_times import OperationTimes, read_operation_times
from harness.analysis.process_series import node_series, process_series
from harness.analysis.timeline import ENTRIES_MAX, series_by_node, time_edges_ns, time_series

S = 1_000_000_000
START_NS = 1_700_000_000 * S


def made(tables: Any, run_in_memory: Any, rows: list[dict[str, Any]], **plan: Any):
    """The operations of a run whose cohort began at START_NS."""
    run = {"plan": plan, "status": "complete"}
    return read_operation_times(
        run_in_memory(run=run, files=[tables.file(rows, start_wall_ns=START_NS)])
    )


def operation(due_s: float, took_s: float = 0.001, **more: Any) -> dict[str, Any]:
    return {"scheduled_ns": round(due_s * S), "service_ns": round(took_s * S), **more}


def test_operations_count_where_they_were_answered(tables, run_in_memory):
    """An answer belongs to the second it came in; a failed operation is no throughput."""
    rows = [operation(0.1), operation(0.9, 0.2), operation(1.5, outcome="error"), operation(2.9)]
    times = made(tables, run_in_memory, rows, duration_s=3.0)
    found = time_series(times, [], [])
    assert [one["t_s"] for one in found] == [0, 1, 2]
    assert [one["ops_s"] for one in found] == [1, 1, 1]
    assert [one["max_ms"] for one in found] == [1, 200, 1]
    assert found[1]["mean_ms"] == pytest.approx(100.5)


def test_a_percentile_of_few_operations_is_none(tables, run_in_memory):
    """A p95 takes 59 operations, as in a summary; more of them give it."""
    rows = [operation(n / 100, 0.001 * (n + 1)) for n in range(58)]
    rows += [operation(1 + n / 100, 0.002) for n in range(59)]
    found = time_series(made(tables, run_in_memory, rows, duration_s=2.0), [], [])
    assert found[0]["p95_ms"] is None
    assert found[1]["p95_ms"] == 2


def test_warm_up_is_in_no_entry(tables, run_in_memory):
    """Time counts from the end of the warm-up, and its operations do not."""
    rows = [operation(0.5, phase="warmup"), operation(2.5)]
    found = time_series(made(tables, run_in_memory, rows, warmup_s=2.0, duration_s=1.0), [], [])
    assert [one["ops_s"] for one in found] == [1]


def test_entries_are_bounded_and_end_with_the_run(tables, run_in_memory):
    """A long run has coarser entries; the last one reaches to the last answer."""
    times = made(tables, run_in_memory, [operation(0), operation(4_000, 2)], duration_s=4_001.0)
    edges = time_edges_ns(times)
    assert edges.size <= ENTRIES_MAX + 1
    assert edges[-1] == times.end_ns == START_NS + 4_002 * S
    assert np.diff(edges).max() < 1.5 * 7 * S + 1


def test_nothing_measured_has_no_entry(tables, run_in_memory):
    """A run without a row has a series without an entry."""
    times: OperationTimes = made(tables, run_in_memory, [])
    assert time_series(times, [], []) == []
    assert series_by_node(times, [], []) == {}


def samples(tables: Any) -> tuple[list[Any], list[Any]]:
    """Two nodes with a shard each, which use half a core and a quarter, for three seconds."""
    processes, nodes = [], []
    for node, share in (("a", 0.5), ("b", 0.25)):
        for tick in range(-1, 32):
            at_ns = START_NS + tick * S // 10
            processes.append(
                {
                    "node_id": node,
                    "wall_ns": at_ns,
                    "pid": 7,
                    "cpu_seconds": 5 + share * tick / 10,
                    "rss_bytes": 2_000,
                    "uss_bytes": 1_000 if tick % 5 == 0 else None,
                }
            )
            nodes.append(
                {
                    "node_id": node,
                    "wall_ns": at_ns,
                    "cpu_percent": 100 * share,
                    "memory_used_bytes": 10_000,
                    "disk_write_bytes": 1_000 * tick,
                    "network_sent_bytes": 100 * tick,
                    "network_received_bytes": 100 * tick,
                }
            )
    return (
        process_series(tables.processes(reversed(processes))),
        node_series(tables.nodes(reversed(nodes))),
    )


def test_resources_are_summed_over_nodes(tables, run_in_memory):
    """CPU and own memory of a role are of all its processes, bytes of all machines."""
    times = made(tables, run_in_memory, [operation(0), operation(2.9)], duration_s=3.0)
    found = time_series(times, *samples(tables))
    for entry in found:
        assert entry["cpu_percent"] == {"shard": pytest.approx(75, abs=0.01)}
        assert entry["memory_bytes"] == {"shard": 2_000}
        assert entry["disk_write_bytes_s"] == pytest.approx(20_000, abs=2)
        assert entry["network_bytes_s"] == pytest.approx(4_000, abs=2)
        assert entry["machine_cpu_percent"] == 37.5


def test_each_node_has_columns_of_its_own(tables, run_in_memory):
    """A node's columns have a value an entry, and its roles are those of its own processes."""
    times = made(tables, run_in_memory, [operation(0), operation(2.9)], duration_s=3.0)
    found = series_by_node(times, *samples(tables))
    assert set(found) == {"a", "b"}
    assert found["a"]["roles"]["shard"]["cpu_percent"] == pytest.approx([50] * 3, abs=0.01)
    assert found["b"]["roles"]["shard"]["cpu_percent"] == pytest.approx([25] * 3, abs=0.01)
    assert found["b"]["disk_write_bytes_s"] == pytest.approx([10_000] * 3, abs=1)
    assert found["b"]["cpu_percent"] == [25] * 3


def test_a_process_that_has_gone_holds_nothing(tables):
    """Its memory counts until its last sample, and its CPU stands still."""
    rows = [
        {"wall_ns": tick * S, "rss_bytes": 500, "cpu_seconds": tick / 2} for tick in range(1, 4)
    ]
    (one,) = process_series(tables.processes(rows))
    moments = np.array([2, 3, 10]) * S
    assert one.memory_bytes_at(moments).tolist() == [500, 500, 0]
    assert one.cpu_seconds_at(moments).tolist() == [1, 1.5, 1.5]

"""The summary: rows add up to it, warm-up never counts, and its paths do not depend on the run."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from harness.analysis import summarise, summary_paths, summary_value
from harness.analysis.comparable_figures import with_derived
from harness.analysis.rows import TIMES
from harness.errors import UsageError
from harness.schema import OPERATIONS, SUCCESSES

MS = 1_000_000
S = 1_000 * MS
WALL_NS = 1_700_000_000_000_000_000


def _random_rows(rng, count, phase="measure"):
    for _ in range(count):
        due_ns = int(rng.integers(0, 5 * S))
        yield {
            "phase": phase,
            "agent": int(rng.integers(0, 40)),
            "op": str(rng.choice(OPERATIONS)),
            "shard": int(rng.integers(0, 2)),
            "scheduled_ns": due_ns,
            "started_ns": due_ns + int(rng.integers(0, MS)),
            "queue_ns": int(rng.integers(0, 3 * MS)),
            "transport_ns": int(rng.integers(MS, 3 * MS)),
            "service_ns": int(rng.integers(1, MS)),
            "shard_wait_ns": int(rng.integers(0, MS)),
            "batch_ops": int(rng.integers(1, 60)),
            "attempts": int(rng.integers(1, 4)),
            "outcome": str(rng.choice(["ok", "ok", "ok", "not_found", "timeout", "error"])),
        }


@pytest.fixture
def mixed(tables, run_in_memory):
    """Two cohorts with warm-up and measured rows, and the measured rows as they are."""
    rng = np.random.default_rng(11)
    files, measured = [], []
    for cohort, start_wall_ns in enumerate([WALL_NS, WALL_NS + S]):
        rows = list(_random_rows(rng, 400))
        warmup = list(_random_rows(rng, 100, "warmup"))
        for row in warmup:
            row["service_ns"] = 100 * S
        metadata, table = tables.file(warmup + rows, cohort=cohort, start_wall_ns=start_wall_ns)
        files.append((metadata, table))
        start = {"start_wall_ns": start_wall_ns}
        measured += [row | start for row in table.to_pylist() if row["phase"] == "measure"]
    return run_in_memory(files=files), measured


def test_rows_add_up_to_the_summary(mixed):
    """Counts, outcomes, duration and throughput are those of the measured rows."""
    reader, rows = mixed
    summary = summarise(reader)
    outcomes = Counter(row["outcome"] for row in rows)
    failed = sum(count for name, count in outcomes.items() if name not in SUCCESSES)
    begin = min(row["start_wall_ns"] + row["started_ns"] for row in rows)
    end = max(row["start_wall_ns"] + row["finished_ns"] for row in rows)
    assert summary["operations"] == summary["all"]["count"] == len(rows) == 800
    assert {name: count for name, count in summary["outcomes"].items() if count} == outcomes
    assert summary["failed"] == failed
    assert summary["duration_s"] == pytest.approx((end - begin) / 1e9)
    assert summary["throughput_ops_s"] == pytest.approx((800 - failed) / summary["duration_s"])
    assert sum(summary[operation]["count"] for operation in OPERATIONS) == 800
    assert summary["attempts_max"] == max(row["attempts"] for row in rows)


def test_every_time_of_every_operation_is_that_of_its_rows(mixed):
    """Response, service, queueing, transport and shard wait agree with numpy, row by row."""
    reader, rows = mixed
    summary = summarise(reader)
    for time in TIMES:
        for operation in ("all", *OPERATIONS):
            chosen = [row for row in rows if operation in ("all", row["op"])]
            if time == "response":
                values = [row["finished_ns"] - row["scheduled_ns"] for row in chosen]
                figures = summary[operation]
            else:
                values = [row[f"{time}_ns"] for row in chosen]
                figures = summary[time][operation]
            assert figures["count"] == len(values)
            assert figures["mean_ms"] == pytest.approx(np.mean(values) / 1e6)
            assert figures["p90_ms"] == pytest.approx(np.percentile(values, 90) / 1e6)
            assert figures["max_ms"] == max(values) / 1e6


def test_batches_and_agents_come_from_the_measured_rows(mixed):
    """The mean batch is as operations see it, and agents are counted once over files."""
    reader, rows = mixed
    summary = summarise(reader)
    sizes = [row["batch_ops"] for row in rows]
    assert summary["batch_ops"]["mean"] == pytest.approx(np.mean(sizes))
    assert summary["batch_ops"]["p50"] == np.median(sizes)
    assert summary["agents"]["count"] == len({row["agent"] for row in rows})
    assert summary["agents"]["duration_max_s"] < 10


def test_warm_up_alone_is_no_measurement(tables, run_in_memory):
    """A run that never left warm-up sums up to zeros."""
    warmup = [{"phase": "warmup", "service_ns": MS, "outcome": "error", "attempts": 9}]
    summary = summarise(run_in_memory(files=[tables.file(warmup)]))
    assert (summary["operations"], summary["failed"], summary["attempts_max"]) == (0, 0, 0)
    assert summary["limit"]["kind"] == "nothing"


def test_no_rows_give_the_same_paths_without_values(mixed, run_in_memory):
    """An empty run has the paths of a full one, so thresholds can be checked before a run."""
    empty = summarise(run_in_memory(run={}))
    assert summary_paths(empty) == summary_paths(summarise(mixed[0]))
    assert empty["throughput_ops_s"] == 0.0
    assert empty["all"]["p99_ms"] is None
    assert empty["verdicts"][0]["sentence"] == "No operation was measured."


def test_a_summary_is_json_as_it_stands(mixed, run_in_memory):
    """Nothing of numpy and no NaN is in a summary, full or empty."""
    for reader in (mixed[0], run_in_memory()):
        summary = summarise(reader)
        assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_cpu_and_memory_are_set_against_operations(tables, run_in_memory):
    """1,000 operations for 1 s of CPU are 1,000 µs each, and 1,000 a CPU-second."""
    rows = [{"scheduled_ns": 2 * MS * n, "service_ns": 2 * MS} for n in range(1_000)]
    ticks = [
        {
            "wall_ns": WALL_NS + n * 200 * MS,
            "role": "shard",
            "cpu_percent": 50.0,
            "cpu_seconds": n * 0.1,
            "rss_bytes": 64 * 2**20,
            "uss_bytes": 10 * 2**20,
        }
        for n in range(20)
    ]
    summary = summarise(run_in_memory(files=[tables.file(rows)], process_rows=ticks))
    assert summary["duration_s"] == 2.0
    assert summary["cpu_us_per_operation"]["shard"] == pytest.approx(1_000.0)
    assert summary["cpu_us_per_operation"]["cohort"] is None
    assert summary["efficiency"]["operations_per_cpu_second"] == pytest.approx(1_000.0)
    assert summary["efficiency"]["operations_per_cpu_percent"] == pytest.approx(10.0)
    assert summary["efficiency"]["operations_per_mib"] == pytest.approx(100.0)


def test_a_run_too_short_to_measure_its_cpu_has_none(tables, run_in_memory):
    """0.3 s with a tick or two: no CPU for an operation, and nothing is "everything else"'s."""
    rows = [{"scheduled_ns": 2 * MS * n, "service_ns": 2 * MS} for n in range(150)]
    at_ns = [WALL_NS + n * 200 * MS for n in range(4)]
    processes = [
        {"wall_ns": wall_ns, "pid": pid, "role": role, "cpu_seconds": 1.0}
        for wall_ns in at_ns
        for pid, role in ((1, "cohort"), (2, "shard"))
    ]
    nodes = [{"wall_ns": wall_ns, "cpu_percent": 98.5} for wall_ns in at_ns]
    files = [tables.file(rows)]
    reader = run_in_memory(files=files, process_rows=processes, node_rows=nodes)
    summary = summarise(reader)
    assert summary["duration_s"] == pytest.approx(0.3)
    assert set(summary["cpu_us_per_operation"].values()) == {None}
    assert summary["efficiency"]["operations_per_cpu_second"] is None
    assert with_derived(summary)["cpu_us_per_operation"]["all"] is None
    assert summary["limit"]["kind"] == "machine"
    assert "everything else" not in summary["limit"]["sentence"]


def test_a_full_cohort_beside_idle_shards_is_named_and_stays_valid(tables, run_in_memory):
    """In the closed loop the load generator's own limit is a warning, first in the verdicts."""
    rows = [
        {"scheduled_ns": 2 * MS * n, "service_ns": 2 * MS, "batch_ops": 50} for n in range(1_000)
    ]
    ticks = [
        {"wall_ns": WALL_NS + n * 200 * MS, "pid": pid, "role": role, "cpu_seconds": n * share}
        for n in range(20)
        for pid, role, share in ((1, "cohort", 0.19), (2, "shard", 0.02))
    ]
    summary = summarise(run_in_memory(files=[tables.file(rows)], process_rows=ticks))
    assert summary["limit"]["kind"] == "load_generator"
    assert summary["verdicts"][0]["name"] == "limit"
    assert summary["verdicts"][0]["verdict"] == "warning"


def _open_loop(tables, run_in_memory, lag_ns):
    rows = [
        {"scheduled_ns": 10 * MS * n, "started_ns": 10 * MS * n + MS, "service_ns": MS}
        for n in range(1_000)
    ]
    lags = [{"at_ns": 10 * MS * n, "lag_ns": lag_ns} for n in range(1_000)]
    return summarise(
        run_in_memory(run={"plan": {"rate": 100.0}}, files=[tables.file(rows)], loadgen_rows=lags)
    )


def test_an_open_loop_has_its_schedule(tables, run_in_memory):
    """The offered and the achieved rate and the lag behind the schedule are there."""
    summary = _open_loop(tables, run_in_memory, MS)
    schedule = summary["schedule"]
    assert schedule["offered_rate_ops_s"] == 100.0
    assert schedule["achieved_rate_ops_s"] == pytest.approx(100.0, rel=0.01)
    assert (schedule["lag_p99_ms"], schedule["timer_lag_p99_ms"]) == (1.0, 1.0)
    assert summary["limit"]["kind"] == "schedule"
    assert all(verdict["verdict"] == "ok" for verdict in summary["verdicts"])


def test_response_time_counts_from_when_an_operation_was_due(tables, run_in_memory):
    """An operation issued 1 ms late with 1 ms of service took 2 ms."""
    summary = _open_loop(tables, run_in_memory, MS)
    assert summary["all"]["p50_ms"] == 2.0
    assert summary["service"]["all"]["p50_ms"] == 1.0


def test_an_open_loop_with_a_broken_schedule_is_invalid_first_of_all(tables, run_in_memory):
    """A lag of 60 ms makes INVALID the first verdict."""
    verdict = _open_loop(tables, run_in_memory, 60 * MS)["verdicts"][0]
    assert (verdict["name"], verdict["verdict"]) == ("validity", "invalid")


def test_damage_failures_and_interruption_are_verdicts(tables, run_in_memory):
    """Each thing that went wrong has a sentence with its figure."""
    rows = [{"service_ns": MS, "outcome": "ok"}] * 3 + [{"service_ns": MS, "outcome": "timeout"}]
    reader = run_in_memory(
        run={"plan": {}, "status": "interrupted"}, files=[tables.file(rows)], damaged_files=2
    )
    verdicts = {one["name"]: one for one in summarise(reader)["verdicts"]}
    assert verdicts["failures"]["sentence"] == "1 of 4 operations failed (25.00%): 1 timeout."
    assert "2 files" in verdicts["damaged_files"]["sentence"]
    assert "interrupted" in verdicts["completion"]["sentence"]
    assert {verdicts[name]["verdict"] for name in ("failures", "damaged_files", "completion")} == {
        "warning"
    }


def test_a_path_names_a_figure_and_a_bare_name_means_all(mixed):
    """Paths go by dots; a bare figure is of all operations; counts at the top are bare too."""
    summary = summarise(mixed[0])
    assert summary_value(summary, "search.p50_ms") == summary["search"]["p50_ms"]
    assert summary_value(summary, "p50_ms") == summary["all"]["p50_ms"]
    assert summary_value(summary, "failed") == summary["failed"]
    assert summary_value(summary, "service.all.p90_ms") == summary["service"]["all"]["p90_ms"]
    assert summary_value(summary, "search.p999_ms") is None


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("search.p98_ms", "search.p99_ms"),
        ("p98_ms", "p99_ms"),
        ("serch.p99_ms", "search.p99_ms"),
        ("search", "group"),
        ("limit.kind", "no such figure"),
        ("", "no such figure"),
        ("verdicts", "no such figure"),
        ("qqqqqqqqqq", "no such figure"),
    ],
)
def test_an_unknown_path_is_refused_with_what_is_near(run_in_memory, path, words):
    """A path that names no figure is a usage error that helps."""
    with pytest.raises(UsageError, match=words):
        summary_value(summarise(run_in_memory()), path)

"""Whether a run settled, from its rows: per second, over all cohorts, by all of its operations."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis import summarise
from harness.analysis.per_second import PerSecond

MS = 1_000_000
S = 1_000 * MS
WALL_NS = 1_700_000_000_000_000_000


def _rows(seconds, response_ms=lambda s: 2.0, rate=lambda s: 12, agent=0):
    """So many operations in each second; `seconds`, `response_ms` and `rate` by the second."""
    rng = np.random.default_rng(4)
    for second in range(seconds):
        for number in range(rate(second)):
            due_ns = second * S + number * S // rate(second)
            service_ns = int(response_ms(second) * MS * rng.uniform(0.9, 1.1))
            yield {"agent": agent, "scheduled_ns": due_ns, "service_ns": service_ns}


def _summary(tables, run_in_memory, *rows):
    files = [tables.file(one, cohort=cohort) for cohort, one in enumerate(rows)]
    return summarise(run_in_memory(files=files))


def _verdict(summary):
    return next(one for one in summary["verdicts"] if one["name"] == "steady")


def test_a_run_that_is_even_is_steady_from_the_start(tables, run_in_memory):
    """Every second like the others: settled, no warm-up, and the verdict is ok."""
    summary = _summary(tables, run_in_memory, _rows(80))
    assert (summary["steady"]["settled"], summary["steady"]["warmup_s"]) == (True, 0.0)
    assert _verdict(summary)["verdict"] == "ok"


def test_found_warm_up_is_reported_and_stays_in_the_counts(tables, run_in_memory):
    """Slow first 20 s are said to be warm-up, and each of their operations still counts."""
    slow_first = _rows(100, response_ms=lambda s: 9.0 if s < 20 else 2.0)
    summary = _summary(tables, run_in_memory, slow_first)
    assert summary["steady"]["settled"] is True
    assert summary["steady"]["warmup_s"] == pytest.approx(20, abs=5)
    assert "response time" in summary["steady"]["sentence"]
    assert summary["operations"] == summary["all"]["count"] == 1_200
    assert _verdict(summary)["verdict"] == "ok"


def test_a_run_that_slows_down_to_its_end_is_a_warning(tables, run_in_memory):
    """A response time that doubles over the run never settled, and the verdict says so."""
    summary = _summary(tables, run_in_memory, _rows(100, response_ms=lambda s: 2 + s / 50))
    assert summary["steady"]["settled"] is False
    assert summary["steady"]["warmup_s"] is None
    assert _verdict(summary)["verdict"] == "warning"
    assert "never settled" in _verdict(summary)["sentence"]


def test_throughput_counts_as_well(tables, run_in_memory):
    """Even response times do not hide a throughput that falls to the end."""
    summary = _summary(tables, run_in_memory, _rows(100, rate=lambda s: 30 - s // 5))
    assert summary["steady"]["settled"] is False
    assert "throughput" in summary["steady"]["sentence"]


def test_the_end_of_the_first_agents_is_no_change_of_level(tables, run_in_memory):
    """Agents that end after 70 of 100 s leave less to do, which is not held against the run."""
    summary = _summary(tables, run_in_memory, _rows(70), _rows(100, agent=1))
    assert summary["steady"]["settled"] is True


def test_a_short_run_is_not_judged(tables, run_in_memory):
    """A few seconds, or nothing at all, leave open whether the run settled; no warning."""
    for summary in (_summary(tables, run_in_memory, _rows(9)), _summary(tables, run_in_memory)):
        assert summary["steady"]["settled"] is None
        assert _verdict(summary)["verdict"] == "ok"


def test_seconds_add_up_over_files_and_leave_out_the_broken_ends():
    """Files of one time line give one series without its first and last second."""
    seconds = PerSecond()
    for first in (0, 2):
        ended_ns = WALL_NS + np.arange(first * 10, (first + 3) * 10) * (S // 10)
        seconds.add(ended_ns, np.full(30, (first + 1) * MS))
    at_s, counts, medians_ms = seconds.series()
    assert at_s.tolist() == [1.0, 2.0, 3.0]
    assert counts.tolist() == [10.0, 20.0, 10.0]
    assert medians_ms == pytest.approx([1.0, 1.0, 3.0], rel=0.05)


def test_a_second_without_operations_is_one_with_none():
    """A stall is seconds of 0 operations without a response time, not a gap in the series."""
    seconds = PerSecond()
    seconds.add(WALL_NS + np.array([0, 1, 5, 6]) * S, np.full(4, MS))
    at_s, counts, medians_ms = seconds.series()
    assert at_s.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert counts.tolist() == [1.0, 0.0, 0.0, 0.0, 1.0]
    assert np.isnan(medians_ms).tolist() == [False, True, True, True, False]


def test_a_bent_time_makes_no_table_of_centuries():
    """A row a year away leaves the series empty instead of filling the memory."""
    seconds = PerSecond()
    seconds.add(np.array([WALL_NS]), np.array([MS]))
    seconds.add(np.array([WALL_NS + 366 * 86_400 * S]), np.array([MS]))
    assert [part.size for part in seconds.series()] == [0, 0, 0]
    seconds = PerSecond()
    seconds.add(np.array([WALL_NS, WALL_NS + 366 * 86_400 * S]), np.array([MS, MS]))
    assert [part.size for part in seconds.series()] == [0, 0, 0]

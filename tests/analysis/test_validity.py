"""When a run is INVALID: the load generator's timer lag within the measured phase."""

from __future__ import annotations

import pytest

from harness.analysis.rows import Window
from harness.analysis.validity import LAG_LIMIT_MS, validity

MS = 1_000_000
WINDOWS = {0: Window(1_000 * MS, 11_000 * MS)}


def _lags(tables, *lags_ms, every_ms=10, begin_ms=1_000):
    return tables.loadgen(
        {"at_ns": (begin_ms + number * every_ms) * MS, "lag_ns": int(lag_ms * MS)}
        for number, lag_ms in enumerate(lags_ms)
    )


def test_a_quiet_load_generator_is_valid(tables):
    """Lags of 1 ms leave an open-loop run valid and give their p99."""
    found = validity(_lags(tables, *[1.0] * 1_000), WINDOWS, open_loop=True)
    assert found == {
        "valid": True,
        "reason": None,
        "timer_lag_p99_ms": 1.0,
        "timer_lag_samples": 1_000,
    }


def test_an_open_loop_run_over_the_limit_is_invalid_and_says_why(tables):
    """When 2% of the wake-ups were 80 ms late the run is INVALID, with the figure."""
    lags = _lags(tables, *[80.0 if number % 50 == 0 else 1.0 for number in range(1_000)])
    found = validity(lags, WINDOWS, open_loop=True)
    assert not found["valid"]
    assert "80.0 ms" in found["reason"]
    assert "50 ms" in found["reason"]


@pytest.mark.parametrize(("lag_ms", "valid"), [(LAG_LIMIT_MS, True), (LAG_LIMIT_MS + 0.1, False)])
def test_the_limit_itself_is_still_valid(tables, lag_ms, valid):
    """INVALID begins above the limit, not at it."""
    assert validity(_lags(tables, *[lag_ms] * 500), WINDOWS, open_loop=True)["valid"] is valid


def test_a_closed_loop_run_is_never_invalid(tables):
    """In the closed loop a slow load generator is a limit, not a broken schedule."""
    found = validity(_lags(tables, *[500.0] * 500), WINDOWS, open_loop=False)
    assert found["valid"]
    assert found["timer_lag_p99_ms"] == 500.0


def test_warm_up_lag_does_not_count(tables):
    """Wake-ups before the measured phase, or after it, are no reason for anything."""
    before = _lags(tables, *[900.0] * 50, begin_ms=0)
    assert validity(before, WINDOWS, open_loop=False)["timer_lag_samples"] == 0
    after = _lags(tables, *[9.0] * 50, begin_ms=12_000)
    assert validity(after, WINDOWS, open_loop=False)["timer_lag_samples"] == 0


def test_a_loop_held_up_to_beyond_the_end_counts(tables):
    """A wake-up after the measured phase that was due within it is one of its lags."""
    held = _lags(tables, 3_000.0, begin_ms=12_000)
    found = validity(held, WINDOWS, open_loop=True)
    assert (found["timer_lag_samples"], found["valid"]) == (1, False)


def test_few_samples_are_judged_by_the_largest(tables):
    """A short run is judged by its worst moment and not excused for being short."""
    assert not validity(_lags(tables, 1.0, 1.0, 60.0), WINDOWS, open_loop=True)["valid"]
    assert validity(_lags(tables, 1.0, 1.0, 40.0), WINDOWS, open_loop=True)["valid"]


def test_an_open_loop_run_without_a_watch_on_itself_is_invalid(tables):
    """With operations but no lag recorded, nothing shows that the schedule was kept."""
    found = validity(tables.loadgen([]), WINDOWS, open_loop=True)
    assert not found["valid"]
    assert "no timer lag" in found["reason"]


def test_a_run_that_measured_nothing_is_not_called_invalid(tables):
    """Without operations there is no number to withhold."""
    assert validity(tables.loadgen([]), {}, open_loop=True)["valid"]


def test_each_cohort_is_judged_on_its_own_clock(tables):
    """A cohort's wake-ups are held against its own window."""
    lags = tables.loadgen([{"cohort": 1, "at_ns": 5_000 * MS, "lag_ns": 90 * MS}])
    windows = WINDOWS | {1: Window(0, 1_000 * MS)}
    assert validity(lags, windows, open_loop=False)["timer_lag_samples"] == 0
    windows = WINDOWS | {1: Window(0, 6_000 * MS)}
    assert validity(lags, windows, open_loop=False)["timer_lag_samples"] == 1

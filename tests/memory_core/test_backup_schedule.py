"""Backups come at their times, one after the other, until asked to stop."""

from __future__ import annotations

import threading

from memory_core.backup_schedule import repeat


class Clock:
    """Time that goes on by what is waited for and by what backups take."""

    def __init__(self, durations: list[float], stop: threading.Event) -> None:
        self.now = 1_000.0
        self.begun: list[float] = []
        self._durations = durations
        self._stop = stop

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def take(self, number: int) -> None:
        assert number == len(self.begun) + 1
        self.begun.append(self.now - 1_000.0)
        self.now += self._durations[number - 1]
        if number == len(self._durations):
            self._stop.set()


def begun(durations: list[float], interval_s: float | None) -> tuple[list[float], int]:
    stop = threading.Event()
    clock = Clock(durations, stop)
    missed = repeat(clock.take, interval_s, stop, clock=clock, wait=clock.wait)
    return clock.begun, missed


def test_backups_begin_at_their_times():
    """The first comes at once, and how long one takes does not shift the others."""
    assert begun([1.0, 5.0, 0.0, 2.0], 10.0) == ([0.0, 10.0, 20.0, 30.0], 0)


def test_one_that_takes_too_long_is_followed_at_once():
    """What was due meanwhile is counted as missed, and times go on as they were."""
    assert begun([35.0, 1.0, 1.0], 10.0) == ([0.0, 35.0, 40.0], 2)
    assert begun([15.0, 1.0, 1.0], 10.0) == ([0.0, 15.0, 20.0], 0)


def test_without_an_interval_there_is_one():
    """One backup, and one that was asked to stop before it began takes none."""
    assert begun([1.0, 1.0], None) == ([0.0], 0)
    stop = threading.Event()
    stop.set()
    assert repeat(lambda _: None, 1.0, stop) == 0

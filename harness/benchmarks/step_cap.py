"""A bound on the time that agents have in one step; the benchmark goes on when it is over.

What counts is the time from when agents begin: a machine that is busy with other things takes long
to start processes, which is not the store's. The start has a bound of its own.
"""

from __future__ import annotations

import time

from harness.live.progress import Progress
from harness.live.view import View, Views
from harness.prepared import StopRequest

__all__ = ["START_S", "StepCap"]

START_S = 300.0


class StepCap(StopRequest):
    """Asks for the end of a step when its time is over, or when the benchmark's end is asked for.

    Args:
        stop: of the benchmark.
        time_s: that agents may take, from when they begin.
    """

    def __init__(self, stop: StopRequest, time_s: float) -> None:
        super().__init__()
        self._stop = stop
        self._time_s = time_s
        self._begun = False
        self._until_s = time.monotonic() + START_S

    @property
    def requested(self) -> bool:
        """Whether the end was asked for."""
        return super().requested or self._stop.requested or time.monotonic() >= self._until_s

    def begin(self) -> None:
        """Agents have begun. Only the first call counts."""
        if not self._begun:
            self._begun = True
            self._until_s = time.monotonic() + self._time_s

    def seen_through(self, view: View) -> View:
        """A view that shows the step on another, and learns from it when agents begin."""
        return Views([_Beginning(self), view])


class _Beginning(View):
    def __init__(self, cap: StepCap) -> None:
        self._cap = cap

    def update(self, progress: Progress) -> None:
        if progress.phase == "measuring":
            self._cap.begin()

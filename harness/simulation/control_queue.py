"""The control actor's queue, simulated: cohorts that report and send files, each waiting for it.

A cohort reports a quarter of a second after its last report was answered, and sends its files a
second after its last were taken; so a control actor that is too slow slows them down, as a closed
system does.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from harness.simulation.control_plane import (
    FILE_INTERVAL_S,
    FILES_AT_ONCE,
    REPORT_INTERVAL_S,
    ControlCosts,
    Scale,
)
from harness.simulation.events import Events, FifoServer

__all__ = ["ControlDelays", "simulate_control"]


@dataclass(frozen=True, kw_only=True)
class ControlDelays:
    """What cohorts and the driver wait for the control actor.

    Attributes:
        report_interval_s: between two reports of a cohort, which are to be a quarter apart.
        file_wait_s: until a file is taken.
        answer_s: until a question of the driver's, such as the stop, is answered.
        busy_ratio: of the control actor's time.
    """

    report_interval_s: float
    file_wait_s: float
    answer_s: float
    busy_ratio: float


def simulate_control(
    scale: Scale, costs: ControlCosts | None = None, *, duration_s: float = 20.0, seed: int = 1
) -> ControlDelays:
    """Simulate the control actor of a run of this size, after a warm-up."""
    run = _ControlRun(scale, costs or ControlCosts(), random.Random(seed))
    run.events.run(duration_s / 4)
    run.forget()
    run.events.run(duration_s * 5 / 4)
    return run.delays(duration_s)


class _ControlRun:
    def __init__(self, scale: Scale, costs: ControlCosts, numbers: random.Random) -> None:
        self.events = Events()
        self._server = FifoServer(self.events)
        self._message_s = costs.message_s
        of_cohort = scale.rate_ops_s / scale.cohorts * costs.row_bytes * FILE_INTERVAL_S
        self._file_s = costs.message_s + of_cohort * costs.file_s_a_byte / FILES_AT_ONCE
        self._cohorts = scale.cohorts
        for _ in range(scale.cohorts):
            self.events.after(numbers.random() * REPORT_INTERVAL_S, self._report)
            for _ in range(FILES_AT_ONCE):
                self.events.after(numbers.random() * FILE_INTERVAL_S, self._file)
        self.events.after(0.0, self._ask)
        self.forget()

    def forget(self) -> None:
        self._reports, self._busy_s = 0, self._server.busy_s
        self._file_waits_s: list[float] = []
        self._answers_s: list[float] = []

    def delays(self, duration_s: float) -> ControlDelays:
        never = duration_s * 5 / 4
        return ControlDelays(
            report_interval_s=duration_s * self._cohorts / max(self._reports, 1),
            file_wait_s=_mean(self._file_waits_s, never),
            answer_s=_mean(self._answers_s, never),
            busy_ratio=min(1.0, (self._server.busy_s - self._busy_s) / duration_s),
        )

    def _report(self) -> None:
        self._server.serve(lambda _: self._message_s, self._reported, None)

    def _reported(self, _: None) -> None:
        self._reports += 1
        self.events.after(REPORT_INTERVAL_S, self._report)

    def _file(self) -> None:
        self._server.serve(lambda _: self._file_s, self._taken, self.events.now_s)

    def _taken(self, sent_s: float) -> None:
        self._file_waits_s.append(self.events.now_s - sent_s)
        self.events.after(FILE_INTERVAL_S, self._file)

    def _ask(self) -> None:
        self._server.serve(lambda _: self._message_s, self._answered, self.events.now_s)

    def _answered(self, asked_s: float) -> None:
        self._answers_s.append(self.events.now_s - asked_s)
        self.events.after(REPORT_INTERVAL_S, self._ask)


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise

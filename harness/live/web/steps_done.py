"""A benchmark's steps as the live page tells them: the current one, what each gave, time left."""

from __future__ import annotations

from typing import Any

from harness.live.web.summary_figures import Figures

__all__ = ["STEPS_MAX", "StepsDone"]

STEPS_MAX = 200


class StepsDone:
    """The steps so far. Of more than `STEPS_MAX` that have ended, the newest are kept.

    Attributes:
        current: the name of the step that is under way, or None.
    """

    def __init__(self) -> None:
        self.current: str | None = None
        self._name: str | None = None
        self._number = self._planned = 0
        self._done: list[dict[str, Any]] = []
        self._began_s = 0.0
        self._took_s: list[float] = []
        self._is_over = False

    def begin(self, name: str, number: int, planned: int, at_s: float) -> None:
        """A step begins; one that has not ended by then is told as one that gave nothing."""
        if self.current is not None:
            self.end("unknown", {}, at_s)
        if number <= 1:  # another benchmark of the same command
            self._took_s.clear()
        self.current = self._name = name
        self._number, self._planned, self._began_s = number, planned, at_s
        self._is_over = False

    def end(self, status: str, figures: Figures, at_s: float) -> None:
        """The current step has ended."""
        self._done.append(
            {
                "name": self.current,
                "status": status,
                "throughput_ops_s": figures.get("throughput_ops_s"),
                "p50_ms": figures.get("all.p50_ms"),
                "p99_ms": figures.get("all.p99_ms"),
            }
        )
        del self._done[:-STEPS_MAX]
        self._took_s.append(max(0.0, at_s - self._began_s))
        self.current = None

    def finish(self, status: str, at_s: float) -> None:
        """The command has ended, and with it a step that was under way; none is to come."""
        if self.current is not None:
            self.end(status, {}, at_s)
        self._is_over = True

    def told(self, at_s: float) -> dict[str, Any] | None:
        """As the stream has it; None as long as there was no step.

        ``done`` and ``left`` are of the current benchmark, ``steps_done`` of all of a command.
        """
        if self._name is None:
            return None
        is_to_come = self._planned and not self._is_over
        return {
            "name": self._name,
            "number": self._number,
            "planned": self._planned,
            "began_s": round(self._began_s, 3),
            "running": self.current is not None,
            "done": max(0, self._number - (self.current is not None)),
            "left": max(0, self._planned - self._number) if is_to_come else 0,
            "steps_done": list(self._done),
            "eta_s": self.eta_s(at_s, None),
        }

    def eta_s(self, at_s: float, step_eta_s: float | None) -> float | None:
        """Time until the last step's end, if each takes as long as those before did on average.

        Args:
            at_s: now.
            step_eta_s: of the current step, where it is known: it takes that long at least.
        """
        if self._is_over or not self._planned or not self._took_s:
            return None
        mean_s = sum(self._took_s) / len(self._took_s)
        left_s = mean_s * max(0, self._planned - self._number)
        if self.current is not None:
            left_s += max(0.0, mean_s - (at_s - self._began_s), step_eta_s or 0.0)
        return round(left_s, 1)

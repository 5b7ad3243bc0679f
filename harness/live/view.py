"""What shows a run as it goes, and how several such things see the same run.

A command makes its views (`harness.commands.watching`); whoever carries out the run tells them:

    view.step("agents-10-1", 2, 12)      a benchmark's step, by its name, and its place among them
    view.begin(plan, agents)             the run, or the step, begins
    view.update(progress)                about four times a second
    view.event({"kind": "fault", ...})   as it is appended to ``events.jsonl``
    view.end(status, summary)            the run, or the step, has been summed up
    view.finish(status, summary, path)   the command's last word: the report is there

A view never fails a run: what it cannot show it leaves out, and it never keeps the caller waiting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.live.progress import Progress

__all__ = ["View", "Views"]


class View:
    """Something that shows a run as it goes; this one shows nothing.

    It is called by one thread, but for `event`, which comes from any.
    """

    def step(self, name: str, number: int, planned: int) -> None:
        """A step of a benchmark begins: the `number`th, from 1, of `planned`, 0 if not known."""

    def begin(self, plan: Mapping[str, Any], agents: int) -> None:
        """A run begins, or the run that a step is; the plan as ``run.json`` has it."""

    def update(self, progress: Progress) -> None:
        """Show a snapshot, or leave it out when the last one is recent enough."""

    def note(self, text: str) -> None:
        """Say something that stays, in a line of its own."""

    def event(self, event: Mapping[str, Any]) -> None:
        """Something happened, as ``events.jsonl`` tells it (``wall_ns``, ``kind``, ...)."""

    def end(self, status: str, summary: Mapping[str, Any]) -> None:
        """The run, or the step, has ended; its summary as ``summary.json`` has it.

        That is empty for a step that failed before anything of it was measured.
        """

    def finish(self, status: str, summary: Mapping[str, Any], path: Path) -> None:
        """The command is done but for its exit; `path` is its directory, with the report."""


class Views(View):
    """Tells several views the same, in their order."""

    def __init__(self, views: Sequence[View]) -> None:
        self._views = tuple(views)

    def step(self, name: str, number: int, planned: int) -> None:
        """See `View`."""
        for view in self._views:
            view.step(name, number, planned)

    def begin(self, plan: Mapping[str, Any], agents: int) -> None:
        """See `View`."""
        for view in self._views:
            view.begin(plan, agents)

    def update(self, progress: Progress) -> None:
        """See `View`."""
        for view in self._views:
            view.update(progress)

    def note(self, text: str) -> None:
        """See `View`."""
        for view in self._views:
            view.note(text)

    def event(self, event: Mapping[str, Any]) -> None:
        """See `View`."""
        for view in self._views:
            view.event(event)

    def end(self, status: str, summary: Mapping[str, Any]) -> None:
        """See `View`."""
        for view in self._views:
            view.end(status, summary)

    def finish(self, status: str, summary: Mapping[str, Any], path: Path) -> None:
        """See `View`."""
        for view in self._views:
            view.finish(status, summary, path)

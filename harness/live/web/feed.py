"""What the live page is told: from what a `View` is told to the messages of its stream.

Pure but for what it holds: clocks are passed in, nothing is encoded or sent. Each method gives
the messages that follow, as (name, data); `Feed.state` gives all that came before in one, so that
a page that joins late and one that has been there all along show the same. To that end whatever
is bounded (points, marks) is told anew as a state when something of it is left out.

Everything that comes from a plan, a path or an event becomes text and numbers that JSON has, of
bounded length.

`t` and `now_s` are seconds since the command began.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from harness.live.progress import Progress
from harness.live.web.plain_values import plain_value, text_of
from harness.live.web.points import POINTS_MAX, Points, slice_between
from harness.live.web.steps_done import StepsDone
from harness.live.web.summary_figures import Figures
from harness.report.run_report import plan_in_words
from harness.schema import SUCCESSES

__all__ = ["MARKS_MAX", "NODES_MAX", "STATE", "Feed", "Figures", "Message"]

Message = tuple[str, Mapping[str, Any]]

STATE: Message = ("state", {})
"""Stands for a whole state, with the points, at the time when it is sent."""

MARKS_MAX = 400
# Nodes whose samples are told one by one; the others are in the sums by role.
NODES_MAX = 16
# Snapshots come four times a second, so a point may come this much early, and not as much late.
_EARLY_S = 0.125
_KIND_MAX = 40
_FIELDS_MAX = 6


class Feed:
    """The history and the present of a command that measures.

    Args:
        command: as in ``run.json``.
        path: of its directory, as it is shown.
        started: when it began, ISO 8601.
        points_max: points that are kept, an even number.
    """

    def __init__(
        self, command: str, path: str, started: str, *, points_max: int = POINTS_MAX
    ) -> None:
        self._head = {
            "command": text_of(command),
            "path": text_of(path),
            "started": text_of(started),
        }
        self.points = Points(points_max)
        self._marks: list[dict[str, Any]] = []
        self._steps = StepsDone()
        self._nodes: dict[str, str] = {}
        self._plan: Mapping[str, Any] = {}
        self._plan_words = ""
        self._agents = 0
        self._status = "running"
        self._summary: Mapping[str, Any] | None = None
        self._end: Mapping[str, Any] | None = None
        self._now = Progress(elapsed_s=0.0, phase="starting")
        self._now_at_s = 0.0
        # Up to where points go, and the snapshot at that moment.
        self._told: Progress | None = None
        self._told_at_s = 0.0

    def step(self, name: str, number: int, planned: int, at_s: float) -> list[Message]:
        """See `View.step`."""
        rest = self._rest()
        self._steps.begin(text_of(name), number, planned, at_s)
        return [*rest, *self._mark("step", name, at_s), *self._told_steps(at_s)]

    def begin(self, plan: Mapping[str, Any], agents: int, at_s: float) -> list[Message]:
        """See `View.begin`: counters are from zero again, the time line goes on."""
        self._rest()
        self._plan = plain_value(plan)
        self._plan_words = text_of(
            plan_in_words({"command": self._head["command"], "plan": self._plan})
        )
        self._agents = agents
        self._told, self._told_at_s = None, max(at_s, self._told_at_s)
        self._now = Progress(elapsed_s=0.0, phase="starting", agents_total=agents)
        self._now_at_s = self._told_at_s
        if self._end is None:
            self._status, self._summary = "running", None
        return [STATE]

    def update(self, progress: Progress, at_s: float) -> list[Message]:
        """See `View.update`."""
        self._now, self._now_at_s = progress, max(at_s, self._told_at_s)
        messages = self._new_nodes(progress)
        if at_s - self._told_at_s < self.points.interval_s - _EARLY_S:
            return [*messages, ("now", self.now())]
        return [*messages, *self._rest()]

    def note(self, text: str, at_s: float) -> list[Message]:
        """See `View.note`."""
        return self._mark("note", text, at_s)

    def event(self, event: Mapping[str, Any], at_s: float) -> list[Message]:
        """See `View.event`."""
        return self._mark(text_of(event.get("kind", "event")), _words(event), at_s)

    def end(self, status: str, figures: Figures, at_s: float) -> list[Message]:
        """See `View.end`; of the summary, what `figures_of` takes of it."""
        messages = self._rest()
        if self._steps.current is not None:
            self._steps.end(text_of(status), figures, at_s)
            return [*messages, *self._told_steps(at_s)]
        if self._end is None:
            self._status = text_of(status)
            self._summary = figures
            found = {"status": self._status, "summary": self._summary}
            messages.append(("summary", found))
        return messages

    def finish(
        self, status: str, figures: Figures, *, report: bool, problem: str | None = None
    ) -> list[Message]:
        """See `View.finish`: the last message, but for pages that join after it.

        Args:
            status: of the command.
            figures: of its summary, as in `end`; empty where there is none.
            report: whether there is one to be fetched.
            problem: why the command broke off, in a sentence.
        """
        messages = self._rest()
        self._steps.finish(text_of(status), self._now_at_s)
        steps = self._told_steps(self._now_at_s) if self._steps.told(self._now_at_s) else []
        self._status = text_of(status)
        self._summary = figures or self._summary or {}
        self._end = {
            "status": self._status,
            "summary": self._summary,
            "report": report,
            "problem": None if problem is None else text_of(problem),
        }
        return [*messages, *steps, ("end", self._end)]

    def joining(self) -> list[Message]:
        """What a page is told that joins now."""
        return [STATE] if self._end is None else [STATE, ("end", self._end)]

    def state(self, at_s: float) -> dict[str, Any]:
        """All that came before but the points, which are `points.columns`; of `STATE`."""
        return {
            **self._head,
            "now_s": round(at_s, 3),
            "status": self._status,
            "step": self._steps.told(at_s),
            "plan": self._plan,
            "plan_words": self._plan_words,
            "agents": self._agents,
            "interval_s": self.points.interval_s,
            "marks": list(self._marks),
            "now": self.now(),
            "nodes": dict(self._nodes),
            "summary": self._summary,
        }

    def now(self) -> dict[str, Any]:
        """The present, as the snapshot has it."""
        now = self._now
        failures: Counter[str] = Counter()
        for (phase, _), counts in now.counts.items():
            if phase == "measure":  # as `Progress.failures` counts
                failures.update(counts.outcomes)
        return {
            "phase": text_of(now.phase),
            "elapsed_s": round(now.elapsed_s, 3),
            "agents_total": now.agents_total,
            "agents_started": now.agents_started,
            "agents_done": now.agents_done,
            "operations_done": now.operations_done,
            "operations_total": now.operations_total,
            "ops_per_s": now.ops_per_s,
            "p50_ms": now.p50_ms,
            "p99_ms": now.p99_ms,
            "failures": now.failures,
            "retries": now.retries,
            "in_flight": now.in_flight,
            "node_cpu_percent": now.node_cpu_percent,
            "eta_s": now.eta_s,
            "bench_eta_s": self._steps.eta_s(self._now_at_s, now.eta_s),
            "failures_by_outcome": {
                text_of(how): count
                for how, count in failures.items()
                if count and how not in SUCCESSES
            },
        }

    def _rest(self) -> list[Message]:
        """A point of what came since the last, if anything did."""
        span_s = self._now_at_s - self._told_at_s
        if span_s <= 0:
            return []
        one = slice_between(
            self._told, self._now, t_s=self._now_at_s, span_s=span_s, nodes=self._nodes
        )
        # of its nodes and histograms, what the next difference needs is still there
        self._told, self._told_at_s = self._now, self._now_at_s
        if len(self.points) and span_s < self.points.interval_s / 2:
            # The last that cohorts report comes at once: of so short a time a rate says nothing.
            self.points.extend(one)
            return [STATE]
        if self.points.add(one):
            return [STATE]
        return [("point", {**self.points.last(), "now": self.now()})]

    def _told_steps(self, at_s: float) -> list[Message]:
        """The steps, and the present, which has the time that is left of them."""
        return [("step", self._steps.told(at_s) or {}), ("now", self.now())]

    def _new_nodes(self, progress: Progress) -> list[Message]:
        """Nodes that were not there yet, as far as they are told one by one."""
        found = len(self._nodes)
        for node in progress.nodes:
            key = text_of(node.node_id)
            if key not in self._nodes and len(self._nodes) < NODES_MAX:
                self._nodes[key] = text_of(node.host or node.node_id[:8])
        return [("nodes", dict(self._nodes))] if len(self._nodes) > found else []

    def _mark(self, kind: str, text: str, at_s: float) -> list[Message]:
        mark = {"t": round(at_s, 3), "kind": kind[:_KIND_MAX], "text": text_of(text)}
        self._marks.append(mark)
        if len(self._marks) > MARKS_MAX:
            del self._marks[: MARKS_MAX // 2]
            return [STATE]
        return [("mark", mark)]


def _words(event: Mapping[str, Any]) -> str:
    """An event in a line: a phase by its name, a fault as it was asked for."""
    kind = event.get("kind")
    if kind == "phase":
        return text_of(event.get("phase", ""))
    if kind == "fault":
        words = text_of(event.get("fault", "fault"))
        return words if event.get("done") else f"{words}: {text_of(event.get('problem', ''))}"
    details = [
        f"{text_of(name)} {text_of(value)}"
        for name, value in event.items()
        if name not in {"schema_version", "wall_ns", "kind"}
    ]
    return f"{text_of(kind)}: {', '.join(details[:_FIELDS_MAX])}" if details else text_of(kind)

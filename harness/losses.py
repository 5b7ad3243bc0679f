"""The driver's watch over its cohorts: who is silent, who is lost, and what was lost with them.

A cohort reports four times a second, and while it closes gives a sign of life every second.

silent    nothing was heard of it for `SILENT_S`; that is said, and nothing else happens: when it
          is heard of again, that is said too, and its agents have simply had a long wait
lost      its task ended without a result (its process or its node died); or the run should be
          over for `LOST_S`, and it was silent for as long: its time and the operations' deadline
          are up, or no cohort that can be heard of is left

Invariants
- A lost cohort is fenced before its rows are counted: the control actor takes nothing from it any
  more, and where it runs beside the driver its process is killed. So no row is counted twice, and
  none comes after the summary.
- Of a lost agent there is at most one row that it did not write: that of the operation in flight.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from harness.control import CohortReady, LastSeen
from harness.in_flight import Recorded, in_flight_columns
from harness.plan import RunPlan
from harness.rundir_reader import open_run
from harness.sinks import LocalSink, LostOpsWriter
from harness.trace import ReplaySlice, Trace

__all__ = ["LOST_S", "SILENT_S", "CohortWatch", "Loss", "hit_cohorts"]

SILENT_S = 10.0
LOST_S = 30.0


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """A cohort that was lost.

    Attributes:
        cohort: its number.
        first_agent: its agents are this one and those after it.
        agents: how many.
        node_id: where it ran.
        host: the node's address.
        at_s: when it was last heard of, in seconds from the opening of the barrier.
        noticed_s: when it was given up.
        cause: why, in words.
        expected: whether a fault that the plan asked for did it.
        in_flight_rows: rows that were written in its place.
        unrecorded_operations: measured operations that it had reported and that have no row.
        unrecorded_s: how long before its last report its last recorded operation ended, or it
            began where none was recorded; None without a report.
    """

    cohort: int
    first_agent: int
    agents: int
    node_id: str
    host: str
    at_s: float
    noticed_s: float
    cause: str
    expected: bool
    in_flight_rows: int = 0
    unrecorded_operations: int = 0
    unrecorded_s: float | None = None

    @property
    def sentence(self) -> str:
        """What happened, for ``problems``."""
        return f"cohort {self.cohort} {self.cause}"


class Tasks(Protocol):
    """The cohorts' tasks, as `harness.launch.Cohorts` has them."""

    died: dict[int, str]

    @property
    def running(self) -> set[int]:
        """Cohorts whose tasks have not ended."""

    def abandon(self, cohort: int) -> None:
        """Wait no more for a task, and end it."""


class CohortWatch:
    """Watches the cohorts of one run, from the opening of the barrier to their end.

    Args:
        plan: of the run.
        ranges: the agents of each cohort, as (first, last + 1).
        ready: the cohorts as they came to the barrier; after a stop, some may not have.
        hosts: the address of each node, by its id.
        driver_node_id: of the driver's node.
        lose: has the control actor take nothing more from a cohort.
        say: takes the kind of an event and its fields.

    Attributes:
        expected: cohorts that a fault of the plan hit, to be complete before `settle`: their loss
            is no failure of the run.
        losses: so far, in their order.
    """

    def __init__(
        self,
        plan: RunPlan,
        ranges: list[tuple[int, int]],
        ready: list[CohortReady],
        hosts: Mapping[str, str],
        driver_node_id: str,
        lose: Callable[[int], LastSeen],
        say: Callable[..., None],
    ) -> None:
        self.expected: set[int] = set()
        self.losses: list[Loss] = []
        self.places = {one.cohort: one for one in ready}
        self._plan = plan
        self._ranges = ranges
        self._hosts = hosts
        self._driver_node_id = driver_node_id
        self._lose = lose
        self._say = say
        self._silent: set[int] = set()
        self._last_seen: dict[int, LastSeen] = {}
        self._over_at_s: float | None = None

    @property
    def unexpected(self) -> list[Loss]:
        """The losses that no fault of the plan explains; known once they are settled."""
        return [loss for loss in self.losses if not loss.expected]

    def look(self, tasks: Tasks, silent_s: Mapping[int, float], elapsed_s: float) -> None:
        """Note who is silent, and give up who is lost.

        Args:
            tasks: the cohorts' tasks.
            silent_s: how long ago each was last heard of that is late.
            elapsed_s: since the barrier opened.
        """
        for cohort, cause in sorted(tasks.died.items()):
            if cohort not in self._last_seen:
                self._give_up(cohort, f"died: {cause}", elapsed_s)
        silent = {cohort for cohort in tasks.running if silent_s.get(cohort, 0.0) >= SILENT_S}
        for cohort in sorted(silent - self._silent):
            self._say("silent", what=f"cohort {cohort}", for_s=round(silent_s[cohort], 3))
        for cohort in sorted((self._silent - silent) & tasks.running):
            self._say("heard again", what=f"cohort {cohort}")
        self._silent = silent
        overdue_s = self._overdue_s(tasks, elapsed_s)
        for cohort in sorted(silent):
            if min(overdue_s, silent_s[cohort]) >= LOST_S:
                self.give_up(tasks, cohort, silent_s[cohort], elapsed_s)

    def give_up(self, tasks: Tasks, cohort: int, silent_s: float, elapsed_s: float) -> None:
        """Give up a cohort whose task has not ended."""
        cause = "did not end"
        if silent_s >= SILENT_S:
            cause = f"was not heard of for {silent_s:.0f} s and did not end"
        tasks.abandon(cohort)
        self._kill(cohort)
        self._give_up(cohort, cause, elapsed_s)

    def give_up_all(self, tasks: Tasks, silent_s: Mapping[int, float], elapsed_s: float) -> None:
        """Give up every cohort whose task has not ended, as `look` has them."""
        for cohort in sorted(tasks.running):
            self.give_up(tasks, cohort, silent_s.get(cohort, 0.0), elapsed_s)

    def settle(self, path: Path, agents: int, trace: Trace | None) -> list[Loss]:
        """Write rows of what was in flight at the lost agents; the losses with all that is known.

        Args:
            path: the run directory.
            agents: of the run.
            trace: that the agents replay, if any.
        """
        self.losses = [
            msgspec.structs.replace(loss, expected=loss.cohort in self.expected)
            for loss in self.losses
        ]
        if self._plan.record:
            self.losses = [self._settled(loss, path, agents, trace) for loss in self.losses]
        return self.losses

    def _overdue_s(self, tasks: Tasks, elapsed_s: float) -> float:
        """For how long the run should be over."""
        if self._plan.duration_s is not None:
            planned_s = self._plan.warmup_s + self._plan.duration_s + self._plan.deadline_s
            return elapsed_s - planned_s
        if tasks.running - self._silent:
            self._over_at_s = None
            return 0.0
        if self._over_at_s is None:
            self._over_at_s = elapsed_s
        return elapsed_s - self._over_at_s

    def _give_up(self, cohort: int, cause: str, elapsed_s: float) -> None:
        seen = self._lose(cohort)
        self._last_seen[cohort] = seen
        first, last = self._ranges[cohort]
        place = self.places.get(cohort)
        node_id = "" if place is None else place.node_id
        loss = Loss(
            cohort=cohort,
            first_agent=first,
            agents=last - first,
            node_id=node_id,
            host=self._hosts.get(node_id, ""),
            at_s=round(max(elapsed_s - seen.silent_s, 0.0), 3),
            noticed_s=round(elapsed_s, 3),
            cause=cause,
            expected=False,
        )
        self.losses.append(loss)
        facts = msgspec.structs.asdict(loss)
        named = ("node_id", "host", "agents", "at_s", "cause")
        self._say("lost", what=f"cohort {cohort}", **{name: facts[name] for name in named})

    def _kill(self, cohort: int) -> None:
        """End a process that does not answer; one on another node cannot be reached by its id.

        Its task has not ended, so its id is still its own. That of one that never came to the
        barrier, for a store's opening hangs, is not known: Ray ends its task.
        """
        place = self.places.get(cohort)
        if place is not None and place.node_id == self._driver_node_id:
            with contextlib.suppress(OSError):
                os.kill(place.pid, signal.SIGKILL)

    def _settled(self, loss: Loss, path: Path, agents: int, trace: Trace | None) -> Loss:
        seen = self._last_seen[loss.cohort]
        if seen.report is None:
            return loss
        numbers = range(loss.first_agent, loss.first_agent + loss.agents)
        recorded, ended_ns = _recorded(path, loss.cohort, numbers)
        columns = in_flight_columns(
            self._plan,
            agents,
            recorded,
            max(seen.report.at_ns, ended_ns or 0),
            _states(trace, numbers),
        )
        start = (seen.report.start_wall_ns, seen.report.start_monotonic_ns)
        try:
            LostOpsWriter(LocalSink(path), loss.cohort, loss.node_id, *start).write(columns)
        except OSError:  # a full disk, which is told elsewhere
            return loss
        measured = sum(one.measured for one in recorded.values())
        unrecorded_ns = max(seen.report.at_ns - (ended_ns or 0), 0)
        return msgspec.structs.replace(
            loss,
            in_flight_rows=len(columns["agent"]),
            unrecorded_operations=max(seen.operations - measured, 0),
            unrecorded_s=round(unrecorded_ns / 1e9, 3),
        )


def hit_cohorts(events: Iterable[Mapping[str, Any]], nodes: Mapping[int, str]) -> set[int]:
    """The cohorts that faults hit which were carried out.

    Args:
        events: of faults, as ``events.jsonl`` has them.
        nodes: the node of each cohort.
    """
    hit: set[int] = set()
    for event in events:
        if event["done"] and event["what"] == "node":
            hit |= {cohort for cohort, node_id in nodes.items() if node_id == event["node_id"]}
        elif event["done"] and (event["what"], event["of"]) == ("process", "cohort"):
            hit.add(event["number"])
    return hit


def _states(trace: Trace | None, numbers: range) -> dict[int, int] | None:
    """How many states each agent replays."""
    if trace is None:
        return None
    replay = ReplaySlice.from_bytes(trace.slice_for(numbers))
    return {number: replay.state_count(number) for number in numbers}


def _recorded(path: Path, cohort: int, numbers: range) -> tuple[dict[int, Recorded], int | None]:
    """What was recorded of each agent of a cohort, and when its last operation ended."""
    found: dict[int, dict[str, Any]] = {number: {} for number in numbers}
    ended_ns: int | None = None
    for _, rows in open_run(path).cohort_batches(cohort, ("phase", "agent", "finished_ns")):
        counted = (
            rows.set_column(0, "phase", rows["phase"].cast(pa.string()))
            .group_by(["agent", "phase"])
            .aggregate([("finished_ns", "count"), ("finished_ns", "max")])
        )
        for row in counted.to_pylist():
            mine = found.setdefault(row["agent"], {})
            mine[row["phase"]] = mine.get(row["phase"], 0) + row["finished_ns_count"]
            mine["finished_ns"] = max(mine.get("finished_ns", 0), row["finished_ns_max"])
        latest = pc.max(rows["finished_ns"]).as_py()
        if latest is not None:
            ended_ns = max(ended_ns or 0, latest)
    return {
        number: Recorded(
            warmup=mine.get("warmup", 0),
            measured=mine.get("measure", 0),
            finished_ns=mine.get("finished_ns", 0),
        )
        for number, mine in found.items()
    }, ended_ns

"""The measured part of a run: from the opening of the start barrier until no agent lives any more.

The driver only watches meanwhile: the cohorts' tasks, their reports, the nodes, Ray's head. What
else a plan asks for (faults, backups) is begun here and ended here.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from harness.cohort import CohortResult
from harness.control import Snapshot
from harness.fault_injection import FaultInjection
from harness.head_watch import HeadWatch
from harness.launch import BackgroundRefresh, Cohorts, Controller
from harness.live.view import View
from harness.losses import CohortWatch, hit_cohorts
from harness.node_watch import NodeWatch
from harness.prepared import PreparedRun, StopRequest
from harness.progress_meter import ProgressMeter
from harness.run_backups import LAST_BACKUP_S, RunBackups
from harness.rundir import RunDirectory, Status
from harness.samplers import Samplers

__all__ = ["POLL_INTERVAL_S", "Measurement", "Started"]

POLL_INTERVAL_S = 0.25
_STOP_GRACE_S = 40.0
_COMPLAINTS_MAX = 5


@dataclass(frozen=True, kw_only=True)
class Started:
    """What was started for a run, and is there until its end."""

    controller: Controller
    cohorts: Cohorts
    samplers: Samplers | None
    nodes: NodeWatch
    head: HeadWatch
    injection: FaultInjection
    backups: RunBackups
    refresh: BackgroundRefresh


class Measurement:
    """Watches one run from the barrier's opening on.

    Attributes:
        has_begun: whether the barrier was opened, or a stop came before.
        measured_s: how long the slowest cohort's agents lived after the warm-up; known at the end.
        problems: what went wrong meanwhile, in sentences.
    """

    def __init__(
        self,
        prepared: PreparedRun,
        directory: RunDirectory,
        view: View,
        stop: StopRequest,
        meter: ProgressMeter,
    ) -> None:
        self._prepared = prepared
        self._directory = directory
        self._view = view
        self._stop = stop
        self._meter = meter
        self._restarts_seen = 0
        self._phase = ""
        self.has_begun = False
        self.measured_s = 0.0
        self.problems: list[str] = []

    def carry_out(self, started: Started, watch: CohortWatch) -> Status:
        """Open the barrier and watch until all cohorts have ended; how that went.

        Raises:
            HeadLostError: Ray's head is gone.
            RunFailedError: the control actor does not answer.
        """
        warmup_s = self._prepared.plan.warmup_s
        controller, cohorts = started.controller, started.cohorts
        self.tell_phase("warm-up" if warmup_s else "measuring")
        self._meter.begin()
        self.has_begun = True
        stopped_at: float | None = None
        if not self._stop.requested:
            controller.release()
            started.injection.begin()
        warm = not warmup_s
        while cohorts.running:
            cohorts.wait(POLL_INTERVAL_S)
            started.head.check()
            started.nodes.look()
            snapshot = controller.snapshot()
            watch.look(cohorts, snapshot.silent_s, self._meter.elapsed_s)
            if not warm and self._meter.elapsed_s >= warmup_s:
                warm = True
                self.tell_phase("measuring")
            if warm and not self._stop.requested:
                started.backups.begin()
            self._look_for_restarts(started, snapshot.retries)
            self._show(started, snapshot)
            if self._stop.requested and stopped_at is None:
                stopped_at = time.monotonic()
                self.tell_phase("stopping")
                started.injection.close()
                controller.stop()
            if stopped_at is not None and time.monotonic() - stopped_at > _STOP_GRACE_S:
                self.problems.append("cohorts did not stop in time and were ended")
                watch.give_up_all(cohorts, snapshot.silent_s, self._meter.elapsed_s)
        # Cohorts report once more when their agents have ended: now it is all there.
        self._show(started, controller.snapshot())
        started.injection.close()
        started.backups.close(0.0 if self._stop.requested else LAST_BACKUP_S)
        return self._conclude(cohorts, started.injection, watch)

    def tell_phase(self, name: str) -> None:
        """Note a phase of the run, and show it."""
        self._phase = name
        self._directory.append_event("phase", phase=name)
        self._view.update(self._meter.at(name))

    def _show(self, started: Started, snapshot: Snapshot) -> None:
        self._meter.take(snapshot, self._latest(started.samplers), started.nodes.hosts)
        self._view.update(self._meter.at(self._phase))

    def _look_for_restarts(self, started: Started, retries: int) -> None:
        """Sample the processes that serve now, if batches had to be sent again since."""
        if retries <= self._restarts_seen or started.samplers is None:
            return
        restarted = started.refresh.ask(self._prepared.target.processes)
        if restarted is not None:
            self._restarts_seen = retries
            started.samplers.watch(restarted)
            self._directory.append_event("retries", total=retries)

    def _latest(self, samplers: Samplers | None) -> list[dict[str, Any]]:
        """The newest samples; samplers that died meanwhile are told of."""
        if samplers is None:
            return []
        found = samplers.latest()
        while samplers.died:
            what = f"sampler of node {samplers.died.pop(0)}"
            self._directory.append_event("lost", what=what, cause="died")
            self.problems.append(f"the {what} died: there are no samples until another began")
        return found

    def _conclude(self, cohorts: Cohorts, injection: FaultInjection, watch: CohortWatch) -> Status:
        """Say what was lost and what went wrong, now that no agent lives any more."""
        nodes_of = {cohort: place.node_id for cohort, place in watch.places.items()}
        watch.expected |= hit_cohorts(injection.events, nodes_of)
        losses = watch.settle(self._directory.path, self._prepared.agents, self._prepared.trace)
        if losses:
            self._directory.write_run({"losses": [msgspec.to_builtins(loss) for loss in losses]})
        lived_s = max((one.lived_s for one in cohorts.results), default=0.0)
        self.measured_s = max(lived_s - self._prepared.plan.warmup_s, 0.0)
        self.problems += [loss.sentence for loss in watch.unexpected]
        self.problems += cohorts.errors
        self.problems += _complaints(cohorts.results)
        if self._stop.requested:
            return "interrupted"
        return "failed" if cohorts.errors or watch.unexpected else "complete"


def _complaints(results: Sequence[CohortResult]) -> list[str]:
    """What a store said of operations that failed for reasons of its own, in sentences."""
    said: Counter[str] = Counter()
    for one in results:
        said.update(one.complaints)
    return [
        f"{count:,} {'operation' if count == 1 else 'operations'} failed with: {words}"
        for words, count in said.most_common(_COMPLAINTS_MAX)
    ]

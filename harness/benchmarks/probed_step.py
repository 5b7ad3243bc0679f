"""A step of the memory-size benchmark: a run directory with samplers, phases, and a document.

Unlike a run, it does not start a store: that outlives it, and its memories with it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import Any

import msgspec

from harness.benchmarks.bench import Bench
from harness.benchmarks.prober_actor import ProberActor
from harness.launch import Controller
from harness.node_watch import NodeWatch
from harness.plan import RunPlan
from harness.progress_meter import ProgressMeter
from harness.rundir import RunDirectory
from harness.samplers import Samplers
from harness.targets.driven import WatchedProcess

__all__ = ["ProbedStep"]

_IDLE_CPU_PERCENT = 10.0
_IDLE_SAMPLES = 3
_SETTLE_POLL_S = 0.25


class ProbedStep:
    """A step that is under way.

    Args:
        bench: of which it is a step.
        name: of its folder.
        plan: of the benchmark.
        prober: that works for it.

    Attributes:
        directory: of the step.
        nodes: that it runs on.
    """

    def __init__(self, bench: Bench, name: str, plan: RunPlan, prober: ProberActor) -> None:
        bench.check_stop()
        bench.begin_step(name)
        self._bench = bench
        self._plan = plan
        self._prober = prober
        self.directory: RunDirectory = bench.directory.step(name)
        self.directory.write_run({"plan": plan.as_dict(), "agents": plan.agents})
        self.directory.on_event = bench.view.event
        bench.view.begin(plan.as_dict(), plan.agents or 1)
        session = bench.session.refreshed()
        self._controller = Controller(session, self.directory.path)
        self._samplers = Samplers(
            session, self._controller, self.directory.path, plan.sample_interval_s
        )
        self.nodes = NodeWatch(session, self._samplers, self.directory)
        self._meter = ProgressMeter(plan, plan.agents or 1, total=None)
        self._meter.begin()
        self._phase = "starting"
        self._told = False
        prober.begin(self._controller, self._controller.sink(session.node_id, self.directory.path))

    def watch(self, served: Iterable[WatchedProcess], prober_pid: int) -> None:
        """Sample the processes of the store, the prober, control and this one."""
        node_id = self._bench.session.node_id
        ours = {"cohort": prober_pid, "control": self._controller.pid(), "driver": os.getpid()}
        self._samplers.watch(
            [
                *served,
                *(
                    WatchedProcess(pid=pid, node_id=node_id, role=role, number=0)
                    for role, pid in ours.items()
                ),
            ]
        )

    def phase(self, name: str) -> None:
        """Say what comes now.

        Raises:
            BenchInterrupted: the end was asked for.
        """
        self._bench.check_stop()
        self._phase = name
        self.directory.append_event("phase", phase=name)
        self._show()

    def call(self, method: str, *arguments: Any, answer: type[Any] | None = None) -> Any:
        """Have the prober do something; a packed answer is unpacked as ``answer``.

        Raises:
            BenchInterrupted: the end was asked for.
            RunFailedError: the prober failed.
        """
        found = self._prober.call(method, *arguments, meanwhile=self._show)
        self._bench.check_stop()
        return found if answer is None else msgspec.msgpack.decode(found, type=answer)

    def settle(self, role: str, bound_s: float) -> dict[str, Any]:
        """Wait until the store's processes do nothing any more, or the bound; what was seen.

        What a load leaves to be done later (flushes, compaction, indexes) is done then.
        """
        began = time.monotonic()
        idle, percent = 0, None
        while idle < _IDLE_SAMPLES and time.monotonic() - began < bound_s:
            self._bench.check_stop()
            time.sleep(_SETTLE_POLL_S)
            self._show()
            roles = [one["roles"].get(role) for one in self._samplers.latest() if "roles" in one]
            known = [one["cpu_percent"] for one in roles if one and one["cpu_percent"] is not None]
            if known:
                percent = sum(known)
                idle = idle + 1 if percent < _IDLE_CPU_PERCENT else 0
        return {
            "settled": idle >= _IDLE_SAMPLES,
            "waited_s": time.monotonic() - began,
            "cpu_percent": percent,
        }

    def rest(self, duration_s: float) -> None:
        """Let the samplers see what there is."""
        until = time.monotonic() + duration_s
        while time.monotonic() < until:
            self._bench.check_stop()
            time.sleep(_SETTLE_POLL_S)
            self._show()

    def end(self) -> None:
        """End samplers and rows; the step's files are whole, and views have every count."""
        self._phase = "ending"
        self.directory.append_event("phase", phase=self._phase)
        try:
            self._prober.call("end", meanwhile=lambda: None)
            self._show()
        finally:
            self.nodes.finish()
            reports = [msgspec.to_builtins(report) for report in self._samplers.stop()]
            self.directory.write_run({"samplers": reports})

    def _show(self) -> None:
        if self._bench.stop.requested and not self._told:
            self._told = True
            self._controller.stop()
        self.nodes.look()
        samples = self._samplers.latest()
        self._meter.take(self._controller.snapshot(), samples, self.nodes.hosts)
        self._bench.view.update(self._meter.at(self._phase))

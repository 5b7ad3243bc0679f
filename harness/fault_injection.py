"""Carries out the faults of a plan while its run goes on.

The driver has a thread that waits for each fault's time, from the opening of the start barrier,
finds the process that is meant as it is by then, and has the node's injector
(`harness.node_injector`) signal it. Each fault becomes an event ``fault`` of the run, whether it
was done or not.

Invariants
- Only processes of the run are signalled, and the raylet of a node that a fault names; never on
  the driver's own node, which would be the end of the run itself.
- When the run is over, or is asked to stop, all that is stalled goes on, and nothing more is
  injected.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError

from harness.errors import RunFailedError
from harness.faults import OPTION, Fault
from harness.launch import BackgroundRefresh, pinned_to
from harness.node_injector import injector_actor
from harness.rundir import RunDirectory
from harness.targets.driven import WatchedProcess

__all__ = ["FaultInjection"]

_ANSWER_TIMEOUT_S = 30.0
_READY_TIMEOUT_S = 60.0
# A shard that was killed is looked for again this long: Ray takes a while to start it anew.
_FIND_S = 30.0
_FIND_INTERVAL_S = 0.25
_RELEASE_TIMEOUT_S = 10.0

_Key = tuple[str, int]


class FaultInjection:
    """The faults of one run. The driver calls `know`, `begin` and `close`, in this order.

    Args:
        faults: of the plan, in the order of their times.
        driver_node_id: the node that no fault may take down.
        directory: where events go.
        refresh: asks for the target's processes as they are now; it may wait, or raise.

    Attributes:
        events: of the faults so far, as ``events.jsonl`` has them.
    """

    def __init__(
        self,
        faults: Sequence[Fault],
        driver_node_id: str,
        directory: RunDirectory,
        refresh: Callable[[], list[WatchedProcess]],
    ) -> None:
        self.events: list[dict[str, Any]] = []
        self._faults = list(faults)
        self._driver_node_id = driver_node_id
        self._directory = directory
        self._refresh = refresh
        self._processes: dict[_Key, WatchedProcess] = {}
        self._injectors: dict[str, Any] = {}
        self._killed: set[_Key] = set()
        self._asking = BackgroundRefresh()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._begun_s = 0.0
        self._thread: threading.Thread | None = None

    def know(
        self,
        processes: Iterable[WatchedProcess],
        samplers: Callable[[], Iterable[WatchedProcess]],
    ) -> None:
        """Take note of the run's processes, and have injectors ready where faults will be.

        Args:
            processes: of the target and of the cohorts.
            samplers: asks for the samplers' processes, if there are faults at all.

        Raises:
            RunFailedError: an injector did not start.
        """
        if not self._faults:
            return
        self._note([*processes, *samplers()])
        nodes = set()
        for fault in self._faults:
            holder = self._processes.get((fault.of, fault.number))
            if holder is None:
                continue
            nodes.add(holder.node_id)
        try:
            ray.get(
                [self._show(node_id) for node_id in sorted(nodes)],
                timeout=_READY_TIMEOUT_S,
            )
        except RayError as error:
            raise RunFailedError(f"{OPTION}: what injects faults did not start: {error}") from None

    def begin(self) -> None:
        """The barrier is open: faults come at their times from now on."""
        self._begun_s = time.monotonic()
        if self._faults:
            self._thread = threading.Thread(target=self._run, name="faults", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Inject nothing more and let all that is stalled go on. Safe to call at any moment."""
        self._over.set()
        with self._lock:
            injectors, self._injectors = self._injectors, {}
        released = [injector.release.remote() for injector in injectors.values()]
        if released:
            ray.wait(released, num_returns=len(released), timeout=_RELEASE_TIMEOUT_S)
        for injector in injectors.values():
            with contextlib.suppress(RayError):
                ray.kill(injector)  # its hand then ends too, and what it holds goes on
        self._asking.close()
        if self._thread is not None:
            self._thread.join(_ANSWER_TIMEOUT_S)
            self._thread = None

    def _run(self) -> None:
        for fault in self._faults:
            if self._is_over_at(self._begun_s + fault.at_s):
                self._tell(fault, None, time.time_ns(), "the run was over before its time")
            else:
                self._carry_out(fault)

    def _is_over_at(self, at_s: float) -> bool:
        """Wait for a moment; whether the run was over by then.

        A shard that was killed is looked for meanwhile, so that its next fault is in time.
        """
        while not self._over.is_set():
            wait_s = at_s - time.monotonic()
            if wait_s <= 0:
                return False
            if self._killed and wait_s > _FIND_INTERVAL_S:
                self._over.wait(_FIND_INTERVAL_S)
                self._look_again()
            else:
                self._over.wait(wait_s)
        return True

    def _carry_out(self, fault: Fault) -> None:
        deadline_s = time.monotonic() + _FIND_S
        while True:
            wall_ns = time.time_ns()
            meant = self._meant(fault)
            try:
                problem = self._hit(fault, meant)
            except RayActorError:  # with its node; there is another when that is back
                problem = "its node, or what injects faults there, is gone"
                with self._lock:
                    self._injectors.pop(meant.node_id if meant else "", None)
            except (RayError, RunFailedError) as error:
                problem = " ".join(str(error).split())[:200]
            again = problem is not None and fault.of == "shard" and fault.what == "process"
            if not again or time.monotonic() > deadline_s:
                self._tell(fault, meant, wall_ns, problem)
                return
            if self._over.wait(_FIND_INTERVAL_S):
                self._tell(fault, meant, wall_ns, problem)
                return
            self._look_again()

    def _meant(self, fault: Fault) -> WatchedProcess | None:
        """The process that a fault is of, or whose node; None when it is not known."""
        with self._lock:
            holder = self._processes.get((fault.of, fault.number))
            if holder is None or fault.what != "sampler":
                return holder
            return self._processes.get((f"sampler {holder.node_id}", 0))

    def _hit(self, fault: Fault, meant: WatchedProcess | None) -> str | None:
        """Do it; None when it was done, else why not."""
        if meant is None:
            return f"{fault.text.partition(fault.action)[2].strip()} does not run"
        injector = self._injector(meant.node_id)
        if fault.what == "node":
            if meant.node_id == self._driver_node_id:  # a shard that has come there since
                return "that is the driver's own node, which is never taken down"
            return self._hit_node(fault, injector, meant.node_id)
        pids = [meant.pid]
        if fault.action == "stall":
            gone = _answer(injector.stall.remote(pids, fault.for_s))
        else:
            gone = _answer(injector.kill.remote(pids))
            if meant.role == "shard":
                self._killed.add((meant.role, meant.number))
        return f"{meant.role} of process {meant.pid} was gone already" if gone else None

    def _hit_node(self, fault: Fault, injector: Any, node_id: str) -> str | None:
        with self._lock:
            pids = [one.pid for one in self._processes.values() if one.node_id == node_id]
        if fault.action == "stall":
            _answer(injector.stall_node.remote(pids, fault.for_s))
            return None
        with contextlib.suppress(RayActorError):  # it went with its node, as it was to
            _answer(injector.kill_node.remote(pids))
        return None

    def _injector(self, node_id: str) -> Any:
        with self._lock:
            if self._over.is_set():
                raise RunFailedError("the run was over before it could be done")
            injector = self._injectors.get(node_id)
            if injector is None:
                injector = self._injectors[node_id] = (
                    injector_actor()
                    .options(scheduling_strategy=pinned_to(node_id), enable_task_events=False)
                    .remote()
                )
        return injector

    def _show(self, node_id: str) -> Any:
        """Show a node's injector the run's processes there; what to wait for."""
        injector = self._injector(node_id)
        with self._lock:
            pids = [one.pid for one in self._processes.values() if one.node_id == node_id]
        return injector.know.remote(pids)

    def _note(self, processes: Iterable[WatchedProcess]) -> None:
        with self._lock:
            for one in processes:
                if one.role in {"shard", "cohort"}:
                    key = one.role, one.number
                    if self._processes.get(key) != one:
                        self._killed.discard(key)
                    self._processes[key] = one
                elif one.role == "sampler":  # one on each node, all of them number 0
                    self._processes[f"sampler {one.node_id}", 0] = one

    def _look_again(self) -> None:
        """Ask the target what serves by now, in the background, and show the nodes what is new."""
        found = self._asking.ask(self._refresh)
        if found is None:
            return
        self._note(found)
        with contextlib.suppress(RayError, RunFailedError):
            ray.get(
                [self._show(node_id) for node_id in {one.node_id for one in found}],
                timeout=_ANSWER_TIMEOUT_S,
            )

    def _tell(
        self, fault: Fault, meant: WatchedProcess | None, wall_ns: int, problem: str | None
    ) -> None:
        event: dict[str, Any] = {
            "wall_ns": wall_ns,
            "fault": fault.text,
            "done": problem is None,
            "problem": problem,
            "t_s": time.monotonic() - self._begun_s,
            "answered_wall_ns": time.time_ns(),
            "for_s": fault.for_s,
            "action": fault.action,
            "what": fault.what,
            "of": fault.of,
            "number": fault.number,
            "node_id": None if meant is None else meant.node_id,
            "pid": None if meant is None else meant.pid,
        }
        self.events.append(event)
        with contextlib.suppress(OSError):  # a full disk does not end what injects faults on it
            self._directory.append_event("fault", **event)


def _answer(question: Any) -> Any:
    try:
        return ray.get(question, timeout=_ANSWER_TIMEOUT_S)
    except GetTimeoutError:
        raise RunFailedError("the node's injector did not answer") from None

"""The driver's side of the samplers: one actor pinned to each node, also to those that come late.

A node that never answers, or goes, holds nothing up: what is asked while a run goes on never
waits, and what waits has a bound for all nodes together.

A sampler that dies on a node that is there is started again, into files of its own, a few times:
counters run from the start of a process or a machine, so its gap costs a picture some seconds and
the figures nothing.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorUnschedulableError, RayActorError, RayError

from harness.clock_offsets import ClockOffset, Exchange, offset_of
from harness.launch import Controller, pinned_to
from harness.placement import Node
from harness.ray_session import RaySession
from harness.sampler import SamplerReport, sampler_actor
from harness.targets.driven import WatchedProcess

__all__ = ["Samplers"]

_ANSWER_TIMEOUT_S = 30.0
_EXCHANGES = 8
_EXCHANGE_TIMEOUT_S = 1.0
_RESTARTS_MAX = 3


class Samplers:
    """One sampler on each node. For one thread, but for `measure_clock` and `processes`.

    Attributes:
        lost: the nodes that are there, whose sampler was no more when it was to stop.
        died: the nodes whose sampler died while the run went on, once for each time; whoever looks
            at them takes them out.
    """

    def __init__(
        self, session: RaySession, controller: Controller, run_directory: Path, interval_s: float
    ) -> None:
        self.lost: list[str] = []
        self.died: list[str] = []
        self._restarts: Counter[str] = Counter()
        self._watched: dict[str, dict[int, WatchedProcess]] = {}
        self._controller = controller
        self._run_directory = run_directory
        self._interval_s = interval_s
        self._actors: dict[str, Any] = {}
        self._asked: dict[str, Any] = {}
        self._latest: dict[str, dict[str, Any]] = {}
        self._first_answers: dict[str, Any] = {}
        self._lock = threading.Lock()
        for node in session.nodes:
            self.join(node)

    def join(self, node: Node) -> None:
        """Sample a node from now on; does not wait."""
        self._start(node.node_id)

    def _start(self, node_id: str) -> None:
        actor = (
            sampler_actor()
            .options(scheduling_strategy=pinned_to(node_id), enable_task_events=False)
            .remote(
                self._controller.sink(node_id, self._run_directory),
                node_id,
                self._interval_s,
                part=self._restarts[node_id],
            )
        )
        with self._lock:
            self._actors[node_id] = actor
            self._first_answers[node_id] = actor.clock.remote()

    def leave(self, node_id: str) -> None:
        """Ask a node that went for nothing any more."""
        with self._lock:
            actor = self._actors.pop(node_id, None)
        self._latest.pop(node_id, None)
        self._asked.pop(node_id, None)
        if actor is not None:
            ray.kill(actor)

    def watch(self, processes: list[WatchedProcess]) -> None:
        """Sample processes from now on, each on its node; does not wait."""
        for process in processes:
            self._watched.setdefault(process.node_id, {})[process.pid] = process
            actor = self._actors.get(process.node_id)
            if actor is not None:
                actor.watch.remote(process.pid, process.role, process.number)

    def processes(self) -> list[WatchedProcess]:
        """The samplers' own processes, of those that answer; from any thread."""
        with self._lock:
            actors = dict(self._actors)
        asked = {actor.ping.remote(): node_id for node_id, actor in actors.items()}
        return [
            WatchedProcess(pid=pid, node_id=node_id, role="sampler", number=0)
            for node_id, (_, pid) in _answers(asked).items()
        ]

    def latest(self) -> list[dict[str, Any]]:
        """The newest sample of each node that has answered; never waits."""
        for node_id, actor in list(self._actors.items()):
            asked = self._asked.get(node_id)
            if asked is not None:
                done, _ = ray.wait([asked], timeout=0)
                if not done:
                    continue
                try:
                    self._latest[node_id] = ray.get(asked)
                except RayError as error:
                    self._latest.pop(node_id, None)
                    if isinstance(error, RayActorError) and self._start_again(node_id, error):
                        continue
            self._asked[node_id] = actor.latest.remote()
        return [sample for sample in self._latest.values() if sample]

    def _start_again(self, node_id: str, error: RayActorError) -> bool:
        """Start a sampler that died anew, unless its node is gone or it has died too often."""
        is_gone = isinstance(error, ActorUnschedulableError)
        if is_gone or self._restarts[node_id] >= _RESTARTS_MAX:
            return False
        self.died.append(node_id)
        self._restarts[node_id] += 1
        self._asked.pop(node_id, None)
        self._start(node_id)
        self.watch(list(self._watched.get(node_id, {}).values()))
        return True

    def measure_clock(self, node_id: str) -> ClockOffset | None:
        """A node's wall clock against this one's, by several exchanges; from any thread.

        Returns:
            None when its sampler has not begun yet, or is gone; waits a second or so at most.
        """
        with self._lock:
            actor = self._actors.get(node_id)
            first = self._first_answers.get(node_id)
        if actor is None or not _has_answered(first):
            return None
        exchanges: list[Exchange] = []
        deadline_s = time.monotonic() + _EXCHANGE_TIMEOUT_S
        with contextlib.suppress(RayError):
            while len(exchanges) < _EXCHANGES and time.monotonic() < deadline_s:
                exchanges.append(_exchange(actor))
        return offset_of(exchanges)

    def stop(self) -> list[SamplerReport]:
        """End the streams; the reports of those that still answer, in a bounded time for all."""
        stopping = {actor.stop.remote(): node_id for node_id, actor in self._actors.items()}
        reports = _answers(stopping)
        self.lost += [node_id for node_id in stopping.values() if node_id not in reports]
        for actor in self._actors.values():
            ray.kill(actor)
        with self._lock:
            self._actors.clear()
        return list(reports.values())


def _answers(asked: dict[Any, str]) -> dict[str, Any]:
    """What the nodes that answer answer, by node, in a bounded time for all together."""
    answers = {}
    if asked:
        done, _ = ray.wait(list(asked), num_returns=len(asked), timeout=_ANSWER_TIMEOUT_S)
        for ref in done:
            with contextlib.suppress(RayError):
                answers[asked[ref]] = ray.get(ref)
    return answers


def _has_answered(first: Any) -> bool:
    """Whether the actor runs: its first call waits until it does."""
    done, _ = ray.wait([first], timeout=0)
    if done:
        with contextlib.suppress(RayError):
            ray.get(first)
            return True
    return False


def _exchange(actor: Any) -> Exchange:
    """Ask a node for its clock; the time that passed here is the monotonic clock's."""
    sent_ns, began_ns = time.time_ns(), time.perf_counter_ns()
    node_ns: int = ray.get(actor.clock.remote(), timeout=_EXCHANGE_TIMEOUT_S)
    got_ns = sent_ns + time.perf_counter_ns() - began_ns
    return Exchange(sent_ns=sent_ns, received_ns=node_ns, answered_ns=node_ns, got_ns=got_ns)

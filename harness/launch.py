"""What a run starts on Ray, and how it ends it: control and cohorts; `harness.samplers` beside."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from harness.cohort import CohortResult, CohortSpec, cohort_task
from harness.control import LastSeen, Snapshot, control_actor
from harness.errors import RunFailedError
from harness.ray_session import RaySession
from harness.remote_put import RemotePut, reason
from harness.sinks import LocalSink, RemoteSink, Sink
from harness.targets.driven import WatchedProcess

__all__ = ["BackgroundRefresh", "Cohorts", "Controller", "pinned_to"]

_ANSWER_TIMEOUT_S = 30.0
# Every cohort waits at the barrier in a call of its own, and its release has to get in besides.
_CALLS_MAX = 10_000_000


def pinned_to(node_id: str) -> NodeAffinitySchedulingStrategy:
    """Ray's scheduling strategy that places on one node and on no other."""
    return NodeAffinitySchedulingStrategy(node_id, soft=False)


class Controller:
    """The driver's side of the control actor."""

    def __init__(self, session: RaySession, run_directory: Path) -> None:
        self.actor: Any = (
            control_actor()
            .options(
                scheduling_strategy=pinned_to(session.node_id),
                max_concurrency=_CALLS_MAX,
                enable_task_events=False,
            )
            .remote(str(run_directory.resolve()))
        )
        self._session = session

    def pid(self) -> int:
        """The actor's process, once it runs."""
        pid: int = _answer(self.actor.ping.remote())
        return pid

    def snapshot(self) -> Snapshot:
        """How far the cohorts are."""
        return msgspec.msgpack.decode(_answer(self.actor.snapshot.remote()), type=Snapshot)

    def connect(self, connection: bytes) -> None:
        """Tell the cohorts how to reach the store."""
        _answer(self.actor.connect.remote(connection))

    def release(self) -> None:
        """Let the cohorts start."""
        _answer(self.actor.release.remote())

    def stop(self) -> None:
        """Have the cohorts stop."""
        _answer(self.actor.stop.remote())

    def lose(self, cohort: int) -> LastSeen:
        """Take nothing from a cohort any more; what was last known of it."""
        return msgspec.msgpack.decode(_answer(self.actor.lose.remote(cohort)), type=LastSeen)

    def sink(self, node_id: str, run_directory: Path) -> Sink:
        """How a process of a node writes files of the run."""
        if node_id == self._session.node_id:
            return LocalSink(run_directory.resolve())
        return RemoteSink(RemotePut(self.actor))


def _answer(question: Any) -> Any:
    """What the control actor answers. Raises RunFailedError when it does not."""
    try:
        return ray.get(question, timeout=_ANSWER_TIMEOUT_S)
    except RayError as error:
        raise RunFailedError(f"the control actor does not answer: {reason(error)}") from None


class Cohorts:
    """The tasks that run the agents, each on its node.

    Attributes:
        results: of those that came to their end.
        errors: what went wrong in those.
        died: why the others' tasks ended, by cohort.
    """

    def __init__(self, specs: list[CohortSpec], node_ids: list[str], control: Any) -> None:
        task = cohort_task()
        self._running: dict[Any, int] = {
            task.options(scheduling_strategy=pinned_to(node_id), enable_task_events=False).remote(
                msgspec.msgpack.encode(spec), control
            ): spec.cohort
            for spec, node_id in zip(specs, node_ids, strict=True)
        }
        self.results: list[CohortResult] = []
        self.errors: list[str] = []
        self.died: dict[int, str] = {}

    @property
    def running(self) -> set[int]:
        """Cohorts whose tasks have not ended."""
        return set(self._running.values())

    def wait(self, timeout_s: float) -> None:
        """Wait until all have ended or the time is up, and take the results of those that have."""
        refs = list(self._running)
        done, _ = ray.wait(refs, num_returns=len(refs), timeout=timeout_s)
        for ref in done:
            cohort = self._running.pop(ref)
            try:
                result = msgspec.msgpack.decode(ray.get(ref), type=CohortResult)
            except RayError as error:
                self.died[cohort] = reason(error)
                continue
            self.results.append(result)
            if result.error is not None:
                ended = f"{result.failed_agents} agents ended early: " * (result.failed_agents > 0)
                self.errors.append(f"cohort {cohort}: {ended}{result.error}")

    def abandon(self, cohort: int) -> None:
        """Wait no more for a task, and end it; one that does not answer has to be killed."""
        for ref in [ref for ref, number in self._running.items() if number == cohort]:
            del self._running[ref]
            with contextlib.suppress(RayError):
                ray.cancel(ref, force=True)

    def cancel(self) -> None:
        """End the tasks that are still running, at once."""
        for ref in self._running:
            with contextlib.suppress(RayError):
                ray.cancel(ref, force=True)


class BackgroundRefresh:
    """Asks a target for its processes on a thread, one question at a time."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="refresh")
        self._asked: Any = None

    def ask(self, question: Any) -> list[WatchedProcess] | None:
        """The answer to an earlier question when there is one; asks anew when none is open."""
        answer = None
        if self._asked is not None and self._asked.done():
            if self._asked.exception() is None:
                answer = self._asked.result()
            self._asked = None
        elif self._asked is None:
            self._asked = self._executor.submit(question)
        return answer

    def close(self) -> None:
        """Let go of the thread."""
        self._executor.shutdown(wait=False, cancel_futures=True)

"""The driver's side of the prober, and what else a step that probes asks of Ray."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from harness.benchmarks.prober import Prober
from harness.databases import Databases
from harness.errors import RunFailedError, UsageError
from harness.launch import Controller, pinned_to
from harness.plan import RunPlan
from harness.ray_session import RaySession
from harness.sinks import Sink
from harness.targets.store_folder import store_folder

__all__ = ["ProberActor", "disk_usage_bytes"]

_START_TIMEOUT_S = 120.0


class ProberActor:
    """The prober in a process of its own, on the driver's node.

    Args:
        session: the connection to Ray.
        plan: of the benchmark.
        folder: for the kept vectors.
        prober: its class.
    """

    def __init__(
        self, session: RaySession, plan: RunPlan, folder: Path, prober: type[Prober] = Prober
    ) -> None:
        self._node_id = session.node_id
        self._actor: Any = (
            ray.remote(num_cpus=0, max_restarts=0)(prober)
            .options(scheduling_strategy=pinned_to(session.node_id), enable_task_events=False)
            .remote(plan.as_dict(), str(folder))
        )

    def connect(self, connection: bytes) -> int:
        """Open the session; the prober's process.

        Raises:
            RunFailedError: the store cannot be reached.
        """
        asked = self._actor.connect.remote(connection, self._node_id)
        try:
            pid: int = ray.get(asked, timeout=_START_TIMEOUT_S)
        except RayError as error:
            raise _failure(error) from None
        return pid

    def begin(self, controller: Controller, sink: Sink) -> None:
        """A step begins."""
        self.call("begin", controller.actor, sink, meanwhile=lambda: None)

    def call(self, method: str, *arguments: Any, meanwhile: Callable[[], None]) -> Any:
        """What a method of the prober returns; ``meanwhile`` is called a few times a second.

        Raises:
            RunFailedError: the prober died, or failed.
        """
        asked = getattr(self._actor, method).remote(*arguments)
        while True:
            done, _ = ray.wait([asked], timeout=0.25)
            if done:
                break
            meanwhile()
        try:
            return ray.get(asked)
        except RayError as error:
            raise _failure(error) from None

    def close(self) -> None:
        """End it; it lets go of the store first, if it still can."""
        try:
            ray.get(self._actor.close.remote(), timeout=10.0)
        except RayError:
            pass
        finally:
            ray.kill(self._actor)


def disk_usage_bytes(session: RaySession, databases: Databases) -> int:
    """What the files of a store's databases take up on the disks of all nodes that have some.

    Raises:
        RunFailedError: a node does not answer.
    """
    where = (databases.memory, None if databases.path is None else str(databases.path))
    total = 0
    measure = ray.remote(num_cpus=0, max_retries=0)(_usage_bytes)
    asked = []
    for node_id in {session.node_id, *databases.hosts}:
        if node_id == session.node_id:
            total += _usage_bytes(*where)
        else:
            asked.append(measure.options(scheduling_strategy=pinned_to(node_id)).remote(*where))
    try:
        return total + sum(ray.get(asked, timeout=_START_TIMEOUT_S))
    except RayError as error:
        raise _failure(error) from None


def _usage_bytes(memory: str, path: str | None) -> int:
    """Blocks that files have, of 512 bytes each; a file that goes meanwhile counts nothing."""
    total = 0
    for parent, _, names in os.walk(store_folder(memory, path)):
        for name in names:
            try:
                total += (Path(parent) / name).lstat().st_blocks * 512
            except OSError:
                continue
    return total


def _failure(error: RayError) -> Exception:
    if isinstance(error, RayTaskError) and isinstance(error.cause, UsageError):
        return error.cause
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = type(error).__name__ if not lines else lines[0]
    if isinstance(error, RayTaskError) and lines:
        reason = lines[-1]
    return RunFailedError(f"the prober failed: {reason}")

"""An adapter of `harness.targets.base` as the runner drives it."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from harness.errors import HarnessError, RunFailedError, UsageError, first_line
from harness.plan import RunPlan
from harness.targets.adapted_session import AdaptedSession
from harness.targets.awaited_calls import AwaitedCalls
from harness.targets.base import Capabilities, OpenStore, Ready, ServerProcess, Setup, Target
from harness.targets.call_threads import CallThreads
from harness.targets.driven import Placement, Prepared, WatchedProcess, target_document
from harness.targets.method_checks import check_methods, is_asynchronous
from harness.targets.store_folder import store_folder

__all__ = ["AdaptedTarget"]

_SHARED = "store"


class _Connection(msgspec.Struct, frozen=True):
    """What a cohort is told. ``machine`` is the driver's, whose files a shared store is in."""

    run_id: str
    path: str | None
    machine: str
    connection: dict[str, Any]


class AdaptedTarget:
    """A `harness.targets.driven.DrivenTarget` of an adapter.

    Args:
        target: the adapter, with its options.
        spec: as ``--target`` had it.
    """

    agents_are_threads = False
    auditable = False
    has_shards = False

    def __init__(self, target: Target[Any], spec: str) -> None:
        self.adapter = target
        self.name = spec
        self.description = target.description
        self.capabilities: Capabilities = target.capabilities
        self.in_process = not target.capabilities.server
        self._processes: list[WatchedProcess] = []
        self._is_ready = False

    def prepare(self, plan: RunPlan, placement: Placement) -> Prepared:
        """Start what the store needs on this machine."""
        ready = self._prepared(plan, placement)
        self._processes = [
            WatchedProcess(pid=one.pid, node_id=_this_node(), role="shard", number=number)
            for number, one in enumerate(ready.processes)
        ]
        capabilities = self.capabilities
        stores = "one, shared" if capabilities.shared else "one a cohort"
        return Prepared(
            connection=self._packed(placement, ready),
            processes=self.processes(),
            topology=target_document(
                name=self.name,
                version=ready.version,
                durability=ready.durability,
                settings=dict(ready.settings),
                capabilities=capabilities,
                in_process=self.in_process,
                stores="a server" if capabilities.server else stores,
            ),
        )

    def _prepared(self, plan: RunPlan, placement: Placement) -> Ready:
        """What the adapter prepared, in the store's folder if there is one for all processes."""
        if not (self.capabilities.shared or self.capabilities.server):
            # each process makes its own on its node, whose disk this machine may not have
            with tempfile.TemporaryDirectory(prefix="harness-") as scratch:
                return self._ready(_setup(plan, placement.run_id, Path(scratch)))
        path = None if placement.data_dir is None else str(placement.data_dir)
        folder = store_folder(placement.run_id, path) / _SHARED
        return self._ready(_setup(plan, placement.run_id, folder))

    def _ready(self, setup: Setup) -> Ready:
        try:
            ready: Any = self.adapter.prepare(setup)
        except HarnessError:
            raise
        except Exception as error:  # an adapter is somebody else's code
            raise RunFailedError(
                f"{self.name}: the store did not start: {_in_words(error)}"
            ) from error
        if not isinstance(ready, Ready):
            problem = f"{self.name}: prepare must give a Ready, not {type(ready).__name__}"
            raise RunFailedError(problem)
        _check_ready(self.name, ready)
        self._is_ready = True
        return ready

    def _packed(self, placement: Placement, ready: Ready) -> bytes:
        path = None if placement.data_dir is None else str(placement.data_dir)
        connection = _Connection(
            placement.run_id, path, socket.gethostname(), dict(ready.connection)
        )
        try:
            return msgspec.msgpack.encode(connection)
        except (TypeError, OverflowError, ValueError) as error:
            problem = f"{self.name}: Ready.connection must be of plain values: {error}"
            raise RunFailedError(problem) from None

    def processes(self) -> list[WatchedProcess]:
        """What was started for the store."""
        return list(self._processes)

    async def connect(self, plan: RunPlan, connection: bytes, cohort: int) -> AdaptedSession:
        """Open the store in this process.

        Raises:
            UsageError: what it gave is no store, or not with the methods that it has to have.
            RunFailedError: it could not be opened.
        """
        found = msgspec.msgpack.decode(connection, type=_Connection)
        capabilities = self.capabilities
        shared_files = capabilities.shared and not capabilities.server
        if shared_files and found.machine != socket.gethostname():
            problem = f"{self.name} is one store in files, which works on one machine only"
            raise UsageError("--target", problem)
        folder = store_folder(found.run_id, found.path)
        own = _SHARED if capabilities.shared else f"cohort-{cohort}"
        setup = _setup(plan, found.run_id, folder / own)
        session = AdaptedSession(capabilities, plan.deadline_s)

        def opened() -> OpenStore:
            return self.adapter.open(setup, found.connection)

        try:
            session.use(await self._caller(plan, session, opened))
        except HarnessError:
            raise
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                raise
            # what a store raises may not travel through Ray: its words do
            problem = f"{self.name}: the store could not be opened: {_in_words(error)}"
            raise RunFailedError(problem) from None
        return session

    async def _caller(
        self, plan: RunPlan, session: AdaptedSession, opened: Callable[[], OpenStore]
    ) -> CallThreads | AwaitedCalls:
        """What makes the calls, its store open and found good."""
        work = (self.capabilities, plan.dimension, plan.deadline_s, session.answered)
        if self.adapter.asynchronous:
            store = opened()
            check_methods(self.name, store, self.capabilities)
            if not is_asynchronous(store):
                problem = f"{self.name} says asynchronous, but {type(store).__name__} is plain"
                raise UsageError("--target", problem)
            return AwaitedCalls(store, *work)
        threads = CallThreads(opened, *work)
        store = await threads.open()
        try:
            check_methods(self.name, store, self.capabilities)
            if is_asynchronous(store):
                raise UsageError(
                    "--target",
                    f"{self.name}: the methods of {type(store).__name__} are async def; "
                    f"say so with asynchronous = True in {type(self.adapter).__name__}",
                )
        except UsageError:
            threads.refuse()
            raise
        threads.start()
        return threads

    def destroy(self) -> None:
        """End what was started.

        Raises:
            RunFailedError: it could not be ended; of a store that did not start that was said.
        """
        was_ready, self._is_ready = self._is_ready, False
        try:
            self.adapter.destroy()
        except Exception as error:  # an adapter is somebody else's code
            if was_ready:
                problem = f"{self.name}: it could not be ended: {_in_words(error)}"
                raise RunFailedError(problem) from error


def _setup(plan: RunPlan, run_id: str, folder: Path) -> Setup:
    folder.mkdir(parents=True, exist_ok=True)
    return Setup(
        run_id=run_id,
        folder=folder,
        dimension=plan.dimension,
        durability=plan.durability,
        deadline_s=plan.deadline_s,
    )


def _check_ready(name: str, ready: Any) -> None:
    """See that what a `Ready` says of its store can be written down. Raises RunFailedError."""
    texts: dict[str, Any] = {"version": ready.version, "durability": ready.durability}
    for field, text in texts.items():
        if not isinstance(text, str):
            problem = f"Ready.{field} must be a text, not {type(text).__name__}"
            raise RunFailedError(f"{name}: {problem}")
    for key, value in ready.settings.items():
        if not isinstance(value, str | int | float | bool | np.generic):
            problem = "Ready.settings must be of texts, numbers and booleans"
            raise RunFailedError(f"{name}: {problem}: {key} is a {type(value).__name__}")
    for one in ready.processes:
        if not isinstance(one, ServerProcess):
            problem = f"Ready.processes must be of ServerProcess, not {type(one).__name__}"
            raise RunFailedError(f"{name}: {problem}")


def _this_node() -> str:
    import ray

    if not ray.is_initialized():
        return ""
    node_id: str = ray.get_runtime_context().get_node_id()
    return node_id


def _in_words(error: BaseException) -> str:
    """The kind of an exception and the first line of its message."""
    return f"{type(error).__name__}: {first_line(error)}".removesuffix(": ")

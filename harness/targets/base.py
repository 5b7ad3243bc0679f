"""The target protocol: what a store has to offer to be driven.

A target lives in two places. In the driver it prepares the store and takes it down again; in
each cohort's process it opens a session, to which agents submit operations. What a session
needs to know crosses as bytes.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from harness.plan import RunPlan
from memory_core.client import Answer
from memory_core.operations import Retrieve, Search, Store

__all__ = ["BacksUp", "Placement", "Prepared", "Session", "Target", "WatchedProcess"]


@dataclass(frozen=True, kw_only=True)
class WatchedProcess:
    """A process of the target's that the samplers watch."""

    pid: int
    node_id: str
    role: str
    number: int


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where a run's target may work.

    Attributes:
        run_id: names what the target starts.
        data_dir: folder for its files, the same on every node; None is one named as `run_id` in
            each node's data root.
        shards: how many shards it is to have.
        node_ids: the node of each shard, with which it stays, as its data does.
        resumed: whether a store of this name may be there from before, which is gone on with.
    """

    run_id: str
    data_dir: Path | None
    shards: int
    node_ids: list[str]
    resumed: bool = False


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A store that is ready.

    Attributes:
        connection: what a cohort needs to open a session.
        processes: what serves, to be watched.
        topology: for ``run.json``.
    """

    connection: bytes
    processes: list[WatchedProcess] = field(default_factory=list)
    topology: dict[str, object] = field(default_factory=dict)


class Session(Protocol):
    """A cohort's way to the store. It belongs to one event loop."""

    @property
    def retries(self) -> int:
        """Batches that were sent again so far."""

    def submit(self, operation: Store | Retrieve | Search) -> Awaitable[Answer]:
        """Send an operation; awaiting it never raises, a failure is its result.

        Raises:
            memory_core.BadInputError: the operation is wrong; nothing was sent.
        """

    async def close(self) -> None:
        """Wait for what is in flight and let go of the store."""


@runtime_checkable
class BacksUp(Protocol):
    """What a target offers, too, whose store takes backups while it is driven."""

    def check_backup(self, uri: str) -> None:
        """In the driver, before anything starts: whether backups can go to a place.

        Raises:
            memory_core.BadInputError, memory_core.UnavailableError: they cannot.
        """

    def back_up(self, uri: str) -> dict[str, object]:
        """In the driver: take a backup of the prepared store.

        ``backup`` (its id), ``new_bytes`` and ``reused_bytes``, for the run's events.

        Raises:
            memory_core.MemoryCoreError: there is no backup.
        """


class Target(Protocol):
    """A kind of store.

    Attributes:
        name: as ``--target`` names it.
        description: in a line.
        in_process: the store works in the cohorts' own processes.
        auditable: whether a session answers what an audit asks (`harness.audit.AuditSession`);
            a target that lacks the attribute does not.
        agents_are_threads: agents are threads of one process, and what a session's `submit`
            gives never suspends; otherwise they are coroutines.
    """

    name: str
    description: str
    in_process: bool
    agents_are_threads: bool

    def prepare(self, plan: RunPlan, placement: Placement) -> Prepared:
        """In the driver, with Ray connected: start the store and wait until it serves.

        Raises:
            harness.errors.UsageError: the plan does not fit the target.
            harness.errors.RunFailedError: the store did not start.
        """

    def processes(self) -> list[WatchedProcess]:
        """In the driver: what serves now, for a store that may have been started again."""

    async def connect(self, plan: RunPlan, connection: bytes, cohort: int) -> Session:
        """In a cohort: open a session; ``cohort`` is -1 for one that audits a shared store."""

    def destroy(self) -> None:
        """In the driver: end what was started; nothing is left. Safe to call at any moment."""

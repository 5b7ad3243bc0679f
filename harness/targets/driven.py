"""What the harness drives: a target as the runner sees it, and a session as agents do.

An adapter of `harness.targets.base` is made into this by `harness.targets.adapted`; our own
targets, which pipeline by themselves, offer it as they are. A target lives in two places. In the
driver it prepares the store and takes it down again; in each cohort's process it opens a session,
to which agents submit operations. What a session needs to know crosses as bytes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from harness.plan import RunPlan
from harness.targets.base import Capabilities, Scalar
from memory_core.client import Answer
from memory_core.operations import Delete, Retrieve, Search, Store

__all__ = [
    "BacksUp",
    "DrivenTarget",
    "Placement",
    "Prepared",
    "Session",
    "WatchedProcess",
    "capability_words",
    "target_document",
]


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

    def submit(self, operation: Store | Retrieve | Search | Delete) -> Awaitable[Answer]:
        """Send an operation; awaiting it never raises, a failure is its result.

        Raises:
            memory_core.BadInputError: the operation is wrong; nothing was sent.
        """

    async def flush(self) -> None:
        """Have the store bring what waits to where it stays, after all that was issued.

        Raises:
            Exception: what the store raises.
        """

    async def statistics(self) -> Mapping[str, Scalar]:
        """What the store tells of itself; empty of one that tells nothing.

        Raises:
            Exception: what the store raises.
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


def capability_words(capabilities: Capabilities) -> list[str]:
    """What a store can do, in sorted words: ``batch``, ``delete`` and so on."""
    words = ("batch", "delete", "durable", "filter", "server", "shared")
    return [word for word in words if getattr(capabilities, word)]


def target_document(
    *,
    name: str,
    version: str,
    durability: str,
    settings: Mapping[str, Scalar],
    capabilities: Capabilities,
    in_process: bool,
    stores: str,
    holds: str = "unknown",
) -> dict[str, object]:
    """``topology.target`` of ``run.json``, in which analysis and reports read what was driven.

    Args:
        name: as ``--target`` has it, with options.
        version: of the store's library or server.
        durability: a sentence: what an acknowledgement means.
        settings: of the store.
        capabilities: of the target.
        in_process: whether the store works in the agents' processes.
        stores: how many there are: ``one a cohort``, ``one, shared``, ``a server``, or ``shards``.
        holds: what a memory takes of the memory of the store's process: that of ``memory_core``,
            ``nothing``, or ``unknown``.
    """
    return {
        "name": name,
        "version": version,
        "durability": durability,
        "settings": dict(settings),
        "capabilities": capability_words(capabilities),
        "in_process": in_process,
        "stores": stores,
        "holds": holds,
        "calls_at_once": capabilities.calls_at_once,
    }


class DrivenTarget(Protocol):
    """A kind of store.

    Attributes:
        name: as ``--target`` names it.
        description: in a line.
        in_process: the store works in the cohorts' own processes.
        capabilities: what the store can do; a target that lacks the attribute has none.
        has_shards: whether its store is spread over shards that the runner places; one that
            lacks the attribute has them unless it is ``in_process``.
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

"""The target ``threads``: our store in one process, whose agents are threads of that process.

What it is for is comparison: how far agents come under one interpreter's lock. Each operation is
a call of its own, as `memory_core.AgentMemorySystem` makes it, and threads that call at the same
moment share a commit.
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING

from harness.plan import RunPlan
from harness.targets.base import Capabilities, Scalar
from harness.targets.driven import Placement, Prepared, WatchedProcess
from harness.targets.own_store import own_document, store_statistics
from harness.targets.store_folder import connected_folder, store_connection
from memory_core.client import Answer, BatchTiming
from memory_core.errors import MemoryCoreError
from memory_core.operations import Delete, Inspect, Retrieve, Search, Store
from memory_core.results import Failure

if TYPE_CHECKING:
    from memory_core import MemoryStore

__all__ = ["ThreadsTarget"]


class ThreadsSession:
    """A session for threads: what `submit` gives blocks the thread that awaits it."""

    retries = 0

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def submit(self, operation: Store | Retrieve | Search | Delete) -> Answer:
        """See `harness.targets.driven.Session`. Safe from many threads; never suspends."""
        sent_ns = perf_counter_ns()
        try:
            [result], began_ns, durable_ns = self._store.execute_timed((operation,))
        except MemoryCoreError as error:
            timing = BatchTiming(0, 1, 1, sent_ns, 0, perf_counter_ns() - sent_ns)
            return Answer(Failure.of(error), timing)
        wait_ns = max(began_ns - sent_ns, 0)
        return Answer(result, BatchTiming(0, 1, 1, sent_ns, wait_ns, durable_ns - began_ns))

    async def flush(self) -> None:
        """What is acknowledged is where it stays."""

    async def statistics(self) -> dict[str, Scalar]:
        """Memories and agents, and the bytes of the states."""
        [found] = self._store.execute((Inspect(),))
        return store_statistics(found)

    async def close(self) -> None:
        """Close the store."""
        self._store.close()


class ThreadsTarget:
    """Our store in one process, agents as its threads."""

    name = "threads"
    description = "our store in one process, and agents that are its threads"
    in_process = True
    agents_are_threads = True
    has_shards = False
    capabilities = Capabilities(filter=True, delete=True, durable=True)

    def prepare(self, plan: RunPlan, placement: Placement) -> Prepared:
        """Nothing to start; the cohort opens the store itself."""
        return Prepared(
            connection=store_connection(placement),
            topology=own_document(self, plan, "one a cohort"),
        )

    def processes(self) -> list[WatchedProcess]:
        """The cohort is watched already."""
        return []

    async def connect(self, plan: RunPlan, connection: bytes, cohort: int) -> ThreadsSession:
        """Open the store."""
        from memory_core import MemoryConfig, MemoryStore

        folder = connected_folder(connection) / f"cohort-{cohort}"
        config = MemoryConfig(
            path=folder,
            dimension=plan.dimension,
            durability=plan.durability,
            memory_limit_bytes=plan.memory_limit_bytes,
        )
        return ThreadsSession(MemoryStore(config))

    def destroy(self) -> None:
        """Nothing was started here."""

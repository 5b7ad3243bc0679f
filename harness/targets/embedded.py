"""The target ``embedded``: our store as a library, one in each cohort's own process.

No actor serves; an agent's memories are in the store of its cohort. Operations that agents
issue while a batch is executed make the next one, as with ``memory_core``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.plan import RunPlan
from harness.targets.base import Capabilities
from harness.targets.driven import Placement, Prepared, WatchedProcess
from harness.targets.own_store import own_document
from harness.targets.sharded import ClientSession
from harness.targets.store_folder import connected_folder, store_connection
from memory_core.client import MemoryClient

if TYPE_CHECKING:
    from memory_core.local_transport import LocalTransport

__all__ = ["EmbeddedTarget"]


class _EmbeddedSession(ClientSession):
    def __init__(self, client: MemoryClient, transport: LocalTransport) -> None:
        super().__init__(client)
        self._transport = transport

    async def close(self) -> None:
        await super().close()
        self._transport.close()


class EmbeddedTarget:
    """Our store in the agents' processes."""

    name = "embedded"
    description = "our store in the agents' own processes, no actors for it"
    in_process = True
    agents_are_threads = False
    auditable = True
    has_shards = False
    capabilities = Capabilities(
        batch=frozenset({"store", "retrieve", "search"}), filter=True, delete=True, durable=True
    )

    def prepare(self, plan: RunPlan, placement: Placement) -> Prepared:
        """Nothing to start; cohorts open their stores themselves."""
        return Prepared(
            connection=store_connection(placement),
            topology=own_document(self, plan, "one a cohort"),
        )

    def processes(self) -> list[WatchedProcess]:
        """The cohorts are watched already."""
        return []

    async def connect(self, plan: RunPlan, connection: bytes, cohort: int) -> ClientSession:
        """Open the cohort's store."""
        from memory_core import MemoryConfig, MemoryStore
        from memory_core.local_transport import LocalTransport

        folder = connected_folder(connection) / f"cohort-{cohort}"
        store = MemoryStore(
            MemoryConfig(
                path=folder,
                dimension=plan.dimension,
                durability=plan.durability,
                memory_limit_bytes=plan.memory_limit_bytes,
            )
        )
        transport = LocalTransport([store])
        client = MemoryClient(transport, 1, pipelining=plan.pipelining, deadline_s=plan.deadline_s)
        return _EmbeddedSession(client, transport)

    def destroy(self) -> None:
        """Nothing was started here."""

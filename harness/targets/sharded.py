"""What the targets share that put actors behind the pipelining client: memory_core and noop."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import msgspec

from harness.errors import RunFailedError, UsageError
from harness.plan import RunPlan, option_name
from harness.targets.base import Capabilities, Scalar
from harness.targets.driven import Placement, Prepared, WatchedProcess
from harness.targets.own_store import own_document, store_statistics
from memory_core import MemoryConfig
from memory_core.client import Answer, MemoryClient
from memory_core.errors import BadInputError, MemoryCoreError, UnavailableError
from memory_core.keeper import Keeper
from memory_core.operations import Inspect, Operation
from memory_core.placement import RayTransport, Shards, open_shards, start_shards
from memory_core.results import Result

__all__ = ["ClientSession", "ShardedTarget"]


class _Connection(msgspec.Struct):
    memory: str
    shards: int


class ClientSession:
    """A session that is a pipelining client."""

    def __init__(self, client: MemoryClient) -> None:
        self._client = client

    @property
    def retries(self) -> int:
        """Batches that were sent again so far."""
        return self._client.retries

    def submit(self, operation: Operation) -> Awaitable[Answer]:
        """See `harness.targets.driven.Session`."""
        return self._client.submit(operation)

    async def call(self, operation: Operation) -> Result:
        """Put an operation that is of no agent to all shards. Raises BadInputError."""
        return await self._client.call(operation)

    async def flush(self) -> None:
        """Wait for what is in flight: what is acknowledged is where it stays."""
        await self._client.drain()

    async def statistics(self) -> dict[str, Scalar]:
        """Memories and agents, and the bytes of the states."""
        return store_statistics(await self._client.call(Inspect()))

    async def close(self) -> None:
        """Wait for what is in flight."""
        await self._client.drain()


class ShardedTarget(ABC):
    """A target whose store is actors of `actor_class`, one a shard."""

    name: str
    description: str
    in_process = False
    agents_are_threads = False
    has_shards = True
    capabilities = Capabilities(server=True, shared=True)

    def __init__(self) -> None:
        self._shards: Shards | None = None
        self._keeper: Keeper | None = None

    @abstractmethod
    def actor_class(self) -> type[Any]:
        """What serves a shard; asked in the driver only, since it may be dear to load."""

    def prepare(self, plan: RunPlan, placement: Placement) -> Prepared:
        """Start the shards."""
        config = MemoryConfig(
            path=placement.data_dir,
            dimension=plan.dimension,
            durability=plan.durability,
            memory_limit_bytes=plan.memory_limit_bytes,
        )
        try:
            self._shards = self._started(placement, config)
        except MemoryCoreError as error:
            if isinstance(error, BadInputError) and hasattr(plan, error.field):
                raise UsageError(option_name(error.field), error.problem) from None
            raise RunFailedError(f"the store did not start: {error}") from None
        self._keeper = Keeper(self._shards)
        self._keeper.start()
        connection = _Connection(placement.run_id, len(self._shards.infos))
        return Prepared(
            connection=msgspec.msgpack.encode(connection),
            processes=self.processes(),
            topology={
                **own_document(self, plan, "shards"),
                "memory": placement.run_id,
                "shards": [
                    {**msgspec.structs.asdict(info), "path": _shown(info.path, placement)}
                    for info in self._shards.infos
                ],
            },
        )

    def _started(self, placement: Placement, config: MemoryConfig) -> Shards:
        memory, actor_class = placement.run_id, self.actor_class()
        if placement.resumed:
            with contextlib.suppress(BadInputError):  # there is none yet
                shards = open_shards(memory, config, actor_class=actor_class)
                for problem in shards.unavailable.values():
                    shards.stop()
                    raise UnavailableError(problem)
                return shards
        return start_shards(
            memory,
            placement.shards,
            config,
            actor_class=actor_class,
            node_ids=placement.node_ids,
        )

    @property
    def memory(self) -> str | None:
        """The name of the memory that runs, if one does."""
        return None if self._shards is None else self._shards.memory

    def processes(self) -> list[WatchedProcess]:
        """The shards' processes."""
        if self._shards is None:
            return []
        return [
            WatchedProcess(pid=info.pid, node_id=info.node_id, role="shard", number=info.shard)
            for info in self._shards.refresh()
        ]

    async def connect(self, plan: RunPlan, connection: bytes, cohort: int) -> ClientSession:
        """Find the shards by the memory's name."""
        del cohort
        found = msgspec.msgpack.decode(connection, type=_Connection)
        client = MemoryClient(
            RayTransport(found.memory, found.shards),
            found.shards,
            pipelining=plan.pipelining,
            deadline_s=plan.deadline_s,
        )
        return ClientSession(client)

    def destroy(self) -> None:
        """End the shards."""
        if self._keeper is not None:
            self._keeper.stop()
            self._keeper = None
        if self._shards is not None:
            self._shards.stop()
            self._shards = None


def _shown(path: str, placement: Placement) -> str:
    """A shard's folder as ``run.json`` has it: its name, or all of it where only its node knows."""
    return path if placement.data_dir is None else Path(path).name

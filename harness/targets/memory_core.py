"""The target ``memory_core``: our store, its shards hosted by Ray."""

from __future__ import annotations

from typing import Any

from harness.targets.base import Capabilities
from harness.targets.sharded import ShardedTarget
from memory_core.errors import UnavailableError

__all__ = ["MemoryCoreTarget"]


class MemoryCoreTarget(ShardedTarget):
    """Our store through Ray."""

    name = "memory_core"
    description = "our store, shards hosted as Ray actors (the default)"
    auditable = True
    capabilities = Capabilities(
        batch=frozenset({"store", "retrieve", "search"}),
        filter=True,
        delete=True,
        durable=True,
        server=True,
        shared=True,
    )

    def actor_class(self) -> type[Any]:
        """The store's own actor."""
        from memory_core.shard import ShardActor

        return ShardActor

    def check_backup(self, uri: str) -> None:
        """Whether something can be written there from here."""
        from memory_core.backups import check_place

        check_place(uri)

    def back_up(self, uri: str) -> dict[str, object]:
        """A backup of the shards, named as the run names its memory."""
        memory = self.memory
        if memory is None:
            raise UnavailableError("the store does not run")
        from memory_core.cluster_backup import back_up_memory

        manifest = back_up_memory(memory, uri).manifest
        return {
            "backup": manifest.backup,
            "new_bytes": manifest.new_bytes,
            "reused_bytes": manifest.reused_bytes,
        }

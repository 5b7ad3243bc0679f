"""The target ``memory_core``: our store, its shards hosted by Ray."""

from __future__ import annotations

from typing import Any

from harness.targets.sharded import ShardedTarget

__all__ = ["MemoryCoreTarget"]


class MemoryCoreTarget(ShardedTarget):
    """Our store through Ray."""

    name = "memory_core"
    description = "our store, shards hosted as Ray actors (the default)"

    def actor_class(self) -> type[Any]:
        """The store's own actor."""
        from memory_core.shard import ShardActor

        return ShardActor

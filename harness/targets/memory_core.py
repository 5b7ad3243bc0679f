"""The target ``memory_core``: our store, its shards hosted by Ray."""

from __future__ import annotations

from harness.targets.sharded import ShardedTarget
from memory_core.shard import ShardActor

__all__ = ["MemoryCoreTarget"]


class MemoryCoreTarget(ShardedTarget):
    """Our store through Ray."""

    name = "memory_core"
    description = "our store, shards hosted as Ray actors (the default)"
    actor_class = ShardActor

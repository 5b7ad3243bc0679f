"""The target ``noop``: shards that answer at once and keep nothing, to calibrate the harness.

Everything but the store's own work is as with ``memory_core``: the same client, actors and
bytes to the shards. What a run of it reaches is the most that the harness itself can carry.
"""

from __future__ import annotations

from time import perf_counter_ns

import msgspec

from harness.targets.sharded import ShardedTarget
from memory_core.config import MemoryConfig
from memory_core.ops import DONE, Reply, encode_reply
from memory_core.shard import ShardActor

__all__ = ["NoopShard", "NoopTarget"]

_split = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


class NoopShard(ShardActor):
    """Answers ``ok`` to each operation of a batch, which it does not even read."""

    def __init__(self, memory: str, shard: int, shards: int, config: MemoryConfig) -> None:
        self._identity = (memory, shard, shards)
        self._config = config
        self._opened = 1

    def execute(self, data: bytes) -> bytes:
        """As many acknowledgements as the batch has operations."""
        started_ns = perf_counter_ns()
        results = [DONE] * len(_split(data))
        return encode_reply(Reply(0, perf_counter_ns() - started_ns, results))  # type: ignore[arg-type]

    def close(self) -> None:
        """Nothing is open."""


class NoopTarget(ShardedTarget):
    """Answers at once, keeps nothing."""

    name = "noop"
    description = "actors that answer at once and keep nothing, to calibrate the harness"
    actor_class = NoopShard

"""The target ``noop``: shards that answer at once and keep nothing, to calibrate the harness.

Everything but the store's own work is as with ``memory_core``: the same client, actors and
bytes to the shards. What a run of it reaches is the most that the harness itself can carry.
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import Any

import msgspec

from harness.targets.base import Capabilities
from harness.targets.sharded import ShardedTarget
from memory_core import MemoryConfig
from memory_core.placement import ShardClaim, ShardInfo
from memory_core.results import DONE
from memory_core.wire import Reply, encode_reply

__all__ = ["NoopShard", "NoopTarget"]


class _Unread(msgspec.Struct, array_like=True):
    """A `memory_core.wire.Batch` whose operations are only counted."""

    lane: str
    number: int
    operations: list[msgspec.Raw]


_split = msgspec.msgpack.Decoder(_Unread).decode


class NoopShard:
    """Answers ``ok`` to each operation of a batch, which it does not even read."""

    def __init__(
        self, memory: str, shard: int, shards: int, config: MemoryConfig, claim: ShardClaim
    ) -> None:
        del config, claim
        self._identity = (memory, shard, shards)

    def execute(self, data: bytes) -> bytes:
        """As many acknowledgements as the batch has operations."""
        started_ns = perf_counter_ns()
        results = [DONE] * len(_split(data).operations)
        return encode_reply(Reply(0, perf_counter_ns() - started_ns, results))  # type: ignore[arg-type]

    def info(self) -> bytes:
        """A packed `ShardInfo`."""
        return msgspec.msgpack.encode(ShardInfo.here(*self._identity, path="", opened=1))

    def make(self) -> bytes:
        """There is no folder to make; a packed `ShardInfo`."""
        return self.info()

    def close(self) -> None:
        """Nothing is open."""


class NoopTarget(ShardedTarget):
    """Answers at once, keeps nothing."""

    name = "noop"
    description = "actors that answer at once and keep nothing, to calibrate the harness"
    capabilities = Capabilities(
        batch=frozenset({"store", "retrieve", "search"}), server=True, shared=True
    )

    def actor_class(self) -> type[Any]:
        """The actor that does nothing."""
        return NoopShard

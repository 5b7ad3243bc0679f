"""The Ray actor around a `MemoryStore`; `memory_core.placement` starts and finds it."""

from __future__ import annotations

import gc
import os
from time import perf_counter_ns

import msgspec

from memory_core.config import MemoryConfig
from memory_core.local_transport import execute_encoded
from memory_core.placement import ShardInfo
from memory_core.store import MemoryStore

__all__ = ["ShardActor"]

_GC_THRESHOLDS = (50_000, 50, 100)


class ShardActor:
    """Hosts one `MemoryStore`; batches come in and go out as bytes (`memory_core.ops`).

    Calls run on threads, so that a batch that arrives during another's fsync joins the next
    group commit. A store that refuses writes after a failed one is opened anew.
    """

    def __init__(self, memory: str, shard: int, shards: int, config: MemoryConfig) -> None:
        self._identity = (memory, shard, shards)
        self._config = config
        self._opened = 1
        self._store = MemoryStore(config)
        # Operations and results hold no cycles; a collection would only walk the tables.
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)

    def execute(self, data: bytes) -> bytes:
        """Execute a batch; the reply. Raises MemoryCoreError when the batch is none."""
        received_ns = perf_counter_ns()
        if self._store.refusal is not None:
            self._open_again()
        return execute_encoded(self._store, data, received_ns)

    def info(self) -> bytes:
        """A packed `ShardInfo`."""
        path = os.fspath(self._config.path or "")
        info = ShardInfo.here(*self._identity, path=path, opened=self._opened)
        return msgspec.msgpack.encode(info)

    def close(self) -> None:
        """Close the store, so that the folder can be removed."""
        self._store.close()

    def _open_again(self) -> None:
        self._store.close()
        self._store = MemoryStore(self._config)
        self._opened += 1

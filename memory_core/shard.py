"""The Ray actor around a `MemoryStore`; `memory_core.placement` starts and finds it."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
from time import perf_counter_ns

import msgspec

from memory_core.config import MemoryConfig
from memory_core.errors import LockedError, MemoryCoreError, UnavailableError
from memory_core.local_transport import execute_encoded
from memory_core.placement import ShardInfo
from memory_core.store import MemoryStore

__all__ = ["ShardActor"]

_GC_THRESHOLDS = (50_000, 50, 100)


class ShardActor:
    """Hosts one `MemoryStore`; batches come in and go out as bytes (`memory_core.wire`).

    Calls run on threads, so that a batch that arrives during another's fsync joins the next
    group commit. A store that refuses writes after a failed one is opened anew.
    """

    def __init__(self, memory: str, shard: int, shards: int, config: MemoryConfig) -> None:
        self._identity = (memory, shard, shards)
        self._config = config
        self._opened = 0
        self._opening = threading.Lock()
        self._store: MemoryStore | None = None
        # Why it cannot be opened is said to each who asks: Ray would hand on the text alone.
        with contextlib.suppress(MemoryCoreError):
            self._usable_store()
        # Operations and results hold no cycles; a collection would only walk the tables.
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)

    def execute(self, data: bytes) -> bytes:
        """Execute a batch; the reply. Raises MemoryCoreError when the batch is none."""
        received_ns = perf_counter_ns()
        try:
            store = self._usable_store()
        except LockedError as error:  # by this shard's process of before, until it is gone
            raise UnavailableError(str(error)) from None
        return execute_encoded(store, data, received_ns)

    def info(self) -> bytes:
        """A packed `ShardInfo`. Raises MemoryCoreError when the store cannot be opened."""
        self._usable_store()
        path = os.fspath(self._config.path or "")
        info = ShardInfo.here(*self._identity, path=path, opened=self._opened)
        return msgspec.msgpack.encode(info)

    def close(self) -> None:
        """Close the store, so that the folder can be removed."""
        with self._opening:
            if self._store is not None:
                self._store.close()

    def _usable_store(self) -> MemoryStore:
        """The store, opened if it is not and opened anew if it refuses writes."""
        store = self._store
        if store is not None and store.refusal is None:
            return store
        with self._opening:  # calls come on several threads
            store = self._store
            if store is None or store.refusal is not None:
                store = MemoryStore(self._config) if store is None else store.reopened()
                self._store = store
                self._opened += 1
            return store

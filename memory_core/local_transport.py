"""Carries batches to stores in this process, so that asyncio agents share group commits.

A batch is executed on a thread, so that others go on meanwhile. One retrieval by itself is answered
where it is asked: it takes a few microseconds, and two threads that wake each other take 40.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter_ns

from memory_core.operations import Retrieve
from memory_core.store import MemoryStore
from memory_core.wire import Batch, Reply, decode_batch, encode_reply, travelling

__all__ = ["LocalTransport", "execute_encoded"]

# A retrieval takes a hundred bytes or so; larger batches are not looked into.
_ALONE_BYTES = 512


def execute_encoded(store: MemoryStore, data: bytes, received_ns: int) -> bytes:
    """Execute an encoded batch; the encoded reply. Raises MemoryCoreError when it is none."""
    return _execute(store, decode_batch(data), received_ns)


def _execute(store: MemoryStore, batch: Batch, received_ns: int) -> bytes:
    done = store.execute_in_lane(
        batch.operations, lane=batch.lane, number=batch.number, watched=batch.watched
    )
    wait_ns, service_ns = max(done.started_ns - received_ns, 0), done.finished_ns - done.started_ns
    return encode_reply(Reply(wait_ns, service_ns, done.results, travelling(done.moves)))


class LocalTransport:
    """A `memory_core.client.Transport` to stores of this process, one a shard."""

    def __init__(self, stores: Sequence[MemoryStore]) -> None:
        self._stores = list(stores)
        self._executor = ThreadPoolExecutor(max_workers=len(self._stores))

    async def call(self, shard: int, data: bytes, timeout_s: float) -> bytes:
        """Execute it; a call in this process always returns, so no deadline is kept."""
        del timeout_s
        if len(data) <= _ALONE_BYTES:
            batch = decode_batch(data)
            if len(batch.operations) == 1 and isinstance(batch.operations[0], Retrieve):
                return _execute(self._stores[shard], batch, perf_counter_ns())
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._executor, execute_encoded, self._stores[shard], data, perf_counter_ns()
        )

    def close(self) -> None:
        """Close the stores and end the threads."""
        self._executor.shutdown()
        for store in self._stores:
            store.close()

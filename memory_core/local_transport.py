"""Carries batches to stores in this process, so that asyncio agents share group commits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter_ns

from memory_core.store import MemoryStore
from memory_core.wire import Reply, decode_batch, encode_reply, travelling

__all__ = ["LocalTransport", "execute_encoded"]


def execute_encoded(store: MemoryStore, data: bytes, received_ns: int) -> bytes:
    """Execute an encoded batch; the encoded reply. Raises MemoryCoreError when it is none."""
    batch = decode_batch(data)
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
        """Execute on a thread; a call in this process always returns, so no deadline is kept."""
        del timeout_s
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._executor, execute_encoded, self._stores[shard], data, perf_counter_ns()
        )

    def close(self) -> None:
        """Close the stores and end the threads."""
        self._executor.shutdown()
        for store in self._stores:
            store.close()

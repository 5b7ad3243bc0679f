"""`RayMemory`: the call-by-call face of a memory whose shards Ray hosts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from memory_core.client import MemoryClient
from memory_core.errors import BadInputError, UnavailableError
from memory_core.face import MemoryFace
from memory_core.hooks import Hooks
from memory_core.operations import Operation
from memory_core.placement import RayTransport, find_shards
from memory_core.results import Failure, Move, Result

__all__ = ["RayMemory"]

_Result = TypeVar("_Result")


class RayMemory(MemoryFace):
    """A running memory, found by its name; Ray must be connected (``ray.init``).

    Thread-safe: calls of several threads gather in one pipelining client, which runs on an
    event loop in a thread of its own.

    Attributes:
        shards: those that served when it was made.

    Args:
        name: the memory's.
        client_options: keyword arguments of `MemoryClient`.

    Raises:
        UnavailableError: no memory of that name answers.
    """

    def __init__(self, name: str, **client_options: Any) -> None:
        self.shards = find_shards(name, partial=True)
        self._hooks = Hooks()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name=f"memory-client-{name}", daemon=True
        )
        self._thread.start()
        self._client = self._wait(self._connect(name, client_options))
        self._client.watched = lambda: self._hooks.listen_to("demotion", "promotion")

    def execute(self, batch: Sequence[Operation]) -> list[Result]:
        """Many operations at once, as `MemoryStore.execute`; those of one agent in their order."""
        if not self._hooks.are_called:
            return self._wait(self._execute(batch))[0]
        operations = list(batch)
        results, moves = self._wait(self._execute(operations))
        self._hooks.tell(operations, results, moves)
        return results

    def close(self) -> None:
        """Wait for what is in flight and end the client; the shards go on."""
        if self._thread.is_alive():
            self._wait(self._client.drain())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def __enter__(self) -> RayMemory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _connect(self, name: str, options: dict[str, Any]) -> MemoryClient:
        shards = self.shards[0].shards  # of which some may be unavailable
        return MemoryClient(RayTransport(name, shards), shards, **options)

    async def _execute(self, batch: Sequence[Operation]) -> tuple[list[Result], list[Move]]:
        done = await asyncio.gather(*(self._call(operation) for operation in batch))
        moves = [
            move._replace(position=position)
            for position, (_, some) in enumerate(done)
            for move in some
        ]
        return [result for result, _ in done], moves

    async def _call(self, operation: Operation) -> tuple[Result, list[Move]]:
        try:
            return await self._client.call_watched(operation)
        except BadInputError as error:
            return Failure.of(error), []

    def _execute_one(self, operation: Operation) -> Result:
        if self._hooks.are_called:
            return self.execute((operation,))[0]
        return self._wait(self._call(operation))[0]

    def _wait(self, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
        if self._loop.is_closed():
            coroutine.close()
            raise UnavailableError("this client is closed; make another")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

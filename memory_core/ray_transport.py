"""How batches travel to the shards of a memory on Ray."""

from __future__ import annotations

import asyncio
from typing import Any

from ray.exceptions import GetTimeoutError, RayError, RayTaskError

from memory_core.directory import look_up
from memory_core.errors import DeadlineError, UnavailableError
from memory_core.shard_calls import find_actor, first_line, own_error, shard_name

__all__ = ["RayTransport"]


class RayTransport:
    """Carries batches to the shards of a named memory by actor calls.

    A shard that is away is looked for again with each call: it comes back by its name.

    Raises:
        UnavailableError: there is no memory of that name.
    """

    def __init__(self, memory: str, shards: int) -> None:
        self._memory = memory
        self._calls: list[Any] = [self._found(shard) for shard in range(shards)]
        if None in self._calls and look_up(memory) is None:
            shard = self._calls.index(None)
            raise UnavailableError(f"no shard {shard} of a memory named {memory!r} is running")

    async def call(self, shard: int, data: bytes, timeout_s: float) -> bytes:
        """See `memory_core.client.Transport`."""
        try:
            async with asyncio.timeout(timeout_s):
                call = self._calls[shard]
                if call is None:
                    call = await self._found_again(shard)
                reply: bytes = await call.remote(data)
        except (TimeoutError, GetTimeoutError):
            raise DeadlineError(f"shard {shard} did not answer in {timeout_s:.3g} s") from None
        except RayTaskError as error:
            raise own_error(error, shard) from None
        except RayError as error:  # it died, or its node did
            self._calls[shard] = None
            raise UnavailableError(f"shard {shard} is down: {first_line(error)}") from None
        return reply

    async def _found_again(self, shard: int) -> Any:
        """The shard's call; on a thread, for the head may be slow to answer.

        Raises:
            UnavailableError: it is away; says why, as far as that is known.
        """
        call = self._calls[shard] = await asyncio.to_thread(self._found, shard)
        if call is None:
            entry = await asyncio.to_thread(look_up, self._memory)
            reason = None if entry is None else entry.unavailable.get(shard)
            raise UnavailableError(
                reason or f"no shard {shard} of a memory named {self._memory!r} is running"
            )
        return call

    def _found(self, shard: int) -> Any:
        actor = find_actor(shard_name(self._memory, shard))
        return None if actor is None else actor.execute

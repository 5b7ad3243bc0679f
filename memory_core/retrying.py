"""Calls to shards that are repeated while the shard is unavailable, until their deadline."""

from __future__ import annotations

import asyncio
from typing import Protocol

from memory_core.errors import DeadlineError, MemoryCoreError, UnavailableError

__all__ = ["RetryingCalls", "Transport"]

_FIRST_BACKOFF_S = 0.02
_MAX_BACKOFF_S = 1.0


class Transport(Protocol):
    """Carries a batch to a shard and its reply back."""

    async def call(self, shard: int, data: bytes, timeout_s: float) -> bytes:
        """The shard's reply.

        Raises:
            DeadlineError: none came in time.
            UnavailableError: the shard cannot be reached now; the call may be repeated.
        """


class RetryingCalls:
    """A transport that tries again, after 20 ms, 40 ms and so on, up to a second.

    Args:
        transport: how batches travel.
        deadline_s: how long a call may take, retries included.

    Attributes:
        retries: calls that were repeated.
    """

    def __init__(self, transport: Transport, deadline_s: float) -> None:
        self.retries = 0
        self._transport = transport
        self._deadline_s = deadline_s

    async def call(
        self, shard: int, data: bytes, *, repeatable: bool
    ) -> tuple[bytes | MemoryCoreError, int]:
        """The reply, or why there is none, and the number of attempts."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._deadline_s
        attempts, backoff_s = 1, _FIRST_BACKOFF_S
        while True:
            remaining_s = max(deadline - loop.time(), 0.001)
            try:
                return await self._transport.call(shard, data, remaining_s), attempts
            except MemoryCoreError as error:
                again = isinstance(error, UnavailableError) and repeatable
                if isinstance(error, DeadlineError) or not again:
                    return error, attempts
                if deadline - loop.time() <= backoff_s:
                    reason = f"({attempts} attempts; the last: {error})"
                    return DeadlineError(
                        f"shard {shard} did not answer within {self._deadline_s:g} s {reason}"
                    ), attempts
            except Exception as error:  # noqa: BLE001 - whatever a transport raises, nobody may wait on
                reason = f"{type(error).__name__}: {error}"
                return UnavailableError(f"shard {shard}: the transport failed ({reason})"), attempts
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, _MAX_BACKOFF_S)
            attempts += 1
            self.retries += 1

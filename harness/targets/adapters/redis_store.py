"""One process's way to the memories in a Redis server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.targets.adapters.redis_connection import key_groups
from harness.targets.adapters.redis_vectors import Vectors
from harness.targets.base import Hit, Memory, OpenStore, Query, Scalar
from memory_core.errors import (
    DeadlineError,
    MemoryCoreError,
    OverloadedError,
    StorageFullError,
    UnavailableError,
)

if TYPE_CHECKING:
    import redis

__all__ = ["RedisStore"]

_SEARCHES_AT_ONCE = 32  # their replies are in memory together: all vectors of so many agents
_KEYS_AT_ONCE = 1_000  # when memories are counted


class RedisStore(OpenStore):
    """Memories in a Redis server.

    Args:
        client: not shared; closed with the store.
        prefix: of all keys.
        vectors: where vectors are kept.
    """

    def __init__(self, client: redis.Redis, prefix: str, vectors: Vectors) -> None:
        self._client: Any = client
        self._prefix = prefix
        self._vectors = vectors

    def _payloads_key(self, agent_id: str) -> str:
        return f"{self._prefix}:payloads:{agent_id}"

    def _vectors_key(self, agent_id: str) -> str:
        return f"{self._prefix}:vectors:{agent_id}"

    def store_many(self, memories: Sequence[Memory]) -> None:
        """See `OpenStore`."""
        pipeline = self._client.pipeline(transaction=True)
        for memory in memories:
            self._vectors.add(pipeline, self._vectors_key(memory.agent_id), memory)
            key = self._payloads_key(memory.agent_id)
            pipeline.execute_command("HSET", key, memory.state_id, memory.payload)
        pipeline.execute()

    def retrieve_many(self, keys: Sequence[tuple[str, str]]) -> list[bytes | None]:
        """See `OpenStore`."""
        pipeline = self._client.pipeline(transaction=False)
        for agent_id, state_id in keys:
            pipeline.execute_command("HGET", self._payloads_key(agent_id), state_id)
        payloads: list[bytes | None] = pipeline.execute()
        return payloads

    def search_many(self, queries: Sequence[Query]) -> list[list[Hit]]:
        """See `OpenStore`."""
        hits: list[list[Hit]] = []
        for first in range(0, len(queries), _SEARCHES_AT_ONCE):
            hits += self._search(queries[first : first + _SEARCHES_AT_ONCE])
        return hits

    def _search(self, queries: Sequence[Query]) -> list[list[Hit]]:
        pipeline = self._client.pipeline(transaction=False)
        commands = [
            self._vectors.ask(
                pipeline,
                self._vectors_key(query.agent_id),
                self._payloads_key(query.agent_id),
                query,
            )
            for query in queries
        ]
        replies = iter(pipeline.execute())
        found = [
            self._vectors.found([next(replies) for _ in range(count)], query)
            for query, count in zip(queries, commands, strict=True)
        ]
        return self._with_payloads(queries, found)

    def _with_payloads(self, queries: Sequence[Query], found: Sequence[Any]) -> list[list[Hit]]:
        pipeline = self._client.pipeline(transaction=False)
        for query, scored in zip(queries, found, strict=True):
            if scored:
                ids = [state_id for state_id, _ in scored]
                pipeline.execute_command("HMGET", self._payloads_key(query.agent_id), *ids)
        replies = iter(pipeline.execute())
        return [
            [
                Hit(state_id.decode(), score, payload)
                for (state_id, score), payload in zip(scored, next(replies), strict=True)
                if payload is not None  # deleted meanwhile
            ]
            if scored
            else []
            for scored in found
        ]

    def delete(self, agent_id: str, state_id: str) -> bool:
        """See `OpenStore`."""
        pipeline = self._client.pipeline(transaction=True)
        self._vectors.remove(pipeline, self._vectors_key(agent_id), state_id)
        pipeline.hdel(self._payloads_key(agent_id), state_id)
        return bool(pipeline.execute()[-1])

    def statistics(self) -> dict[str, Scalar]:
        """See `OpenStore`; of all processes' memories together."""
        memory = self._client.info("memory")
        return {"memories": self._count(), "used_memory_bytes": int(memory["used_memory"])}

    def _count(self) -> int:
        # A scan may give a key twice.
        groups = key_groups(self._client, f"{self._prefix}:payloads:")
        keys = list({key for group in groups for key in group})
        count = 0
        for first in range(0, len(keys), _KEYS_AT_ONCE):
            pipeline = self._client.pipeline(transaction=False)
            for key in keys[first : first + _KEYS_AT_ONCE]:
                pipeline.hlen(key)
            count += sum(pipeline.execute())
        return count

    def close(self) -> None:
        """See `OpenStore`."""
        self._client.close()

    def failure(self, error: Exception) -> MemoryCoreError | None:
        """See `OpenStore`."""
        import redis

        text = str(error)
        if isinstance(error, redis.TimeoutError):
            return DeadlineError(text)
        if isinstance(error, redis.ConnectionError):
            return UnavailableError(text)
        if isinstance(error, redis.OutOfMemoryError):
            return OverloadedError(text)
        if isinstance(error, redis.ResponseError) and "MISCONF" in text:
            return StorageFullError("the server's append-only file", text)
        return None

"""What drives Qdrant in a process of agents: its local mode, and a server's client."""

from __future__ import annotations

import asyncio
import sqlite3
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from harness.targets.adapters.qdrant_points import (
    AGENT,
    attribute_key,
    hit,
    packed_state,
    point_id,
    point_payload,
)
from harness.targets.base import Hit, Memory, OpenStore, Query, Scalar, Setup
from memory_core.errors import (
    DeadlineError,
    MemoryCoreError,
    OverloadedError,
    StorageFullError,
    UnavailableError,
)

if TYPE_CHECKING:
    from qdrant_client import AsyncQdrantClient, QdrantClient, models

__all__ = ["QdrantLocalStore", "QdrantServerStore"]

_LOCAL_COLLECTION = "memories"
# How long a flush waits for the server's indexes, and how often it asks.
_INDEXED_WITHIN_S = 600.0
_ASKED_EVERY_S = 0.1


class QdrantLocalStore(OpenStore):
    """The client's local mode on a folder, which belongs to this process and thread."""

    def __init__(self, client: QdrantClient, folder: Path) -> None:
        self._client = client
        self._folder = folder

    @classmethod
    def opened(cls, setup: Setup) -> QdrantLocalStore:
        """The store in a folder, made if it is not there."""
        from qdrant_client import QdrantClient, models

        # What it says is in this module's and the report's words, too, and would come from each
        # process of agents.
        warnings.filterwarnings("ignore", message="Local mode is not recommended")
        folder = setup.folder / "qdrant"
        client = QdrantClient(path=str(folder))
        if not client.collection_exists(_LOCAL_COLLECTION):
            client.create_collection(
                _LOCAL_COLLECTION,
                vectors_config=models.VectorParams(
                    size=setup.dimension, distance=models.Distance.COSINE
                ),
            )
        return cls(client, folder)

    def store(self, memory: Memory) -> None:
        """Keep a memory; a transaction of its own."""
        self._client.upsert(_LOCAL_COLLECTION, [_point(memory)])

    def retrieve(self, agent_id: str, state_id: str) -> bytes | None:
        """The payload of a memory; None when there is none."""
        found = self._client.retrieve(_LOCAL_COLLECTION, [point_id(agent_id, state_id)])
        return packed_state(found[0].payload) if found else None

    def search(self, query: Query) -> list[Hit]:
        """The most similar memories of the agent, best first."""
        answer = self._client.query_points(
            _LOCAL_COLLECTION,
            query=query.vector,
            query_filter=_filter(query),
            limit=query.k,
            with_payload=True,
        )
        return _hits(answer.points)

    def delete(self, agent_id: str, state_id: str) -> bool:
        """Forget a memory; whether there was one."""
        name = point_id(agent_id, state_id)
        there = bool(self._client.retrieve(_LOCAL_COLLECTION, [name], with_payload=False))
        if there:
            self._client.delete(_LOCAL_COLLECTION, [name])
        return there

    def statistics(self) -> Mapping[str, Scalar]:
        """How many memories there are."""
        return {"memories": self._client.count(_LOCAL_COLLECTION).count, "index": "exact"}

    def close(self) -> None:
        """Let go of the folder."""
        self._client.close()

    def failure(self, error: Exception) -> MemoryCoreError | None:
        """A full disk, in SQLite's words."""
        if (
            isinstance(error, sqlite3.OperationalError)
            and error.sqlite_errorcode == sqlite3.SQLITE_FULL
        ):
            return StorageFullError(str(self._folder), str(error))
        return None


class QdrantServerStore(OpenStore):
    """A client of a server, for one collection."""

    def __init__(self, client: AsyncQdrantClient, collection: str) -> None:
        self._client = client
        self._collection = collection

    @classmethod
    def connected(cls, setup: Setup, connection: Mapping[str, Any]) -> QdrantServerStore:
        """A client of the server that `QdrantTarget.prepare` made a collection on."""
        from qdrant_client import AsyncQdrantClient

        client = AsyncQdrantClient(
            url=connection["url"],
            grpc_port=connection["grpc_port"],
            api_key=connection["api_key"],
            prefer_grpc=True,
            check_compatibility=False,
            timeout=int(setup.deadline_s),
        )
        return cls(client, connection["collection"])

    async def store_many(self, memories: Sequence[Memory]) -> None:
        """Keep memories; the server has applied them when this returns."""
        points = [_point(memory) for memory in memories]
        await self._client.upsert(self._collection, points, wait=True)

    async def retrieve_many(self, keys: Sequence[tuple[str, str]]) -> list[bytes | None]:
        """The payloads of (agent_id, state_id) pairs, in their order."""
        names = [point_id(*key) for key in keys]
        found = await self._client.retrieve(self._collection, names, with_payload=True)
        payloads = {UUID(str(record.id)): packed_state(record.payload) for record in found}
        return [payloads.get(UUID(name)) for name in names]

    async def search_many(self, queries: Sequence[Query]) -> list[list[Hit]]:
        """What each search found, in their order."""
        requests = [_request(query) for query in queries]
        answers = await self._client.query_batch_points(self._collection, requests)
        return [_hits(answer.points) for answer in answers]

    async def delete(self, agent_id: str, state_id: str) -> bool:
        """Forget a memory; whether there was one."""
        name = point_id(agent_id, state_id)
        there = await self._client.retrieve(self._collection, [name], with_payload=False)
        if there:
            await self._client.delete(self._collection, [name], wait=True)
        return bool(there)

    async def flush(self) -> None:
        """Wait until the server has built its indexes.

        Raises:
            TimeoutError: it has not within ten minutes.
        """
        from qdrant_client import models

        async with asyncio.timeout(_INDEXED_WITHIN_S):
            while True:
                info = await self._client.get_collection(self._collection)
                if info.status == models.CollectionStatus.GREEN:
                    return
                await asyncio.sleep(_ASKED_EVERY_S)

    async def statistics(self) -> Mapping[str, Scalar]:
        """How many memories there are, and how many vectors are in an index."""
        info = await self._client.get_collection(self._collection)
        return {
            "memories": info.points_count or 0,
            "index": "HNSW",
            "indexed": info.indexed_vectors_count or 0,
        }

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    def failure(self, error: Exception) -> MemoryCoreError | None:
        """What the transports mean: gRPC's codes, and HTTP without an answer."""
        import grpc
        from qdrant_client.http.exceptions import ResponseHandlingException

        meanings: dict[object, type[MemoryCoreError]] = {
            grpc.StatusCode.UNAVAILABLE: UnavailableError,
            grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineError,
            grpc.StatusCode.RESOURCE_EXHAUSTED: OverloadedError,
        }
        if isinstance(error, grpc.aio.AioRpcError):
            meaning = meanings.get(error.code())
            return meaning(error.details() or error.code().name) if meaning else None
        if isinstance(error, ResponseHandlingException):
            return UnavailableError(str(error))
        return None


def _point(memory: Memory) -> models.PointStruct:
    from qdrant_client import models

    return models.PointStruct(
        id=point_id(memory.agent_id, memory.state_id),
        vector=memory.vector.tolist(),
        payload=point_payload(memory),
    )


def _hits(points: Sequence[models.ScoredPoint]) -> list[Hit]:
    return [hit(point.payload, point.score) for point in points]


def _filter(query: Query) -> models.Filter:
    """The points of the agent, with the attributes that are asked for."""
    from qdrant_client import models

    agent = models.FieldCondition(key=AGENT, match=models.MatchValue(value=query.agent_id))
    where = query.where or {}
    return models.Filter(must=[agent, *(_condition(*item) for item in where.items())])


def _request(query: Query) -> models.QueryRequest:
    """A search, for a call with several."""
    from qdrant_client import models

    return models.QueryRequest(
        query=query.vector.tolist(), filter=_filter(query), limit=query.k, with_payload=True
    )


def _condition(name: str, value: Scalar) -> models.FieldCondition:
    """An attribute that has a value. Qdrant matches no fractions; a range of one is the same."""
    from qdrant_client import models

    key = attribute_key(name)
    if isinstance(value, float):
        return models.FieldCondition(key=key, range=models.Range(gte=value, lte=value))
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))

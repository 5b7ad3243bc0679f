"""A process's way to Chroma: the same for a persistent client and for one of HTTP.

A record's id is the agent's and the state's in one, from which the state's can be read again. Its
metadata has the agent, the state as text, and, if attributes are kept, each under a name of ours,
so that none is taken for the agent or for one of Chroma's operators.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.targets.base import Hit, Memory, OpenStore, Query, Scalar
from memory_core.errors import (
    DeadlineError,
    MemoryCoreError,
    OverloadedError,
    StorageFullError,
    UnavailableError,
)

__all__ = ["ChromaStore", "close_client", "http_sessions"]

_AGENT, _STATE = "agent", "state"
_EXACT_MAX = 2**53  # of the integers that a float tells apart


class ChromaStore(OpenStore):
    """See the module's head.

    Args:
        client: Chroma's, which is closed with this.
        collection: of all agents.
        keep_attributes: whether searches are to be filtered by attributes.
    """

    def __init__(self, client: Any, collection: Any, *, keep_attributes: bool) -> None:
        self._client = client
        self._collection = collection
        self._keep_attributes = keep_attributes
        self._batch_max = client.get_max_batch_size()  # SQLite's bound on variables

    def store_many(self, memories: Sequence[Memory]) -> None:
        """Insert or replace records."""
        for part in self._parts(memories):
            self._collection.upsert(
                ids=[_record_id(one.agent_id, one.state_id) for one in part],
                embeddings=np.stack([one.vector for one in part]),
                metadatas=[self._metadata(one) for one in part],
            )

    def _metadata(self, memory: Memory) -> dict[str, Scalar]:
        state = b64encode(memory.payload).decode("ascii")
        metadata: dict[str, Scalar] = {_AGENT: memory.agent_id, _STATE: state}
        if self._keep_attributes:
            for name, value in memory.attributes.items():
                kept = _kept(value)
                if kept is not None:
                    metadata[_attribute(name)] = kept
        return metadata

    def retrieve_many(self, keys: Sequence[tuple[str, str]]) -> list[bytes | None]:
        """The payloads of records, by their ids."""
        ids = [_record_id(*key) for key in keys]
        found: dict[str, bytes] = {}
        for part in self._parts(list(dict.fromkeys(ids))):
            got = self._collection.get(ids=part, include=["metadatas"])
            for record_id, metadata in zip(got["ids"], got["metadatas"], strict=True):
                found[record_id] = b64decode(metadata[_STATE])
        return [found.get(record_id) for record_id in ids]

    def search(self, query: Query) -> list[Hit]:
        """The agent's nearest records."""
        where = _where(query)
        if where is None:
            return []
        got = self._collection.query(
            query_embeddings=query.vector[np.newaxis],
            n_results=query.k,
            where=where,
            include=["metadatas", "distances"],
        )
        start = len(_record_id(query.agent_id, ""))
        return [
            Hit(record_id[start:], 1.0 - distance, b64decode(metadata[_STATE]))
            for record_id, distance, metadata in zip(
                got["ids"][0], got["distances"][0], got["metadatas"][0], strict=True
            )
        ]

    def delete(self, agent_id: str, state_id: str) -> bool:
        """Remove a record. Chroma's count of what it removed counts what was not there, too."""
        ids = [_record_id(agent_id, state_id)]
        if not self._collection.get(ids=ids, include=[])["ids"]:
            return False
        self._collection.delete(ids=ids)
        return True

    def statistics(self) -> Mapping[str, Scalar]:
        """How many records there are."""
        return {"memories": self._collection.count(), "index": "HNSW"}

    def close(self) -> None:
        """Close the client."""
        close_client(self._client)

    def failure(self, error: Exception) -> MemoryCoreError | None:
        """Errors of the connection to a server, a full disk, and a limit of a server's."""
        import httpx
        from chromadb.errors import RateLimitError

        if isinstance(error, httpx.TimeoutException):
            return DeadlineError(f"Chroma gave no answer: {error}")
        if isinstance(error, httpx.TransportError):
            return UnavailableError(f"Chroma cannot be reached: {error}")
        if isinstance(error, RateLimitError):
            return OverloadedError(f"Chroma takes no more for now: {error}")
        if "database or disk is full" in str(error):  # SQLITE_FULL
            return StorageFullError("chroma.sqlite3", "the disk has no room; free some")
        return None

    def _parts(self, things: Sequence[Any]) -> list[Sequence[Any]]:
        size = self._batch_max
        return [things[start : start + size] for start in range(0, len(things), size)]


def http_sessions(client: Any) -> list[Any]:
    """What a client of HTTP sends requests by, each an ``httpx.Client``; a persistent one has none.

    Chroma has no way of its own to set how long a request may take, or to close connections.
    """
    servers: list[Any] = [client._server, client._admin_client._server]
    return [server._session for server in servers if hasattr(server, "_session")]


def close_client(client: Any) -> None:
    """Let go of a folder, or of the connections to a server."""
    sessions = http_sessions(client)
    client.close()
    for session in sessions:
        session.close()


def _record_id(agent_id: str, state_id: str) -> str:
    # The length says where one id ends: ("a", "bc") is not ("ab", "c").
    return f"{len(agent_id)}:{agent_id}{state_id}"


def _attribute(name: str) -> str:
    return f"attribute:{name}"


def _where(query: Query) -> dict[str, Any] | None:
    """The filter of a search, or None when no record can fit it."""
    conditions: list[dict[str, Any]] = [{_AGENT: query.agent_id}]
    for name, value in (query.where or {}).items():
        kept = _kept(value)
        if kept is None:
            return None
        conditions.append({_attribute(name): kept})
    return conditions[0] if len(conditions) == 1 else {"$and": conditions}


def _kept(value: Scalar) -> Scalar | None:
    """As Chroma keeps an attribute: numbers as floats. None for what it cannot hold.

    Where it has integers, it finds a 3 by 3.5, too (Chroma 1.5.9).
    """
    if isinstance(value, bool | str | float):
        return value
    return float(value) if abs(value) <= _EXACT_MAX else None

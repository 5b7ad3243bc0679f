"""The target ``qdrant-edge``: Qdrant's engine within each process of agents, a shard in a folder.

Qdrant Edge is the engine of Qdrant's server as a library, in beta: segments, payload indexes and a
write-ahead log, where the client's local mode is Python and numpy. It is driven as a server's
collection is: one shard for all agents, the agent a keyword with ``is_tenant``, no index over all
vectors (``m=0``) and one for each agent that grows large (``payload_m=16``), updates and queries in
batches. Until a segment has 10 MB of vectors nothing is indexed, and searches are exact; optimizers
run when they are asked to, which `QdrantEdgeStore.flush` does.

**Durability.** An update is in the shard's log, a file in memory, when it returns: it survives the
process, which is what its documentation promises. To have it on disk, with ``--durability fsync``,
the shard is flushed after each batch of updates, which syncs the log and the segment, in some 20
calls to the operating system; ``sync=false`` leaves that out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ClassVar, cast

import msgspec
import numpy as np

from harness.targets.adapters.qdrant_points import (
    AGENT,
    attribute_key,
    hit,
    packed_state,
    point_id,
    point_payload,
)
from harness.targets.base import (
    Capabilities,
    Hit,
    Memory,
    OpenStore,
    Query,
    Ready,
    Scalar,
    Setup,
    Target,
)

if TYPE_CHECKING:
    import qdrant_edge

__all__ = ["QdrantEdgeOptions", "QdrantEdgeTarget"]

# Of the server's documentation, for collections of many tenants; the rest are its defaults.
_M, _PAYLOAD_M, _EF_CONSTRUCT, _FULL_SCAN_THRESHOLD_KB = 0, 16, 100, 10_000


class QdrantEdgeOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``qdrant-edge``.

    ``sync``: whether the durability ``fsync`` flushes the shard after each batch of updates.
    """

    sync: bool = True


class QdrantEdgeStore(OpenStore):
    """A shard, which belongs to this process; flushed after each update if ``synced``."""

    def __init__(self, setup: Setup, *, synced: bool) -> None:
        import qdrant_edge

        self._edge = qdrant_edge
        self._synced = synced
        folder = setup.folder / "shard"
        if folder.exists():
            self._shard = qdrant_edge.EdgeShard.load(str(folder))
            return
        folder.mkdir()
        self._shard = qdrant_edge.EdgeShard.create(str(folder), _configuration(setup.dimension))
        tenant = qdrant_edge.KeywordIndexParams(is_tenant=True)
        self._update(qdrant_edge.UpdateOperation.create_field_index(AGENT, tenant))

    def store_many(self, memories: Sequence[Memory]) -> None:
        """Keep memories, in one update."""
        points = [
            self._edge.Point(
                point_id(memory.agent_id, memory.state_id),
                memory.vector.tolist(),
                point_payload(memory),
            )
            for memory in memories
        ]
        self._update(self._edge.UpdateOperation.upsert_points(points))

    def retrieve_many(self, keys: Sequence[tuple[str, str]]) -> list[bytes | None]:
        """The payloads of (agent_id, state_id) pairs, in their order."""
        names = [point_id(*key) for key in keys]
        found = self._shard.retrieve([*names], with_payload=True, with_vector=False)
        payloads = {str(record.id): packed_state(record.payload) for record in found}
        return [payloads.get(name) for name in names]

    def search_many(self, queries: Sequence[Query]) -> list[list[Hit]]:
        """What each search found, in their order."""
        batch = self._edge.QueryBatchRequest([_request(query) for query in queries])
        return [
            [hit(point.payload, point.score) for point in points]
            for points in self._shard.query_batch(batch)
        ]

    def delete(self, agent_id: str, state_id: str) -> bool:
        """Forget a memory; whether there was one."""
        name = point_id(agent_id, state_id)
        there = bool(self._shard.retrieve([name], with_payload=False, with_vector=False))
        if there:
            self._update(self._edge.UpdateOperation.delete_points([name]))
        return there

    def flush(self) -> None:
        """Bring what waits to disk, and run the optimizers, which build indexes."""
        self._shard.flush()
        self._shard.optimize()

    def statistics(self) -> Mapping[str, Scalar]:
        """How many memories there are, and how many vectors are in an index."""
        info = self._shard.info()
        return {
            "memories": info.points_count,
            "index": "HNSW",
            "indexed": info.indexed_vectors_count,
            "segments": info.segments_count,
        }

    def close(self) -> None:
        """Close the shard."""
        self._shard.close()

    def _update(self, operation: qdrant_edge.UpdateOperation) -> None:
        self._shard.update(operation)
        if self._synced:
            self._shard.flush()


def _request(query: Query) -> qdrant_edge.QueryRequest:
    """A search of the points of the agent, with the attributes that are asked for."""
    import qdrant_edge as edge

    agent = edge.FieldCondition(AGENT, match=edge.MatchValue(query.agent_id))
    where = query.where or {}
    return edge.QueryRequest(
        query.k,
        query=edge.Query.Nearest(query.vector.tolist()),
        filter=edge.Filter(must=[agent, *(_condition(*item) for item in where.items())]),
        with_payload=True,
    )


def _condition(name: str, value: Scalar) -> qdrant_edge.FieldCondition:
    """An attribute that has a value. Qdrant matches no fractions; a range of one is the same."""
    import qdrant_edge as edge

    key = attribute_key(name)
    if isinstance(value, float):
        return edge.FieldCondition(key, range=edge.RangeFloat(gte=value, lte=value))
    if isinstance(value, bool):
        # Its Python layer takes a bool, which is an int, for a number, and numpy's for what it is.
        return edge.FieldCondition(key, match=edge.MatchValue(cast(bool, np.bool_(value))))
    return edge.FieldCondition(key, match=edge.MatchValue(value))


def _configuration(dimension: int) -> qdrant_edge.EdgeConfig:
    import qdrant_edge as edge

    return edge.EdgeConfig(
        vectors=edge.EdgeVectorParams(size=dimension, distance=edge.Distance.Cosine),
        hnsw_config=edge.HnswIndexConfig(
            m=_M,
            ef_construct=_EF_CONSTRUCT,
            full_scan_threshold=_FULL_SCAN_THRESHOLD_KB,
            payload_m=_PAYLOAD_M,
        ),
    )


class QdrantEdgeTarget(Target[QdrantEdgeOptions]):
    """Qdrant Edge, in each process of agents."""

    name = "qdrant-edge"
    description = "Qdrant's engine as a library (Edge), a shard in each process of agents"
    options_type = QdrantEdgeOptions
    modules: ClassVar[Sequence[str]] = ("qdrant_edge",)
    extra = "qdrant-edge"
    capabilities = Capabilities(
        batch=frozenset({"store", "retrieve", "search"}), filter=True, delete=True, durable=True
    )

    def prepare(self, setup: Setup) -> Ready:
        """Nothing to start; each process opens a shard of its own."""
        synced = self._synced(setup)
        return Ready(
            version=version("qdrant-edge-py"),
            durability=(
                "each batch of updates is followed by a flush, and on disk"
                if synced
                else "an update is in the shard's log, with the operating system: it survives the"
                " process, but not a power cut"
            ),
            settings={
                "index": f"HNSW within an agent's points (m={_M}, payload_m={_PAYLOAD_M}) from"
                " 10 MB of vectors on",
                "ef_construct": _EF_CONSTRUCT,
                "flush": "after each batch" if synced else "never",
                "search_threads": "one for each core",
            },
        )

    def open(self, setup: Setup, connection: Mapping[str, Any]) -> QdrantEdgeStore:
        """Open or make the shard in the folder."""
        del connection
        return QdrantEdgeStore(setup, synced=self._synced(setup))

    def _synced(self, setup: Setup) -> bool:
        return self.options.sync and setup.durability == "fsync"

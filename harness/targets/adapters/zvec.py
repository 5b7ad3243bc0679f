"""The target ``zvec``: Alibaba's embedded vector database, a collection in each process.

One collection holds the memories of a process's agents; the agent is a scalar field with an
inverted index, and a search filters by it, as zvec's pages on data modelling and filtered search
have it. Vectors are cosine, under HNSW with zvec's own parameters. New vectors wait in a flat
buffer, which is searched exactly, until ``optimize()`` builds the index, "regularly, but not too
often" (zvec's page "Optimize a Collection"): `ZvecStore.flush` does so. A filter that leaves a
tenth of the collection or less is searched exactly, too (``brute_force_by_keys_ratio``).

**Durability.** zvec writes each document to a log before it acknowledges, and hands that to the
operating system: what was acknowledged survives the death of the process. It has no setting that
syncs the log at each write. Nor is a ``flush()`` after each batch the durability of our store: it
writes a segment's files without syncing them, and deletes the log (system calls of zvec 0.8.0), at
16 ms and a megabyte each time.

It survived each single kill that was tried. It does not survive every second one, so that
``durable`` is not claimed: zvec 0.8.0 goes on with a log whose last record was cut short, and reads
no further than that when it is opened again (its pull request 768 is about it); and where the
collection is flushed when it is opened, which begins a new log, deletions that are replayed after
the next crash take other documents with them. ``harness targets check`` found both, and a script
without the harness has them, too.

A payload is text, for zvec has no field of bytes: base64. Fields are those that the collection was
made with, so that what attributes a state has cannot be asked for: no ``filter``.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ClassVar, cast

from harness.targets.adapters.record_ids import agent_tag, record_id
from harness.targets.base import (
    Capabilities,
    Hit,
    Memory,
    NoOptions,
    OpenStore,
    Query,
    Ready,
    Scalar,
    Setup,
    Target,
)

if TYPE_CHECKING:
    import zvec

__all__ = ["ZvecTarget"]

_AGENT, _STATE, _PAYLOAD, _VECTOR = "agent", "state", "payload", "embedding"


class ZvecStore(OpenStore):
    """A collection, which belongs to this process."""

    def __init__(self, setup: Setup) -> None:
        _have_threads_enough()
        import zvec

        # Once in a process; another time is an error, and changes nothing. What zvec would log is
        # raised, too.
        with suppress(RuntimeError):
            zvec.init(log_level=zvec.LogLevel.FATAL)
        self._zvec = zvec
        path = setup.folder / "collection"
        if path.exists():
            self._collection = zvec.open(str(path))
        else:
            self._collection = zvec.create_and_open(str(path), _schema(setup.dimension))

    def store_many(self, memories: Sequence[Memory]) -> None:
        """Keep memories.

        Raises:
            RuntimeError: zvec refused one, in its words.
        """
        for status in self._collection.upsert([self._document(memory) for memory in memories]):
            _check(status)

    def retrieve_many(self, keys: Sequence[tuple[str, str]]) -> list[bytes | None]:
        """The payloads of (agent_id, state_id) pairs, in their order."""
        ids = [record_id(*key) for key in keys]
        found = self._collection.fetch(ids, output_fields=[_PAYLOAD], include_vector=False)
        return [b64decode(found[name].fields[_PAYLOAD]) if name in found else None for name in ids]

    def search(self, query: Query) -> list[Hit]:
        """The most similar memories of the agent, best first."""
        found = self._collection.query(
            self._zvec.Query(field_name=_VECTOR, vector=query.vector),
            topk=query.k,
            filter=f"{_AGENT} = '{agent_tag(query.agent_id)}'",
            output_fields=[_STATE, _PAYLOAD],
        )
        return [_hit(document) for document in found]

    def delete(self, agent_id: str, state_id: str) -> bool:
        """Forget a memory; whether there was one."""
        status = self._collection.delete(record_id(agent_id, state_id))
        if status.code() == self._zvec.StatusCode.NOT_FOUND:
            return False
        _check(status)
        return True

    def flush(self) -> None:
        """Build the index over what waits in the flat buffer."""
        self._collection.optimize()

    def statistics(self) -> Mapping[str, Scalar]:
        """How many memories there are, and how much of them the index holds."""
        stats = self._collection.stats
        return {
            "memories": stats.doc_count,
            "index": "HNSW",
            "indexed_ratio": stats.index_completeness[_VECTOR],
        }

    def close(self) -> None:
        """Close the collection."""
        self._collection.close()

    def _document(self, memory: Memory) -> zvec.Doc:
        return self._zvec.Doc(
            id=record_id(memory.agent_id, memory.state_id),
            fields={
                _AGENT: agent_tag(memory.agent_id),
                _STATE: memory.state_id,
                _PAYLOAD: b64encode(memory.payload).decode(),
            },
            vectors={_VECTOR: memory.vector},
        )


def _have_threads_enough() -> None:
    """Have zvec make pools of more than one thread, in this process from here on.

    They are as large as ``OMP_NUM_THREADS`` says, which is 1 where the harness runs agents; and in
    a pool of one thread a search that waits for a part of itself waits for ever (zvec 0.8.0).
    """
    os.environ["OMP_NUM_THREADS"] = str(max(2, os.cpu_count() or 2))


def _hit(document: zvec.Doc) -> Hit:
    distance = cast(float, document.score)
    return Hit(document.fields[_STATE], 1 - distance, b64decode(document.fields[_PAYLOAD]))


def _schema(dimension: int) -> zvec.CollectionSchema:
    import zvec

    text = zvec.DataType.STRING
    return zvec.CollectionSchema(
        name="memories",
        fields=[
            zvec.FieldSchema(_AGENT, text, index_param=zvec.InvertIndexParam()),
            zvec.FieldSchema(_STATE, text),
            zvec.FieldSchema(_PAYLOAD, text),
        ],
        vectors=zvec.VectorSchema(
            _VECTOR,
            zvec.DataType.VECTOR_FP32,
            dimension,
            index_param=zvec.HnswIndexParam(metric_type=zvec.MetricType.COSINE),
        ),
    )


def _check(status: zvec.Status) -> None:
    if not status.ok():
        raise RuntimeError(status.message())


class ZvecTarget(Target[NoOptions]):
    """zvec, in each process of agents."""

    name = "zvec"
    description = "zvec, an embedded vector database, a collection in each process of agents"
    modules: ClassVar[Sequence[str]] = ("zvec",)
    extra = "zvec"
    capabilities = Capabilities(batch=frozenset({"store", "retrieve"}), delete=True)

    def prepare(self, setup: Setup) -> Ready:
        """Nothing to start; each process opens a collection of its own."""
        del setup
        import zvec

        index = zvec.HnswIndexParam()
        return Ready(
            version=version("zvec"),
            durability="a write is in zvec's log, with the operating system: it survives a kill,"
            " but not always a second one, and no power cut; zvec has no setting that syncs each"
            " write",
            settings={
                "index": f"HNSW, m={index.m}, ef_construction={index.ef_construction};"
                " flat until a flush",
                "ef": zvec.HnswQueryParam().ef,
                "query_threads": "one for each core",
            },
        )

    def open(self, setup: Setup, connection: Mapping[str, Any]) -> ZvecStore:
        """Open or make the collection in the folder."""
        del connection
        return ZvecStore(setup)

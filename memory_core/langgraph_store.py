"""A memory as a LangGraph store: what agents keep through LangGraph is kept durably by a memory.

    with LangGraphStore.open("memories") as store:
        store.put(("users", "ana"), "food", {"likes": "pizza"})
        graph = builder.compile(store=store)

It stands on the public face of a memory, in this process or over Ray, and has no files of its own:
a namespace is an agent, a key a state id, a value a state (`langgraph_namespaces`,
`langgraph_items`), so `AgentMemorySystem` reads what was put here, and the other way round.

A batch is answered as LangGraph's own stores do it: what it reads is what was there before it, and
of several puts of one item the last counts. Its writes, up to a thousand of them, are one batch of
the memory: on the disk together, and acknowledged when they are there.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

from langgraph.store.base import BaseStore, Embeddings, IndexConfig, Op, Result

from memory_core.config import MemoryConfig
from memory_core.errors import BadInputError
from memory_core.face import MemoryFace
from memory_core.langgraph_batch import Batch
from memory_core.langgraph_gathering import Gathering
from memory_core.langgraph_index import Index
from memory_core.system import AgentMemorySystem

__all__ = ["LangGraphStore"]


class LangGraphStore(BaseStore):
    """A LangGraph `BaseStore` on a memory. Thread-safe.

    Values are mappings with string keys of what JSON has, NaN and infinity left out; tuples come
    back as lists. Time-to-live is a tier's here (`MemoryConfig.stm_ttl_s` and so on), counted from
    when an item was put; an item has none of its own, and a put with one raises
    NotImplementedError.

    Args:
        memory: keeps the items; an `AgentMemorySystem`, or a `RayMemory`. It is not closed here.
        index: what is embedded of an item, by what, and to how many dimensions, which are those
                of the memory; without it a search's query is ignored.

    Attributes:
        index_config: the index, as it was given; LangGraph's own stores have it, too.
        embeddings: what makes vectors of texts, or None.

    Raises:
        BadInputError: the index is configured wrongly, or not for this memory.
    """

    supports_ttl = False

    def __init__(self, memory: MemoryFace, *, index: IndexConfig | None = None) -> None:
        self._memory = memory
        self._owned: AgentMemorySystem | None = None
        self._gatherings: WeakKeyDictionary[asyncio.AbstractEventLoop, Gathering]
        self._gatherings = WeakKeyDictionary()
        self._index = None if index is None else Index(index)
        self.index_config = index
        self.embeddings: Embeddings | None = self._index.embeddings if self._index else None
        if self._index is not None and isinstance(memory, AgentMemorySystem):
            dimension = memory.config.dimension
            if dimension != self._index.dims:
                raise BadInputError(
                    "index.dims", f"is {self._index.dims}, but the memory has {dimension}"
                )

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        index: IndexConfig | None = None,
        config: MemoryConfig | None = None,
    ) -> LangGraphStore:
        """A store on a folder, with a memory of its own, which `close` closes.

        Args:
            path: the memory's folder, made when it is not there.
            index: as the class has it.
            config: of the memory; the path, and the dimension if there is an index, are set in it.

        Raises:
            BadInputError: the index is configured wrongly, or the folder holds something else.
            LockedError, IncompatibleError, CorruptionError: see `MemoryStore`.
        """
        config = replace(config or MemoryConfig(), path=path)
        if index is not None and config.encoder is None:
            config = replace(config, dimension=Index(index).dims)
        memory = AgentMemorySystem(config)
        try:
            store = cls(memory, index=index)
        except BaseException:
            memory.close()
            raise
        store._owned = memory
        return store

    @property
    def memory(self) -> MemoryFace:
        """The memory that keeps the items."""
        return self._memory

    def close(self) -> None:
        """Close the memory if `open` made it; what was put is on the disk already."""
        if self._owned is not None:
            self._owned.close()

    def __enter__(self) -> LangGraphStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Execute operations; one result for each, in order.

        Raises:
            BadInputError: names what is wrong with one of them; none was executed.
            InvalidNamespaceError: a namespace is none; none was executed.
            NotImplementedError: a put has a time-to-live; none was executed.
            MemoryCoreError: the memory failed (`StorageFullError`, `UnavailableError`, ...).
        """
        batch = Batch(ops, self._index)
        if self._index is not None:
            embeddings = self._index.embeddings
            if batch.texts:
                made: Any = embeddings.embed_documents(batch.texts)
                batch.embedded = self._index.vectors_of(batch.texts, made)
            if batch.queries:
                made = [embeddings.embed_query(query) for query in batch.queries]
                batch.asked = self._index.vectors_of(batch.queries, made)
        return batch.executed(self._memory)

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """`batch`, with the embeddings' asynchronous methods, and the memory on a thread.

        What several tasks ask for while a batch is on its way goes out as the next one, together.
        """
        batch = Batch(ops, self._index)
        if self._index is not None:
            embeddings = self._index.embeddings
            if batch.texts:
                made: Any = await embeddings.aembed_documents(batch.texts)
                batch.embedded = self._index.vectors_of(batch.texts, made)
            if batch.queries:
                made = await asyncio.gather(*map(embeddings.aembed_query, batch.queries))
                batch.asked = self._index.vectors_of(batch.queries, made)
        loop = asyncio.get_running_loop()
        gathering = self._gatherings.get(loop)
        if gathering is None:
            gathering = self._gatherings.setdefault(loop, Gathering(self._memory))
        return await gathering.executed(batch)

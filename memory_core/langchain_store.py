"""A memory as a LangChain vector store: documents that are kept durably by a memory.

    store = LangChainStore.open("memories", embedding, dimension=384)
    store.add_texts(["Ana likes pizza"], [{"user": "ana"}])
    store.similarity_search("food", k=1, filter={"user": "ana"})

It stands on the public face of a memory, in this process or over Ray, and has no files of its own.
A collection is an agent, a document's id a state id; the state is ``{"page_content": ...,
"metadata": {...}}`` with the document's vector. So `AgentMemorySystem` reads what was added here.
What another face stored is a document with its state as JSON for content.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

from memory_core.asking import results_of
from memory_core.config import MemoryConfig
from memory_core.face import MemoryFace
from memory_core.langchain_documents import Added, called_as_here, document_of, filter_of
from memory_core.operations import Delete, RetrieveMany, Search
from memory_core.results import Deleted, Hits, Memories
from memory_core.system import AgentMemorySystem

__all__ = ["LangChainStore"]


class LangChainStore(VectorStore):
    """A LangChain `VectorStore` on a memory. Thread-safe if the embeddings are.

    Scores are cosine similarities, in [-1, 1]; relevance scores are these, below 0 taken as 0.
    A filter is a mapping of conditions on a document's metadata, all of which have to hold, in the
    notation of `memory_core.conditions`: ``{"user": "ana", "year": {"$gte": 2020}}``. There are k
    documents when k fit. Metadata are what a state may hold.

    Args:
        memory: keeps the documents; an `AgentMemorySystem`, or a `RayMemory`. It is not closed
            here. Its dimension is that of the embeddings.
        embedding: makes vectors of texts.
        collection: where the documents are, apart from those of other collections.
    """

    def __init__(
        self, memory: MemoryFace, embedding: Embeddings, *, collection: str = "documents"
    ) -> None:
        self._memory = memory
        self._embedding = embedding
        self._collection = collection
        self._owned: AgentMemorySystem | None = None

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str] | None,
        embedding: Embeddings,
        *,
        dimension: int,
        collection: str = "documents",
        config: MemoryConfig | None = None,
    ) -> LangChainStore:
        """A store on a folder, with a memory of its own, which `close` closes.

        Args:
            path: the memory's folder, made when it is not there; None is a private temporary one.
            embedding: makes vectors of texts.
            dimension: their length.
            collection: as the class has it.
            config: of the memory; path and dimension are set in it.

        Raises:
            LockedError, IncompatibleError, CorruptionError, BadInputError: see `MemoryStore`.
        """
        config = replace(config or MemoryConfig(), path=path, dimension=dimension)
        memory = AgentMemorySystem(config)
        store = cls(memory, embedding, collection=collection)
        store._owned = memory
        return store

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> LangChainStore:
        """A store with texts in it.

        Args:
            texts: contents of its first documents.
            embedding: makes vectors of texts.
            metadatas: a mapping for each, or None.
            ids: an id for each, or None for new ones.
            **kwargs: ``memory``, or ``path`` of a folder (neither is a private temporary one), and
                ``collection``.
        """
        store = cls._begun(embedding, **kwargs)
        try:
            store.add_texts(texts, metadatas, ids=ids)
        except BaseException:
            store.close()
            raise
        return store

    @property
    def memory(self) -> MemoryFace:
        """The memory that keeps the documents."""
        return self._memory

    @property
    def embeddings(self) -> Embeddings:
        """What makes vectors of texts."""
        return self._embedding

    def close(self) -> None:
        """Close the memory if `open` made it; what was added is on the disk already."""
        if self._owned is not None:
            self._owned.close()

    def __enter__(self) -> LangChainStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add documents, or replace those of the same ids; their ids. Durable when this returns.

        Args:
            texts: their contents.
            metadatas: a mapping for each, or None.
            ids: an id for each, or None for a new one.
            **kwargs: not looked at; LangChain's own callers give hints.

        Raises:
            BadInputError: names what is wrong; nothing was added.
            MemoryCoreError: the memory failed.
        """
        del kwargs
        added = Added(self._collection, texts, metadatas, ids)
        if added.texts:
            added.store(self._memory, self._embedding.embed_documents(added.texts))
        return added.ids

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """`add_texts`, with the embeddings' asynchronous method, and the memory on a thread."""
        del kwargs
        added = Added(self._collection, texts, metadatas, ids)
        if added.texts:
            vectors = await self._embedding.aembed_documents(added.texts)
            await asyncio.to_thread(added.store, self._memory, vectors)
        return added.ids

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Delete documents, or all of the collection with None; ids of none do no harm."""
        del kwargs
        operations = (
            [Delete(self._collection)]
            if ids is None
            else [Delete(self._collection, one) for one in ids]
        )
        with called_as_here():
            list(results_of(self._memory, operations, Deleted))
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Those of the ids that there are, in the order of the ids."""
        with called_as_here():
            asked = [RetrieveMany(self._collection, list(ids))]
            [found] = results_of(self._memory, asked, Memories)
        return [document_of(one.state_id, one.state) for one in found.memories]

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """The ``k`` documents most similar to a text, best first.

        Args:
            query: a text.
            k: how many at most.
            **kwargs: of this and all other searches: ``filter``, as the class has it.
        """
        return [one for one, _ in self.similarity_search_with_score(query, k, **kwargs)]

    async def asimilarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """`similarity_search`, without blocking the loop."""
        found = await self.asimilarity_search_with_score(query, k, **kwargs)
        return [one for one, _ in found]

    def similarity_search_with_score(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """`similarity_search`, with the cosine similarity of each."""
        return self._nearest(self._embedding.embed_query(query), k, **kwargs)

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """`similarity_search_with_score`, without blocking the loop."""
        vector = await self._embedding.aembed_query(query)
        return await asyncio.to_thread(self._nearest, vector, k, **kwargs)

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, **kwargs: Any
    ) -> list[Document]:
        """The ``k`` documents most similar to a vector, best first."""
        return [one for one, _ in self._nearest(embedding, k, **kwargs)]

    def similarity_search_with_score_by_vector(
        self, embedding: list[float], k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """`similarity_search_by_vector`, with the cosine similarity of each.

        Raises:
            BadInputError: names what is wrong.
            MemoryCoreError: the memory failed.
        """
        return self._nearest(embedding, k, **kwargs)

    def _nearest(
        self,
        vector: Sequence[float],
        k: int,
        *,
        filter: Mapping[Any, Any] | None = None,  # noqa: A002 - what LangChain calls it
    ) -> list[tuple[Document, float]]:
        with called_as_here():
            search = Search.of(self._collection, vector=vector, k=k, filter=filter_of(filter))
            [found] = results_of(self._memory, [search], Hits)
        return [(document_of(hit.state_id, hit.state), hit.score) for hit in found.hits]

    @classmethod
    def _begun(
        cls,
        embedding: Embeddings,
        *,
        memory: MemoryFace | None = None,
        path: str | os.PathLike[str] | None = None,
        collection: str = "documents",
    ) -> LangChainStore:
        if memory is not None:
            return cls(memory, embedding, collection=collection)
        dimension = len(embedding.embed_query("how long is a vector"))
        return cls.open(path, embedding, dimension=dimension, collection=collection)

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return _relevance


def _relevance(score: float) -> float:
    return min(max(score, 0.0), 1.0)

"""LangChain's own tests of a vector store, synchronous and asynchronous, on `LangChainStore`.

LangGraph's packages have none for stores: `langgraph-checkpoint-conformance` tests checkpointers,
and what its repository has for stores is not in the package. Its own store in memory is the model
of `test_langgraph_model` instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from memory_core.langchain_store import LangChainStore

vectorstores = pytest.importorskip("langchain_tests.integration_tests.vectorstores")


class TestStandard(vectorstores.VectorStoreIntegrationTests):  # type: ignore[misc]
    """Its tests; one of them sees to it that none is left out or replaced here."""

    @pytest.fixture
    def vectorstore(self, tmp_path: Path) -> Iterator[LangChainStore]:
        embeddings = self.get_embeddings()
        dimension = vectorstores.EMBEDDING_SIZE
        with LangChainStore.open(tmp_path, embeddings, dimension=dimension) as store:
            yield store

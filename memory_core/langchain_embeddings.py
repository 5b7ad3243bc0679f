"""LangChain's embeddings by a small model on this machine, for both faces of other libraries."""

from __future__ import annotations

import os
import threading

from langchain_core.embeddings import Embeddings

from memory_core.text_model import load_text_model

__all__ = ["TextEmbeddings"]


class TextEmbeddings(Embeddings):
    """`Embeddings` of texts by a static model; needs the extra ``text``. Thread-safe.

    Nothing is downloaded. A text of which the model knows no token has a vector of zeros.

    Args:
        model: folder of a static model as model2vec saves one; None is the model of the package
            wordllama, 256 numbers of English.

    Attributes:
        dimension: length of the vectors.

    Raises:
        BadInputError: a package is not installed, or there is no model.
    """

    def __init__(self, model: str | os.PathLike[str] | None = None) -> None:
        self._model = load_text_model(None if model is None else os.fspath(model))
        self._one_at_a_time = threading.Lock()
        self.dimension = self._model.dimension

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """A vector for each text."""
        with self._one_at_a_time:
            vectors: list[list[float]] = self._model.embed(texts).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """The vector of a text."""
        return self.embed_documents([text])[0]

"""LangChain's documents as memories, and back.

A document's state is ``{"page_content": ..., "metadata": {...}}``. What another face stored is a
document whose content is its state as JSON.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from langchain_core.documents import Document

from memory_core.asking import results_of
from memory_core.conditions import Condition, Filter, conditions_of
from memory_core.errors import BadInputError
from memory_core.face import MemoryFace
from memory_core.field_checks import check_id
from memory_core.operations import Store, vector_bytes
from memory_core.results import Done

__all__ = ["Added", "called_as_here", "document_of", "filter_of"]

_CONTENT = "page_content"
_METADATA = "metadata"
# What an operation's fields are called where documents are.
_CALLED = {"agent_id": "collection", "state_id": "ids", "state_ids": "ids", "vector": "embedding"}


class Added:
    """Documents to be added, checked.

    Attributes:
        texts: their contents.
        ids: of each, the one that was given or a new one.

    Raises:
        BadInputError: names what is wrong.
    """

    def __init__(
        self,
        collection: str,
        texts: Iterable[str],
        metadatas: Sequence[Mapping[str, Any]] | None,
        ids: Sequence[str | None] | None,
    ) -> None:
        self.texts = list(texts)
        for at, text in enumerate(self.texts):
            if not isinstance(text, str):
                raise BadInputError(f"texts[{at}]", f"must be text, not {type(text).__name__}")
        kept = _of_each("metadatas", metadatas, self.texts) or [{}] * len(self.texts)
        given = _of_each("ids", ids, self.texts) or [None] * len(self.texts)
        self.ids = [str(uuid.uuid4()) if one is None else one for one in given]
        with called_as_here():
            for one in self.ids:
                check_id("state_id", one)
            self._stores = [
                Store.of(collection, one, {_CONTENT: text, _METADATA: metadata})
                for one, text, metadata in zip(self.ids, self.texts, kept, strict=True)
            ]

    def store(self, memory: MemoryFace, vectors: Sequence[Any]) -> None:
        """Store them with their vectors.

        Raises:
            BadInputError: a vector is none, and nothing was stored; or the memory refuses one, and
                that document was not stored.
        """
        if len(vectors) != len(self.texts):
            problem = f"gave {len(vectors)} vectors of {len(self.texts)} texts"
            raise BadInputError("embedding", problem)
        with called_as_here():
            stores = [
                msgspec.structs.replace(store, vector=vector_bytes("vector", vector))
                for store, vector in zip(self._stores, vectors, strict=True)
            ]
            for _ in results_of(memory, stores, Done):
                pass


def document_of(state_id: str, state: dict[str, Any]) -> Document:
    """The document that a memory is."""
    content, metadata = state.get(_CONTENT), state.get(_METADATA)
    if not isinstance(content, str):
        content = json.dumps(state, ensure_ascii=False)
    return Document(
        id=state_id, page_content=content, metadata=metadata if isinstance(metadata, dict) else {}
    )


def filter_of(wanted: Mapping[Any, Any] | None) -> Filter | None:
    """Conditions on metadata, in the notation of `conditions_of`. Raises BadInputError."""
    if not wanted:
        return None
    conditions = conditions_of(wanted, "filter")
    return Filter(
        conditions=[
            Condition([_METADATA, *one.path], one.operator, one.value) for one in conditions
        ]
    )


@contextmanager
def called_as_here() -> Iterator[None]:
    """Have bad input named as whoever has documents knows it."""
    try:
        yield
    except BadInputError as error:
        place = f"state_data.{_METADATA}"
        if error.field.startswith(place):
            field = error.field.replace(place, "metadatas", 1)
        elif error.field.startswith("state_data"):
            field = "texts"
        else:
            field = _CALLED.get(error.field, error.field)
        raise BadInputError(field, error.problem) from None


def _of_each(field: str, given: Sequence[Any] | None, texts: Sequence[str]) -> list[Any]:
    """What is given for each text, or nothing."""
    if given is None:
        return []
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise BadInputError(field, f"must be a list, not {type(given).__name__}")
    if len(given) != len(texts):
        raise BadInputError(field, f"are {len(given)}, but the texts are {len(texts)}")
    return list(given)

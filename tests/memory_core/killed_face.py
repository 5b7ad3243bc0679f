"""A process to be killed: it puts and deletes through a face, and says what was acknowledged.

Started as ``python -m tests.memory_core.killed_face FACE FOLDER``, FACE being ``langgraph`` or
``langchain``. A line of JSON, ``[number, deleted]``, follows each acknowledgement: the item of that
number was stored, and that of the other deleted, if it is not null. It goes on until it is killed.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path
from typing import Protocol

from langchain_core.embeddings import Embeddings

from memory_core.langchain_store import LangChainStore
from memory_core.langgraph_store import LangGraphStore
from tests.memory_core.embedding import DIMENSION, embed


class Face(Protocol):
    """One of the faces, as this test uses it: texts by number."""

    def put(self, number: int) -> None:
        """Store the text of that number."""

    def delete(self, number: int) -> None:
        """Delete it."""

    def get(self, number: int) -> str | None:
        """Read it."""

    def found(self, number: int) -> int | None:
        """The number of the text that is most similar to that of this number."""

    def close(self) -> None:
        """Close it."""


def text(number: int) -> str:
    """What is stored under a number."""
    return f"the text of number {number}"


class GraphFace:
    """LangGraph's."""

    def __init__(self, folder: Path) -> None:
        self._store = LangGraphStore.open(
            folder, index={"dims": DIMENSION, "embed": embed, "fields": ["text", "more"]}
        )

    def put(self, number: int) -> None:
        value = {"text": text(number), "more": f"more of {number}"}
        self._store.put(_namespace(number), str(number), value)

    def delete(self, number: int) -> None:
        self._store.delete(_namespace(number), str(number))

    def get(self, number: int) -> str | None:
        item = self._store.get(_namespace(number), str(number))
        return None if item is None else str(item.value["text"])

    def found(self, number: int) -> int | None:
        # by its second vector, which is written beside the item
        items = self._store.search(("users",), query=f"more of {number}", limit=1)
        return int(items[0].key) if items else None

    def close(self) -> None:
        self._store.close()


class ByDigest(Embeddings):
    """LangChain's embeddings of a text's digest."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return embed(texts)

    def embed_query(self, text: str) -> list[float]:
        return embed([text])[0]


class ChainFace:
    """LangChain's."""

    def __init__(self, folder: Path) -> None:
        self._store = LangChainStore.open(folder, ByDigest(), dimension=DIMENSION)

    def put(self, number: int) -> None:
        self._store.add_texts([text(number)], ids=[str(number)])

    def delete(self, number: int) -> None:
        self._store.delete([str(number)])

    def get(self, number: int) -> str | None:
        documents = self._store.get_by_ids([str(number)])
        return documents[0].page_content if documents else None

    def found(self, number: int) -> int | None:
        documents = self._store.similarity_search(text(number), k=1)
        return int(documents[0].id or "") if documents else None

    def close(self) -> None:
        self._store.close()


FACES = {"langgraph": GraphFace, "langchain": ChainFace}


def _namespace(number: int) -> tuple[str, ...]:
    return ("users", f"user_{number % 7}")


def main(face: Face) -> None:
    """Store without end; delete every third of what was stored."""
    for number in itertools.count():
        face.put(number)
        deleted = number - 2 if number % 3 == 2 else None
        if deleted is not None:
            face.delete(deleted)
        os.write(1, json.dumps([number, deleted]).encode() + b"\n")


if __name__ == "__main__":
    main(FACES[sys.argv[1]](Path(sys.argv[2])))

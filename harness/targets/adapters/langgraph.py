"""The target ``langgraph``: LangGraph's long-term memory, its store in memory or on SQLite.

``store=memory`` (the default) is `InMemoryStore`, ``store=sqlite`` is `SqliteStore` of
langgraph-checkpoint-sqlite. Driven as their documentation has it:

- A namespace for each agent, ``(agent, "memories")``, in one store; a state id is an item's key and
  a state its value, a JSON document, with conditions on whose fields searches are filtered. Labels
  of namespaces may have no period and no NUL: such an agent's are written as ``%2E`` and ``%00``.
- The store embeds a text of each item by the ``embed`` function of its index configuration, and a
  text of each query. Our vectors are made already, so that an item carries a number as its text
  (the field `TEXT_FIELD`, which a state may not have), and ``embed`` gives the vector that goes by
  that number: lists of floats, as embedding models give them. No model is part of the figures.
- Several operations go to the store as one ``batch()``: with SQLite, one transaction.
- ``SqliteStore`` is given a connection of our own, in autocommit mode as ``from_conn_string`` makes
  it, with SQLite's write-ahead log (which LangGraph's own SQLite checkpointer turns on, too) and
  ``synchronous=FULL``, or ``NORMAL`` with ``durability="os"``. A process has a file of its own.
  Its vectors need extensions of SQLite, without which some Pythons are built: pysqlite3 is used
  there, which is the same module with a SQLite of its own.

Both search exactly: the one by numpy over the lists of a namespace, having looked at the name of
each there is, the other by sqlite-vec's function over the namespace's rows. What JSON cannot carry
(an integer of more than 64 bits) is an error, and so is a condition of ``SqliteStore``'s on a field
whose name has more than letters, digits, periods, hyphens and underscores. To both, true is 1. When
a batch fails within SQLite, ``SqliteStore`` commits what came before: some of a batch of stores
that failed may be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from harness.errors import UsageError
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
from memory_core.errors import BadInputError, MemoryCoreError, StorageFullError

if TYPE_CHECKING:
    from langgraph.store.base import BaseStore, Item

__all__ = ["TEXT_FIELD", "LangGraphOptions", "LangGraphStore", "LangGraphTarget"]

TEXT_FIELD = "harness text"
_FILE = "store.sqlite"
# A statement of SQLite takes 32,766 values; a put has five of them.
_BATCH_MAX = 1_000
# SQLite's own is 2^63 - 1, of which SqliteStore asks for twice as much.
_LIMIT_MAX = 2**31
_ESCAPES = str.maketrans({"%": "%25", ".": "%2E", "\x00": "%00"})

ItemT = TypeVar("ItemT")


class LangGraphOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``langgraph``.

    ``store``: which of LangGraph's stores.
    """

    store: Literal["memory", "sqlite"] = "memory"


class LangGraphTarget(Target[LangGraphOptions]):
    """A store of LangGraph's in each process of agents."""

    name = "langgraph"
    description = "LangGraph's store: in memory, or store=sqlite"
    options_type = LangGraphOptions
    modules = ("langgraph",)
    extra = "langgraph"
    capabilities = Capabilities(
        batch=frozenset({"store", "retrieve", "search"}), filter=True, delete=True
    )

    def __init__(self, options: LangGraphOptions) -> None:
        super().__init__(options)
        self.capabilities = replace(self.capabilities, durable=options.store == "sqlite")

    def prepare(self, setup: Setup) -> Ready:
        """Nothing to start."""
        if self.options.store == "memory":
            return Ready(
                version=version("langgraph-checkpoint"),
                durability="in memory only: what was acknowledged is gone with the process",
                settings={"store": "InMemoryStore", "index": "none: exact", "metric": "cosine"},
            )
        try:
            import langgraph.store.sqlite  # noqa: F401

            sqlite = _sqlite()
        except ImportError as error:
            needs = f"langgraph:store=sqlite needs {error.name}, which is not installed"
            remedy = "install it with: pip install 'agent-memory-harness[langgraph]'"
            raise UsageError("--target", f"{needs}; {remedy}") from None
        synchronous = _synchronous(setup)
        return Ready(
            version=version("langgraph-checkpoint"),
            durability=(
                "SQLite in WAL mode with synchronous=FULL: each transaction is synced"
                if synchronous == "FULL"
                else "SQLite in WAL mode with synchronous=NORMAL: the operating system has each"
                " transaction"
            ),
            settings={
                "store": "SqliteStore",
                "langgraph-checkpoint-sqlite": version("langgraph-checkpoint-sqlite"),
                "sqlite": sqlite.sqlite_version,
                "index": "none: exact",
                "metric": "cosine",
                "journal_mode": "WAL",
                "synchronous": synchronous,
            },
        )

    def open(self, setup: Setup, connection: Mapping[str, Any]) -> LangGraphStore:
        """An empty store in memory, or this process's file."""
        del connection
        vectors = _Vectors()
        if self.options.store == "memory":
            return _in_memory(vectors, setup.dimension)
        return _on_sqlite(vectors, setup.dimension, setup.folder / _FILE, _synchronous(setup))


class LangGraphStore(OpenStore):
    """A store of LangGraph's, and the vectors that its next batch asks for."""

    def __init__(
        self,
        store: BaseStore,
        vectors: _Vectors,
        *,
        path: Path | None = None,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._vectors = vectors
        self._path = path
        self._close = close

    def store_many(self, memories: Sequence[Memory]) -> None:
        """A transaction for each thousand."""
        from langgraph.store.base import PutOp

        for some in _parts(memories):
            puts = []
            for memory, text in zip(some, self._vectors.texts(some), strict=True):
                value = memory.state
                if TEXT_FIELD in value:
                    raise BadInputError(
                        "state_data", f"langgraph cannot keep a field named {TEXT_FIELD!r}"
                    )
                value[TEXT_FIELD] = text
                namespace = _namespace(memory.agent_id)
                puts.append(PutOp(namespace, memory.state_id, value, index=[TEXT_FIELD]))
            self._store.batch(puts)

    def retrieve_many(self, keys: Sequence[tuple[str, str]]) -> list[bytes | None]:
        """A batch for each thousand."""
        from langgraph.store.base import GetOp

        found: list[bytes | None] = []
        for some in _parts(keys):
            items: list[Any] = self._store.batch(
                GetOp(_namespace(agent_id), state_id) for agent_id, state_id in some
            )
            found += [None if item is None else _payload(item) for item in items]
        return found

    def search_many(self, queries: Sequence[Query]) -> list[list[Hit]]:
        """A batch for each thousand."""
        from langgraph.store.base import SearchOp

        found: list[list[Hit]] = []
        for some in _parts(queries):
            results: list[Any] = self._store.batch(
                SearchOp(
                    _namespace(query.agent_id),
                    filter=dict(query.where) if query.where else None,
                    limit=min(query.k, _LIMIT_MAX),
                    query=text,
                )
                for query, text in zip(some, self._vectors.texts(some), strict=True)
            )
            found += [
                [Hit(item.key, min(1.0, max(-1.0, item.score)), _payload(item)) for item in items]
                for items in results
            ]
        return found

    def delete(self, agent_id: str, state_id: str) -> bool:
        """Looked for, and deleted: a delete does not say whether there was anything."""
        from langgraph.store.base import GetOp, PutOp

        namespace = _namespace(agent_id)
        if self._store.batch([GetOp(namespace, state_id)]) == [None]:
            return False
        self._store.batch([PutOp(namespace, state_id, None)])
        return True

    def statistics(self) -> dict[str, Scalar]:
        """How many namespaces there are, one for each agent."""
        return {
            "namespaces": len(self._store.list_namespaces(limit=_LIMIT_MAX)),
            "index": "none: exact",
        }

    def close(self) -> None:
        """Close the file."""
        self._close()

    def failure(self, error: Exception) -> MemoryCoreError | None:
        """A disk without room; LangGraph's commit after it hides it, so causes are looked at."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, MemoryCoreError):
                return cause
            if "database or disk is full" in str(cause):
                return StorageFullError(str(self._path), "the disk has no room for it")
            cause = cause.__cause__ or cause.__context__
        return None


class _Vectors:
    """What an embedding model would be: each text is a number, by which a vector goes.

    Texts are good for one batch: new ones take the place of those before.
    """

    def __init__(self) -> None:
        self._by_text: dict[str, npt.NDArray[np.float32]] = {}

    def texts(self, items: Sequence[Memory | Query]) -> Sequence[str]:
        """A text for each item, in their order."""
        self._by_text = {str(number): item.vector for number, item in enumerate(items)}
        return list(self._by_text)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """The vectors of texts: an ``EmbeddingsFunc`` of LangGraph's."""
        return [self._by_text[text].tolist() for text in texts]


def _in_memory(vectors: _Vectors, dimension: int) -> LangGraphStore:
    from langgraph.store.memory import InMemoryStore

    return LangGraphStore(InMemoryStore(index={"dims": dimension, "embed": vectors.embed}), vectors)


def _on_sqlite(vectors: _Vectors, dimension: int, path: Path, synchronous: str) -> LangGraphStore:
    from langgraph.store.sqlite import SqliteStore

    connection = _sqlite().connect(path, check_same_thread=False, isolation_level=None)
    connection.execute("pragma journal_mode = wal")
    connection.execute(f"pragma synchronous = {synchronous}")
    store = SqliteStore(connection, index={"dims": dimension, "embed": vectors.embed})
    store.setup()
    return LangGraphStore(store, vectors, path=path, close=connection.close)


def _sqlite() -> Any:
    """Python's sqlite3; the module of pysqlite3 where it was built without extensions."""
    import sqlite3

    if hasattr(sqlite3.Connection, "enable_load_extension"):
        return sqlite3
    from pysqlite3 import dbapi2

    return dbapi2


def _synchronous(setup: Setup) -> str:
    return "FULL" if setup.durability == "fsync" else "NORMAL"


def _namespace(agent_id: str) -> tuple[str, str]:
    return (agent_id.translate(_ESCAPES), "memories")


def _payload(item: Item) -> bytes:
    """The state of an item, packed again."""
    return msgspec.msgpack.encode(
        {name: value for name, value in item.value.items() if name != TEXT_FIELD}
    )


def _parts(items: Sequence[ItemT]) -> Iterator[Sequence[ItemT]]:
    """As many at a time as SQLite takes in one statement."""
    for first in range(0, len(items), _BATCH_MAX):
        yield items[first : first + _BATCH_MAX]

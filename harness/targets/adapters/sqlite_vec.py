"""The target ``sqlite-vec``: SQLite with the extension sqlite-vec, a database in each process.

Memories are rows of an ordinary table, and their vectors rows of a ``vec0`` table with the same
numbers, which a search joins (sqlite-vec's documentation, "KNN queries"). An agent is a partition
key, which the page on ``vec0`` recommends where each user searches what is theirs; within a
partition the search is exact, for the extension has no approximate index. A partition takes whole
chunks, and at the default of 1,024 vectors in one an agent with ten memories takes 260 KB of 64
dimensions; ``chunk_size`` is 64 here.

SQLite has one writer: what waits is stored in one transaction, so that many agents share a sync.
Reads have no batch, and each is a statement of its own.

SQLite is reached through APSW, which brings a library of its own: many builds of Python's sqlite3
cannot load extensions, and the extension wants SQLite 3.41 or later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

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
    import apsw

__all__ = ["SqliteVecOptions", "SqliteVecTarget"]

# The most that sqlite-vec finds at once, and its largest chunk.
K_MAX = 4096
_CHUNK_MAX = 4096

_MEMORIES = """
create table if not exists memories (
    number integer primary key,
    agent text not null,
    state text not null,
    payload blob not null,
    attributes text not null,
    unique (agent, state)
)
"""
_VECTORS = """
create virtual table if not exists vectors using vec0(
    agent text partition key,
    embedding float[{dimension}] distance_metric=cosine,
    chunk_size={chunk_size}
)
"""
_FIND = "select number from memories where agent = ? and state = ?"
_PAYLOAD = "select payload from memories where agent = ? and state = ?"
_NEAREST = """
with nearest as (
    select rowid, distance from vectors
    where agent = :agent and embedding match :vector and k = :k {where}
)
select state, 1 - distance, payload
from nearest join memories on number = nearest.rowid
order by distance
"""
_AMONG = "and rowid in (select number from memories where agent = :agent {conditions})"
_CONDITION = """
and exists (
    select 1 from json_each(attributes)
    where key = :name{n} and atom = :value{n} and type in {types}
)
"""


class SqliteVecOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``sqlite-vec``.

    ``chunk_size``: vectors that an agent's room in the index grows by; a multiple of 8.
    """

    chunk_size: int = 64


class SqliteVecStore(OpenStore):
    """A database, and the one connection to it."""

    def __init__(self, setup: Setup, chunk_size: int) -> None:
        import apsw
        import sqlite_vec

        self._path = str(setup.folder / "memories.db")
        self._full_errors = (apsw.FullError,)
        self._database = apsw.Connection(self._path)
        self._database.enable_load_extension(True)
        self._database.load_extension(sqlite_vec.loadable_path())
        self._database.enable_load_extension(False)
        synchronous = "full" if setup.durability == "fsync" else "normal"
        for statement in (
            "pragma journal_mode = wal",
            f"pragma synchronous = {synchronous}",
            _MEMORIES,
            _VECTORS.format(dimension=setup.dimension, chunk_size=chunk_size),
        ):
            self._database.execute(statement)

    def store_many(self, memories: Sequence[Memory]) -> None:
        """Keep memories in one transaction."""
        with _transaction(self._database) as database:
            for memory in memories:
                _upsert(database, memory)

    def retrieve(self, agent_id: str, state_id: str) -> bytes | None:
        """The payload of a memory; None when there is none."""
        payload: bytes | None = self._database.execute(_PAYLOAD, (agent_id, state_id)).get
        return payload

    def search(self, query: Query) -> list[Hit]:
        """The most similar memories of the agent, best first.

        Raises:
            BadInputError: ``k`` is over what the extension finds at once.
        """
        if query.k > K_MAX:
            raise BadInputError("k", f"sqlite-vec finds at most {K_MAX:,} at once, not {query.k}")
        values: dict[str, Any] = {
            "agent": query.agent_id,
            "vector": query.vector.tobytes(),
            "k": query.k,
        }
        where = _restriction(query.where, values) if query.where else ""
        rows = self._database.execute(_NEAREST.format(where=where), values)
        return [Hit(*row) for row in rows]

    def delete(self, agent_id: str, state_id: str) -> bool:
        """Forget a memory; whether there was one."""
        with _transaction(self._database) as database:
            number = database.execute(_FIND, (agent_id, state_id)).get
            if number is None:
                return False
            database.execute("delete from vectors where rowid = ?", (number,))
            database.execute("delete from memories where number = ?", (number,))
        return True

    def statistics(self) -> Mapping[str, Scalar]:
        """How many memories there are."""
        count: int = self._database.execute("select count(*) from memories").get
        return {"memories": count, "index": "exact, within an agent's partition"}

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def failure(self, error: Exception) -> MemoryCoreError | None:
        """A full disk, in SQLite's words."""
        if isinstance(error, self._full_errors):
            return StorageFullError(self._path, str(error))
        return None


@contextmanager
def _transaction(database: apsw.Connection) -> Iterator[apsw.Connection]:
    """All that is done within, or nothing."""
    database.execute("begin immediate")
    try:
        yield database
        database.execute("commit")
    except BaseException:
        # SQLite itself rolls back when the disk is full, and then there is none to roll back,
        # which APSW's own context manager takes for the error.
        if database.in_transaction:
            database.execute("rollback")
        raise


def _upsert(database: apsw.Connection, memory: Memory) -> None:
    """Keep a memory: a ``vec0`` table knows no upsert, so that it is looked for first."""
    attributes = msgspec.json.encode(memory.attributes).decode()
    vector = memory.vector.tobytes()
    number = database.execute(_FIND, (memory.agent_id, memory.state_id)).get
    if number is None:
        database.execute(
            "insert into memories (agent, state, payload, attributes) values (?, ?, ?, ?)",
            (memory.agent_id, memory.state_id, memory.payload, attributes),
        )
        database.execute(
            "insert into vectors (rowid, agent, embedding) values (?, ?, ?)",
            (database.last_insert_rowid(), memory.agent_id, vector),
        )
        return
    database.execute(
        "update memories set payload = ?, attributes = ? where number = ?",
        (memory.payload, attributes, number),
    )
    database.execute("update vectors set embedding = ? where rowid = ?", (vector, number))


def _restriction(where: Mapping[str, Scalar], values: dict[str, Any]) -> str:
    """A part of the search's statement for what attributes must be; adds to its values."""
    conditions = []
    for n, (name, value) in enumerate(where.items()):
        values[f"name{n}"] = name
        values[f"value{n}"] = value
        conditions.append(_CONDITION.format(n=n, types=_json_types(value)))
    return _AMONG.format(conditions="".join(conditions))


def _json_types(value: Scalar) -> str:
    """The JSON types of values equal to one: to SQL, which has no booleans, 1 is true."""
    if isinstance(value, bool):
        return "('true', 'false')"
    return "('text')" if isinstance(value, str) else "('integer', 'real')"


class SqliteVecTarget(Target[SqliteVecOptions]):
    """SQLite with sqlite-vec, in each process of agents."""

    name = "sqlite-vec"
    description = "SQLite with the extension sqlite-vec, a database in each process of agents"
    options_type = SqliteVecOptions
    modules: ClassVar[Sequence[str]] = ("apsw", "sqlite_vec")
    extra = "sqlite-vec"
    capabilities = Capabilities(batch=frozenset({"store"}), filter=True, delete=True, durable=True)

    def __init__(self, options: SqliteVecOptions) -> None:
        super().__init__(options)
        size = options.chunk_size
        if not 8 <= size <= _CHUNK_MAX or size % 8:
            problem = f"chunk_size must be a multiple of 8 up to {_CHUNK_MAX:,}, not {size}"
            raise UsageError("--target", f"sqlite-vec: {problem}")

    def prepare(self, setup: Setup) -> Ready:
        """Nothing to start; each process opens a database of its own."""
        import apsw

        chunk_size = self.options.chunk_size
        synced = setup.durability == "fsync"
        return Ready(
            version=version("sqlite-vec"),
            durability=(
                "SQLite in WAL mode with synchronous=FULL: each transaction is on disk"
                if synced
                else "SQLite in WAL mode with synchronous=NORMAL: each transaction is with the"
                " operating system"
            ),
            settings={
                "sqlite": apsw.sqlite_lib_version(),
                "index": "exact, in a partition for each agent",
                "chunk_size": chunk_size,
                "journal_mode": "wal",
                "synchronous": "full" if synced else "normal",
            },
        )

    def open(self, setup: Setup, connection: Mapping[str, Any]) -> SqliteVecStore:
        """Open or make the database in the folder."""
        del connection
        return SqliteVecStore(setup, self.options.chunk_size)

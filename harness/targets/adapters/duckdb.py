"""The target ``duckdb``: one table in a DuckDB file for each process of agents, searched exactly.

Driven as DuckDB's documentation has it:

- It is made for bulk operations, not for many small transactions (Concurrency), so that what waits
  goes in together: Arrow tables, which it reads in place (Python: Data Ingestion), upserted by
  ``INSERT OR REPLACE`` on a primary key (INSERT: ON CONFLICT), and searches of many agents joined
  with the table in one query. A batch of one takes the shorter query for one.
- One process writes a file (Concurrency): each process of agents has one of its own, with the
  memories of all its agents and a condition on the agent. All its threads are left to it.
- Vectors are of its array type, compared by ``array_cosine_similarity``. The ``vss`` extension's
  HNSW index is left alone: it is no part of the package and would be downloaded; it finds the
  nearest of all agents, from which a condition on the agent then leaves few or none; and, as its
  page says, it is experimental on disk, where a crash may lose data. Searches are exact therefore,
  and read all of the table's ``agent_id``.

Numbers in `Query.where` are compared as numbers; true and false are no numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa

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
from memory_core.errors import MemoryCoreError, StorageFullError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["DuckDBOptions", "DuckDBStore", "DuckDBTarget"]

_FILE = "memories.duckdb"
# The most that max_by() takes.
_K_MAX = 999_999
_EXACT_MAX = 2**53

_TABLE = """
create table if not exists memories (
    agent_id varchar, state_id varchar, payload blob, attributes json,
    vector float[{dimension}], primary key (agent_id, state_id))
"""
_STORE = "insert or replace into memories select * from incoming"
_RETRIEVE_ONE = "select payload from memories where agent_id = ? and state_id = ?"
_RETRIEVE = "select number, payload from wanted join memories using (agent_id, state_id)"
_DELETE = "delete from memories where agent_id = ? and state_id = ? returning true"
_SEARCH_ONE = """
select 0, state_id, array_cosine_similarity(vector, ?::float[{dimension}]) as score, payload
from memories where agent_id = ? {where} order by score desc limit ?
"""
# The best are found first, and then only their payloads read.
_SEARCH = """
with compared as (
    select number, memories.rowid as place, array_cosine_similarity(vector, query) as score
    from wanted join memories using (agent_id) where true {where}),
best as (
    select number, unnest(max_by({{'place': place, 'score': score}}, score, {k})) as hit
    from compared group by number)
select number, state_id, hit.score, payload
from best join memories on memories.rowid = hit.place order by number, hit.score desc
"""


class DuckDBOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``duckdb``.

    ``threads``: of DuckDB's pool in each process; 0 is its default, one for each core.
    """

    threads: Annotated[int, msgspec.Meta(ge=0)] = 0


class DuckDBTarget(Target[DuckDBOptions]):
    """A DuckDB file for each process of agents."""

    name = "duckdb"
    description = "DuckDB: a table with an array column, searched exactly"
    options_type = DuckDBOptions
    modules = ("duckdb",)
    extra = "duckdb"
    capabilities = Capabilities(
        batch=frozenset({"store", "retrieve", "search"}), filter=True, delete=True, durable=True
    )

    def prepare(self, setup: Setup) -> Ready:
        """Nothing to start; each process opens its own file."""
        fsync = setup.durability == "fsync"
        return Ready(
            version=version("duckdb"),
            durability=(
                "each transaction is synced to DuckDB's write-ahead log"
                if fsync
                else "the operating system has each transaction (fsync_mode NONE: DuckDB warns that"
                " its file may be damaged when the power goes)"
            ),
            settings={
                "index": "none: exact",
                "metric": "array_cosine_similarity",
                "fsync_mode": "STANDARD" if fsync else "NONE",
                "threads": self.options.threads or "one a core",
            },
        )

    def open(self, setup: Setup, connection: Mapping[str, Any]) -> DuckDBStore:
        """Open this process's file."""
        del connection
        return DuckDBStore(
            setup.folder / _FILE,
            dimension=setup.dimension,
            fsync=setup.durability == "fsync",
            threads=self.options.threads,
        )


class DuckDBStore(OpenStore):
    """A file with the table of memories."""

    def __init__(self, path: Path, *, dimension: int, fsync: bool, threads: int = 0) -> None:
        import duckdb

        # Nothing is fetched, whatever a query asks for.
        config: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": False
        }
        if threads:
            config["threads"] = threads
        self._path = path
        self._dimension = dimension
        self._connection: DuckDBPyConnection = duckdb.connect(path, config=config)
        if not fsync:
            self._rows("set fsync_mode = 'NONE'")
        self._rows(_TABLE.format(dimension=dimension))
        # What reading Arrow loads is no matter of the first operation's.
        self._connection.register("wanted", pa.table({"number": np.arange(1)}))
        self._rows("select number from wanted")

    def store_many(self, memories: Sequence[Memory]) -> None:
        """One transaction."""
        incoming = {
            "agent_id": [memory.agent_id for memory in memories],
            "state_id": [memory.state_id for memory in memories],
            "payload": pa.array([memory.payload for memory in memories], pa.large_binary()),
            "attributes": [_texts(memory.attributes) for memory in memories],
            "vector": self._arrays([memory.vector for memory in memories]),
        }
        self._connection.register("incoming", pa.table(incoming))
        self._rows(_STORE)

    def retrieve_many(self, keys: Sequence[tuple[str, str]]) -> list[bytes | None]:
        """One query."""
        if len(keys) == 1:
            rows = self._rows(_RETRIEVE_ONE, keys[0])
            return [rows[0][0] if rows else None]
        agent_ids, state_ids = zip(*keys, strict=True)
        wanted = {"agent_id": agent_ids, "state_id": state_ids, "number": np.arange(len(keys))}
        self._connection.register("wanted", pa.table(wanted))
        found: list[bytes | None] = [None] * len(keys)
        for number, payload in self._rows(_RETRIEVE):
            found[number] = payload
        return found

    def search_many(self, queries: Sequence[Query]) -> list[list[Hit]]:
        """A query for all that want as many hits under the same conditions: most often one."""
        groups: dict[tuple[int, tuple[tuple[str, str], ...]], list[int]] = {}
        for number, query in enumerate(queries):
            where = tuple(
                (_pointer(name), _text(value)) for name, value in (query.where or {}).items()
            )
            groups.setdefault((min(query.k, _K_MAX), where), []).append(number)
        found: list[list[Hit]] = [[] for _ in queries]
        for (k, where), numbers in groups.items():
            rows = self._search([queries[number] for number in numbers], k, where)
            for place, state_id, score, payload in rows:
                hit = Hit(state_id, min(1.0, max(-1.0, score)), payload)
                found[numbers[place]].append(hit)
        return found

    def delete(self, agent_id: str, state_id: str) -> bool:
        """One transaction."""
        return bool(self._rows(_DELETE, (agent_id, state_id)))

    def flush(self) -> None:
        """Bring what the write-ahead log has into the file."""
        self._rows("checkpoint")

    def statistics(self) -> dict[str, Scalar]:
        """How many memories there are."""
        ((memories,),) = self._rows("select count(*) from memories")
        return {"memories": memories, "index": "none: exact"}

    def close(self) -> None:
        """Close the file; DuckDB brings its write-ahead log into it."""
        self._connection.close()

    def failure(self, error: Exception) -> MemoryCoreError | None:
        """A disk without room: DuckDB's answer to everything then, until it is opened again."""
        said = str(error)
        if "No space left on device" in said or "Disk quota exceeded" in said:
            return StorageFullError(str(self._path), "the disk has no room for it")
        return None

    def _search(
        self, queries: Sequence[Query], k: int, where: Sequence[tuple[str, str]]
    ) -> list[tuple[int, str, float, bytes]]:
        """(place in ``queries``, state id, score, payload), each query's best first.

        ``where``: the place of an attribute, and its text.
        """
        conditions = "and (attributes->>?) = ? " * len(where)
        values = [text for pair in where for text in pair]
        if len(queries) == 1:
            sql = _SEARCH_ONE.format(dimension=self._dimension, where=conditions)
            vector = queries[0].vector.tolist()
            return self._rows(sql, (vector, queries[0].agent_id, *values, k))
        wanted = {
            "agent_id": [query.agent_id for query in queries],
            "number": np.arange(len(queries)),
            "query": self._arrays([query.vector for query in queries]),
        }
        self._connection.register("wanted", pa.table(wanted))
        return self._rows(_SEARCH.format(where=conditions, k=k), values)

    def _rows(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        """What a statement gives, all of it: DuckDB does nothing else before it is fetched."""
        return self._connection.execute(sql, values).fetchall()

    def _arrays(self, vectors: Sequence[np.ndarray[Any, np.dtype[np.float32]]]) -> Any:
        """A column of DuckDB's array type; of Arrow's fixed-size lists, that is."""
        numbers = np.concatenate(vectors).astype(np.float32, copy=False)
        return pa.FixedSizeListArray.from_arrays(pa.array(numbers), self._dimension)


def _texts(attributes: Mapping[str, Scalar]) -> str:
    """The column of attributes: a text for each."""
    return msgspec.json.encode({name: _text(value) for name, value in attributes.items()}).decode()


def _pointer(name: str) -> str:
    """The place of an attribute, as a JSON Pointer (RFC 6901)."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def _text(value: Scalar) -> str:
    """A scalar as attributes hold it: equal ones have one text."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT_MAX:
        value = int(value)
    return msgspec.json.encode(value).decode()

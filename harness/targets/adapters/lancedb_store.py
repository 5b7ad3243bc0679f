"""A process's table of LanceDB.

A row's key is the agent's id and the state's in one, from which the state's can be read again.

Concurrent writes of a table would conflict, and be tried again by LanceDB. So one is in progress at
a time, and stores that are called meanwhile go together in the next. Reads go on beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from harness.targets.base import Hit, Memory, OpenStore, Query, Scalar
from memory_core.errors import MemoryCoreError, StorageFullError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["LancedbStore", "opened_table"]

_TABLE = "memories"
_KEYS_IN_A_FILTER_MAX = 1_000
_OPTIMIZE_AFTER_MODIFICATIONS = 20
_OPTIMIZE_AFTER_ROWS = 100_000
_VERSIONS_KEPT = timedelta(seconds=60)
_NONE_KEPT = timedelta(milliseconds=1)


async def opened_table(folder: Path, dimension: int) -> Any:
    """The table in a folder, made with its indexes when it is not there (an ``AsyncTable``)."""
    import lancedb
    import pyarrow as pa
    from lancedb.index import BTree

    database = await lancedb.connect_async(folder)
    columns = [
        pa.field("key", pa.utf8(), nullable=False),
        pa.field("agent", pa.utf8(), nullable=False),
        pa.field("payload", pa.binary(), nullable=False),
        pa.field("attributes", pa.list_(pa.utf8()), nullable=False),
        pa.field("vector", pa.list_(pa.float32(), dimension), nullable=False),
    ]
    table = await database.create_table(_TABLE, schema=pa.schema(columns), exist_ok=True)
    indexed = {column for index in await table.list_indices() for column in index.columns}
    for column in ("key", "agent"):
        if column not in indexed:
            await table.create_index(column, config=BTree())
    return table


@dataclass
class _Group:
    """Stores that are written together."""

    done: asyncio.Future[None]
    memories: dict[str, Memory] = field(default_factory=dict)


class LancedbStore(OpenStore):
    """See the module's head.

    Args:
        table: an ``AsyncTable`` with the columns of `opened_table`.
    """

    def __init__(self, table: Any) -> None:
        self._table = table
        self._writing = asyncio.Lock()
        self._next: _Group | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._modifications = 0
        self._rows = 0
        self._failed_optimizations = 0

    async def store_many(self, memories: Sequence[Memory]) -> None:
        """Insert or replace rows, with those of other calls."""
        if self._next is None:
            loop = asyncio.get_running_loop()
            self._next = _Group(loop.create_future())
            task = loop.create_task(self._write(self._next))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        group = self._next
        for memory in memories:
            group.memories[_key(memory.agent_id, memory.state_id)] = memory
        await asyncio.shield(group.done)  # a call that nobody awaits any more has company

    async def _write(self, group: _Group) -> None:
        async with self._writing:
            self._next = None
            merge = self._table.merge_insert("key").when_matched_update_all()
            try:
                rows = _rows(group.memories, await self._table.schema())
                await merge.when_not_matched_insert_all().execute(rows)
            except Exception as error:  # noqa: BLE001 - it is raised where it is awaited
                group.done.set_exception(error)
                group.done.exception()  # which nobody may do any more
                return
            group.done.set_result(None)
            await self._modified(len(group.memories))

    async def _modified(self, rows: int) -> None:
        self._modifications += 1
        self._rows += rows
        if (
            self._modifications >= _OPTIMIZE_AFTER_MODIFICATIONS
            or self._rows >= _OPTIMIZE_AFTER_ROWS
        ):
            try:
                await self._optimize()
            except Exception:  # noqa: BLE001 - what was written is there; a flush raises it
                self._failed_optimizations += 1

    async def _optimize(self, kept: timedelta = _VERSIONS_KEPT) -> None:
        self._modifications = self._rows = 0
        await self._table.optimize(cleanup_older_than=kept)

    async def retrieve_many(self, keys: Sequence[tuple[str, str]]) -> list[bytes | None]:
        """The payloads of rows, by their keys."""
        wanted = [_key(*key) for key in keys]
        found: dict[str, bytes] = {}
        several = list(dict.fromkeys(wanted))
        for start in range(0, len(several), _KEYS_IN_A_FILTER_MAX):
            part = several[start : start + _KEYS_IN_A_FILTER_MAX]
            query = self._table.query().where(f"key IN ({', '.join(map(_quoted, part))})")
            rows = await query.select(["key", "payload"]).limit(len(part)).to_arrow()
            found.update(zip(_column(rows, "key"), _column(rows, "payload"), strict=True))
        return [found.get(key) for key in wanted]

    async def search(self, query: Query) -> list[Hit]:
        """The agent's nearest rows."""
        search = self._table.vector_search(query.vector).distance_type("cosine")
        search = search.where(_where(query)).select(["key", "payload", "_distance"])
        rows = await search.limit(query.k).to_arrow()
        columns = (_column(rows, name) for name in ("key", "_distance", "payload"))
        start = len(_key(query.agent_id, ""))
        return [
            Hit(key[start:], 1.0 - distance, payload)
            for key, distance, payload in zip(*columns, strict=True)
        ]

    async def delete(self, agent_id: str, state_id: str) -> bool:
        """Remove a row."""
        async with self._writing:
            gone = await self._table.delete(f"key = {_quoted(_key(agent_id, state_id))}")
            await self._modified(1)
        return bool(gone.num_deleted_rows)

    async def flush(self) -> None:
        """Compact the table, bring its indexes up to date, and remove old versions.

        Those of the last second stay. Nobody may read meanwhile, of a version that goes.
        """
        async with self._writing:
            await self._optimize(_NONE_KEPT)

    async def statistics(self) -> Mapping[str, Scalar]:
        """How many rows there are, and how often compaction failed, if it did."""
        found: dict[str, Scalar] = {
            "memories": await self._table.count_rows(),
            "index": "none (exact)",
        }
        if self._failed_optimizations:
            found["failed_optimizations"] = self._failed_optimizations
        return found

    async def close(self) -> None:
        """Let go of the table, after the last write."""
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._table.close()

    def failure(self, error: Exception) -> MemoryCoreError | None:
        """A full disk, of which only the text tells."""
        if "(os error 28)" in str(error):
            return StorageFullError(_TABLE, "the disk has no room; free some")
        return None


def _key(agent_id: str, state_id: str) -> str:
    # The length says where one id ends: ("a", "bc") is not ("ab", "c").
    return f"{len(agent_id)}:{agent_id}{state_id}"


def _column(rows: pa.Table, name: str) -> list[Any]:
    values: list[Any] = rows.column(name).to_pylist()
    return values


def _rows(memories: Mapping[str, Memory], schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    stored = list(memories.values())
    vectors = pa.array(np.concatenate([one.vector for one in stored]))
    columns = [
        pa.array(memories, pa.utf8()),
        pa.array([one.agent_id for one in stored], pa.utf8()),
        pa.array([one.payload for one in stored], pa.binary()),
        pa.array([_tokens(one.attributes) for one in stored], pa.list_(pa.utf8())),
        pa.FixedSizeListArray.from_arrays(vectors, len(stored[0].vector)),
    ]
    return pa.table(columns, schema=schema)


def _tokens(attributes: Mapping[str, Scalar]) -> list[str]:
    """Each attribute as a text, the same for equal values: ``name=true``, ``name=1``."""
    return [f"{name}={_value(value)}" for name, value in attributes.items()]


def _value(value: Scalar) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return msgspec.json.encode(value).decode()


def _where(query: Query) -> str:
    condition = f"agent = {_quoted(query.agent_id)}"
    if not query.where:
        return condition
    tokens = ", ".join(map(_quoted, _tokens(query.where)))
    return f"{condition} AND array_has_all(attributes, [{tokens}])"


def _quoted(text: str) -> str:
    """A text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"

"""Memories to a Parquet file and back, exactly; the only module that imports pyarrow.parquet.

A file has a row for each memory, an agent's together and in the order of storing, with the
columns of `COLUMNS`. ``state`` and ``metadata`` are MessagePack, as a store holds them, and are
what is read back; ``state_json`` and ``metadata_json`` say the same for people, with an integer
of thousands of digits as hexadecimal text. ``vector`` is null where it follows from the state.

Both ways work through anything that executes batches, in process or over Ray, and hold some
thousands of memories or some MiB at a time, whatever the file's size. An export writes beside
its file under a temporary name and gives it the name at the end, so a file is whole or not
there. An import reads the whole file once before it stores anything.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from typing import Any

import numpy as np

from memory_core.enumeration import BYTES_TOGETHER, ROWS_TOGETHER, Executes, all_pages
from memory_core.errors import BadInputError, MemoryCoreError, StorageFullError
from memory_core.file_system import has_no_room, sync
from memory_core.operations import Restore
from memory_core.payload import check_packed, unpack_state
from memory_core.results import Failure, Memory
from memory_core.validation import validate

__all__ = ["COLUMNS", "export_memories", "import_memories"]

COLUMNS = (
    *("agent_id", "state_id", "memory_type", "step_number", "importance", "stored_at_ns"),
    *("tier", "state", "state_json", "metadata", "metadata_json", "vector"),
)
_MAY_BE_NULL = frozenset({"step_number", "metadata", "metadata_json", "vector"})
# What an operation's fields are called in a file.
_COLUMN_OF = {
    "kind": "memory_type",
    "state_data": "state",
    "step": "step_number",
    "stored_ns": "stored_at_ns",
}
_FORMAT = {b"agent_memory_format": b"1"}


def export_memories(memory: Executes, path: str | os.PathLike[str], agent_id: str | None) -> int:
    """Write the memories of one agent, or of all, to a new Parquet file; how many there were.

    What is stored meanwhile may be in the file or not; what is there throughout is in it.

    Raises:
        BadInputError: there is such a file already, or none can be written there.
        StorageFullError: the disk has no room.
    """
    name = _name(path)
    if os.path.lexists(name):
        raise BadInputError("path", f"{name} is there already; name a new file")
    folder, base = os.path.split(name)
    unfinished = os.path.join(folder, f".{base[:100]}.{secrets.token_hex(8)}.unfinished")
    with contextlib.ExitStack() as cleaning, _write_errors(name):
        cleaning.callback(_remove, unfinished)
        with open(unfinished, "xb") as file:
            count = _write(memory, file, agent_id)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(unfinished, name)  # fails where a rename would replace
        except FileExistsError:
            raise BadInputError("path", f"{name} is there already; name a new file") from None
        except OSError:  # a file system without links
            os.rename(unfinished, name)
        sync(folder or ".")
    return count


def import_memories(memory: Executes, path: str | os.PathLike[str]) -> int:
    """Store the memories of a file that `export_memories` made; how many there were.

    A memory whose id its agent has already takes that one's place. Importing a file twice is
    importing it once.

    Raises:
        BadInputError: there is no such file, it is none of ours, or it is damaged: then nothing
            was imported. Or the store refuses a memory, such as a vector of another dimension;
            the error says how many were imported before.
        MemoryCoreError: the store failed; what was imported before it stays.
    """
    import pyarrow.parquet as pq

    name = _name(path)
    if not os.path.isfile(name):
        raise BadInputError("path", f"{name} is no file; name one that export_memories made")
    count = 0
    with _read_errors(name), open(name, "rb") as source:
        file = pq.ParquetFile(source, pre_buffer=False, page_checksum_verification=True)
        _check_columns(name, file.schema_arrow)
        first_row = 0
        for rows in _batches(file):
            _check_rows(name, rows, first_row)
            first_row += rows.num_rows
        for rows in _batches(file):
            for result in memory.execute(_operations(rows)):
                if isinstance(result, Failure):
                    raise _refused(name, result.exception(), count)
                count += 1
    return count


def _write(memory: Executes, file: Any, agent_id: str | None) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema, count, size = _schema(), 0, 0
    rows: list[tuple[Any, ...]] = []
    with pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer:

        def flush() -> None:
            columns = zip(*rows, strict=True) if rows else ([] for _ in COLUMNS)
            arrays = [
                pa.array(list(column), kind)
                for column, kind in zip(columns, schema.types, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))

        for owner, page in all_pages(memory, agent_id):
            for one, vector in zip(page.memories, page.vectors, strict=True):
                rows.append(_row(owner, one, vector))
                size += len(one.payload) + len(one.metadata or b"")
                count += 1
                if len(rows) >= ROWS_TOGETHER or size >= BYTES_TOGETHER:
                    flush()
                    rows, size = [], 0
        if rows or not count:
            flush()
    return count


def _row(owner: str, one: Memory, vector: bytes | None) -> tuple[Any, ...]:
    return (
        *(owner, one.state_id, one.kind, one.step, one.importance, one.stored_ns, one.tier),
        *(one.payload, _as_json(one.payload)),
        *(one.metadata, None if one.metadata is None else _as_json(one.metadata)),
        None if vector is None else np.frombuffer(vector, np.float32),
    )


def _as_json(packed: bytes) -> str:
    state = unpack_state(packed)
    try:
        return json.dumps(state, ensure_ascii=False)
    except ValueError:  # Python makes no decimal text of so large an integer
        return json.dumps(_with_short_numbers(state), ensure_ascii=False)


def _with_short_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_short_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_short_numbers(item) for item in value]
    if isinstance(value, int) and value.bit_length() > 64:
        return hex(value)
    return value


def _schema() -> Any:
    import pyarrow as pa

    kinds = dict.fromkeys(COLUMNS, pa.string())
    kinds |= {"step_number": pa.int64(), "importance": pa.float32(), "stored_at_ns": pa.int64()}
    kinds |= {"state": pa.binary(), "metadata": pa.binary(), "vector": pa.list_(pa.float32())}
    fields = [pa.field(name, kinds[name], name in _MAY_BE_NULL) for name in COLUMNS]
    return pa.schema(fields, _FORMAT)


def _check_columns(name: str, found: Any) -> None:
    """Refuse a file of something else."""
    expected = _schema()
    for field in expected:
        if field.name not in found.names:
            raise BadInputError("path", f"{name} has no column {field.name}; it is no export")
    for field in found:
        if field.name not in COLUMNS:
            raise BadInputError("path", f"{name} has a column {field.name!r}, as no export has")
        kind = expected.field(field.name).type
        if field.type != kind or found.names.count(field.name) > 1:
            raise BadInputError(
                "path",
                f"{name} has a column {field.name} of {field.type}; it must be one of {kind}",
            )


def _batches(file: Any) -> Iterator[Any]:
    """Some rows at a time, never of two row groups, since only these bound the bytes."""
    for group in range(file.num_row_groups):
        yield from file.iter_batches(ROWS_TOGETHER, row_groups=[group])


def _check_rows(name: str, rows: Any, first_row: int) -> None:
    """Refuse what a store would refuse, before anything is stored."""
    for column in COLUMNS:
        if column not in _MAY_BE_NULL and rows.column(column).null_count:
            raise BadInputError("path", f"{name} has rows without {column}; it is no export")
    if rows.column("vector").flatten().null_count:
        raise BadInputError("path", f"{name} has a vector with a number missing")
    for at, operation in enumerate(_operations(rows)):
        try:
            validate(operation)
            check_packed(operation.payload)
        except BadInputError as error:
            place = f"{name}: row {first_row + at}: {_COLUMN_OF.get(error.field, error.field)}"
            raise BadInputError("path", f"{place}: {error.problem}") from None


def _operations(rows: Any) -> list[Restore]:
    columns = {
        column: rows.column(column).to_pylist()
        for column in COLUMNS
        if column != "vector" and not column.endswith("_json")
    }
    vectors = rows.column("vector")
    numbers = vectors.values.to_numpy(zero_copy_only=False)
    starts = vectors.offsets.to_pylist()
    given = [
        numbers[start:end].tobytes() if valid else None
        for start, end, valid in zip(
            starts[:-1], starts[1:], vectors.is_valid().to_pylist(), strict=True
        )
    ]
    return [
        Restore(*one)
        for one in zip(
            *(columns[name] for name in ("agent_id", "state_id", "state", "importance")),
            given,
            *(columns[name] for name in ("memory_type", "step_number", "metadata")),
            *(columns[name] for name in ("stored_at_ns", "tier")),
            strict=True,
        )
    ]


def _refused(name: str, error: MemoryCoreError, count: int) -> MemoryCoreError:
    """Why the store took no more of a file."""
    if isinstance(error, BadInputError):
        problem = f"{name}: {error} ({count:,} memories before it were imported)"
        return BadInputError("path", problem)
    return error


def _name(path: Any) -> str:
    try:
        name = os.fspath(path)
        if isinstance(name, str) and name and b"\0" not in name.encode():
            return name
    except (TypeError, UnicodeEncodeError):
        pass
    raise BadInputError("path", f"must be the path of a file, not {path!r:.80}")


@contextlib.contextmanager
def _write_errors(name: str) -> Iterator[None]:
    try:
        yield
    except MemoryCoreError:  # a deadline's error is the operating system's too
        raise
    except OSError as error:
        if has_no_room(error):
            raise StorageFullError(name, "the disk has no room; nothing was exported") from None
        reason = error.strerror or error
        raise BadInputError("path", f"{name} cannot be written: {reason}") from None


@contextlib.contextmanager
def _read_errors(name: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except MemoryCoreError:
        raise
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInputError("path", f"{name} cannot be read as Parquet: {reason}") from None


def _remove(name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name)

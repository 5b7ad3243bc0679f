"""Reads a trace file in any of its formats: Parquet, Arrow IPC (file or stream), JSON Lines.

A trace has a row for each state that an agent was in: ``agent_id``, ``state``, and optionally
``step`` and ``state_id``; other columns are passed over. What a row may hold is the same in every
format, and `read_rows` yields only rows that hold it, `ROWS_AT_ONCE` at most at a time, in the
file's order. Whatever else the file is or holds ends in one `UsageError` that names the row or
line (the first is 1).

The format is told from the content, not from the name. Nothing in a trace is unpickled or run,
and Arrow's own structures are validated in full before anything in them is followed.

A JSON object (in JSON Lines, or as a string in a column) gives exactly its own keys. A struct
column has every field in every row, so a key that a row lacked comes back as None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harness.errors import UsageError
from harness.trace_columns import (
    RowFlawError,
    TraceRows,
    checked_ids,
    json_object,
    packed,
    rows_of,
)
from harness.trace_schema import COLUMNS, REQUIRED, lacking, schema_problem

__all__ = ["MAX_LINE_BYTES", "ROWS_AT_ONCE", "bad_trace", "read_rows"]

ROWS_AT_ONCE = 8192
MAX_LINE_BYTES = 64 * 2**20
"""The longest line of JSON Lines; a longer one is refused before it is read whole."""

_MAX_SENTENCE = 600
_FORMATS = "Parquet, Arrow IPC nor JSON Lines"
_JSON_SUFFIXES = frozenset({".jsonl", ".ndjson", ".json"})
_UTF8_MARK = b"\xef\xbb\xbf"


def bad_trace(path: Path, problem: str) -> UsageError:
    """The error for a trace that cannot be used: one line, whatever the file made it hold."""
    sentence = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in f"{path} {problem}"
    )
    if len(sentence) > _MAX_SENTENCE:
        sentence = f"{sentence[:_MAX_SENTENCE]}..."
    return UsageError("--trace", sentence)


def read_rows(path: Path) -> Iterator[TraceRows]:
    """The rows of a trace file, in the file's order.

    Raises:
        UsageError: names what is wrong, and the row or line it is in.
    """
    with _one_sentence(path):
        if not path.exists():
            raise bad_trace(path, "does not exist; name a recorded trace")
        if path.is_dir():
            raise bad_trace(path, "is a folder; name the trace file in it")
        if not path.is_file():
            raise bad_trace(path, "is no regular file; write the trace to one first")
        with path.open("rb") as file:
            head = file.read(64 * 1024)
            file.seek(0)
            yield from _reader(path, head)(path, file)


def _reader(path: Path, head: bytes) -> Callable[[Path, BinaryIO], Iterator[TraceRows]]:
    if not head:
        raise bad_trace(path, "is empty; record the trace again")
    if head.startswith(b"PAR1"):
        return _read_parquet
    if head.startswith(b"ARROW1"):
        return _read_ipc_file
    if head.startswith(b"\xff\xff\xff\xff"):
        return _read_ipc_stream
    if (
        head.removeprefix(_UTF8_MARK).lstrip().startswith(b"{")
        or path.suffix.lower() in _JSON_SUFFIXES
    ):
        return _read_json_lines
    raise bad_trace(path, f"is neither {_FORMATS} (compressed files must be unpacked first)")


@contextmanager
def _one_sentence(path: Path) -> Iterator[None]:
    """What pyarrow and the operating system raise about a file, as a UsageError."""
    try:
        yield
    except pa.ArrowException as error:
        raise bad_trace(path, f"is damaged or unreadable: {_first_line(error)}") from None
    except OSError as error:
        # pyarrow raises it for damage, too, and then without a number.
        if error.errno is None:
            raise bad_trace(path, f"is damaged or unreadable: {_first_line(error)}") from None
        raise bad_trace(path, f"cannot be read: {error.strerror}") from None
    except MemoryError:
        # A length that damage made absurd, or a batch that really is as large.
        raise bad_trace(path, "is damaged, or has a part larger than the memory") from None
    except UnicodeError:
        raise bad_trace(path, "holds text that is not UTF-8; record it again") from None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _read_parquet(path: Path, file: BinaryIO) -> Iterator[TraceRows]:
    table = pq.ParquetFile(file)
    columns = _checked_columns(path, table.schema_arrow)
    yield from _rows(path, table.iter_batches(batch_size=ROWS_AT_ONCE, columns=columns))


def _read_ipc_file(path: Path, file: BinaryIO) -> Iterator[TraceRows]:
    schema = pa.ipc.open_file(file).schema
    reader = pa.ipc.open_file(file, options=_only(schema, _checked_columns(path, schema)))
    yield from _rows(path, map(reader.get_batch, range(reader.num_record_batches)))


def _read_ipc_stream(path: Path, file: BinaryIO) -> Iterator[TraceRows]:
    schema = pa.ipc.open_stream(file).schema
    file.seek(0)
    yield from _rows(
        path, pa.ipc.open_stream(file, options=_only(schema, _checked_columns(path, schema)))
    )


def _checked_columns(path: Path, schema: pa.Schema) -> list[str]:
    problem = schema_problem(schema)
    if problem is not None:
        raise bad_trace(path, problem)
    return [name for name in COLUMNS if name in schema.names]


def _only(schema: pa.Schema, columns: list[str]) -> pa.ipc.IpcReadOptions:
    return pa.ipc.IpcReadOptions(included_fields=[schema.get_field_index(c) for c in columns])


def _rows(path: Path, batches: Iterator[pa.RecordBatch]) -> Iterator[TraceRows]:
    """Checked rows of Arrow batches of any length."""
    first = 1
    for batch in batches:
        batch.validate(full=True)
        for start in range(0, batch.num_rows, ROWS_AT_ONCE):
            part = batch.slice(start, ROWS_AT_ONCE)
            try:
                yield rows_of(part)
            except RowFlawError as flaw:
                row = first + start + flaw.row
                raise bad_trace(path, f"has a bad row {row}: {flaw.problem}") from None
        first += batch.num_rows


def _read_json_lines(path: Path, file: BinaryIO) -> Iterator[TraceRows]:
    first: dict[str, Any] | None = None
    numbers: list[int] = []
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(_lines(path, file), start=1):
        if not line.strip():
            continue
        try:
            row = _json_row(line, first)
        except ValueError as error:
            raise bad_trace(path, f"has a bad line {number}: {error}") from None
        first = first or row
        numbers.append(number)
        rows.append(row)
        if len(rows) == ROWS_AT_ONCE:
            yield _json_rows(path, numbers, rows)
            numbers, rows = [], []
    if rows:
        yield _json_rows(path, numbers, rows)


def _lines(path: Path, file: BinaryIO) -> Iterator[bytes]:
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            limit = MAX_LINE_BYTES // 2**20
            raise bad_trace(path, f"has a bad line {number}: it is longer than {limit} MiB")
        yield line.removeprefix(_UTF8_MARK) if number == 1 else line


def _json_row(line: bytes, first: dict[str, Any] | None) -> dict[str, Any]:
    """The columns of one line, the state packed. Raises ValueError for a line that is wrong."""
    row = json_object(line, "it")
    for name in REQUIRED:
        if name not in row:
            raise ValueError(f"it {lacking('field', name, list(row))}")
    if first is not None and ("step" in row) != ("step" in first):
        raise ValueError("step must be in every line or in none")
    columns: dict[str, Any] = {
        "agent_id": _json_id("agent_id", row["agent_id"]),
        "state": packed(row["state"]),
        "state_id": _json_id("state_id", row.get("state_id")),
    }
    if "step" in row:
        columns["step"] = _json_step(row["step"])
    return columns


def _json_id(name: str, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"{name} must be a string or an integer")


def _json_step(value: Any) -> int | float:
    if value is None:
        raise ValueError("step is null")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("step must be a number")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("step is beyond 64 bits with a sign")
    return value


def _json_rows(path: Path, numbers: list[int], rows: list[dict[str, Any]]) -> TraceRows:
    def column(name: str, kind: pa.DataType) -> Any:
        return pa.array([row[name] for row in rows], kind)

    try:
        return TraceRows(
            agent_id=checked_ids("agent_id", column("agent_id", pa.large_string())),
            state=column("state", pa.large_binary()),
            state_id=checked_ids("state_id", column("state_id", pa.large_string()), nullable=True),
            step=np.array([row["step"] for row in rows]) if "step" in rows[0] else None,
        )
    except RowFlawError as flaw:
        number = numbers[flaw.row]
        raise bad_trace(path, f"has a bad line {number}: {flaw.problem}") from None

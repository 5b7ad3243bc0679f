"""Arrow IPC streams that grow through a sink while a run goes on.

Invariants: each append ends between two messages, so that a stream whose writer was killed can be
read to its last whole record batch; what waits for a sink that refuses is bounded, and what
overflows is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from harness.columns import from_numbers, from_strings
from harness.sinks import Sink

__all__ = ["PENDING_BYTES_MAX", "StreamWriter"]

# About an hour of the processes of a node that runs 12 of them.
PENDING_BYTES_MAX = 16 * 2**20

_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"


class StreamWriter:
    """Gathers rows and appends them, a record batch a flush, to one file. For one thread.

    Attributes:
        lost_rows: rows that the sink never took.
        error: the sink's last refusal; None if there was none.
    """

    def __init__(self, sink: Sink, name: str, schema: pa.Schema) -> None:
        self.lost_rows = 0
        self.error: str | None = None
        self._sink = sink
        self._name = name
        self._schema = schema
        self._rows: list[tuple[Any, ...]] = []
        self._pending = bytearray(schema.serialize())
        self._pending_rows = 0

    def add(self, row: tuple[Any, ...]) -> None:
        """Keep a row, its values in the schema's order, for the next flush."""
        self._rows.append(row)

    def flush(self) -> None:
        """Append what has gathered; a refusal keeps it for the next time, up to a bound."""
        if self._rows:
            columns = zip(*self._rows, strict=True)
            arrays = [_array(c, f.type) for c, f in zip(columns, self._schema, strict=True)]
            message = pa.RecordBatch.from_arrays(arrays, schema=self._schema).serialize()
            if len(self._pending) + message.size > PENDING_BYTES_MAX:
                self.lost_rows += len(self._rows)
            else:
                self._pending += message
                self._pending_rows += len(self._rows)
            self._rows.clear()
        self._append()

    def end(self) -> None:
        """Append the rest and the end marker; what is refused now is lost."""
        self.flush()
        self._pending += _END
        self._append()
        self.lost_rows += self._pending_rows

    def _append(self) -> None:
        if not self._pending:
            return
        try:
            self._sink.append(self._name, bytes(self._pending))
        except Exception as error:  # noqa: BLE001 - it may come from the runner's call
            self.error = f"{type(error).__name__}: {error}"
            return
        self._pending.clear()
        self._pending_rows = 0


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    return from_strings(values) if pa.types.is_string(kind) else from_numbers(values, kind)

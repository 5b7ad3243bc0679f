"""Where the files of a run go while it is measured, and the writers that fill them.

A cohort or a sampler holds a `Sink`. On the driver's node that is a `LocalSink`, which writes into
the run directory itself. On any other node it is a `RemoteSink`, which hands the bytes to whatever
the runner gave it (a call of an actor on the driver's node); there a `LocalSink` writes them.

Invariants
- A name is one of the run directory's own (``ops/x.parquet``): it is checked by each sink that it
  passes, so a node that misbehaves cannot write elsewhere on the driver's machine.
- ``write`` gives a whole file or none: a reader of a killed run sees no torn file under its name.
- ``append`` adds all of its bytes or none, unless the process is killed in the middle of it.
- Nothing is synced to the disk: what was measured outlives a killed process, not a power cut.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harness.columns import from_numpy, from_strings
from harness.schema import (
    LOADGEN_SCHEMA,
    OPERATIONS,
    OPS_SCHEMA,
    OUTCOMES,
    PHASES,
    SCHEMA_VERSION,
)

__all__ = [
    "LoadgenWriter",
    "LocalSink",
    "LostOpsWriter",
    "OpsWriter",
    "RemoteSink",
    "Sink",
    "check_name",
]

_NAME = re.compile(r"(ops|resources|loadgen)/[A-Za-z0-9][A-Za-z0-9_.-]{0,199}", re.ASCII)


def check_name(name: str) -> None:
    """Raise ValueError unless `name` is that of a file which a sink may write."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no file name of a run directory: ops/, resources/ or loadgen/ and a name"
        )


class Sink(Protocol):
    """Takes the bytes of a run's files. Safe to use from several threads, one for each name."""

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file; ValueError for a name not of the run, OSError when it cannot."""

    def append(self, name: str, data: bytes) -> None:
        """Add to the end of a file, which the first call makes; errors as `write`."""


class LocalSink:
    """Writes below `root`, the run directory. It pickles as its root alone, with a count of 0."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self.bytes_written = 0
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[LocalSink], tuple[Path]]:
        return LocalSink, (self.root,)

    def write(self, name: str, data: bytes) -> None:
        """Write `data` beside the name, then rename it there."""
        path = self._path(name)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            unfinished.write_bytes(data)
            unfinished.replace(path)
        except OSError:
            with suppress(OSError):
                unfinished.unlink()
            raise
        self._count(len(data))

    def append(self, name: str, data: bytes) -> None:
        """Add `data` to the file's end; a part that did fit on a full disk is taken away again."""
        with self._path(name).open("ab", buffering=0) as file:
            end_bytes = file.seek(0, os.SEEK_END)
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[file.write(rest) :]
            except OSError:
                file.truncate(end_bytes)
                raise
        self._count(len(data))

    def put(self, mode: str, name: str, data: bytes) -> None:
        """Do what a `RemoteSink` asks for: its other end, with the checks made again."""
        if mode == "write":
            self.write(name, data)
        elif mode == "append":
            self.append(name, data)
        else:
            raise ValueError(f"{mode!r} is neither write nor append")

    def _path(self, name: str) -> Path:
        check_name(name)
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        return path

    def _count(self, written_bytes: int) -> None:
        with self._lock:
            self.bytes_written += written_bytes


class RemoteSink:
    """Hands each file to `put(mode, name, data)`, mode "write" or "append", and waits for it.

    `put` comes from the runner; it ends in `LocalSink.put` on the driver's node and raises what
    went wrong there. The sink pickles as well as `put` does.
    """

    def __init__(self, put: Callable[[str, str, bytes], None]) -> None:
        self.bytes_written = 0
        self._put = put

    def write(self, name: str, data: bytes) -> None:
        """Have a whole file written on the driver's node."""
        self._send("write", name, data)

    def append(self, name: str, data: bytes) -> None:
        """Have `data` added to a file on the driver's node."""
        self._send("append", name, data)

    def _send(self, mode: str, name: str, data: bytes) -> None:
        check_name(name)
        self._put(mode, name, data)
        self.bytes_written += len(data)


# The codec and the encodings were chosen by measurement: 100,000 rows shaped as 2 shards and
# batches of 200 give them, medians of 12 on an idle 2-core machine, pyarrow 26.0.1, 2026-11-22,
# in microseconds of CPU and bytes a row:
#
#                                          none         snappy       lz4          zstd 1
#   dictionaries for the small columns     .117, 57.3   .167, 27.1   .172, 26.0   .248, 17.6
#   and deltas for the points in time      .116, 41.5   .153, 20.0   .150, 19.0   .191, 16.2
#   and deltas for the durations           .130, 17.6   .122, 15.0   .136, 14.9   .159, 14.8
#   (pyarrow's own choice: dictionaries for all columns, snappy: .35, 35.8)
#
# Dictionaries for service_ns and shard_wait_ns would save a little more where batches share them,
# and cost much where each operation has its own (embedded targets). Statistics: .16 instead of
# .13 without a codec, and no reader here skips by them.
_SMALL = ("phase", "cohort", "agent", "op", "shard", "batch_ops", "attempts", "outcome")
_OPS_DELTAS = tuple(name for name in OPS_SCHEMA.names if name.endswith("_ns"))
_OPS_LABELS = {"phase": PHASES, "op": OPERATIONS, "outcome": OUTCOMES}


class _Writer:
    """Turns columns into small closed Parquet files of one schema, numbered in order."""

    _folder: str
    _who = "cohort"
    _schema: pa.Schema
    _labels: Mapping[str, tuple[str, ...]] = {}
    _dictionaries: tuple[str, ...] = ()
    _deltas: tuple[str, ...] = ()

    def __init__(
        self, sink: Sink, cohort: int, node_id: str, start_wall_ns: int, start_monotonic_ns: int
    ) -> None:
        self.files = 0
        self.rows = 0
        self._number = 0
        self._sink = sink
        self._cohort = cohort
        self._written_schema = self._schema.with_metadata(
            {
                "cohort": str(cohort),
                "node_id": node_id,
                "start_wall_ns": str(start_wall_ns),
                "start_monotonic_ns": str(start_monotonic_ns),
                "schema_version": str(SCHEMA_VERSION),
            }
        )
        self._label_values = {name: from_strings(values) for name, values in self._labels.items()}

    def write(self, columns: Mapping[str, np.ndarray]) -> None:
        """Write one file of these rows; none for no rows.

        Args:
            columns: for each column of the schema but ``cohort``, which may be left out, an
                integer array of shape (rows,); a label column holds indices (int8) into
                PHASES, OPERATIONS or OUTCOMES.

        Raises:
            ValueError: a column is missing, unknown, out of its type's range, of another length,
                or holds no such label.
            OSError: the sink could not write, or does not say that it did; the rows are not
                counted. The file's number is used up: what a slow sink still writes stays.
        """
        batch = self._batch(columns)
        if not batch.num_rows:
            return
        out = pa.BufferOutputStream()
        with pq.ParquetWriter(
            out,
            self._written_schema,
            compression="snappy",
            use_dictionary=list(self._dictionaries),
            column_encoding=dict.fromkeys(self._deltas, "DELTA_BINARY_PACKED"),
            write_statistics=False,
        ) as writer:
            writer.write_batch(batch)
        name = f"{self._folder}/{self._who}-{self._cohort:05d}-{self._number:06d}.parquet"
        self._number += 1
        self._sink.write(name, out.getvalue().to_pybytes())
        self.files += 1
        self.rows += batch.num_rows

    def _batch(self, columns: Mapping[str, np.ndarray]) -> pa.RecordBatch:
        names = self._schema.names
        given = dict(columns)
        if "cohort" not in given:
            rows = len(next(iter(given.values()), ()))
            given["cohort"] = np.full(rows, self._cohort, np.int32)
        if set(given) != set(names):
            odd = ", ".join(sorted(set(given) ^ set(names)))
            raise ValueError(f"columns missing or unknown: {odd}")
        arrays = [self._array(name, given[name]) for name in names]
        return pa.RecordBatch.from_arrays(arrays, schema=self._written_schema)

    def _array(self, name: str, values: np.ndarray) -> pa.Array:
        if name not in self._label_values:
            return from_numpy(values, self._schema.field(name).type)
        # from_arrays checks that each code has a label; no row is touched in Python.
        codes = from_numpy(values, pa.int8())
        try:
            return pa.DictionaryArray.from_arrays(codes, self._label_values[name])
        except IndexError:
            raise ValueError(f"{name}: a code that has no label") from None


class OpsWriter(_Writer):
    """Writes a cohort's operation rows, a closed file ``ops/cohort-<n>-<k>.parquet`` a call.

    A file's metadata (OPS_METADATA_KEYS) places its rows in time: `start_wall_ns` and
    `start_monotonic_ns` are the cohort's start, from which the rows count. One thread at a time
    may write; encoding releases the interpreter's lock.

    Attributes:
        files: files written.
        rows: rows in them.
    """

    _folder = "ops"
    _schema = OPS_SCHEMA
    _labels = _OPS_LABELS
    _dictionaries = _SMALL
    _deltas = _OPS_DELTAS


class LostOpsWriter(OpsWriter):
    """Writes the operations in flight at a cohort that was lost, ``ops/lost-<n>-<k>.parquet``."""

    _who = "lost"


class LoadgenWriter(_Writer):
    """Writes a cohort's watch on its own event loop, ``loadgen/cohort-<n>-<k>.parquet`` a call.

    Everything else is as with `OpsWriter`.
    """

    _folder = "loadgen"
    _schema = LOADGEN_SCHEMA
    _dictionaries = ("cohort",)
    _deltas = ("at_ns", "lag_ns")

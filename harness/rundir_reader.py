"""Reading a run directory: all that analysis, reports and comparisons see of a run.

Invariants
- Nothing is unpickled or run, and no path is made from what a file says: the reader opens the
  names that a run directory has, and what it finds in their folders.
- A run that was killed is read as far as it got. A torn or unfinished file is left out, a stream
  gives its whole batches up to where it is cut, and both are counted in `damaged_files`.
- A file of a newer schema is an error, never guessed at.
- Label columns come back with the dictionaries PHASES, OPERATIONS and OUTCOMES, in their order,
  so that a column's indices can be compared with those.
- Rows and samples come back on one time line, the driver's wall clock: what each node's clock was
  off by (``clocks`` of ``run.json``) is taken away here, once, so that no reader of ours has to.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from harness.clock_offsets import offsets_of_run
from harness.columns import from_strings
from harness.documents import check_version, read_document
from harness.errors import RunDirectoryError
from harness.rundir import AGENTS_FILE, EVENTS_FILE, RUN_FILE, SUMMARY_FILE
from harness.schema import (
    AGENTS_SCHEMA,
    LOADGEN_SCHEMA,
    NODES_SCHEMA,
    OPERATIONS,
    OPS_METADATA_KEYS,
    OPS_SCHEMA,
    OUTCOMES,
    PHASES,
    PROCESSES_SCHEMA,
)
from harness.time_line import samples_on_time_line

__all__ = ["FileMetadata", "RunReader", "open_run"]

_LABELS = {
    "phase": from_strings(PHASES),
    "op": from_strings(OPERATIONS),
    "outcome": from_strings(OUTCOMES),
}
# Files of operations by who wrote them: their cohort, or the driver in the place of a lost one.
_RECORDED = "[!.l]*.parquet"
_IN_FLIGHT = "lost-*.parquet"
# Small enough to be added to any point in time of a row.
_LARGEST_NS = 2**62
T = TypeVar("T")

_DAMAGE = (pa.ArrowException, OSError, ValueError, KeyError, EOFError)


@dataclass(frozen=True, kw_only=True)
class FileMetadata:
    """Where and when a cohort wrote the rows of one file.

    A row's time on the driver's wall clock is ``start_wall_ns`` plus its ``..._ns`` point in time.
    """

    name: str
    cohort: int
    node_id: str
    start_wall_ns: int
    start_monotonic_ns: int


def open_run(path: Path | str) -> RunReader:
    """Open a run directory; RunDirectoryError, in one sentence, if it is none that we can read."""
    return RunReader(Path(path))


class RunReader:
    """A run directory that is read; the files may still be growing.

    Attributes:
        path: the directory.
        run: ``run.json``.
    """

    def __init__(self, path: Path) -> None:
        """For `open_run`."""
        self.path = path
        self._damaged: set[str] = set()
        if not os.path.lexists(path):
            raise RunDirectoryError(f"{path} does not exist; name a run directory")
        if not os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for some names
            raise RunDirectoryError(f"{path} is not a folder; name a run directory")
        run = self._document(RUN_FILE)
        if run is None:
            raise RunDirectoryError(f"{path} is not a run directory: it has no {RUN_FILE}")
        self.run: dict[str, Any] = run
        self._offsets_ns = offsets_of_run(run)

    @property
    def summary(self) -> dict[str, Any] | None:
        """``summary.json``; None for a run that never got that far."""
        return self._document(SUMMARY_FILE)

    @property
    def damaged_files(self) -> int:
        """Torn, unfinished or cut files met so far: read everything, then look."""
        return len(self._damaged)

    @property
    def damaged_file_names(self) -> tuple[str, ...]:
        """Their names, relative to the run directory, in order."""
        return tuple(sorted(self._damaged))

    def events(self) -> list[dict[str, Any]]:
        """The lines of ``events.jsonl`` in order; a torn line is left out and counted as damage."""
        path = self.path / EVENTS_FILE
        if not path.is_file():
            return []
        events = []
        with path.open("rb") as file:
            for line in file:
                try:
                    event = msgspec.json.decode(line, type=dict[str, Any])
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    self._damaged.add(EVENTS_FILE)
                    continue
                check_version(event.get("schema_version"), path)
                events.append(event)
        return events

    def operation_batches(
        self, columns: Sequence[str] | None = None
    ) -> Iterator[tuple[FileMetadata, pa.Table]]:
        """Each file of operations that agents recorded, in the order of its name, and its rows.

        In bounded memory: one file is held at a time. `columns` are names of OPS_SCHEMA, by
        default all; another name is a ValueError.
        """
        return self._cohort_files("ops", _chosen(OPS_SCHEMA, columns), _RECORDED)

    def cohort_batches(
        self, cohort: int, columns: Sequence[str] | None = None
    ) -> Iterator[tuple[FileMetadata, pa.Table]]:
        """As `operation_batches`, of one cohort."""
        names = f"cohort-{cohort:05d}-*.parquet"
        return self._cohort_files("ops", _chosen(OPS_SCHEMA, columns), names)

    def in_flight_batches(
        self, columns: Sequence[str] | None = None
    ) -> Iterator[tuple[FileMetadata, pa.Table]]:
        """As `operation_batches`, of operations in flight at agents that were lost.

        Nobody had their answer in hand: they have an outcome, and no response time.
        """
        return self._cohort_files("ops", _chosen(OPS_SCHEMA, columns), _IN_FLIGHT)

    def operations(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All operation rows; the ``..._ns`` points in time are each cohort's own.

        Those that were in flight at lost agents come last. `operation_batches` and
        `in_flight_batches` have what places them on one time line.
        """
        tables = [table for _, table in self.operation_batches(columns)]
        tables += [table for _, table in self.in_flight_batches(columns)]
        return _concatenate(tables, _chosen(OPS_SCHEMA, columns))

    def cohort_starts_ns(self) -> dict[int, int]:
        """When each cohort that has recorded anything started, on the driver's wall clock."""
        return {
            metadata.cohort: metadata.start_wall_ns
            for metadata, _ in self._cohort_files("ops", _chosen(OPS_SCHEMA, ()), _RECORDED)
        }

    def loadgen_batches(self) -> Iterator[tuple[FileMetadata, pa.Table]]:
        """As `operation_batches`, of the cohorts' watch on themselves (LOADGEN_SCHEMA)."""
        return self._cohort_files("loadgen", LOADGEN_SCHEMA)

    def loadgen(self) -> pa.Table:
        """The cohorts' watch on themselves (LOADGEN_SCHEMA); times are each cohort's own."""
        return _concatenate([table for _, table in self.loadgen_batches()], LOADGEN_SCHEMA)

    def agents(self) -> pa.Table:
        """The agents (AGENTS_SCHEMA); none for a run that never got that far."""
        path = self.path / AGENTS_FILE
        if not path.is_file():
            return AGENTS_SCHEMA.empty_table()
        found = self._undamaged(path, _read_parquet, AGENTS_SCHEMA)
        return AGENTS_SCHEMA.empty_table() if found is None else found[1]

    def nodes(self) -> pa.Table:
        """The samples of all nodes (NODES_SCHEMA), one node after the other."""
        return self._streams("nodes", NODES_SCHEMA)

    def processes(self) -> pa.Table:
        """The samples of all watched processes (PROCESSES_SCHEMA), one node after the other."""
        return self._streams("processes", PROCESSES_SCHEMA)

    def _cohort_files(
        self, folder: str, schema: pa.Schema, names: str = _RECORDED
    ) -> Iterator[tuple[FileMetadata, pa.Table]]:
        for path in sorted((self.path / folder).glob(".*.tmp")):
            self._damaged.add(self._name(path))
        for path in sorted((self.path / folder).glob(names)):
            found = self._undamaged(path, _read_cohort_file, schema)
            if found is not None:
                metadata, table = found
                start_ns = metadata.start_wall_ns - self._offsets_ns.get(metadata.node_id, 0)
                yield replace(metadata, start_wall_ns=start_ns), table

    def _streams(self, kind: str, schema: pa.Schema) -> pa.Table:
        tables = []
        for path in sorted((self.path / "resources").glob(f"{kind}-*.arrows")):
            batches, whole = _read_stream(path, schema)
            if not whole:
                self._damaged.add(self._name(path))
            table = pa.Table.from_batches(batches, schema)
            tables.append(samples_on_time_line(table, self._offsets_ns))
        return _concatenate(tables, schema)

    def _undamaged(
        self, path: Path, read: Callable[[Path, pa.Schema], T], schema: pa.Schema
    ) -> T | None:
        try:
            return read(path, schema)
        except _DAMAGE:
            self._damaged.add(self._name(path))
            return None

    def _name(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix()

    def _document(self, name: str) -> dict[str, Any] | None:
        return read_document(self.path / name)


def _chosen(schema: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    if columns is None:
        return schema
    unknown = [name for name in columns if name not in schema.names]
    if unknown:
        raise ValueError(f"no such columns: {', '.join(unknown)}")
    return pa.schema([schema.field(name) for name in columns], metadata=schema.metadata)


def _concatenate(tables: list[pa.Table], schema: pa.Schema) -> pa.Table:
    return pa.concat_tables(tables) if tables else schema.empty_table()


def _read_cohort_file(path: Path, schema: pa.Schema) -> tuple[FileMetadata, pa.Table]:
    metadata, table = _read_parquet(path, schema)
    values = {key: metadata[key.encode()].decode() for key in OPS_METADATA_KEYS}
    if abs(int(values["start_wall_ns"])) > _LARGEST_NS:
        raise ValueError("a time that no clock shows")
    found = FileMetadata(
        name=path.name,
        cohort=int(values["cohort"]),
        node_id=values["node_id"],
        start_wall_ns=int(values["start_wall_ns"]),
        start_monotonic_ns=int(values["start_monotonic_ns"]),
    )
    return found, table


def _read_parquet(path: Path, schema: pa.Schema) -> tuple[Mapping[bytes, bytes], pa.Table]:
    """The file's metadata and the schema's columns; one of _DAMAGE unless they are whole."""
    with pq.ParquetFile(path) as file:
        metadata = file.schema_arrow.metadata or {}
        check_version(int(metadata[b"schema_version"]), path)
        table = file.read(columns=schema.names)
    table = table.select(schema.names)
    if any(column.null_count for column in table.columns):
        raise ValueError("a row lacks a value")
    columns = [_in_order(table[field.name], field) for field in schema]
    return metadata, pa.table(columns, schema=schema)


def _in_order(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    """The column in the schema's type; labels with the dictionary of the schema's order."""
    if field.name not in _LABELS:
        return column.cast(field.type)
    labels = _LABELS[field.name]
    return pa.chunked_array([_relabelled(chunk, labels) for chunk in column.chunks], field.type)


def _relabelled(chunk: pa.Array, labels: pa.Array) -> pa.Array:
    if not isinstance(chunk, pa.DictionaryArray):
        chunk = chunk.dictionary_encode()
    if chunk.dictionary.equals(labels):
        return chunk.cast(pa.dictionary(pa.int8(), pa.string()))
    places = pc.index_in(chunk.dictionary, value_set=labels)
    codes = places.take(chunk.indices).cast(pa.int8())
    if codes.null_count:
        raise ValueError("a label that the schema does not have")
    return pa.DictionaryArray.from_arrays(codes, labels)


def _read_stream(path: Path, schema: pa.Schema) -> tuple[list[pa.RecordBatch], bool]:
    """The whole batches of an Arrow IPC stream, and whether it ends between two of them.

    A run that was killed leaves a stream without an end marker, which is no damage.
    """
    batches: list[pa.RecordBatch] = []
    try:
        with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as stream:
            metadata = stream.schema.metadata or {}
            check_version(int(metadata[b"schema_version"]), path)
            for batch in stream:
                # A stream has no checksums: without this, a bent offset would be followed.
                batch.validate(full=True)
                batches.append(batch.select(schema.names).cast(schema))
    except _DAMAGE:
        return batches, False
    return batches, True

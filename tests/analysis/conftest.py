"""Tables of the run directory's schemas, made from a few values, and a run that is in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pytest

from harness.rundir_reader import FileMetadata
from harness.schema import (
    LOADGEN_SCHEMA,
    NODES_SCHEMA,
    OPERATIONS,
    OPS_SCHEMA,
    OUTCOMES,
    PHASES,
    PROCESSES_SCHEMA,
)

WALL_NS = 1_700_000_000_000_000_000
_LABELS = {"phase": PHASES, "op": OPERATIONS, "outcome": OUTCOMES}
_OPERATION = {
    "phase": "measure",
    "cohort": 0,
    "agent": 0,
    "op": "store",
    "shard": 0,
    "scheduled_ns": 0,
    "queue_ns": 0,
    "transport_ns": 0,
    "service_ns": 0,
    "shard_wait_ns": 0,
    "batch_ops": 1,
    "attempts": 1,
    "outcome": "ok",
}
_NODE = {
    "node_id": "n",
    "monotonic_ns": 0,
    "cpu_percent": 0.0,
    "memory_used_bytes": 0,
    "memory_available_bytes": 0,
    "disk_read_bytes": 0,
    "disk_write_bytes": 0,
    "network_received_bytes": 0,
    "network_sent_bytes": 0,
    "loopback_bytes": 0,
    "load_average_1m": 0.0,
    "cpu_count": 2,
}
_PROCESS = {
    "node_id": "n",
    "monotonic_ns": 0,
    "pid": 1,
    "role": "shard",
    "number": 0,
    "cpu_percent": 0.0,
    "cpu_seconds": 0.0,
    "rss_bytes": 0,
    "uss_bytes": None,
    "threads": 1,
    "open_files": 1,
}


def _table(schema: pa.Schema, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows as a table; label columns with their whole dictionaries, as the reader gives them."""
    rows, columns = list(rows), []
    for part in schema:
        values = [row[part.name] for row in rows]
        if part.name in _LABELS:
            labels = _LABELS[part.name]
            codes = pa.array([labels.index(value) for value in values], pa.int8())
            columns.append(pa.DictionaryArray.from_arrays(codes, pa.array(labels)))
        else:
            columns.append(pa.array(values, part.type))
    return pa.table(columns, schema=schema)


@dataclass
class Tables:
    """Makes tables from rows that name only what matters to a test."""

    wall_ns: int = WALL_NS

    def operations(self, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
        """Times not given follow: started when due, finished after the three parts."""
        complete = []
        for row in rows:
            full = _OPERATION | dict(row)
            full.setdefault("started_ns", full["scheduled_ns"])
            parts_ns = full["queue_ns"] + full["transport_ns"] + full["service_ns"]
            full.setdefault("finished_ns", full["started_ns"] + parts_ns)
            complete.append(full)
        return _table(OPS_SCHEMA, complete)

    def nodes(self, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
        return _table(NODES_SCHEMA, (_NODE | dict(row) for row in rows))

    def processes(self, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
        return _table(PROCESSES_SCHEMA, (_PROCESS | dict(row) for row in rows))

    def loadgen(self, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
        return _table(LOADGEN_SCHEMA, ({"cohort": 0, "at_ns": 0} | dict(row) for row in rows))

    def file(
        self, rows: Iterable[Mapping[str, Any]], *, cohort: int = 0, start_wall_ns: int = WALL_NS
    ) -> tuple[FileMetadata, pa.Table]:
        """An operations file as the reader gives it."""
        metadata = FileMetadata(
            name="0.parquet",
            cohort=cohort,
            node_id="n",
            start_wall_ns=start_wall_ns,
            start_monotonic_ns=0,
        )
        return metadata, self.operations({"cohort": cohort} | dict(row) for row in rows)


@dataclass
class RunInMemory:
    """Answers as `harness.rundir_reader.RunReader` does."""

    run: dict[str, Any] = field(default_factory=lambda: {"plan": {}, "status": "complete"})
    files: Sequence[tuple[FileMetadata, pa.Table]] = ()
    node_rows: Sequence[Mapping[str, Any]] = ()
    process_rows: Sequence[Mapping[str, Any]] = ()
    loadgen_rows: Sequence[Mapping[str, Any]] = ()
    damaged_files: int = 0
    lost_files: Sequence[tuple[FileMetadata, pa.Table]] = ()

    def events(self) -> list[dict[str, Any]]:
        return []

    def operation_batches(
        self, columns: Sequence[str] | None = None
    ) -> Iterator[tuple[FileMetadata, pa.Table]]:
        for metadata, table in self.files:
            yield metadata, table if columns is None else table.select(list(columns))

    def in_flight_batches(
        self, columns: Sequence[str] | None = None
    ) -> Iterator[tuple[FileMetadata, pa.Table]]:
        for metadata, table in self.lost_files:
            yield metadata, table if columns is None else table.select(list(columns))

    def nodes(self) -> pa.Table:
        return Tables().nodes(self.node_rows)

    def processes(self) -> pa.Table:
        return Tables().processes(self.process_rows)

    def loadgen(self) -> pa.Table:
        return Tables().loadgen(self.loadgen_rows)


@pytest.fixture
def tables() -> Tables:
    return Tables()


@pytest.fixture
def run_in_memory() -> type[RunInMemory]:
    return RunInMemory

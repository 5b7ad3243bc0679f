"""The tables of one run directory, as those who ask questions of it see them.

They are the columns of `harness.schema` and, before them, what every question needs:

time_s       seconds since the measuring began, on the run's one time line (the driver's wall
             clock); of an operation, when it was answered. What was before is negative.
response_ns  of an operation: from when it was due (closed loop: issued) until it was answered.
             Null where nobody had the answer: the operation was in flight at a lost agent.

Invariants
- ``operations`` are the measured ones, which are all that figures are made of; those of the
  warm-up are a table of their own, ``warmup``. So a percentile of ``operations`` is the summary's.
- Rows come a file at a time, in bounded memory, and of an operations file only the columns that
  are asked for are read. They are in the order of the files, which is not that of time.
- ``events`` keep the fields that only some kinds have as JSON in ``detail``: whatever an event
  says, the columns are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from harness.columns import from_numbers, from_strings
from harness.notebook.damage import warn_of
from harness.rundir_reader import FileMetadata, RunReader, open_run
from harness.schema import (
    AGENTS_SCHEMA,
    LOADGEN_SCHEMA,
    NODES_SCHEMA,
    OPS_SCHEMA,
    PHASES,
    PROCESSES_SCHEMA,
)
from harness.time_line import measuring_began_ns

__all__ = ["TABLES", "RunTables"]

_TIME = pa.field("time_s", pa.float64())
_RESPONSE = pa.field("response_ns", pa.int64())
_OPERATIONS = pa.schema([_TIME, _RESPONSE, *OPS_SCHEMA])
_EVENTS = pa.schema(
    [_TIME, ("wall_ns", pa.int64()), ("kind", pa.string()), ("detail", pa.string())]
)
TABLES: dict[str, pa.Schema] = {
    "operations": _OPERATIONS,
    "warmup": _OPERATIONS,
    "nodes": pa.schema([_TIME, *NODES_SCHEMA]),
    "processes": pa.schema([_TIME, *PROCESSES_SCHEMA]),
    "agents": AGENTS_SCHEMA.remove_metadata(),
    "loadgen": pa.schema([_TIME, *LOADGEN_SCHEMA]),
    "events": _EVENTS,
}
_PHASES = {"operations": PHASES.index("measure"), "warmup": PHASES.index("warmup")}
# What the columns that are made are made of.
_SOURCES = {"time_s": {"finished_ns"}, "response_ns": {"finished_ns", "scheduled_ns"}}
_INT64_MAX = 2**63 - 1


class RunTables:
    """The tables of one run directory; each reading sees what the directory has by then.

    Attributes:
        path: the directory.
        damaged: names of files that could not be read whole, by the table whose last reading met
            them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged: dict[str, tuple[str, ...]] = {}
        self._began_ns: int | None = None

    def parts(self, name: str, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Read a table of `TABLES` in parts that have these of its columns, in this order."""
        reader = open_run(self.path)
        if name in _PHASES:
            yield from self._operations(reader, _PHASES[name], columns)
        else:
            yield self._small(reader, name).select(columns)
        known = {name for names in self.damaged.values() for name in names}
        self.damaged[name] = reader.damaged_file_names
        news = [name for name in reader.damaged_file_names if name not in known]
        warn_of(self.path, news, goes_on=reader.run.get("status") == "running")

    def _operations(
        self, reader: RunReader, phase: int, columns: Sequence[str]
    ) -> Iterator[pa.Table]:
        began_ns = self._began(reader)
        asked = {"phase"}.union(*(_SOURCES.get(name, {name}) for name in columns))
        read = [name for name in OPS_SCHEMA.names if name in asked]
        for metadata, rows in reader.operation_batches(read):
            yield _with_times(_of_phase(rows, phase), metadata, began_ns, columns, answered=True)
        for metadata, rows in reader.in_flight_batches(read):
            yield _with_times(_of_phase(rows, phase), metadata, began_ns, columns, answered=False)

    def _small(self, reader: RunReader, name: str) -> pa.Table:
        """A table that is read whole: what is sampled, not what each operation adds to."""
        if name == "agents":
            return reader.agents().replace_schema_metadata(None)
        began_ns = self._began(reader)
        if name == "events":
            return _events(reader.events(), began_ns)
        if name == "loadgen":
            return _loadgen(reader, began_ns)
        samples = reader.nodes() if name == "nodes" else reader.processes()
        time_s = pc.divide(_floats(pc.subtract(samples["wall_ns"], began_ns)), 1e9)
        return _table([time_s, *samples.columns], TABLES[name])

    def _began(self, reader: RunReader) -> int:
        """When the measuring began; kept once an agent has been heard of, so that it stays."""
        if self._began_ns is not None:
            return self._began_ns
        starts_ns = reader.cohort_starts_ns()
        found = measuring_began_ns(reader.run, starts_ns, reader.events())
        if starts_ns:
            self._began_ns = found
        return found


def _of_phase(rows: pa.Table, phase: int) -> pa.Table:
    codes = pa.chunked_array([chunk.indices for chunk in rows["phase"].chunks], pa.int8())
    wanted = pc.equal(codes, phase)
    return rows if pc.all(wanted).as_py() else rows.filter(wanted)


def _with_times(
    rows: pa.Table,
    metadata: FileMetadata,
    began_ns: int,
    columns: Sequence[str],
    *,
    answered: bool,
) -> pa.Table:
    arrays = []
    for name in columns:
        if name == "time_s":
            start_s = (metadata.start_wall_ns - began_ns) / 1e9
            arrays.append(pc.add(pc.divide(_floats(rows["finished_ns"]), 1e9), start_s))
        elif name == "response_ns" and answered:
            arrays.append(pc.subtract(rows["finished_ns"], rows["scheduled_ns"]))
        elif name == "response_ns":
            arrays.append(pa.nulls(rows.num_rows, pa.int64()))
        else:
            arrays.append(rows[name])
    schema = pa.schema([_OPERATIONS.field(name) for name in columns])
    # without a column, rows are still to be counted
    return _table(arrays, schema) if columns else rows.select([])


def _loadgen(reader: RunReader, began_ns: int) -> pa.Table:
    schema = TABLES["loadgen"]
    parts = []
    for metadata, rows in reader.loadgen_batches():
        start_s = (metadata.start_wall_ns - began_ns) / 1e9
        time_s = pc.add(pc.divide(_floats(rows["at_ns"]), 1e9), start_s)
        parts.append(_table([time_s, *rows.columns], schema))
    return pa.concat_tables(parts) if parts else schema.empty_table()


def _events(events: Sequence[dict[str, Any]], began_ns: int) -> pa.Table:
    own = ("schema_version", "wall_ns", "kind")
    walls = [_whole(event.get("wall_ns")) for event in events]
    kinds = [kind if isinstance(kind := event.get("kind"), str) else "" for event in events]
    details = [
        msgspec.json.encode({key: event[key] for key in event if key not in own}).decode()
        for event in events
    ]
    times_s = [None if wall is None else (wall - began_ns) / 1e9 for wall in walls]
    arrays = [
        from_numbers(times_s, pa.float64()),
        from_numbers(walls, pa.int64()),
        from_strings(kinds),
        from_strings(details),
    ]
    return pa.table(arrays, schema=_EVENTS)


def _whole(value: object) -> int | None:
    """A number of nanoseconds, if it is one that a column can hold."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _INT64_MAX:
        return value
    return None


def _floats(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.cast(values, pa.float64(), safe=False)


def _table(arrays: Sequence[Any], schema: pa.Schema) -> pa.Table:
    return pa.table(list(arrays), schema=schema)

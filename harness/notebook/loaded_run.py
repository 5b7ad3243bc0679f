"""`LoadedRun`: a run directory, or a benchmark's, with its tables and documents at hand.

Nothing is read but ``run.json`` until a table is asked for; each asking reads what the directory
has by then, so that a run that still goes on can be watched from a notebook.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from harness.columns import from_numpy, from_strings
from harness.errors import RunDirectoryError
from harness.history.listed_run import was_killed
from harness.notebook import frames
from harness.notebook.asking import asked_columns, filtered, read_columns
from harness.notebook.shown import as_html, as_text
from harness.notebook.step_paths import step_paths
from harness.notebook.tables import TABLES, RunTables
from harness.rundir_reader import RunReader, open_run

if TYPE_CHECKING:
    import duckdb
    import pandas
    import polars
    import pyarrow.compute as pc

__all__ = ["LoadedRun"]

_STEP = pa.field("step", pa.dictionary(pa.int32(), pa.string()))


class LoadedRun:
    """A run, or a benchmark of many; `harness.load_run` opens one.

    The tables are ``operations``, ``warmup``, ``nodes``, ``processes``, ``agents``, ``loadgen``
    and ``events``; `harness.notebook.tables` says what ``time_s`` and ``response_ns`` mean, and
    "The run directory" of harness/DESIGN.md every other column. Of a benchmark each has the rows
    of all steps and a first column ``step``; times count from when each step's measuring began.

    Each method that gives a table takes

    columns: names of columns, by default all.
    where: which rows, as an expression of ``pyarrow.compute``: ``pc.field("op") == "search"``.

    A column, table or expression that is none is a ValueError. Not for use by several threads.

    Attributes:
        path: the directory.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser may raise
        self._reader = open_run(self.path)
        self._tables = RunTables(self.path)
        self._steps: Mapping[str, LoadedRun] | None = None

    @property
    def info(self) -> dict[str, Any]:
        """``run.json``: plan, seed, versions, commit, hosts, topology, status."""
        return self._read().run

    @property
    def summary(self) -> dict[str, Any] | None:
        """``summary.json``: every figure; None for a run that did not get that far (yet)."""
        return self._read().summary

    @property
    def plan(self) -> dict[str, Any]:
        """The plan, every field of it; of a benchmark what its steps share."""
        plan = self.info.get("plan")
        return plan if isinstance(plan, dict) else {}

    @property
    def status(self) -> str:
        """``running``, ``complete``, ``interrupted``, ``failed``, ``invalid`` or ``killed``.

        ``info`` of a run that was killed, driver and all, still says that it is running.
        """
        info = self.info
        if self._goes_on and was_killed(self.path, info):
            return "killed"
        return str(info.get("status", "unknown"))

    @property
    def steps(self) -> Mapping[str, LoadedRun]:
        """The steps of a benchmark by name, in the order in which they began; a run has none.

        Of ``bench all`` these are its benchmarks. A step that cannot be read is left out.
        """
        if self._steps is None or self._goes_on:
            known = self._steps or {}
            self._steps = {
                name: known.get(name, step) for name, step in _opened(step_paths(self._read()))
            }
        return MappingProxyType(self._steps)

    @property
    def damaged_files(self) -> tuple[str, ...]:
        """Files that could not be read whole, of the tables that were read so far.

        Rows of them are missing. Reading a table with such files also warns
        (`harness.notebook.DamagedFilesWarning`).
        """
        own = {name for names in self._tables.damaged.values() for name in names}
        for step in (self._steps or {}).values():
            place = step.path.relative_to(self.path).as_posix()
            own |= {f"{place}/{name}" for name in step.damaged_files}
        return tuple(sorted(own))

    def operations(
        self, columns: Sequence[str] | None = None, where: pc.Expression | None = None
    ) -> pa.Table:
        """The measured operations, a row each. All that figures are made of."""
        return self.table("operations", columns, where)

    def warmup(
        self, columns: Sequence[str] | None = None, where: pc.Expression | None = None
    ) -> pa.Table:
        """The operations of the warm-up, with the columns of `operations`."""
        return self.table("warmup", columns, where)

    def nodes(
        self, columns: Sequence[str] | None = None, where: pc.Expression | None = None
    ) -> pa.Table:
        """The samples of each node: CPU, memory, disk, network."""
        return self.table("nodes", columns, where)

    def processes(
        self, columns: Sequence[str] | None = None, where: pc.Expression | None = None
    ) -> pa.Table:
        """The samples of each process by role: CPU, memory, threads, files."""
        return self.table("processes", columns, where)

    def agents(
        self, columns: Sequence[str] | None = None, where: pc.Expression | None = None
    ) -> pa.Table:
        """Number, id and cohort of each agent."""
        return self.table("agents", columns, where)

    def loadgen(
        self, columns: Sequence[str] | None = None, where: pc.Expression | None = None
    ) -> pa.Table:
        """The load generator's watch on itself: how late each cohort's event loop woke."""
        return self.table("loadgen", columns, where)

    def events(
        self, columns: Sequence[str] | None = None, where: pc.Expression | None = None
    ) -> pa.Table:
        """Phases, faults, losses and so on; ``detail`` is JSON with the fields of the kind."""
        return self.table("events", columns, where)

    def table(
        self, name: str, columns: Sequence[str] | None = None, where: pc.Expression | None = None
    ) -> pa.Table:
        """One of the tables by its name, whole in memory."""
        schema = self.schema(name)
        chosen = asked_columns(schema, columns)
        parts = list(self._parts(name, schema, chosen, where))
        if not parts:
            return schema.empty_table().select(chosen)
        return pa.concat_tables(parts)

    def batches(
        self, name: str, columns: Sequence[str] | None = None, where: pc.Expression | None = None
    ) -> pa.RecordBatchReader:
        """One of the tables as a stream of record batches, in bounded memory."""
        schema = self.schema(name)
        chosen = asked_columns(schema, columns)
        parts = self._parts(name, schema, chosen, where)
        batches = (batch for part in parts for batch in part.to_batches())
        return pa.RecordBatchReader.from_batches(
            pa.schema([schema.field(column) for column in chosen]), batches
        )

    def schema(self, name: str) -> pa.Schema:
        """The columns of a table."""
        if name not in TABLES:
            raise ValueError(f"there is no table {name!r}; there are {', '.join(TABLES)}")
        return TABLES[name].insert(0, _STEP) if self._is_bench else TABLES[name]

    def to_pandas(
        self, name: str, columns: Sequence[str] | None = None, where: pc.Expression | None = None
    ) -> pandas.DataFrame:
        """One of the tables as a pandas frame; ImportError without pandas."""
        frames.installed("pandas")
        return frames.pandas_frame(self.table(name, columns, where))

    def to_polars(
        self, name: str, columns: Sequence[str] | None = None, where: pc.Expression | None = None
    ) -> polars.DataFrame:
        """One of the tables as a polars frame; ImportError without polars."""
        frames.installed("polars")
        return frames.polars_frame(self.table(name, columns, where))

    def duckdb(self) -> duckdb.DuckDBPyConnection:
        """A new DuckDB connection, in memory, in which every table is a view by its name.

        Each query reads from the files what it needs, in bounded memory, and sees what a run that
        goes on has written by then. Whoever asks much of a large run copies it first
        (``CREATE TABLE mine AS SELECT ... FROM operations``). ImportError without DuckDB.
        """
        from harness.notebook.sql import connection

        return connection(self)

    def __repr__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)

    def _parts(
        self,
        name: str,
        schema: pa.Schema,
        columns: Sequence[str],
        where: pc.Expression | None,
    ) -> Iterator[pa.Table]:
        read = read_columns(schema, columns, where)
        for part in self._unfiltered(name, read):
            found = part if where is None else filtered(part, where)
            yield found if read == list(columns) else found.select(columns)

    def _unfiltered(self, name: str, columns: Sequence[str]) -> Iterator[pa.Table]:
        if not self._is_bench:
            yield from self._tables.parts(name, columns)
            return
        leaves = dict(self._leaves())
        labels = from_strings(list(leaves))
        own = [column for column in columns if column != _STEP.name]
        for number, step in enumerate(leaves.values()):
            for part in step._tables.parts(name, own):
                code = from_numpy(np.full(part.num_rows, number, np.int32), pa.int32())
                label = pa.DictionaryArray.from_arrays(code, labels)
                whole = part.append_column(_STEP, label)
                yield whole.select(columns)

    def _leaves(self, prefix: str = "") -> Iterator[tuple[str, LoadedRun]]:
        """The runs of a benchmark, by the names of the steps that lead to each."""
        for name, step in self.steps.items():
            if step._is_bench:
                yield from step._leaves(f"{prefix}{name}/")
            else:
                yield f"{prefix}{name}", step

    @property
    def _is_bench(self) -> bool:
        return "steps" in self._reader.run

    @property
    def _goes_on(self) -> bool:
        return self._reader.run.get("status") == "running"

    def _read(self) -> RunReader:
        """The documents, read again while the run goes on."""
        if self._goes_on:
            self._reader = open_run(self.path)
        return self._reader


def _opened(paths: Mapping[str, Path]) -> Iterator[tuple[str, LoadedRun]]:
    for name, path in paths.items():
        try:
            yield name, LoadedRun(path)
        except RunDirectoryError:
            continue

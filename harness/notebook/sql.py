"""A run's tables as views of a DuckDB connection.

DuckDB reads each view through `RunDataset`, which pushes the columns and the rows that a query
needs down to the reading of the files: what `harness.rundir_reader` knows of them (clocks, damaged
files, labels) holds in SQL as well, a query sees what is there when it runs, and of a run of any
size a file at a time is in memory.

A data set of pyarrow is what DuckDB knows to push down to; a class of ours may be one (Lance's
does the same). Of it DuckDB uses ``schema`` and ``scanner``.
"""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset

from harness.notebook.frames import installed
from harness.notebook.tables import TABLES

if TYPE_CHECKING:
    import duckdb
    import pyarrow.compute as pc

    from harness.notebook.loaded_run import LoadedRun

__all__ = ["RunDataset", "connection"]

# Connections still open when Python ends hold Python's objects, which DuckDB's binding complains
# of at length on standard error.
_OPEN: weakref.WeakSet[Any] = weakref.WeakSet()


def connection(run: LoadedRun) -> duckdb.DuckDBPyConnection:
    """A connection in memory with a view for each table; ImportError without DuckDB."""
    library = installed("duckdb", "'agent-memory-harness[duckdb]'")
    made: duckdb.DuckDBPyConnection = library.connect()
    for name in TABLES:
        made.register(name, RunDataset(run, name))
    _OPEN.add(made)
    return made


class RunDataset(pyarrow.dataset.Dataset):  # type: ignore[misc] # pyarrow has no types
    """One table of a run as a pyarrow data set that is read anew by each scan."""

    def __init__(self, run: LoadedRun, name: str) -> None:
        """Nothing of the base is set up: what is used of it is overridden below."""
        self._run = run
        self._name = name

    @property
    def schema(self) -> pa.Schema:
        """The columns of the table."""
        return self._run.schema(self._name)

    def scanner(
        self,
        columns: Sequence[str] | None = None,
        filter: pc.Expression | None = None,  # noqa: A002 - pyarrow's name for it
        **_options: Any,
    ) -> pa.dataset.Scanner:
        """Read the columns and rows that are asked for, once."""
        batches = self._run.batches(self._name, columns, filter)
        return pyarrow.dataset.Scanner.from_batches(batches)


@atexit.register
def _close_all() -> None:
    for made in list(_OPEN):
        made.close()

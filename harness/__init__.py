"""A distributed load harness for agent memories; DESIGN.md beside this tells how it measures."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

    from harness.notebook import LoadedRun

try:
    __version__ = version("agent-memory-harness")
except PackageNotFoundError:  # run from a tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__", "load_run"]


def load_run(path: str | os.PathLike[str]) -> LoadedRun:
    """Open a run directory, or a benchmark's, to ask it questions.

    Its rows and samples are there as Arrow tables (``run.operations()``), as frames of pandas and
    polars (``run.to_pandas("operations")``), and as views of a DuckDB connection
    (``run.duckdb()``). The run may still go on.

    Args:
        path: the directory, as a run names it in its last line (``runs/20261123T...-run``).

    Raises:
        harness.errors.RunDirectoryError: it is none, or cannot be read; in one sentence.
    """
    # here, because every command and every process of agents imports this package
    from harness.notebook import LoadedRun

    return LoadedRun(path)

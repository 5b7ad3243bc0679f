"""Where the steps of a benchmark are: from its ``run.json`` to folders that are there."""

from __future__ import annotations

from pathlib import Path

from harness.analysis.joined import BENCHMARKS
from harness.benchmarks.bench_directory import STEPS_FOLDER, BenchReader
from harness.rundir_reader import RunReader

__all__ = ["step_paths"]


def step_paths(reader: RunReader) -> dict[str, Path]:
    """The folder of each step by its name, in the order in which they began.

    None of a run; of ``bench all`` the benchmarks that it has.
    """
    if reader.run.get("command") == "bench-all":
        found = {name: reader.path / name for name in BENCHMARKS}
        return {name: path for name, path in found.items() if path.is_dir()}
    if not isinstance(reader.run.get("steps"), list):
        return {}
    names = BenchReader(reader).step_names()
    return {name: reader.path / STEPS_FOLDER / name for name in names}

"""The directory of a benchmark: a document, a summary, and a run directory for each step.

    <bench directory>
    ├── run.json       command, status, duration, plan of the steps, settings, steps
    ├── events.jsonl   which step began when
    ├── steps/<name>/  a run directory each (harness.rundir)
    └── summary.json   the figures of all steps together

The documents are written as those of a run are, and read by `harness.rundir_reader.open_run`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import RunDirectoryError, UsageError
from harness.rundir import RunDirectory, Status
from harness.rundir_reader import RunReader, open_run

__all__ = ["STEPS_FOLDER", "BenchDirectory", "BenchReader", "open_bench"]

STEPS_FOLDER = "steps"


class BenchDirectory:
    """A bench directory that is being written.

    Attributes:
        path: the directory.
        run: ``run.json`` as it was when the directory was reopened; empty in a new one.
    """

    def __init__(self, documents: RunDirectory) -> None:
        """For `create` and `reopen`, which is how one is made."""
        self.path = documents.path
        self.run: dict[str, Any] = {}
        self._documents = documents
        self._steps: list[dict[str, str]] = []

    @classmethod
    def create(cls, path: Path | None, command: str, root: Path = Path("runs")) -> BenchDirectory:
        """Make the directory; arguments and errors as of `RunDirectory.create`."""
        directory = RunDirectory.create(path, command, root, folders=(STEPS_FOLDER,))
        directory.write_run({"steps": []})
        return cls(directory)

    @classmethod
    def reopen(cls, path: Path, command: str) -> BenchDirectory:
        """Go on in a directory that is there; steps that are not complete are removed.

        Raises:
            RunDirectoryError: it is no bench directory, or cannot be read.
            UsageError: it is of another command.
        """
        found = open_bench(path)
        if found.run.get("command") != command:
            raise UsageError(
                "--out",
                f"{path} is of {found.run.get('command')}; name a new folder or an empty one",
            )
        directory = cls(RunDirectory(path, found.run))
        directory.run = dict(found.run)
        for name in found.step_names():
            if found.is_complete(name):
                directory._steps.append({"name": name, "path": f"{STEPS_FOLDER}/{name}"})
        kept = {step["name"] for step in directory._steps}
        for folder in (path / STEPS_FOLDER).iterdir():
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)
        directory._documents.write_run({"steps": directory._steps})
        directory._documents.resume()
        return directory

    @property
    def step_names(self) -> list[str]:
        """The steps that there are, in the order in which they began."""
        return [step["name"] for step in self._steps]

    def describe(self, **fields: Any) -> None:
        """Add fields to ``run.json``."""
        self._documents.write_run(fields)

    def step(self, name: str, command: str = "run") -> RunDirectory:
        """Make the run directory of the next step, and note that it begins.

        Raises:
            UsageError: it cannot be made, or there is one of this name.
        """
        place = f"{STEPS_FOLDER}/{name}"
        directory = RunDirectory.create(self.path / place, command)
        self._steps.append({"name": name, "path": place})
        self._documents.write_run({"steps": self._steps})
        self._documents.append_event("step", step=name)
        return directory

    def update_status(self, status: Status, **extra: Any) -> None:
        """Set the status in ``run.json``, and any other fields."""
        self._documents.update_status(status, **extra)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write ``summary.json``."""
        self._documents.write_summary(summary)


class BenchReader:
    """A bench directory that is read.

    Attributes:
        path: the directory.
        run: ``run.json``.
    """

    def __init__(self, reader: RunReader) -> None:
        """For `open_bench`."""
        self._reader = reader
        self.path = reader.path
        self.run = reader.run

    @property
    def summary(self) -> dict[str, Any] | None:
        """``summary.json``; None when it never got that far."""
        return self._reader.summary

    def step_names(self) -> list[str]:
        """The names of the steps that are there, in the order in which they began."""
        named = [step.get("name") for step in self.run.get("steps", []) if isinstance(step, dict)]
        return [name for name in named if isinstance(name, str) and self._is_there(name)]

    def step(self, name: str) -> RunReader:
        """Open a step's run directory.

        Raises:
            RunDirectoryError: there is none of that name, or it cannot be read.
        """
        if not self._is_there(name):
            raise RunDirectoryError(f"{self.path} has no step {name!r}")
        return open_run(self.path / STEPS_FOLDER / name)

    def is_complete(self, name: str) -> bool:
        """Whether a step has come to its end and was summed up."""
        try:
            step = self.step(name)
            return step.run.get("status") == "complete" and step.summary is not None
        except RunDirectoryError:
            return False

    def _is_there(self, name: str) -> bool:
        # a name from a file makes no path but into the folder of steps
        plain = name == Path(name).name and name not in {"", ".."}
        try:
            return plain and (self.path / STEPS_FOLDER / name).is_dir()
        except (OSError, ValueError):  # longer than a name may be, or no text
            return False


def open_bench(path: Path | str) -> BenchReader:
    """Open a bench directory.

    Raises:
        RunDirectoryError: it is none, or cannot be read; says so in one sentence.
    """
    reader = open_run(path)
    if "steps" not in reader.run:
        raise RunDirectoryError(f"{path} is the directory of a run, not of a benchmark")
    return BenchReader(reader)

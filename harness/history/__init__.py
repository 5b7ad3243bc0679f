"""The history of runs: which there are under a folder, and how one figure went over them.

Everything here reads two files of each run, ``run.json`` and ``summary.json``, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.history.directories import Found
from harness.history.listed_run import ListedRun, read_listed

__all__ = ["read_all"]


def read_all(found: Found, folder: Path) -> Iterator[tuple[ListedRun, dict[str, Any]]]:
    """Read what was found below a folder, one after the other, each with its summary.

    A folder that could not be looked into comes along with its reason: it may hold runs.
    """
    for path in found.runs:
        yield read_listed(path, _name(path, folder))
    for path, reason in found.unread:
        sentence = f"{path} cannot be read: {reason}"
        name = _name(path, folder)
        yield ListedRun(path=path, name=name, status="unreadable", reason=sentence), {}


def _name(path: Path, folder: Path) -> str:
    return str(path if path == folder else path.relative_to(folder))

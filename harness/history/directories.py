"""Finding run and bench directories below a folder.

Invariants
- A directory with a ``run.json`` is one that is found, and is not looked into: what a run or a
  benchmark has inside (steps, rows, databases) is its own.
- Symbolic links to folders are followed after all that is there without them, and no folder is
  entered twice: a loop of links ends, and a run that is reached two ways has its own name.
- Depth and number of folders are bounded; what the bounds left out, and what may not be read, is
  told.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from harness.rundir import RUN_FILE

__all__ = ["DEPTH_MAX", "FOLDERS_MAX", "Found", "find_directories"]

# Runs lie one or two folders down; these keep a whole disk that was named from being walked.
DEPTH_MAX = 12
FOLDERS_MAX = 100_000


@dataclass(kw_only=True)
class Found:
    """What lies below a folder.

    Attributes:
        runs: directories with a ``run.json``, in the order of their names, as far as they go.
        unread: folders that could not be read, and why.
        cut: there are more or deeper folders than are looked into.
    """

    runs: list[Path] = field(default_factory=list)
    unread: list[tuple[Path, str]] = field(default_factory=list)
    cut: bool = False


def find_directories(folder: Path) -> Found:
    """Look for run and bench directories at `folder` and below."""
    found = Found()
    seen: set[tuple[int, int]] = set()
    real: deque[tuple[Path, int]] = deque([(folder, 0)])
    linked: deque[tuple[Path, int]] = deque()
    while real or linked:
        path, depth = (real or linked).popleft()
        if len(seen) >= FOLDERS_MAX:
            found.cut = True
            break
        try:
            about = path.stat()
            if (about.st_dev, about.st_ino) in seen:
                continue
            seen.add((about.st_dev, about.st_ino))
            with os.scandir(path) as listing:
                entries = sorted(listing, key=lambda one: one.name)
        except OSError as error:
            found.unread.append((path, error.strerror or str(error)))
            continue
        if any(entry.name == RUN_FILE for entry in entries):
            found.runs.append(path)
            continue
        folders = [entry for entry in entries if _is_folder(entry)]
        if folders and depth == DEPTH_MAX:
            found.cut = True
            continue
        for entry in folders:
            (linked if entry.is_symlink() else real).append((Path(entry.path), depth + 1))
    found.runs.sort()
    return found


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False

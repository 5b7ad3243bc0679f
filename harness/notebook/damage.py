"""Saying which files of a run directory could not be read whole.

Nothing is raised for them: what is left is worth having. A file that a run still writes is not
damaged, only unfinished, and nothing is said of it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

__all__ = ["DamagedFilesWarning", "warn_of"]

_NAMED_MAX = 5


class DamagedFilesWarning(UserWarning):
    """Files of a run directory could not be read whole; rows are missing."""


def warn_of(path: Path, damaged: Sequence[str], *, goes_on: bool) -> None:
    """Warn of the damaged files of a run directory, if there are any.

    Args:
        path: the directory.
        damaged: their names, as `harness.rundir_reader.RunReader.damaged_file_names` has them.
        goes_on: whether the run still writes.
    """
    named = [name for name in damaged if not (goes_on and _may_be_growing(name))]
    if not named:
        return
    shown = ", ".join(named[:_NAMED_MAX])
    if len(named) > _NAMED_MAX:
        shown += f" and {len(named) - _NAMED_MAX} more"
    files = "1 file is" if len(named) == 1 else f"{len(named)} files are"
    sentence = f"{path}: {files} damaged, and what could not be read is left out: {shown}"
    warnings.warn(sentence, DamagedFilesWarning, stacklevel=2)


def _may_be_growing(name: str) -> bool:
    return name.endswith((".tmp", ".arrows", ".jsonl"))

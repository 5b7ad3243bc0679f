"""RocksDB's errors in our words; rocksdict raises them all as plain exceptions with a text."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from memory_core.errors import (
    CorruptionError,
    DatabaseError,
    IncompatibleError,
    LockedError,
    StorageFullError,
    UnavailableError,
)

__all__ = ["in_our_words", "translated"]

_FILE_NAME = re.compile(r"[^\s:'\"]*(?:\d{6,}\.(?:sst|log|ldb)|MANIFEST-\d+|CURRENT)")
_DROPPING = re.compile(r"([^\s]+\.log): dropping \d+ bytes")


@contextlib.contextmanager
def translated(path: str) -> Iterator[None]:
    """Maps RocksDB's errors, which rocksdict raises as plain exceptions, to ours."""
    try:
        yield
    except (DatabaseError, UnavailableError):
        raise
    except Exception as error:  # noqa: BLE001 - rocksdict raises nothing narrower
        raise in_our_words(path, str(error)) from None


def in_our_words(path: str, text: str) -> DatabaseError:
    """The error that a text of RocksDB's means, about the database in the folder ``path``."""
    first_line = text.splitlines()[0] if text else "unknown error"
    lowered = text.replace(path, "").lower()  # a folder may be called anything
    if "lock" in lowered and ("unavailable" in lowered or "lock hold" in lowered):
        return LockedError(path, "another process has this database open; close it there first")
    if "no space left" in lowered or "disk quota" in lowered or "nospace" in lowered:
        return StorageFullError(path, f"the disk has no room ({first_line})")
    if "write stall" in lowered:  # only a write that may not wait, since the disk is nearly full
        return StorageFullError(path, "the disk has no room: a flush waits for some")
    match = _FILE_NAME.search(text.replace(path, ""))
    file = str(Path(path) / Path(match.group()).name) if match else None
    if lowered.startswith("corruption"):
        return CorruptionError(file or _dropped_log(path) or path, f"is damaged ({first_line})")
    if "no such file" in lowered and file is not None:
        return CorruptionError(file, f"is missing ({first_line})")
    if "comparator" in lowered or "not supported" in lowered:
        return IncompatibleError(path, first_line)
    return DatabaseError(path, first_line)


def _dropped_log(path: str) -> str | None:
    """The write-ahead log that RocksDB found damaged: it names it in its own notes only."""
    try:
        notes = (Path(path) / "LOG").read_text(errors="replace")
    except OSError:
        return None
    names = _DROPPING.findall(notes)
    return str(Path(path) / Path(names[-1]).name) if names else None

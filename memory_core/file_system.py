"""The file system: when what is written is on the disk, and whether there was room for it."""

from __future__ import annotations

import errno
import os

from memory_core.errors import DatabaseError, StorageFullError

__all__ = ["has_no_room", "sync", "sync_tree", "write_error"]

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


def sync(path: str) -> None:
    """Wait until the disk has a file's bytes, or a folder's names. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(path: str) -> None:
    """`sync` of a folder with all that is in it. Raises OSError."""
    for folder, _, names in os.walk(path, topdown=False):
        for name in names:
            sync(os.path.join(folder, name))
        sync(folder)


def has_no_room(error: OSError) -> bool:
    """Whether an error says that the disk is full, or the quota on it."""
    return error.errno in _NO_ROOM


def write_error(path: str, error: OSError, problem: str = "cannot be written") -> DatabaseError:
    """What an error of the file system means for what should have been written at a path."""
    if has_no_room(error):
        return StorageFullError(path, "the disk has no room for it")
    return DatabaseError(path, f"{problem}: {error.strerror or error}")

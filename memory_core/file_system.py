"""The file system: when what is written is on the disk, and whether there was room for it."""

from __future__ import annotations

import errno
import os

__all__ = ["has_no_room", "sync", "sync_tree"]

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

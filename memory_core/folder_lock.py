"""The lock of a database's folder, taken to read: nobody opens it while it is looked at.

RocksDB holds a write lock (``fcntl``) on the file ``LOCK`` while a database is open. A read lock
on it needs no permission to write, changes no byte, is refused while a store has the folder
open, and keeps stores from opening it. A folder without a ``LOCK`` has never been opened.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import Iterator

from memory_core.errors import DatabaseError, LockedError
from memory_core.log import is_open_here

__all__ = ["held_to_read"]

# struct flock of Linux: type, whence, start, length, process
_FLOCK = struct.Struct("hhqqi0q")


@contextlib.contextmanager
def held_to_read(path: str) -> Iterator[None]:
    """Keep a database folder closed meanwhile.

    Raises:
        LockedError: a store has it open, in this process or another.
        DatabaseError: its lock cannot be read.
    """
    # first of all: closing a file of the lock's would end the lock of a store in this process
    if is_open_here(path):
        raise LockedError(path, "a store has this database open; close it first")
    name = os.path.join(path, "LOCK")
    try:
        file = os.open(name, os.O_RDONLY)
    except FileNotFoundError:
        yield
        return
    except OSError as error:
        raise DatabaseError(name, f"cannot be read: {error.strerror}") from None
    try:
        try:
            _lock(file)
        except (BlockingIOError, PermissionError):
            raise LockedError(path, "a store has this database open; close it first") from None
        except OSError:  # a file system without locks: then RocksDB could hold none either
            pass
        yield
    finally:
        os.close(file)


def _lock(file: int) -> None:
    if hasattr(fcntl, "F_OFD_SETLK"):  # of the open file, so also against this process's stores
        wanted = _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, wanted)
    else:
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)

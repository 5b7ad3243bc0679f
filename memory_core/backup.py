"""Backups: a checkpoint of an open store in a folder of its own, and a store made of one.

A backup is a database like any other: `verify` reads it, `MemoryStore` opens it. RocksDB makes
it while the store goes on; its tables are hard links where the file system allows it, so it
costs little, and protects against what is done to the store rather than to the disk: copy it to
another disk for that. A restored database shares no file with its backup.
"""

from __future__ import annotations

import os
import shutil

from memory_core.damage import database_files, ours
from memory_core.errors import BadInputError, CorruptionError
from memory_core.folder_lock import held_to_read
from memory_core.inspection import Verification, verify
from memory_core.log import Log
from memory_core.new_folder import new_folder, require_free

__all__ = ["make_backup", "restore"]

_OF_AN_OPEN_STORE = ("LOCK", "LOG")


def make_backup(log: Log, folder: str | os.PathLike[str]) -> str:
    """Make a backup of an open database; its path.

    Safe beside writes of other threads: each write batch that was written before the call is in
    it, and any other whole or not at all.

    Args:
        log: the database.
        folder: new or empty; it has the whole backup in it when this returns, and otherwise, or
            if the process is killed, nothing.

    Raises:
        BadInputError: the folder holds something, or is within the database's own.
        UnavailableError: the database is closed.
        StorageFullError, DatabaseError: it cannot be written.
    """
    if not isinstance(folder, str | os.PathLike):
        raise BadInputError("folder", f"must be a path, not {type(folder).__name__}")
    final = os.path.normpath(os.fspath(folder))
    require_free(final, "folder")
    own = os.path.realpath(log.path)
    if os.path.commonpath([own, os.path.realpath(final)]) == own:
        raise BadInputError("folder", f"{final} is in the database's own folder; name another")
    with new_folder(final) as new:
        log.checkpoint(new.path)
        new.finish()
    return final


def restore(backup: str | os.PathLike[str], path: str | os.PathLike[str]) -> Verification:
    """Copy a backup, once it has been found whole, to a folder that a store can open.

    Args:
        backup: a backup's folder, or that of any closed database; nothing in it is changed.
        path: new or empty; it has the whole database in it when this returns, and otherwise, or
            if the process is killed, nothing.

    Returns:
        What the restored database holds.

    Raises:
        BadInputError: there is no database in the backup's folder, or ``path`` holds something.
        CorruptionError: the backup is damaged; names the first file that is.
        LockedError: a store has the backup open.
        StorageFullError, DatabaseError: it cannot be read or written.
    """
    source = ours(backup)
    final = os.path.normpath(os.fspath(path))
    require_free(final, "path")
    _require_clean(source)
    with held_to_read(source), new_folder(final) as new:
        os.mkdir(new.path)
        for name in database_files(source):
            if not name.startswith(_OF_AN_OPEN_STORE):
                shutil.copyfile(os.path.join(source, name), os.path.join(new.path, name))
        restored = _require_clean(new.path)  # the backup may have changed since it was looked at
        new.finish()
    return Verification(
        path=final,
        identity=restored.identity,
        tiers=restored.tiers,
        agents=restored.agents,
        problems=(),
        notes=restored.notes,
        readable=True,
    )


def _require_clean(path: str) -> Verification:
    found = verify(path)
    if not found.is_clean:
        first, more = found.problems[0], len(found.problems) - 1
        others = f", and {more:,} more problems" if more else ""
        raise CorruptionError(first.place, f"{first.problem}{others}; repair the backup first")
    return found

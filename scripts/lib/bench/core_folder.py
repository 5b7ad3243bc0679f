"""What a database's folder takes once RocksDB has compacted it."""

from __future__ import annotations

import os
from pathlib import Path

from rocksdict import Options, Rdict

from memory_core import MemoryConfig
from memory_core.log import Log

__all__ = ["compact", "folder_bytes"]


def compact(folder: str) -> dict[str, int]:
    """Compact every column family of a closed database, opened as the store opens it.

    Gives the bytes of all files in the folder, RocksDB's and others, before and after.
    """
    before_bytes = folder_bytes(folder)
    # the store's own opening: tables are rewritten with its compression and filters, which
    # RocksDB's file of options does not hold all of
    log = Log(folder, MemoryConfig(path=folder))
    try:
        for name in Rdict.list_cf(os.path.realpath(folder), Options(raw_mode=True)):
            _compact_family(log._db.get_column_family(name))
    finally:
        log.close()
    return {"before_bytes": before_bytes, "folder_bytes": folder_bytes(folder)}


def _compact_family(family: Rdict) -> None:
    family.flush()
    family.compact_range(None, None)


def folder_bytes(folder: str) -> int:
    """The lengths of all files in a folder and those in it."""
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())

"""Backups of memories, for whoever has a URI: what there is, and databases made of one of them.

`memory_core.cluster_backup` makes backups of a running memory, and restores onto a cluster.
"""

from __future__ import annotations

import secrets

from memory_core.backup_deletion import Removal, remove_all_but
from memory_core.backup_manifest import Manifest, ShardBackup, check_memory_name
from memory_core.backup_place import BackupPlace, absolute_uri
from memory_core.backup_repository import BackupRepository, Listing, memories_in
from memory_core.backup_restoring import Restored, restore_to_folder
from memory_core.backup_schedule import repeat
from memory_core.errors import BadInputError

__all__ = [
    "Listing",
    "Manifest",
    "Removal",
    "Restored",
    "ShardBackup",
    "absolute_uri",
    "check_memory_name",
    "check_place",
    "find_backup",
    "list_backups",
    "remove_all_but",
    "repeat",
    "restore_to_folder",
]


def check_place(uri: str) -> None:
    """Look whether something can be written in a place, and removed again.

    Raises:
        BadInputError: the URI is none, or nobody knows how to reach it.
        UnavailableError, StorageFullError: it cannot be written.
    """
    place = BackupPlace(uri)
    probe = f".probe-{secrets.token_hex(8)}"
    place.write(probe, [b""])
    place.remove(probe)


def list_backups(uri: str, memory: str | None = None) -> dict[str, Listing]:
    """The backups in a place, by memory, of one or of all.

    Raises:
        BadInputError: the URI or the name is none, or nobody knows how to reach it.
        UnavailableError: it cannot be read.
    """
    place = BackupPlace(uri)
    names = memories_in(place) if memory is None else [memory]
    return {name: BackupRepository(place, name).listing() for name in names}


def find_backup(
    uri: str, memory: str, backup: str | None = None
) -> tuple[BackupRepository, Manifest]:
    """A backup of a memory, by its id or the newest, and the repository that it is in.

    Raises:
        BadInputError: there is none; says which memories have backups there.
        CorruptionError, IncompatibleError: its manifest cannot be used.
        UnavailableError: it cannot be read.
    """
    place = BackupPlace(uri)
    repository = BackupRepository(place, memory)
    try:
        return repository, repository.manifest(backup)
    except BadInputError as error:
        others = [name for name in memories_in(place) if name != memory]
        if error.field != "memory" or not others:
            raise
        shown = ", ".join(others[:5]) + ", ..." * (len(others) > 5)
        raise BadInputError("memory", f"{error.problem}; there are some of {shown}") from None

"""Databases made of a backup: one folder a shard, with as many shards as it had or another number.

Every file is compared with its checksum as it comes. A folder has its name only when it is whole
and on the disk. With another number of shards each source is brought here in turn, read, and
removed, so what is needed beside the result is the room of one shard.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from memory_core.backup_manifest import MAX_SHARDS, Manifest
from memory_core.backup_repository import BackupRepository
from memory_core.errors import BadInputError
from memory_core.file_system import sync_tree
from memory_core.new_folder import new_folder, require_free
from memory_core.resharding import reshard_into

__all__ = ["Restored", "make_databases", "restore_to_folder", "shard_folder"]

# Databases that are written at the same time, each with memtables of its own.
_TARGETS_TOGETHER = 16


@dataclass(frozen=True)
class Restored:
    """What a restore made.

    Attributes:
        folders: of the shards, in their order.
        read_bytes: what was read from the repository.
        memories: how many were sorted into new shards; None where files were taken as they are.
    """

    folders: list[str]
    read_bytes: int
    memories: int | None


def shard_folder(path: str, shard: int) -> str:
    """Where in a memory's folder a shard's database is."""
    return os.path.join(path, f"shard-{shard}")


def restore_to_folder(
    repository: BackupRepository,
    manifest: Manifest,
    path: str | os.PathLike[str],
    shards: int | None = None,
) -> Restored:
    """Make a folder with a database for each shard, ``shard-0`` and so on, all of it or nothing.

    Args:
        repository: that the backup is in.
        manifest: of the backup.
        path: new or empty; killed half-way, nothing is there but a ``<name>.partial-*``.
        shards: how many to make; None makes as many as there were.

    Raises:
        BadInputError: ``path`` holds something, or ``shards`` is none.
        CorruptionError: a file of the backup is missing or damaged; names it.
        UnavailableError: the repository cannot be read.
        StorageFullError, DatabaseError: the databases cannot be written.
    """
    final = os.path.normpath(os.fspath(path))
    require_free(final, "to")
    count = check_shards(shards, manifest)
    with new_folder(final) as new:
        os.mkdir(new.path)
        folders = {shard: shard_folder(new.path, shard) for shard in range(count)}
        read_bytes, memories = make_databases(repository, manifest, folders, count, new.path)
        new.finish()
    return Restored([shard_folder(final, shard) for shard in range(count)], read_bytes, memories)


def check_shards(shards: object, manifest: Manifest) -> int:
    """How many shards a restore makes. Raises BadInputError."""
    if shards is None:
        return len(manifest.shards)
    if isinstance(shards, bool) or not isinstance(shards, int) or not 1 <= shards <= MAX_SHARDS:
        raise BadInputError("shards", f"must be from 1 to {MAX_SHARDS:,}, not {shards!r:.40}")
    return shards


def make_databases(
    repository: BackupRepository,
    manifest: Manifest,
    folders: Mapping[int, str],
    shards: int,
    scratch: str,
) -> tuple[int, int | None]:
    """Make the databases of some shards, on the disk when this returns.

    Args:
        repository: that the backup is in.
        manifest: of the backup.
        folders: of the shards to make, by number; none exists. Left half made if this fails.
        shards: how many the memory is to have.
        scratch: a folder in which sources are put meanwhile.

    Returns:
        Bytes read from the repository, and memories that were sorted into new shards, or None.

    Raises:
        as `restore_to_folder`.
    """
    if shards == len(manifest.shards):
        for shard, folder in folders.items():
            _fetch_shard(repository, manifest, shard, folder)
        return sum(manifest.shards[shard].size_bytes for shard in folders), None
    memories = passes = 0
    numbers = sorted(folders)
    for first in range(0, len(numbers), _TARGETS_TOGETHER):
        some = {shard: folders[shard] for shard in numbers[first : first + _TARGETS_TOGETHER]}
        sources: list[Callable[[], contextlib.AbstractContextManager[str]]] = [
            partial(_source, repository, manifest, source, scratch)
            for source in range(len(manifest.shards))
        ]
        memories += reshard_into(some, shards, sources)
        passes += 1
        for folder in some.values():
            sync_tree(folder)
    return passes * manifest.size_bytes, memories


@contextlib.contextmanager
def _source(
    repository: BackupRepository, manifest: Manifest, shard: int, scratch: str
) -> Iterator[str]:
    folder = os.path.join(scratch, f"source-{shard}")
    try:
        _fetch_shard(repository, manifest, shard, folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fetch_shard(repository: BackupRepository, manifest: Manifest, shard: int, folder: str) -> None:
    os.mkdir(folder)
    for file in manifest.shards[shard].files:
        repository.fetch(file, os.path.join(folder, file.name), shard)
    sync_tree(folder)

"""A backup of a memory from its begin to its manifest, whoever makes the shards' parts.

What is consistent: a shard's part has every write that was acknowledged before the backup began,
each batch whole or not at all. Shards are taken at the same time but not at the same instant. An
agent's memories are all in one shard, so no agent is torn; two agents of different shards may be
shown at moments that lie as far apart as `ShardBackup.taken_wall_ns` say at most.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from memory_core.backup_deletion import Removal, remove_all_but
from memory_core.backup_manifest import Manifest, ShardBackup
from memory_core.backup_repository import BackupRepository
from memory_core.errors import BadInputError, MemoryCoreError

__all__ = ["BackedUp", "MemoryIdentity", "take_backup"]


@dataclass(frozen=True)
class MemoryIdentity:
    """Which memory a backup is of.

    Attributes:
        memory_id: made when the memory was made, and kept by a restore under its own name.
        generation: how often it was restored, from 1.
        settings: of `MemoryConfig`, plain numbers and texts.
    """

    memory_id: str
    generation: int
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class BackedUp:
    """A backup that is there.

    Attributes:
        manifest: what it has.
        removal: what was deleted after it, if that was asked.
    """

    manifest: Manifest
    removal: Removal | None


def take_backup(
    repository: BackupRepository,
    identity: MemoryIdentity,
    shards: Callable[[], list[ShardBackup]],
    *,
    keep: int | None = None,
) -> BackedUp:
    """Make a backup; it is there when this returns, and not at all if it raises.

    Args:
        repository: where.
        identity: of the memory.
        shards: has every shard bring its files into the repository; their parts, in their order.
        keep: how many backups to leave, this one included; None deletes none.

    Raises:
        BadInputError: the place has backups of another memory of this name, or ``keep`` is none.
        MemoryCoreError: a shard, or the repository, failed.
    """
    if keep is not None and keep < 1:
        raise BadInputError("keep", f"must be at least 1, not {keep}")
    backup = repository.begin(identity.memory_id)
    try:
        began_ns = repository.clock()
        parts = shards()
        manifest = Manifest(
            backup=backup,
            memory=repository.memory,
            memory_id=identity.memory_id,
            generation=identity.generation,
            shards=parts,
            began_wall_ns=began_ns,
            finished_wall_ns=repository.clock(),
            settings=dict(identity.settings),
        )
        repository.finish(manifest)
    except BaseException:
        with contextlib.suppress(MemoryCoreError):
            repository.abandon(backup)
        raise
    removal = None if keep is None else remove_all_but(repository, keep)
    return BackedUp(manifest, removal)

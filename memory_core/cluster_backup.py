"""Backups of a memory that runs on Ray: every shard brings its part into one repository.

All shards work at the same time, each on its node from its own disk; only the list of its files
comes back. A shard that fails is named, and then there is no backup: the others give up, too, and
what they have written is used by the next one.
"""

from __future__ import annotations

from typing import Any

import msgspec
import ray
from ray.exceptions import RayError, RayTaskError

from memory_core.backup_manifest import ShardBackup
from memory_core.backup_place import BackupPlace
from memory_core.backup_repository import BackupRepository
from memory_core.backup_taking import BackedUp, MemoryIdentity, take_backup
from memory_core.errors import UnavailableError
from memory_core.long_calls import SILENT_S, collect
from memory_core.placement import find_shards
from memory_core.shard_calls import (
    ShardInfo,
    find_actor,
    first_line,
    own_error,
    shard_name,
)
from memory_core.shard_upload import RATE_BYTES_S, UploadRequest

__all__ = ["back_up_memory"]


def back_up_memory(
    memory: str, uri: str, *, keep: int | None = None, rate_bytes_s: float = RATE_BYTES_S
) -> BackedUp:
    """Take a backup of a running memory; `memory_core.backup_taking` says what is consistent.

    Args:
        memory: its name.
        uri: of the place, the same for every node: a folder that all share, or an object store.
        keep: how many backups of it to leave, this one included; None deletes none.
        rate_bytes_s: bound on what each shard reads and writes for it.

    Raises:
        BadInputError: the place is none, or has backups of another memory of this name.
        UnavailableError: a shard is not there, or failed; or the place cannot be reached.
    """
    repository = BackupRepository(BackupPlace(uri), memory)
    infos = find_shards(memory)
    first = infos[0]
    settings = _settings(_actor(first))
    identity = MemoryIdentity(first.memory_id, first.generation, settings)
    request = UploadRequest(repository.place.uri, memory, rate_bytes_s)
    return take_backup(repository, identity, lambda: _parts(infos, request), keep=keep)


def _parts(infos: list[ShardInfo], request: UploadRequest) -> list[ShardBackup]:
    """What every shard has brought, in their order. None works any more when this ends."""
    packed = msgspec.msgpack.encode(request)
    actors = {info.shard: _actor(info) for info in infos}
    hosts = {info.shard: info.host for info in infos}
    working = {actor.back_up.remote(packed): shard for shard, actor in actors.items()}
    try:
        parts = collect(
            working,
            lambda shard: actors[shard].info.remote(),
            lambda shard: f"no backup was made: shard {shard} on host {hosts[shard]}",
        )
    finally:
        if working:
            for shard in working.values():
                actors[shard].give_up_backup.remote()
            ray.wait(list(working), num_returns=len(working), timeout=SILENT_S)
    return [msgspec.msgpack.decode(parts[shard], type=ShardBackup) for shard in sorted(parts)]


def _actor(info: ShardInfo) -> Any:
    actor = find_actor(shard_name(info.memory, info.shard))
    if actor is None:
        raise UnavailableError(f"no shard {info.shard} of a memory named {info.memory!r} runs")
    return actor


def _settings(actor: Any) -> dict[str, Any]:
    try:
        packed = ray.get(actor.settings.remote(), timeout=SILENT_S)
    except RayTaskError as error:
        raise own_error(error, 0) from None
    except RayError as error:
        raise UnavailableError(f"shard 0 does not answer: {first_line(error)}") from None
    settings: dict[str, Any] = msgspec.msgpack.decode(packed)
    return settings

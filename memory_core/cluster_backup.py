"""Backups of a memory that runs on Ray: every shard brings its part into one repository.

All shards work at the same time, each on its node from its own disk; only the list of its files
comes back. A shard that fails is named, and then there is no backup: the others give up, too, and
what they have written is used by the next one. A shard that does not even say who it is for
`SILENT_S` has failed.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec
import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from memory_core.backup_manifest import ShardBackup
from memory_core.backup_place import BackupPlace
from memory_core.backup_repository import BackupRepository
from memory_core.backup_taking import BackedUp, MemoryIdentity, take_backup
from memory_core.errors import MemoryCoreError, UnavailableError
from memory_core.placement import find_shards
from memory_core.shard_calls import (
    ShardInfo,
    find_actor,
    first_line,
    own_error,
    shard_name,
)
from memory_core.shard_upload import RATE_BYTES_S, UploadRequest

__all__ = ["SILENT_S", "back_up_memory"]

SILENT_S = 60.0
_LOOK_S = 5.0


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
    working = {actors[info.shard].back_up.remote(packed): info for info in infos}
    try:
        return _collected(working, actors)
    finally:
        if working:
            for info in working.values():
                actors[info.shard].give_up_backup.remote()
            ray.wait(list(working), num_returns=len(working), timeout=SILENT_S)


def _collected(working: dict[Any, ShardInfo], actors: dict[int, Any]) -> list[ShardBackup]:
    """The parts of all that work; whoever has ended is taken out of ``working``."""
    parts: dict[int, ShardBackup] = {}
    asked: dict[int, tuple[Any, float]] = {}
    while working:
        problems: list[str] = []
        done, _ = ray.wait(list(working), timeout=_LOOK_S)
        for call in done:
            info = working.pop(call)
            try:
                parts[info.shard] = msgspec.msgpack.decode(ray.get(call), type=ShardBackup)
            except RayError as error:
                problems.append(f"shard {info.shard} on host {info.host}: {_reason(error, info)}")
        for call, info in list(working.items()):
            if _is_silent(info, actors, asked):
                del working[call]
                problems.append(
                    f"shard {info.shard} on host {info.host} did not answer for {SILENT_S:.0f} s"
                )
        if problems:
            raise UnavailableError(f"no backup was made: {'; '.join(sorted(problems))}")
    return [parts[shard] for shard in sorted(parts)]


def _is_silent(
    info: ShardInfo, actors: dict[int, Any], asked: dict[int, tuple[Any, float]]
) -> bool:
    """Whether a shard that works has not answered for long; asks it anew once it has."""
    call, since_s = asked.get(info.shard, (None, 0.0))
    if call is not None and not ray.wait([call], timeout=0)[0]:
        return time.monotonic() - since_s > SILENT_S
    asked[info.shard] = (actors[info.shard].info.remote(), time.monotonic())
    return False


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


def _reason(error: RayError, info: ShardInfo) -> str:
    if isinstance(error, RayTaskError):
        own: MemoryCoreError = own_error(error, info.shard)
        return str(own)
    if isinstance(error, RayActorError):
        return "its process ended"
    return first_line(error)

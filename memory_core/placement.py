"""Shards on Ray: how a memory is made, opened where its folders are, and found by its name.

`start_shards` makes a memory: folders that did not exist. `open_shards` opens one that exists:
each shard on the node that has its folder; what has none is unavailable, by name, and all others
serve. Ray starts an actor whose process died again, on its own node; when the node itself is
gone, `memory_core.keeper` starts it once a node with its folder is there.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import ray
from ray.exceptions import ActorUnavailableError, RayError

from memory_core.config import MemoryConfig
from memory_core.directory import Entry, look_up
from memory_core.errors import BadInputError, LockedError, MemoryCoreError, UnavailableError
from memory_core.memory_record import Home, MemoryRecord
from memory_core.node_survey import survey
from memory_core.ray_transport import RayTransport
from memory_core.shard_calls import (
    NAMESPACE,
    ShardInfo,
    answered,
    find_actor,
    shard_name,
)
from memory_core.shard_choice import choose, known_memory
from memory_core.shard_folder import ShardClaim, check_memory_name
from memory_core.shards import Shards, Starting, settings_of

__all__ = [
    "NAMESPACE",
    "RayTransport",
    "ShardClaim",
    "ShardInfo",
    "Shards",
    "Starting",
    "find_shards",
    "make_shards",
    "open_shards",
    "shard_name",
    "start_shards",
]

_START_TIMEOUT_S = 60.0
_AGAIN_S = 0.1
_LOCKED_S = 10.0
_STALLED_S = 5.0


def start_shards(
    memory: str,
    shards: int,
    config: MemoryConfig,
    *,
    actor_class: type[Any] | None = None,
    node_ids: Sequence[str] = (),
    detached: bool = False,
    root: str | None = None,
) -> Shards:
    """Make a memory: its shards, each with a new folder on its node; wait until they serve.

    Args:
        memory: its name.
        shards: how many.
        config: see `Starting`, as for ``actor_class``, ``detached`` and ``root``.
        actor_class: what serves.
        node_ids: Ray nodes, over which the shards are spread in turn; each stays with its node,
            where its folder is. By default the node of the caller.
        detached: whether they outlive this driver.
        root: the data root on every node.

    Raises:
        BadInputError: the name is none, is that of a memory that runs, or has folders already.
        MemoryCoreError: a shard could not make its store.
        UnavailableError: a shard did not start.
    """
    if config.path is None:
        check_memory_name(memory)
    record = MemoryRecord(
        memory=memory,
        memory_id=secrets.token_hex(8),
        shards=shards,
        settings=settings_of(config),
    )
    starting = Starting(config=config, root=root, actor_class=actor_class, detached=detached)
    nodes = list(node_ids) or [ray.get_runtime_context().get_node_id()]
    return make_shards(record, starting, [nodes[shard % len(nodes)] for shard in range(shards)])


def make_shards(record: MemoryRecord, starting: Starting, node_ids: Sequence[str]) -> Shards:
    """Make the shards of a memory, each on its node; those that were made for it are opened.

    Raises as `start_shards` does.
    """
    actors: dict[int, Any] = {}
    try:
        for shard, node_id in enumerate(node_ids):
            actors[shard] = starting.start(record, shard, node_id)
        infos = [_made(actor, shard) for shard, actor in actors.items()]
    except BaseException:
        for actor in actors.values():
            ray.kill(actor)
        raise
    homes: list[Home | None] = [Home(node=info.node, host=info.host) for info in infos]
    made = msgspec.structs.replace(record, homes=homes, made=True)
    return Shards(made, starting, actors, infos)


def open_shards(
    memory: str,
    config: MemoryConfig | None = None,
    *,
    actor_class: type[Any] | None = None,
    detached: bool = False,
    root: str | None = None,
) -> Shards:
    """Open a memory that was made before: each shard on the node that has its folder.

    Those whose folder is on no node that is there are `Shards.unavailable`.

    Args:
        memory: its name.
        config: as for `start_shards`; by default with the settings that it was made with.
        actor_class: see `Starting`, as for ``detached`` and ``root``.
        detached: whether the shards outlive this driver.
        root: the data root on every node.

    Raises:
        BadInputError: no node has such a memory, or several have different ones of that name; or
            it is running already.
        IncompatibleError: a database was made with other settings than ``config`` has.
    """
    path = None if config is None or config.path is None else os.fspath(config.path)
    if path is None:
        check_memory_name(memory)
    answers = survey(memory, path=path, root=root)
    record = known_memory(memory, answers.found)
    if record is None or not record.made:
        what = "is none" if record is None else "is one whose making was cut short,"
        raise BadInputError("memory", f"there {what} named {memory!r} on the nodes that are there")
    config = config or MemoryConfig(**record.settings)  # type: ignore[arg-type]
    starting = Starting(config=config, root=root, actor_class=actor_class, detached=detached)
    shards = Shards(record, starting, {}, [])
    try:
        shards.take(
            {
                shard: choose(record, shard, answers.found, silent=answers.silent)
                for shard in range(record.shards)
            }
        )
        shards.settle()
    except BaseException:
        shards.stop()
        raise
    return shards


def find_shards(memory: str, *, partial: bool = False) -> list[ShardInfo]:
    """The shards of a running memory, found by its name.

    Args:
        memory: its name.
        partial: leave out those that are unavailable, as long as one is not.

    Raises:
        UnavailableError: no memory of that name runs, or a shard of it is unavailable.
    """
    entry = look_up(memory)
    if entry is None:
        raise UnavailableError(f"no memory named {memory!r} is running")
    calls = {}
    for shard in range(entry.shards):
        actor = find_actor(shard_name(memory, shard))
        if actor is not None:
            calls[shard] = actor.info.remote()
        elif not partial:
            raise UnavailableError(_absence(entry, shard))
    if not calls:
        raise UnavailableError(_absence(entry, 0))
    if not partial:
        return [answered(call, shard) for shard, call in calls.items()]
    ray.wait(list(calls.values()), num_returns=len(calls), timeout=_STALLED_S)
    infos: list[ShardInfo] = []
    problem: MemoryCoreError | None = None
    for shard, call in calls.items():
        try:
            infos.append(answered(call, shard, 0 if infos else _START_TIMEOUT_S))
        except MemoryCoreError as error:
            problem = problem or error
    if problem is not None and not infos:
        raise problem
    return infos


def _made(actor: Any, shard: int) -> ShardInfo:
    """Have a shard make its folder; again where its process died on the way."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    locked_until = time.monotonic() + _LOCKED_S
    while True:
        call = actor.make.remote()
        try:
            ray.get(call, timeout=_START_TIMEOUT_S)
        except ActorUnavailableError:
            if time.monotonic() < deadline:
                time.sleep(_AGAIN_S)
                continue
        except RayError:
            pass  # said below
        try:
            return answered(call, shard)
        except LockedError:  # by a process that was ended a moment ago
            if time.monotonic() > locked_until:
                raise
            time.sleep(_AGAIN_S)


def _absence(entry: Entry, shard: int) -> str:
    missing = f"no shard {shard} of a memory named {entry.memory!r} is running"
    return entry.unavailable.get(shard, missing)

"""What is known of a memory on a cluster: which shards serve, and where the others' folders are."""

from __future__ import annotations

import msgspec
import ray

from memory_core.directory import look_up
from memory_core.errors import MemoryCoreError
from memory_core.lasting_memory import keeper_name, no_such_memory, notes_of
from memory_core.node_survey import survey
from memory_core.shard_calls import (
    ShardInfo,
    answered,
    find_actor,
    running_names,
    shard_name,
)
from memory_core.shard_choice import Choice, choose, known_memory
from memory_core.shard_folder import check_memory_name

__all__ = ["MemoryStatus", "ShardStatus", "memory_status"]

_STALLED_S = 5.0


class ShardStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A shard, as it is now.

    Attributes:
        shard: its number.
        serves: whether it answers.
        host: of its folder, as last known.
        node: the identity of the node that has its folder, as last known.
        path: its folder, when it serves.
        pid: of its process, when it serves.
        reason: why it does not serve.
    """

    shard: int
    serves: bool
    host: str | None = None
    node: str | None = None
    path: str | None = None
    pid: int | None = None
    reason: str | None = None


class MemoryStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A memory, as it is now.

    Attributes:
        memory: its name.
        memory_id: see `memory_core.shard_folder.Marks`.
        generation: 1, and one more with each restore.
        runs: whether its shards were started.
        is_kept: whether a keeper looks after them.
        shards: in their order.
        notes: nodes that did not answer, and what could not be read.
    """

    memory: str
    memory_id: str
    generation: int
    runs: bool
    is_kept: bool
    shards: list[ShardStatus]
    notes: list[str]


def memory_status(memory: str, *, root: str | None = None) -> MemoryStatus:
    """What is known of a memory, whether it runs or not.

    Args:
        memory: its name.
        root: the data root on every node; None is each node's own.

    Raises:
        BadInputError: no node has such a memory, or several have different ones of that name.
    """
    check_memory_name(memory)
    answers = survey(memory, root=root)
    record = known_memory(memory, answers.found)
    if record is None:
        raise no_such_memory(memory, answers)
    running = running_names()
    names = [shard_name(memory, shard) for shard in range(record.shards)]
    runs = any(name in running for name in names)
    is_kept = keeper_name(memory) in running
    said = _said(memory, [shard for shard, name in enumerate(names) if name in running])
    if runs or is_kept:
        entry = look_up(memory)
        said = {**({} if entry is None else entry.unavailable), **said}
    choices = [
        choose(record, shard, answers.found, silent=answers.silent)
        for shard in range(record.shards)
    ]
    return MemoryStatus(
        memory=memory,
        memory_id=record.memory_id,
        generation=record.generation,
        runs=runs,
        is_kept=is_kept,
        shards=[_status(n, said.get(n), choice) for n, choice in enumerate(choices)],
        notes=notes_of(answers),
    )


def _said(memory: str, shards: list[int]) -> dict[int, ShardInfo | str]:
    """What running shards say of themselves, or why they do not."""
    calls = {}
    for shard in shards:
        actor = find_actor(shard_name(memory, shard))
        if actor is not None:
            calls[shard] = actor.info.remote()
    if calls:
        ray.wait(list(calls.values()), num_returns=len(calls), timeout=_STALLED_S)
    said: dict[int, ShardInfo | str] = {}
    for shard, call in calls.items():
        try:
            said[shard] = answered(call, shard, 0)
        except MemoryCoreError as error:
            said[shard] = str(error)
    return said


def _status(shard: int, said: ShardInfo | str | None, choice: Choice) -> ShardStatus:
    if isinstance(said, ShardInfo):
        return ShardStatus(
            shard=shard,
            serves=True,
            host=said.host,
            node=said.node,
            path=said.path,
            pid=said.pid,
        )
    home = choice.home
    return ShardStatus(
        shard=shard,
        serves=False,
        host=None if home is None else home.host,
        node=None if home is None else home.node,
        reason=said or choice.reason,
    )

"""A memory made on a cluster from a backup, whatever nodes the backup's were.

1. Every node that is to have a shard makes its databases beside the memory's folders
   (`memory_core.node_restoring`), each reading what it needs from the repository. Until all have,
   nothing of the memory is touched, and a restore that fails or is killed leaves it as it was.
2. The memory's record is written on every node with its new generation, as one that is being made;
   each node puts folders of before aside and its databases in their place.
3. The record is written again, as made. Only now is there a memory that can be started.

A restore under the memory's own name keeps its id and raises its generation: a node that was away
and comes back with folders of before is told from those that have the memory as it is.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from memory_core.backup_manifest import Manifest
from memory_core.backup_restoring import check_shards
from memory_core.backups import find_backup
from memory_core.config import MemoryConfig
from memory_core.errors import BadInputError, CorruptionError
from memory_core.memory_record import MemoryRecord
from memory_core.node_restoring import RestoreRequest
from memory_core.node_survey import record_everywhere, survey
from memory_core.restoring_nodes import RestoringNodes
from memory_core.shard_calls import running_names
from memory_core.shard_choice import known_memory
from memory_core.shard_folder import check_memory_name

__all__ = ["RestoredMemory", "restore_memory"]


@dataclass(frozen=True)
class RestoredMemory:
    """A memory that can be started.

    Attributes:
        record: of the memory, with the homes of its shards.
        backup: what it was made of.
        read_bytes: what nodes read from the repository.
        notes: what went wrong on the side, in sentences.
    """

    record: MemoryRecord
    backup: Manifest
    read_bytes: int
    notes: list[str]


def restore_memory(
    uri: str,
    source: str,
    memory: str,
    nodes_for: Callable[[int], Sequence[str]],
    *,
    backup: str | None = None,
    shards: int | None = None,
    replace: bool = False,
    root: str | None = None,
) -> RestoredMemory:
    """Make a memory of a backup; it is not started.

    Args:
        uri: of the place that has the backup; every node has to reach it.
        source: the memory that was backed up.
        memory: the name that it is to have: the same, or one that no node knows.
        nodes_for: gives so many shards a Ray node each.
        backup: its id; None is the newest.
        shards: how many to make; None is as many as there were.
        replace: put folders that nodes have of the memory aside.
        root: the data root on every node; None is each node's own.

    Raises:
        BadInputError: there is no such backup; or the memory runs, or exists, or is another.
        CorruptionError: the backup's manifest is damaged.
        UnavailableError: a node failed and is named, with what is damaged if something is; or the
            place cannot be reached.
    """
    _, manifest = find_backup(uri, source, backup)
    count = check_shards(shards, manifest)
    settings = _settings(manifest)
    check_memory_name(memory)
    if any(name.startswith(f"{memory}:") for name in running_names()):
        raise BadInputError("memory", f"{memory!r} is running; stop it, or name another")
    answers = survey(memory, root=root)
    known = known_memory(memory, answers.found)
    memory_id, generation = _identity(known, manifest, memory, answers.hosts, replace=replace)
    record = MemoryRecord(
        memory=memory,
        memory_id=memory_id,
        shards=count,
        generation=generation,
        made=False,
        settings=settings,
    )
    request = RestoreRequest(uri=uri, source=source, backup=manifest.backup, shards=[], count=count)
    with RestoringNodes(memory, root, nodes_for(count)) as nodes:
        read_bytes = nodes.fetch(request)
        notes = record_everywhere(record, root=root)
        nodes.put_in_place(record)
        made = msgspec.structs.replace(record, made=True, homes=nodes.homes)
        notes = record_everywhere(made, root=root) or notes
    notes += [f"{address} did not answer" for address in answers.silent]
    return RestoredMemory(made, manifest, read_bytes, notes)


def _identity(
    known: MemoryRecord | None, manifest: Manifest, memory: str, hosts: list[str], *, replace: bool
) -> tuple[str, int]:
    """The id and the generation of what is restored. Raises BadInputError if it may not be."""
    is_same = memory == manifest.memory
    if known is None:
        if is_same:
            return manifest.memory_id, manifest.generation + 1
        return secrets.token_hex(8), 1
    where = f"on {', '.join(hosts)}"
    if known.made and known.memory_id != manifest.memory_id:
        problem = f"{memory!r} is another memory than that of the backup ({where}); name another"
        raise BadInputError("memory", problem)
    if known.made and not replace:
        problem = f"{memory!r} exists ({where}); replace it, which puts its folders aside, or name "
        raise BadInputError("memory", f"{problem}another")
    generation = known.generation
    if known.memory_id == manifest.memory_id:
        generation = max(generation, manifest.generation)
    return known.memory_id, generation + 1


def _settings(manifest: Manifest) -> dict[str, Any]:
    """The settings of a manifest, which anybody may have written, if a store takes them."""
    settings = {name: one for name, one in manifest.settings.items() if name != "encoder"}
    try:
        MemoryConfig(**settings)
    except (TypeError, BadInputError) as error:
        problem = f"has settings that no store takes: {error}"
        raise CorruptionError(f"backup {manifest.backup}", problem) from None
    return settings

"""Pure: which memory a cluster has under a name, and which node serves which of its shards.

A shard is served where its folder is: one whose marks are those of the memory, of the generation
that the memory is at, made to its end, with its database in it, on the node whose identity it
carries. There is one such folder, and where there is none, or more than one, the shard is
unavailable, with a sentence that says why and what would help. Never is a folder made.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from memory_core.errors import BadInputError
from memory_core.memory_record import (
    FolderFound,
    Home,
    MemoryRecord,
    NodeFindings,
    newest,
)

__all__ = ["Choice", "choose", "known_memory"]


class Choice(msgspec.Struct, frozen=True):
    """Where a shard is to be served, or why it cannot be.

    Attributes:
        node_id: Ray's, of the node that has the folder; None when no node may serve it.
        home: whose folder it is, as far as that is known.
        reason: why it is unavailable, as a sentence.
    """

    node_id: str | None
    home: Home | None
    reason: str | None


def known_memory(memory: str, found: Sequence[NodeFindings]) -> MemoryRecord | None:
    """The memory that the nodes have under a name; None when they have none.

    Raises:
        BadInputError: they have several of that name.
    """
    records = [node.record for node in found if node.record is not None]
    folders = [folder.marks for node in found for folder in node.folders]
    ids = {one.memory_id for one in records} | {one.memory_id for one in folders}
    if len(ids) > 1:
        places = "; ".join(
            f"{node.host} has {', '.join(sorted(theirs))}"
            for node in found
            if (theirs := _ids(node))
        )
        raise BadInputError(
            "memory",
            f"there are {len(ids)} memories named {memory!r} (by their ids: {places}); move the "
            "folders of those that are not wanted away",
        )
    record = newest(records)
    if record is None and folders:
        generation = max(one.generation for one in folders)
        shards = max(one.shards for one in folders if one.generation == generation)
        record = MemoryRecord(
            memory=memory, memory_id=folders[0].memory_id, shards=shards, generation=generation
        )
    if record is None:
        return None
    homes = [choose(record, shard, found).home for shard in range(record.shards)]
    return msgspec.structs.replace(record, homes=homes)


def choose(
    record: MemoryRecord,
    shard: int,
    found: Sequence[NodeFindings],
    *,
    silent: Sequence[str] = (),
) -> Choice:
    """Where a shard of a memory is to be served.

    Args:
        record: the memory.
        shard: the number of the shard.
        found: what the nodes have that were there and answered.
        silent: hosts that were there and did not answer.
    """
    last = record.homes[shard] if shard < len(record.homes) else None
    its_own = [
        (node, folder)
        for node in found
        for folder in node.folders
        if folder.marks.memory_id == record.memory_id and folder.marks.shard == shard
    ]
    fit = [(node, folder) for node, folder in its_own if _problem(record, node, folder) is None]
    identities = sorted({node.identity for node, _ in fit if node.identity is not None})
    title = f"shard {shard} of memory {record.memory!r} is unavailable: "
    if len(identities) > 1:
        hosts = ", ".join(sorted({f"{node.host} ({node.root})" for node, _ in fit}))
        problem = f"several nodes have a folder of it ({hosts}), and which is right is not known"
        return Choice(None, last, f"{title}{problem}; move all but one away")
    if identities:
        node = min((node for node, _ in fit), key=lambda node: node.node_id)
        return Choice(node.node_id, Home(node=identities[0], host=node.host), None)
    remedy = "; start Ray there again, or restore a backup"
    if its_own:
        problem = "; ".join(
            f"the folder on host {node.host} {_problem(record, node, folder)}"
            for node, folder in its_own
        )
        remedy = "; restore a backup"
        if last is not None and all(node.identity != last.node for node, _ in its_own):
            problem += f"; its own is on host {last.host} (node {last.node}), which is not there"
            remedy = "; start Ray there again, or restore a backup"
    elif last is None:
        problem = "its folder is on no node that is there"
        remedy = "; start Ray again where it is, or restore a backup"
    elif any(node.identity == last.node for node in found):
        problem = f"its folder is gone from host {last.host} (node {last.node})"
        remedy = "; put it back, or restore a backup"
    else:
        problem = f"its folder is on host {last.host} (node {last.node}), which is not there"
    if silent:
        problem += f" ({', '.join(silent)} did not answer)"
    blocked = [f"{node.host}: {node.problem}" for node in found if node.problem]
    if blocked:
        problem += f" ({'; '.join(blocked)})"
    return Choice(None, last, f"{title}{problem}{remedy}")


def _problem(record: MemoryRecord, node: NodeFindings, folder: FolderFound) -> str | None:
    """What keeps a folder of a shard from being served."""
    marks = folder.marks
    if marks.generation != record.generation:
        which = "an earlier" if marks.generation < record.generation else "a later"
        return (
            f"is of {which} generation ({marks.generation}, the memory is at {record.generation})"
        )
    if marks.shards != record.shards:
        return f"is of a memory of {marks.shards} shards, which now has {record.shards}"
    if marks.memory != record.memory:
        return f"is marked as memory {marks.memory!r}"
    if marks.node != node.identity:
        return f"was copied there from node {marks.node}"
    if not marks.made:
        return "was not made to its end"
    if not folder.has_database:
        return "has lost its database"
    return None


def _ids(node: NodeFindings) -> set[str]:
    own = {folder.marks.memory_id for folder in node.folders}
    return own if node.record is None else own | {node.record.memory_id}

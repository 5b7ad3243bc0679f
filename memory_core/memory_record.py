"""What is known of a memory on a cluster: its record, kept on every node, and folders found.

    <data root>/<memory>/memory.json     the record

A memory that outlives a run has its record on every node that was there when it was made or
restored, with shards or without: so a node that comes back after a restore with the folders of
before is told from one that has the memory as it is, and a folder that is away can be named with
the host that has it. A memory without records (a run's) is known by the marks of its folders.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable

import msgspec

from memory_core.data_root import data_root, known_identity
from memory_core.errors import MemoryCoreError
from memory_core.note_file import SCHEMA_VERSION, make_folders, read_note, write_note
from memory_core.shard_folder import Marks

__all__ = [
    "FolderFound",
    "Home",
    "MemoryRecord",
    "NodeFindings",
    "look_here",
    "newest",
    "write_record",
]

_FILE = "memory.json"


class Home(msgspec.Struct, frozen=True, kw_only=True):
    """The node that has the folder of a shard: its identity, and its host's name as last seen."""

    node: str
    host: str


class MemoryRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A memory as a whole.

    Attributes:
        memory: its name.
        memory_id: see `memory_core.shard_folder.Marks`.
        shards: how many.
        generation: of the folders that may be served.
        made: whether all shards were made.
        settings: of the stores, by their names in `memory_core.MemoryConfig`.
        homes: where each shard's folder is, as far as that is known.
    """

    schema_version: int = SCHEMA_VERSION
    memory: str
    memory_id: str
    shards: int
    generation: int = 1
    made: bool = True
    settings: dict[str, int | float | str | None] = {}
    homes: list[Home | None] = []


class FolderFound(msgspec.Struct, frozen=True, kw_only=True):
    """A shard's folder on a node.

    Attributes:
        marks: whose it is.
        has_database: whether a database is in it.
    """

    marks: Marks
    has_database: bool


class NodeFindings(msgspec.Struct, frozen=True, kw_only=True):
    """What a node has of a memory.

    Attributes:
        node_id: Ray's, of now.
        host: its name.
        root: the data root that was looked into.
        identity: the node's, or None when it never had a folder.
        folders: of shards, with their marks.
        record: the memory's, if it is there.
        problem: why it could not be looked at as a whole, or None.
    """

    node_id: str
    host: str
    root: str = ""
    identity: str | None = None
    folders: list[FolderFound] = []
    record: MemoryRecord | None = None
    problem: str | None = None


def look_here(
    memory: str, node_id: str, *, path: str | None = None, root: str | None = None
) -> NodeFindings:
    """What this node has of a memory; never raises, what cannot be read is its ``problem``.

    Args:
        memory: its name.
        node_id: of this node.
        path: the folder under which the shards have theirs; None is ``<root>/<memory>``.
        root: the data root; None is the node's own.
    """
    found = NodeFindings(node_id=node_id, host=socket.gethostname())
    problems = []
    folders = []
    try:
        root = path or root or data_root()
        above = path or os.path.join(root, memory)
        found = msgspec.structs.replace(found, root=root, identity=known_identity(root))
        names = sorted(os.listdir(above)) if os.path.isdir(above) else []
        record = read_note(os.path.join(above, _FILE), MemoryRecord)
    except (MemoryCoreError, OSError) as error:
        return msgspec.structs.replace(found, problem=str(error))
    for name in names:
        if name.startswith("shard-") and name.endswith(".json"):
            try:
                marks = read_note(os.path.join(above, name), Marks)
            except MemoryCoreError as error:
                problems.append(str(error))
                continue
            database = os.path.join(above, name.removesuffix(".json"), "CURRENT")
            if marks is not None:
                folders.append(FolderFound(marks=marks, has_database=os.path.exists(database)))
    return msgspec.structs.replace(
        found, folders=folders, record=record, problem="; ".join(problems) or None
    )


def write_record(record: MemoryRecord, *, root: str | None = None) -> None:
    """Write a memory's record on this node, in the place of the one that is there.

    Raises:
        StorageFullError, DatabaseError: it cannot be written.
    """
    folder = os.path.join(root or data_root(), record.memory)
    make_folders(folder)
    write_note(os.path.join(folder, _FILE), record)


def newest(records: Iterable[MemoryRecord]) -> MemoryRecord | None:
    """Of records of one memory the one of the highest generation; of equals one that is made."""
    return max(records, key=lambda one: (one.generation, one.made), default=None)

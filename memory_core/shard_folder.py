"""A shard's folder on its node, and the marks that say whose it is.

    <data root>/<memory>/shard-0/        the database
    <data root>/<memory>/shard-0.json    its marks

A memory that was started with a path of its own has its folders right under that, which then is
the root too.

A folder is made once: its marks are written (``made`` false), the database is made, the marks are
written again (``made`` true), and only then is anything served. Whoever is killed on the way
leaves a folder in which nothing was acknowledged; `begin_making` goes on with it. From then on
the folder is opened and never made: one whose marks are not its own, or whose marks or database
are gone, is refused, so that nobody is served an empty store for the one that was there.
"""

from __future__ import annotations

import os
import socket

import msgspec

from memory_core.data_root import data_root, known_identity, node_identity
from memory_core.errors import (
    BadInputError,
    CorruptionError,
    IncompatibleError,
    UnavailableError,
)
from memory_core.note_file import SCHEMA_VERSION, make_folders, read_note, write_note

__all__ = [
    "Marks",
    "ShardClaim",
    "ShardPlace",
    "begin_making",
    "check_memory_name",
    "end_making",
    "own_folder",
    "place_of",
]

_LONGEST_NAME_BYTES = 200


class Marks(msgspec.Struct, frozen=True, kw_only=True):
    """What is written beside a shard's folder.

    Attributes:
        memory: the memory's name.
        memory_id: random, of the memory as it was made; a restore keeps it.
        shard: the number of the shard.
        shards: how many the memory has.
        generation: 1 when the memory is made, one more with each restore.
        node: the identity of the node whose folder it is.
        made: False while the folder is being made: nothing was acknowledged in it yet.
    """

    schema_version: int = SCHEMA_VERSION
    memory: str
    memory_id: str
    shard: int
    shards: int
    generation: int
    node: str
    made: bool


class ShardClaim(msgspec.Struct, frozen=True, kw_only=True):
    """Which shard of which memory somebody wants to serve, and where its folder would be.

    Attributes:
        path: the folder under which the shards have theirs; None is ``<root>/<memory>``.
        root: the data root; None is the node's own (`memory_core.data_root`).
    """

    memory: str
    memory_id: str
    shard: int
    shards: int
    generation: int = 1
    path: str | None = None
    root: str | None = None

    @property
    def title(self) -> str:
        """As sentences name it."""
        return f"shard {self.shard} of memory {self.memory!r}"


class ShardPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a shard's folder is on this node.

    Attributes:
        root: the folder that has the node's identity.
        folder: of the database.
        marks: the file that says whose the folder is.
    """

    root: str
    folder: str
    marks: str


def check_memory_name(name: str) -> None:
    """Raise BadInputError unless the folder of a memory below a data root may have this name."""
    if (
        not name.isprintable()
        or not 1 <= len(name.encode(errors="replace")) <= _LONGEST_NAME_BYTES
        or name.startswith(".")
        or name.endswith(".json")
        or "/" in name
        or "\\" in name
    ):
        raise BadInputError(
            "memory",
            f"{name!r} is no name for one: give 1 to {_LONGEST_NAME_BYTES} bytes of text without "
            "slashes, that neither begins with a dot nor ends with .json",
        )


def place_of(claim: ShardClaim) -> ShardPlace:
    """Where the folder of a claim is on this node.

    Raises:
        BadInputError: the node's data root is none.
    """
    if claim.path is not None:
        root = above = os.path.abspath(claim.path)
    else:
        root = os.path.abspath(claim.root) if claim.root is not None else data_root()
        above = os.path.join(root, claim.memory)
    folder = os.path.join(above, f"shard-{claim.shard}")
    return ShardPlace(root=root, folder=folder, marks=f"{folder}.json")


def begin_making(claim: ShardClaim) -> ShardPlace:
    """Mark a folder as being made for a claim, or find that it was made, or half made, for it.

    What then opens a database in the folder has to call `end_making` before it serves.

    Raises:
        BadInputError: the folder has something in it that no marks tell of.
        IncompatibleError: its marks are another's.
        CorruptionError: it was made, and its database is gone; or its marks are damaged.
        StorageFullError, DatabaseError: it cannot be written.
    """
    place = place_of(claim)
    marks = read_note(place.marks, Marks)
    if marks is not None:
        if marks.memory_id != claim.memory_id:
            problem = f"{place.folder} is that of memory {marks.memory!r} already; open that, or "
            raise BadInputError("memory", problem + "name another")
        _require_own(marks, claim, place)
        return place
    if _is_occupied(place.folder):
        problem = f"{place.folder} has something in it already; name another memory or folder"
        raise BadInputError("memory", problem)
    make_folders(os.path.dirname(place.marks))
    write_note(place.marks, _marks(claim, node_identity(place.root), made=False))
    return place


def end_making(claim: ShardClaim) -> None:
    """Mark a folder as made, its database being there. Raises as `begin_making` does."""
    place = place_of(claim)
    marks = read_note(place.marks, Marks)
    if marks is None:
        raise CorruptionError(place.marks, "went while the folder was being made")
    if not marks.made:
        write_note(place.marks, msgspec.structs.replace(marks, made=True))


def own_folder(claim: ShardClaim) -> ShardPlace:
    """The folder of a claim, made before, whose marks are the claim's.

    Raises:
        UnavailableError: it is not here, or not made to its end; says what would help.
        IncompatibleError: its marks are another's, or there are none.
        CorruptionError: its database is gone; or its marks are damaged.
    """
    place = place_of(claim)
    marks = read_note(place.marks, Marks)
    if marks is None:
        if _is_occupied(place.folder):
            problem = f"has no marks ({os.path.basename(place.marks)} beside it) that say whose "
            raise IncompatibleError(place.folder, problem + "it is; put them back")
        raise UnavailableError(
            f"{claim.title} is unavailable: its folder {place.folder} is not on host "
            f"{socket.gethostname()}; put it back with {os.path.basename(place.marks)}, or "
            "restore a backup"
        )
    _require_own(marks, claim, place)
    if not marks.made:
        raise UnavailableError(
            f"{claim.title} is unavailable: the making of its folder {place.folder} was cut "
            "short; make the memory again"
        )
    return place


def _marks(claim: ShardClaim, node: str, *, made: bool) -> Marks:
    return Marks(
        memory=claim.memory,
        memory_id=claim.memory_id,
        shard=claim.shard,
        shards=claim.shards,
        generation=claim.generation,
        node=node,
        made=made,
    )


def _require_own(marks: Marks, claim: ShardClaim, place: ShardPlace) -> None:
    if (marks.memory, marks.memory_id) != (claim.memory, claim.memory_id):
        theirs, ours = (f"{one.memory!r} (id {one.memory_id})" for one in (marks, claim))
        raise IncompatibleError(place.folder, f"belongs to memory {theirs}, not to {ours}")
    theirs, ours = (f"shard {one.shard} of {one.shards}" for one in (marks, claim))
    if theirs != ours:
        raise IncompatibleError(place.folder, f"is {theirs} of {claim.memory!r}, not {ours}")
    if marks.generation != claim.generation:
        problem = f"is of generation {marks.generation} of {claim.memory!r}, which is now at "
        problem += f"{claim.generation}: the memory was restored since one of them"
        raise IncompatibleError(place.folder, problem)
    identity = known_identity(place.root)
    if marks.node != identity:
        raise IncompatibleError(
            place.folder,
            f"belongs to the node {marks.node}, and this one is {identity or 'none yet'} "
            f"(node.json in {place.root}): copies of a folder are not served; restore a backup",
        )
    if marks.made and not os.path.exists(os.path.join(place.folder, "CURRENT")):
        raise CorruptionError(place.folder, "has lost its database; restore a backup")


def _is_occupied(folder: str) -> bool:
    try:
        return bool(os.listdir(folder))
    except OSError:  # nothing, or a file, or a folder that may not be read
        return os.path.lexists(folder)

"""A node's data root, and the node's identity in it.

The root is ``$MEMORY_CORE_DATA_DIR`` of the node's Ray processes, or ``~/.memory_core/data``.
Ray gives a host another node id each time it joins; what stays is its disk. So a node's identity
is a random id in ``<root>/node.json``, made when it is first asked for. Ray nodes that share a
root share an identity: they have the same folders.
"""

from __future__ import annotations

import os
import secrets

import msgspec

from memory_core.errors import BadInputError, CorruptionError
from memory_core.note_file import SCHEMA_VERSION, make_folders, read_note, write_new_note

__all__ = ["DATA_ROOT_VARIABLE", "data_root", "known_identity", "node_identity"]

DATA_ROOT_VARIABLE = "MEMORY_CORE_DATA_DIR"
_DEFAULT_ROOT = os.path.join("~", ".memory_core", "data")
_FILE = "node.json"


class _Identity(msgspec.Struct, frozen=True, kw_only=True):
    schema_version: int = SCHEMA_VERSION
    node: str


def data_root() -> str:
    """The folder under which the shards of this node have theirs; it may not be there yet.

    Raises:
        BadInputError: the environment names a folder that is not absolute.
    """
    path = os.path.expanduser(os.environ.get(DATA_ROOT_VARIABLE) or _DEFAULT_ROOT)
    if not os.path.isabs(path):
        raise BadInputError(DATA_ROOT_VARIABLE, f"must be an absolute path, not {path!r}")
    return os.path.normpath(path)


def node_identity(root: str) -> str:
    """The identity of the node that has this root; made if it has none yet.

    Raises:
        CorruptionError: its file is damaged.
        StorageFullError, DatabaseError: it cannot be written.
    """
    known = known_identity(root)
    if known is not None:
        return known
    make_folders(root)
    write_new_note(os.path.join(root, _FILE), _Identity(node=secrets.token_hex(8)))
    known = known_identity(root)
    if known is None:
        raise CorruptionError(os.path.join(root, _FILE), "went as soon as it was written")
    return known


def known_identity(root: str) -> str | None:
    """The identity of the node that has this root, or None if it has none yet.

    Raises as `node_identity` does.
    """
    found = read_note(os.path.join(root, _FILE), _Identity)
    return None if found is None else found.node

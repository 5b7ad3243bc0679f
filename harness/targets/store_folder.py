"""Where the databases of a store are on the node that asks, and how a cohort is told."""

from __future__ import annotations

from pathlib import Path

import msgspec

from harness.targets.driven import Placement
from memory_core.data_root import data_root

__all__ = ["connected_folder", "store_connection", "store_folder"]


class _Where(msgspec.Struct):
    memory: str
    path: str | None


def store_connection(placement: Placement) -> bytes:
    """What a cohort needs to find the folder of its node: a `Prepared.connection`."""
    path = None if placement.data_dir is None else str(placement.data_dir)
    return msgspec.msgpack.encode(_Where(placement.run_id, path))


def connected_folder(connection: bytes) -> Path:
    """The folder, on the node of the cohort. Raises as `store_folder` does."""
    where = msgspec.msgpack.decode(connection, type=_Where)
    return store_folder(where.memory, where.path)


def store_folder(memory: str, path: str | None) -> Path:
    """The folder of a store's databases here: `path`, or one of its name in the data root.

    Raises:
        memory_core.BadInputError: the environment names a data root that is none.
    """
    return Path(path) if path is not None else Path(data_root()) / memory

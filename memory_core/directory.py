"""What every process of a cluster can look up of a running memory: how many shards, which away.

An entry in Ray's own key-value store, on the head: it is read in half a millisecond, needs no
process of its own, and is gone with the cluster. Whoever keeps a memory (`memory_core.keeper`)
writes it; clients ask when a shard does not answer.
"""

from __future__ import annotations

import msgspec
from ray.experimental.internal_kv import (
    _internal_kv_del,
    _internal_kv_get,
    _internal_kv_put,
)

from memory_core.shard_calls import NAMESPACE

__all__ = ["Entry", "look_up", "publish", "withdraw"]


class Entry(msgspec.Struct, frozen=True):
    """A running memory.

    Attributes:
        memory: its name.
        memory_id: see `memory_core.shard_folder.Marks`.
        shards: how many it has.
        generation: that it is at.
        unavailable: why a shard is not there, by its number; all others run.
    """

    memory: str
    memory_id: str
    shards: int
    generation: int
    unavailable: dict[int, str] = {}


def publish(entry: Entry) -> None:
    """Let everybody know."""
    packed = msgspec.msgpack.encode(entry)
    _internal_kv_put(_key(entry.memory), packed, overwrite=True, namespace=NAMESPACE)


def withdraw(memory: str) -> None:
    """Take a memory's entry back, if there is one."""
    _internal_kv_del(_key(memory), namespace=NAMESPACE)


def look_up(memory: str) -> Entry | None:
    """The entry of a memory that runs, or did when its driver was killed; None without one."""
    packed: bytes | None = _internal_kv_get(_key(memory), namespace=NAMESPACE)
    return None if packed is None else msgspec.msgpack.decode(packed, type=Entry)


def _key(memory: str) -> str:
    return f"memory:{memory}"

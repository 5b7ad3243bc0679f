"""Keys and values as they lie in RocksDB: format 1.

A key is the agent's prefix and the state id::

    uint16 big-endian  length of the agent id in bytes
    bytes              agent id, UTF-8
    bytes              state id, UTF-8

so that an agent's memories lie together and no two pairs of ids share a key, whatever bytes
the ids hold. A value is a header, the vector and the packed state::

    uint64 little-endian   sequence: the store's count of stores when this was stored
    int64                  stored_ns: wall clock, nanoseconds since the epoch
    float32                importance
    uint32                 flags, zero
    float32 x dimension    vector, unit length
    bytes                  packed state

The tier is the column family that holds the record.
"""

from __future__ import annotations

import struct

__all__ = ["FORMAT_VERSION", "HEADER", "agent_prefix", "ids_of", "payload_of", "vector_of"]

FORMAT_VERSION = 1
HEADER = struct.Struct("<QqfI")


def agent_prefix(agent_id: str) -> bytes:
    """What the keys of an agent's memories begin with."""
    encoded = agent_id.encode()
    return len(encoded).to_bytes(2, "big") + encoded


def ids_of(key: bytes) -> tuple[str, str]:
    """(agent_id, state_id) of a key. Raises ValueError when it is none."""
    length = int.from_bytes(key[:2], "big")
    if len(key) < 2 + length:
        raise ValueError("the key is shorter than the agent id it announces")
    return key[2 : 2 + length].decode(), key[2 + length :].decode()


def vector_of(value: bytes, dimension: int) -> memoryview:
    """The vector's bytes in a value."""
    return memoryview(value)[HEADER.size : HEADER.size + 4 * dimension]


def payload_of(value: bytes, dimension: int) -> bytes:
    """The packed state in a value."""
    return value[HEADER.size + 4 * dimension :]

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
    uint32                 flags: 1 when there is no vector
    float32 x dimension    vector, unit length
    bytes                  packed state

A vector that the default encoder made is left out while the memory is short-term: it follows
from the state, and writing less is most of what makes a store faster. The tier is the column
family that holds the record.
"""

from __future__ import annotations

import struct

__all__ = [
    "FORMAT_VERSION",
    "NO_VECTOR",
    "Header",
    "agent_prefix",
    "ids_of",
    "make_value",
    "parts_of",
    "with_vector",
]

FORMAT_VERSION = 1
NO_VECTOR = 1
_HEADER = struct.Struct("<QqfI")
# sequence, stored_ns, importance, flags
Header = tuple[int, int, float, int]


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


def make_value(
    sequence: int, stored_ns: int, importance: float, vector: bytes | None, payload: bytes
) -> bytes:
    """A record's value; ``vector`` float32 bytes, or None to leave it out."""
    if vector is None:
        return _HEADER.pack(sequence, stored_ns, importance, NO_VECTOR) + payload
    return _HEADER.pack(sequence, stored_ns, importance, 0) + vector + payload


def parts_of(value: bytes, dimension: int) -> tuple[Header, bytes | None, bytes]:
    """Header, vector and packed state of a value. Raises ValueError when it is none."""
    if len(value) < _HEADER.size:
        raise ValueError("it is cut short")
    header = _HEADER.unpack_from(value)
    flags = header[3]
    if flags == NO_VECTOR:
        return header, None, value[_HEADER.size :]
    if flags:
        raise ValueError(f"it has the unknown flags {flags:#x}")
    end = _HEADER.size + 4 * dimension
    if len(value) < end:
        raise ValueError("it is cut short")
    return header, value[_HEADER.size : end], value[end:]


def with_vector(value: bytes, vector: bytes) -> bytes:
    """The value with the vector in it; unchanged when it has one."""
    sequence, stored_ns, importance, flags = _HEADER.unpack_from(value)
    if flags != NO_VECTOR:
        return value
    return make_value(sequence, stored_ns, importance, vector, value[_HEADER.size :])

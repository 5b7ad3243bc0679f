"""Keys and values as they lie in RocksDB: format 1.

A key is the agent's prefix and the state id::

    uint16 big-endian  length of the agent id in bytes
    bytes              agent id, UTF-8
    bytes              state id, UTF-8

so that an agent's memories lie together and no two pairs of ids share a key, whatever bytes
the ids hold. A value is a header and what its flags announce, one after another::

    uint64 little-endian   sequence: the store's count of stores when this was stored
    int64                  stored_ns: wall clock, nanoseconds since the epoch
    float32                importance
    uint32                 flags: 1 no vector, 2 a step, 4 metadata; bits 8 and 9 the kind
    int64                  step, when there is one
    uint32, bytes          length of the metadata and the metadata, packed, when there is some
    float32 x dimension    vector, unit length, unless the flags say that there is none
    bytes                  packed state

A vector that the default encoder made is left out while the memory is short-term: it follows
from the state, and writing less is most of what makes a store faster. The tier is the column
family that holds the record.
"""

from __future__ import annotations

import struct

import msgspec

__all__ = [
    "FORMAT_VERSION",
    "NO_STEP",
    "Parts",
    "agent_prefix",
    "ids_of",
    "make_value",
    "parts_of",
    "with_vector",
]

FORMAT_VERSION = 1
# What stands for "no step" where a number has to; no step may be so low.
NO_STEP = -(2**63)

_NO_VECTOR = 1
_HAS_STEP = 2
_HAS_METADATA = 4
_KIND_SHIFT = 8
_KINDS = 3
_KNOWN_FLAGS = _NO_VECTOR | _HAS_STEP | _HAS_METADATA | 3 << _KIND_SHIFT
_HEADER = struct.Struct("<QqfI")
_STEP = struct.Struct("<q")
_LENGTH = struct.Struct("<I")


class Parts(msgspec.Struct, gc=False, frozen=True):
    """What a value holds; ``step`` is `NO_STEP` and ``metadata`` None when there is none."""

    sequence: int
    stored_ns: int
    importance: float
    kind: int
    step: int
    metadata: bytes | None
    vector: bytes | None
    payload: bytes


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
    sequence: int,
    stored_ns: int,
    importance: float,
    payload: bytes,
    *,
    vector: bytes | None = None,
    kind: int = 0,
    step: int = NO_STEP,
    metadata: bytes | None = None,
) -> bytes:
    """A record's value; ``vector`` is float32 bytes, or None to leave it out."""
    if vector is None and step == NO_STEP and metadata is None:
        flags = _NO_VECTOR | kind << _KIND_SHIFT
        return _HEADER.pack(sequence, stored_ns, importance, flags) + payload
    flags = kind << _KIND_SHIFT
    rest = []
    if step != NO_STEP:
        flags |= _HAS_STEP
        rest.append(_STEP.pack(step))
    if metadata is not None:
        flags |= _HAS_METADATA
        rest += [_LENGTH.pack(len(metadata)), metadata]
    if vector is None:
        flags |= _NO_VECTOR
    else:
        rest.append(vector)
    return b"".join((_HEADER.pack(sequence, stored_ns, importance, flags), *rest, payload))


def parts_of(value: bytes, dimension: int) -> Parts:
    """What a value holds. Raises ValueError when it is none."""
    try:
        sequence, stored_ns, importance, flags = _HEADER.unpack_from(value)
        at = _HEADER.size
        kind = flags >> _KIND_SHIFT
        if flags & ~_KNOWN_FLAGS or kind >= _KINDS:
            raise ValueError(f"it has the unknown flags {flags:#x}")
        step = NO_STEP
        if flags & _HAS_STEP:
            [step] = _STEP.unpack_from(value, at)
            at += _STEP.size
        metadata = vector = None
        if flags & _HAS_METADATA:
            [length] = _LENGTH.unpack_from(value, at)
            at += _LENGTH.size
            metadata, at = value[at : at + length], at + length
    except struct.error:
        raise ValueError("it is cut short") from None
    if not flags & _NO_VECTOR:
        vector, at = value[at : at + 4 * dimension], at + 4 * dimension
    if at > len(value):
        raise ValueError("it is cut short")
    return Parts(sequence, stored_ns, importance, kind, step, metadata, vector, value[at:])


def with_vector(value: bytes, dimension: int, vector: bytes) -> bytes:
    """The value with the vector in it; unchanged when it has one. Raises ValueError."""
    parts = parts_of(value, dimension)
    if parts.vector is not None:
        return value
    return make_value(
        parts.sequence,
        parts.stored_ns,
        parts.importance,
        parts.payload,
        vector=vector,
        kind=parts.kind,
        step=parts.step,
        metadata=parts.metadata,
    )

"""Keys and values as they lie in RocksDB: format 2.

A short-term memory is keyed by its ids, one of a lower tier by its agent and its sequence, which
the family of ids has for its id::

    stm      prefix, state id in UTF-8                value
    im, ltm  prefix, uint64 big-endian sequence       value, with the state id in it
    ids      prefix, state id in UTF-8                uint64 big-endian sequence

The prefix is the agent's: a uint16 big-endian, the length of the agent id in bytes, and the agent
id in UTF-8. So an agent's memories lie together, those of a lower tier in the order of storing,
and no two pairs of ids share a key, whatever bytes the ids hold. What `ids` has of a memory stays
as it is when the memory moves between the lower tiers; an entry of a sequence that is in neither
stands for nothing.

A value is a header and what its flags announce, one after another::

    uint64 little-endian   sequence: the store's count of stores when this was stored
    int64                  stored_ns: wall clock, nanoseconds since the epoch
    float32                importance
    uint32                 flags: 1 no vector, 2 a step, 4 metadata, 8 the state id;
                           bits 8 and 9 the kind
    uint16, bytes          length of the state id and the state id, in a lower tier
    int64                  step, when there is one
    uint32, bytes          length of the metadata and the metadata, packed, when there is some
    float32 x dimension    vector, unit length, unless the flags say that there is none
    bytes                  packed state

A vector that the default encoder made is left out: it follows from the state, and writing less is
most of what makes a store faster. The tier is the column family that holds the record.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

__all__ = [
    "FORMAT_VERSION",
    "NO_STEP",
    "SEQUENCE_BYTES",
    "Parts",
    "agent_prefix",
    "ids_of",
    "kinds_of",
    "lower_heads",
    "lower_key",
    "lower_key_of",
    "lower_keys",
    "lower_parts_of",
    "lower_value",
    "lower_values",
    "make_value",
    "parts_of",
    "sequence_of",
    "upper_value",
]

FORMAT_VERSION = 2
# What stands for "no step" where a number has to; no step may be so low.
NO_STEP = -(2**63)
# A lower tier's key ends with this many bytes, which are also what the family of ids has.
SEQUENCE_BYTES = 8

_NO_VECTOR = 1
_HAS_STEP = 2
_HAS_METADATA = 4
_HAS_ID = 8
_KIND_SHIFT = 8
_KINDS = 3
_KNOWN_FLAGS = _NO_VECTOR | _HAS_STEP | _HAS_METADATA | _HAS_ID | 3 << _KIND_SHIFT
_HEADER = struct.Struct("<QqfI")
_LOWER_HEADER = struct.Struct("<QqfIH")  # and the length of the state id
_LOWER_HEAD = np.dtype(
    [
        ("sequence", "<u8"),
        ("stored_ns", "<i8"),
        ("importance", "<f4"),
        ("flags", "<u4"),
        ("id_length", "<u2"),
    ]
)
_STEP = struct.Struct("<q")
_LENGTH = struct.Struct("<I")
_ID_LENGTH = struct.Struct("<H")
_FLAGS_AT = 20


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


def kinds_of(flags: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """The kinds that flags stand for."""
    kinds: npt.NDArray[np.uint32] = flags >> np.uint32(_KIND_SHIFT)
    return kinds


def parts_of(value: bytes, dimension: int) -> Parts:
    """What a short-term value holds. Raises ValueError when it is none."""
    state_id, parts = _taken_apart(value, dimension)
    if state_id is not None:
        raise ValueError("it is one of a lower tier")
    return parts


def lower_parts_of(value: bytes, dimension: int) -> tuple[str, Parts]:
    """State id and parts of a lower tier's value. Raises ValueError when it is none."""
    state_id, parts = _taken_apart(value, dimension)
    if state_id is None:
        raise ValueError("it has no state id")
    return state_id, parts


def lower_key(prefix: bytes, sequence: int) -> bytes:
    """The key of a memory in a lower tier, whose end is also what the family of ids has of it."""
    return prefix + sequence.to_bytes(SEQUENCE_BYTES, "big")


def lower_keys(prefix: bytes, sequences: npt.NDArray[np.int64]) -> list[bytes]:
    """`lower_key` of many sequences, (n,)."""
    together = sequences.astype(">i8").tobytes()
    return [
        prefix + together[at : at + SEQUENCE_BYTES]
        for at in range(0, len(together), SEQUENCE_BYTES)
    ]


def lower_key_of(key: bytes) -> tuple[str, int]:
    """(agent_id, sequence) of a lower tier's key. Raises ValueError when it is none."""
    length = int.from_bytes(key[:2], "big")
    if len(key) != 2 + length + SEQUENCE_BYTES:
        raise ValueError("the key is not an agent id and a sequence")
    return key[2 : 2 + length].decode(), int.from_bytes(key[2 + length :], "big")


def sequence_of(key: bytes) -> int:
    """The sequence that a lower tier's key ends with, or that the family of ids has."""
    return int.from_bytes(key[-SEQUENCE_BYTES:], "big")


def lower_value(state_id: bytes, value: bytes) -> bytes:
    """A short-term value as it is in the lower tiers."""
    flags = value[_FLAGS_AT] | _HAS_ID
    return b"".join(
        (
            value[:_FLAGS_AT],
            bytes((flags,)),
            value[_FLAGS_AT + 1 : _HEADER.size],
            _ID_LENGTH.pack(len(state_id)),
            state_id,
            value[_HEADER.size :],
        )
    )


def lower_values(
    sequences: list[int],
    stored_ns: list[int],
    importances: list[float],
    kinds: list[int],
    steps: list[int],
    state_ids: list[bytes],
    payloads: list[bytes],
) -> list[bytes]:
    """Values of a lower tier without metadata and vector, as `make_value` and `lower_value` give.

    Args:
        sequences: (n,) like what follows.
        stored_ns: wall clock.
        importances: from 0 to 1.
        kinds: their numbers.
        steps: or `NO_STEP`.
        state_ids: in UTF-8.
        payloads: packed states.
    """
    pack, values = _LOWER_HEADER.pack, []
    for sequence, at_ns, importance, kind, step, state_id, payload in zip(
        sequences, stored_ns, importances, kinds, steps, state_ids, payloads, strict=True
    ):
        if step == NO_STEP:
            flags = _NO_VECTOR | _HAS_ID | kind << _KIND_SHIFT
            head = pack(sequence, at_ns, importance, flags, len(state_id))
            values.append(head + state_id + payload)
        else:
            flags = _NO_VECTOR | _HAS_ID | _HAS_STEP | kind << _KIND_SHIFT
            head = pack(sequence, at_ns, importance, flags, len(state_id))
            values.append(head + state_id + _STEP.pack(step) + payload)
    return values


def lower_heads(values: Sequence[bytes]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]] | None:
    """What many values of a lower tier begin with, and the sizes of their states, at once.

    The fields of the header, (n,), and sizes, (n,), of values that have neither step nor metadata
    nor vector; None when one of them has, or is no such value.
    """
    head = b"".join([value[: _LOWER_HEADER.size] for value in values])
    if len(head) != _LOWER_HEADER.size * len(values):
        return None
    heads = np.frombuffer(head, _LOWER_HEAD)
    kinds = kinds_of(heads["flags"])
    plain = (heads["flags"] & ~np.uint32(3 << _KIND_SHIFT)) == (_NO_VECTOR | _HAS_ID)
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    sizes = lengths - _LOWER_HEADER.size - heads["id_length"]
    if not plain.all() or int(kinds.max()) >= _KINDS or int(sizes.min()) < 0:
        return None
    return heads, sizes


def upper_value(value: bytes) -> bytes:
    """A lower tier's value as it is in the short-term tier."""
    [length] = _ID_LENGTH.unpack_from(value, _HEADER.size)
    flags = value[_FLAGS_AT] & ~_HAS_ID
    return b"".join(
        (
            value[:_FLAGS_AT],
            bytes((flags,)),
            value[_FLAGS_AT + 1 : _HEADER.size],
            value[_HEADER.size + _ID_LENGTH.size + length :],
        )
    )


def _taken_apart(value: bytes, dimension: int) -> tuple[str | None, Parts]:
    try:
        sequence, stored_ns, importance, flags = _HEADER.unpack_from(value)
        at = _HEADER.size
        kind = flags >> _KIND_SHIFT
        if flags & ~_KNOWN_FLAGS or kind >= _KINDS:
            raise ValueError(f"it has the unknown flags {flags:#x}")
        step = NO_STEP
        state_id = metadata = vector = None
        if flags & _HAS_ID:
            [length] = _ID_LENGTH.unpack_from(value, at)
            at += _ID_LENGTH.size
            state_id, at = value[at : at + length].decode(), at + length
        if flags & _HAS_STEP:
            [step] = _STEP.unpack_from(value, at)
            at += _STEP.size
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
    parts = Parts(sequence, stored_ns, importance, kind, step, metadata, vector, value[at:])
    return state_id, parts

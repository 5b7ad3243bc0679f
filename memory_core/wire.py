"""Batches and replies as bytes: MessagePack arrays (msgspec), how they travel over Ray."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from memory_core.errors import BadInputError
from memory_core.operations import Operation
from memory_core.results import Demotion, Move, Promotion, Result

__all__ = [
    "Batch",
    "Reply",
    "can_travel",
    "decode_batch",
    "decode_reply",
    "encode_batch",
    "encode_reply",
    "moves_of",
    "travelling",
]


def _plain(value: Any) -> Any:
    """What a number or text of a type of its own (numpy's scalars) is on the wire."""
    for kind in (float, str):
        if isinstance(value, kind):
            return kind(value)
    raise TypeError(f"a {type(value).__name__} cannot be encoded")


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)


class Batch(msgspec.Struct, array_like=True, gc=False):
    """Operations on their way to a shard.

    Batches of one ``lane`` take effect in the order of their ``number``: one that comes to the
    shard after a later one of its lane (its sender gave it up and sent it again) is refused.
    ``watched`` asks to be told what moved.
    """

    lane: str
    number: int
    operations: list[Operation]
    watched: bool = False


_batch_decoder = msgspec.msgpack.Decoder(Batch)


class Reply(msgspec.Struct, array_like=True, gc=False):
    """What a shard answers to a batch, with its own clock's account of it.

    ``wait_ns`` runs from the receipt to the start of the batch, ``service_ns`` from the start
    until it was durable. ``moves`` is what the batch moved to another tier, if that was asked for:
    position of the operation that led to it, agent, memory, tier (a place in `TIERS`), whether up.
    """

    wait_ns: int
    service_ns: int
    results: list[Result]
    moves: list[tuple[int, str, str, int, bool]] = []


_reply_decoder = msgspec.msgpack.Decoder(Reply)


def can_travel(part: Any) -> bool:
    """Whether a part of an operation that may hold anything has a form as bytes."""
    try:
        _encoder.encode(part)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return False
    return True


def encode_batch(batch: Batch) -> bytes:
    """A batch as bytes."""
    return _encoder.encode(batch)


def decode_batch(data: bytes) -> Batch:
    """The batch in ``data``. Raises BadInputError when it is none."""
    try:
        return _batch_decoder.decode(data)
    except msgspec.DecodeError as error:
        raise BadInputError("batch", f"cannot be read: {error}") from None


def encode_reply(reply: Reply) -> bytes:
    """A reply as bytes."""
    return _encoder.encode(reply)


def decode_reply(data: bytes) -> Reply:
    """The reply in ``data``. Raises msgspec.DecodeError when it is none."""
    return _reply_decoder.decode(data)


def travelling(moves: Sequence[Move]) -> list[tuple[int, str, str, int, bool]]:
    """Moves as a reply has them."""
    return [(*one, isinstance(one, Promotion)) for one in moves]


def moves_of(reply: Reply) -> list[Move]:
    """The moves of a reply."""
    return [
        (Promotion if up else Demotion)(position, agent_id, state_id, tier)
        for position, agent_id, state_id, tier, up in reply.moves
    ]

"""What is whole in a damaged write-ahead log, as a log without damage.

The format is that of `memory_core.log_format`. A record whose length or type was changed is
found by its checksum, which covers what was written; one whose bytes or checksum were changed is
left out, and the records after it are taken up again. A write batch of which a part is left out
is left out whole, so batches stay atomic. Pure Python, some 10 MB a second: for damaged logs.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from memory_core.crc32c import lengths_with_checksum, masked_crc32c

__all__ = ["MendedLog", "mend_log"]

_BLOCK_BYTES = 32 * 1024
_HEADER = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_KINDS = (_FULL, _FIRST, _MIDDLE, _LAST)
_BATCH_HEADER_BYTES = 12


@dataclass(frozen=True, kw_only=True)
class MendedLog:
    """A log made of the whole batches of another.

    Attributes:
        data: the log's bytes.
        batches: how many write batches it holds.
        lost: how many places of the old one were left out; each held a write batch or more.
        repaired: records whose length or type was wrong, and could be put right.
        torn: whether the end was cut short, as a kill leaves it.
    """

    data: bytes
    batches: int
    lost: int
    repaired: int
    torn: bool


class _Found:
    """Batches as they are put together from records."""

    def __init__(self) -> None:
        self.batches: list[bytes] = []
        self.lost = 0
        self.repaired = 0
        self.torn = False
        self._parts: list[bytes] | None = None

    def take(self, kind: int, payload: bytes) -> None:
        if kind == _FULL:
            self._give_up()
            self._finish(payload)
        elif kind == _FIRST:
            self._give_up()
            self._parts = [payload]
        elif self._parts is not None:
            self._parts.append(payload)
            if kind == _LAST:
                whole, self._parts = b"".join(self._parts), None
                self._finish(whole)

    def damage(self) -> None:
        """A record is lost, and with it the batch that it is part of."""
        self.lost += 1
        self._parts = None

    def end(self) -> None:
        if self._parts is not None:
            self._parts = None
            self.torn = True

    def _finish(self, batch: bytes) -> None:
        if len(batch) >= _BATCH_HEADER_BYTES:
            self.batches.append(batch)

    def _give_up(self) -> None:
        if self._parts is not None:
            self.damage()


def mend_log(data: bytes) -> MendedLog:
    """The whole batches of a log; never fails."""
    found = _Found()
    for start in range(0, len(data), _BLOCK_BYTES):
        block = data[start : start + _BLOCK_BYTES]
        _read_block(block, found, is_last=start + _BLOCK_BYTES >= len(data))
    found.end()
    return MendedLog(
        data=b"".join(_framed(found.batches)),
        batches=len(found.batches),
        lost=found.lost,
        repaired=found.repaired,
        torn=found.torn,
    )


def _read_block(block: bytes, found: _Found, *, is_last: bool) -> None:
    place, end = 0, len(block)
    while place + _HEADER.size <= end:
        checksum, length, kind = _HEADER.unpack_from(block, place)
        if kind == 0 and length == 0 and not any(block[place:]):  # reserved, never written
            return
        payload = place + _HEADER.size
        if _is_record(block, place):
            if kind in _KINDS:
                found.take(kind, block[payload : payload + length])
            place = payload + length
            continue
        true = _true_record(block, place, checksum)
        if true is not None:
            kind, length = true
            found.repaired += 1
            found.take(kind, block[payload : payload + length])
            place = payload + length
            continue
        following = _next_record(block, place, length)
        if following is None:
            if is_last and payload + length > end:
                found.torn = True
            else:
                found.damage()
            return
        found.damage()
        place = following
    if place < end and is_last and any(block[place:]):
        found.torn = True


def _is_record(block: bytes, place: int) -> bool:
    if place + _HEADER.size > len(block):
        return False
    checksum: int
    length: int
    checksum, length, _ = _HEADER.unpack_from(block, place)
    covered = block[place + _HEADER.size - 1 : place + _HEADER.size + length]
    return len(covered) == length + 1 and masked_crc32c(covered) == checksum


def _true_record(block: bytes, place: int, checksum: int) -> tuple[int, int] | None:
    """The type and length that the checksum was made of, if the payload is whole."""
    payload = place + _HEADER.size
    for kind in _KINDS:
        for length in lengths_with_checksum(kind, memoryview(block)[payload:], checksum):
            after = payload + length
            # a match alone may be chance, among so many lengths
            if after + _HEADER.size > len(block) or _is_record(block, after):
                return kind, length
    return None


def _next_record(block: bytes, place: int, length: int) -> int | None:
    """Where the next whole record of a block begins, after one that is not whole."""
    announced = place + _HEADER.size + length
    if _is_record(block, announced):
        return announced
    for other in range(place + 1, len(block) - _HEADER.size):
        if block[other + 6] in _KINDS and _is_record(block, other):
            return other
    return None


def _framed(batches: list[bytes]) -> Iterator[bytes]:
    """Batches as records in blocks."""
    room = _BLOCK_BYTES
    for batch in batches:
        at, is_first = 0, True
        while True:
            if room < _HEADER.size:
                yield bytes(room)
                room = _BLOCK_BYTES
            part = batch[at : at + room - _HEADER.size]
            at += len(part)
            is_last = at == len(batch)
            kind = (_FULL if is_last else _FIRST) if is_first else (_LAST if is_last else _MIDDLE)
            checksum = masked_crc32c(bytes([kind]) + part)
            yield _HEADER.pack(checksum, len(part), kind) + part
            room -= _HEADER.size + len(part)
            is_first = False
            if is_last:
                break

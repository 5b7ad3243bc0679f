"""RocksDB's log files looked at before it opens them: damage that it would take for a torn end.

The write-ahead logs and the MANIFEST have one format (RocksDB's ``db/log_format.h``, LevelDB's
``doc/log_format.md``): blocks of 32 KiB, in them records, none of which spans two blocks::

    uint32 little-endian  masked CRC-32C of the type and the payload, but not of the length
    uint16                length of the payload
    uint8                 type
    bytes                 payload

RocksDB checks the checksums. Two kinds of damage escape it, and lose what follows in silence:

- A length that was made to reach beyond the end of the file looks like a record whose writing a
  kill cut short. It is told from one by its checksum: if the bytes that are there hold the whole
  record, its length is wrong.
- A type that was made one of a recycled log's looks like the remains of an older log, and RocksDB
  stops there, or never returns. We recycle no logs.
"""

from __future__ import annotations

import struct
from pathlib import Path

from memory_core.crc32c import lengths_with_checksum
from memory_core.errors import CorruptionError

__all__ = ["check_log_file"]

_BLOCK_BYTES = 32 * 1024
_HEADER = struct.Struct("<IHB")
_RECYCLED_TYPES = frozenset({5, 6, 7, 8, 11, 131})


def check_log_file(path: Path) -> None:
    """Raise CorruptionError, naming the file, if it has damage that RocksDB would not report."""
    with path.open("rb") as file:
        start = 0
        while block := file.read(_BLOCK_BYTES):
            # only in the last block may a record be cut short; RocksDB reports it elsewhere
            _check_block(path, block, start)
            start += len(block)


def _check_block(path: Path, block: bytes, start: int) -> None:
    place, end = 0, len(block)
    while place + _HEADER.size <= end:
        checksum, length, kind = _HEADER.unpack_from(block, place)
        if kind in _RECYCLED_TYPES:
            raise CorruptionError(
                str(path), f"is damaged: the record at byte {start + place:,} is of no known type"
            )
        payload = place + _HEADER.size
        if payload + length > end:
            if _holds_whole_record(block[payload - 1 :], checksum):
                raise CorruptionError(
                    str(path),
                    f"is damaged: the record at byte {start + place:,} has no such length",
                )
            return
        if kind == 0 and length == 0:  # space that was reserved and never written
            return
        place = payload + length


def _holds_whole_record(data: bytes, checksum: int) -> bool:
    """Whether some beginning of ``data``, a record's type and what follows, has the checksum."""
    return any(True for _ in lengths_with_checksum(data[0], memoryview(data)[1:], checksum))

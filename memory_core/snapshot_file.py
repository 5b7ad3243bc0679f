"""A file of arrays with checksums: what an index is made from again without reading every record.

Written beside its name, as `<path>.new`, and renamed when the disk has it: whoever is killed in
between leaves the file that was there before, and a `.new` that the next one overwrites. Nothing
in it is unpickled, and no size in it is believed beyond the length of the file.

    magic      8 bytes
    version    uint32, little-endian like what follows
    length     uint32, of the contents in bytes
    checksum   uint32, CRC-32 of all that is before it and of the contents
    contents   JSON: {"header": {...}, "pieces": [[bytes, CRC-32], ...]}
    pieces     one after the other; the file ends where the last one does
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from memory_core.errors import BadInputError, DatabaseError, StorageFullError
from memory_core.file_system import has_no_room, sync

__all__ = ["SNAPSHOT_VERSION", "Snapshot", "SnapshotError", "read_snapshot", "write_snapshot"]

Bytes = npt.NDArray[np.uint8]

SNAPSHOT_VERSION = 1
_MAGIC = b"AMHSNAP\n"
_START = struct.Struct("<8sII")
_CHECKSUM = struct.Struct("<I")
# An fsync of somebody else waits for what the disk was given before, so it is given little at once.
_WRITTEN_AT_ONCE_BYTES = 4 << 20
_READ_AT_ONCE_BYTES = 1 << 20
# Not everywhere is there one that leaves out what only times of access would need.
_sync_data = getattr(os, "fdatasync", os.fsync)


class SnapshotError(DatabaseError):
    """A snapshot cannot be used: it is missing, torn, damaged or of another version."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a file held.

    Attributes:
        header: as it was given.
        pieces: each as (bytes,) uint8, read-only.
    """

    header: dict[str, Any]
    pieces: list[Bytes]


def write_snapshot(path: str, header: Mapping[str, Any], pieces: Sequence[Any]) -> int:
    """Put a snapshot in the place of the one before; how many bytes it has.

    It is on the disk when this returns. Written some MiB at a time, each waited for, with the
    interpreter's lock released; one writer of a path at a time.

    Args:
        path: of the file; its folder is there.
        header: JSON values, by names.
        pieces: arrays or other buffers, which nobody changes meanwhile.

    Raises:
        BadInputError: the header holds what JSON cannot.
        StorageFullError: the disk has no room; what was there before is still there.
        DatabaseError: it cannot be written; likewise.
    """
    parts = [_bytes_of(piece) for piece in pieces]
    sums = [[len(part), zlib.crc32(part)] for part in parts]
    try:
        contents = json.dumps({"header": dict(header), "pieces": sums}, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise BadInputError("header", f"must be JSON: {error}") from None
    start = _START.pack(_MAGIC, SNAPSHOT_VERSION, len(contents))
    start += _CHECKSUM.pack(zlib.crc32(contents, zlib.crc32(start))) + contents
    new = f"{path}.new"
    try:
        try:
            _write(new, [memoryview(start), *parts])
            os.replace(new, path)
        except BaseException:
            # Half a file would take the room that the disk may lack.
            with contextlib.suppress(OSError):
                os.unlink(new)
            raise
        sync(os.path.dirname(os.path.abspath(path)))
    except OSError as error:
        if has_no_room(error):
            raise StorageFullError(path, "the disk has no room for a snapshot") from None
        raise DatabaseError(path, f"cannot be written: {error.strerror or error}") from None
    return len(start) + sum(map(len, parts))


def read_snapshot(path: str) -> Snapshot:
    """What a file holds, every byte of it checked.

    Raises:
        SnapshotError: it is missing, torn, damaged or of another version; says which.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            header, sums = _read_contents(path, file)
            return Snapshot(header, [_read_piece(path, file, *one) for one in sums])
    except FileNotFoundError:
        raise SnapshotError(path, "is missing; make the index again") from None
    except OSError as error:
        raise SnapshotError(path, f"cannot be read: {error.strerror or error}") from None


def _bytes_of(piece: Any) -> memoryview:
    array = np.asarray(memoryview(piece))
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _write(path: str, parts: Sequence[memoryview]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        for part in parts:
            for first in range(0, len(part), _WRITTEN_AT_ONCE_BYTES):
                rest = part[first : first + _WRITTEN_AT_ONCE_BYTES]
                is_large = len(rest) == _WRITTEN_AT_ONCE_BYTES
                while len(rest):
                    rest = rest[os.write(descriptor, rest) :]
                if is_large:
                    _sync_data(descriptor)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_contents(path: str, file: BinaryIO) -> tuple[dict[str, Any], list[list[int]]]:
    """The header, and bytes and checksum of each piece; all of them are in the file."""
    size = os.fstat(file.fileno()).st_size
    start = _read(path, file, min(size, _START.size + _CHECKSUM.size)).tobytes()
    if start[: len(_MAGIC)] != _MAGIC[: len(start)]:
        raise SnapshotError(path, "is no snapshot, or its first bytes are damaged")
    if len(start) < _START.size + _CHECKSUM.size:
        raise _torn(path)
    _, version, length = _START.unpack_from(start)
    if version != SNAPSHOT_VERSION:
        raise SnapshotError(path, f"is of version {version}; this is version {SNAPSHOT_VERSION}")
    if length > size - len(start):
        raise _torn(path)
    contents = _read(path, file, length)
    if _CHECKSUM.unpack_from(start, _START.size)[0] != zlib.crc32(
        contents.data, zlib.crc32(start[: _START.size])
    ):
        raise SnapshotError(path, "has a damaged header: its checksum is another")
    header, sums = _parsed(path, contents.tobytes())
    if len(start) + length + sum(one[0] for one in sums) != size:
        raise _torn(path)
    return header, sums


def _parsed(path: str, contents: bytes) -> tuple[dict[str, Any], list[list[int]]]:
    try:
        parsed = json.loads(contents)
        header, sums = dict(parsed["header"]), [[int(n), int(crc)] for n, crc in parsed["pieces"]]
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise SnapshotError(path, "has contents that do not say what is in it") from None
    if any(length < 0 for length, _ in sums):
        raise SnapshotError(path, "has a piece of less than no bytes")
    return header, sums


def _read_piece(path: str, file: BinaryIO, length: int, checksum: int) -> Bytes:
    piece = _read(path, file, length)
    if zlib.crc32(piece.data) != checksum:
        raise SnapshotError(path, "has a damaged piece: its checksum is another")
    piece.flags.writeable = False
    return piece


def _read(path: str, file: BinaryIO, length: int) -> Bytes:
    piece = np.empty(length, np.uint8)
    at = 0
    while at < length:
        count = file.readinto(piece[at : at + _READ_AT_ONCE_BYTES])  # type: ignore[attr-defined]
        if not count:
            raise _torn(path)
        at += count
    return piece


def _torn(path: str) -> SnapshotError:
    return SnapshotError(path, "is torn: it has not the length that it should have")

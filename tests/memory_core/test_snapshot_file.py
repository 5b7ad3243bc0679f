"""Snapshot files: what is written is read again, and whatever is wrong with one is noticed."""

from __future__ import annotations

import errno
import json
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_core import snapshot_file
from memory_core.errors import BadInputError, DatabaseError, StorageFullError
from memory_core.snapshot_file import SnapshotError, read_snapshot, write_snapshot

PIECES = [np.arange(7, dtype=np.int64), np.ones((2, 3), np.float32), b"", b"end"]
HEADER = {"sequence": 12, "name": "im"}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A small snapshot."""
    path = str(tmp_path / "index.snapshot")
    write_snapshot(path, HEADER, PIECES)
    return path


@given(
    header=st.dictionaries(st.text(max_size=6), json_values, max_size=4),
    pieces=st.lists(st.binary(max_size=300), max_size=6),
    at_once=st.integers(1, 200),
)
def test_what_is_written_is_read_again(tmp_path_factory, header, pieces, at_once):
    """Header and pieces come back as they were, however few bytes are written at a time."""
    path = str(tmp_path_factory.mktemp("snapshot") / "one")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot_file, "_WRITTEN_AT_ONCE_BYTES", at_once)
        patch.setattr(snapshot_file, "_READ_AT_ONCE_BYTES", at_once)
        size = write_snapshot(path, header, pieces)
        snapshot = read_snapshot(path)
    assert size == Path(path).stat().st_size
    assert snapshot.header == header
    assert [piece.tobytes() for piece in snapshot.pieces] == pieces
    assert not any(piece.flags.writeable for piece in snapshot.pieces)


def test_arrays_of_any_layout_are_written_in_their_order(path: str):
    """Parts of arrays and empty ones with a shape are pieces as well."""
    every_other = np.arange(10)[::2]
    write_snapshot(path, {}, [every_other, np.empty((0, 4)), every_other.reshape(5, 1)])
    pieces = read_snapshot(path).pieces
    assert pieces[0].view(np.int64).tolist() == [0, 2, 4, 6, 8]
    assert len(pieces[1]) == 0
    assert pieces[2].tobytes() == pieces[0].tobytes()


def test_every_flipped_byte_is_noticed(path: str):
    """At every position, whether one bit of it or all are flipped."""
    whole = Path(path).read_bytes()
    for at in range(len(whole)):
        for flipped in (0x01, 0x80, 0xFF):
            damaged = bytearray(whole)
            damaged[at] ^= flipped
            Path(path).write_bytes(damaged)
            with pytest.raises(SnapshotError, match=r"index\.snapshot"):
                read_snapshot(path)


def test_every_truncation_is_noticed(path: str):
    """At every length, and a file that is longer than it should be."""
    whole = Path(path).read_bytes()
    for length in range(len(whole)):
        Path(path).write_bytes(whole[:length])
        with pytest.raises(SnapshotError, match="torn"):
            read_snapshot(path)
    Path(path).write_bytes(whole + b"\0")
    with pytest.raises(SnapshotError, match="torn"):
        read_snapshot(path)


def with_contents(contents: bytes, version: int = 1, length: int | None = None) -> bytes:
    """A snapshot that says this of itself, with the right checksum."""
    start = struct.pack("<8sII", b"AMHSNAP\n", version, len(contents) if length is None else length)
    return start + struct.pack("<I", zlib.crc32(start + contents)) + contents


@pytest.mark.parametrize(
    ("whole", "why"),
    [
        (with_contents(b'{"header": {}, "pieces": []}', version=2), "version 2"),
        (with_contents(b"{}", length=2**32 - 1), "torn"),
        (with_contents(b'{"header": {}, "pieces": [[9000000000000000000, 0]]}'), "torn"),
        (with_contents(b'{"header": {}, "pieces": [[-3, 0], [3, 0]]}'), "less than no"),
        (with_contents(b'{"header": 3, "pieces": []}'), "contents"),
        (with_contents(b'{"header": {}, "pieces": [[1e999, 0]]}'), "contents"),
        (with_contents(b'{"header": {}}'), "contents"),
        (with_contents(b"[" * 100_000), "contents"),
        (b"something else altogether", "no snapshot"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(path: str, whole: bytes, why: str):
    """Another version, sizes beyond the file, and contents that are none, say why."""
    Path(path).write_bytes(whole)
    with pytest.raises(SnapshotError, match=why):
        read_snapshot(path)


def test_a_missing_file_and_one_that_cannot_be_read_say_so(tmp_path: Path):
    """Both raise as a damaged one does."""
    with pytest.raises(SnapshotError, match="missing"):
        read_snapshot(str(tmp_path / "none"))
    with pytest.raises(SnapshotError, match="cannot be read"):
        read_snapshot(str(tmp_path))


def test_a_file_that_was_left_half_written_is_overwritten(path: str):
    """A `.new` of one who was killed is never read, and is gone after the next."""
    Path(f"{path}.new").write_bytes(b"x" * 100_000)
    assert read_snapshot(path).header == HEADER
    write_snapshot(path, {"sequence": 13}, [])
    assert read_snapshot(path).header == {"sequence": 13}
    assert [file.name for file in Path(path).parent.iterdir()] == ["index.snapshot"]


@pytest.mark.parametrize(
    ("number", "error"), [(errno.ENOSPC, StorageFullError), (errno.EIO, DatabaseError)]
)
@pytest.mark.parametrize("written", [0, 1, 3])
def test_a_disk_that_is_full_or_broken_leaves_the_old_one(
    path: str, monkeypatch: pytest.MonkeyPatch, number: int, error: type, written: int
):
    """Whenever a write fails, it is named, and the snapshot before is whole and alone."""
    write = os.write
    calls = []

    def fail(descriptor: int, data: memoryview) -> int:
        calls.append(data)
        if len(calls) > written:
            raise OSError(number, os.strerror(number))
        return write(descriptor, data[:2])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail)
        with pytest.raises(error, match=r"index\.snapshot"):
            write_snapshot(path, {}, [b"new"])
    assert len(calls) == written + 1
    assert read_snapshot(path).header == HEADER
    assert [file.name for file in Path(path).parent.iterdir()] == ["index.snapshot"]


def test_the_disk_has_everything_before_it_gets_its_name(
    path: str, monkeypatch: pytest.MonkeyPatch
):
    """Each part, then the file, is synced before the rename, and the folder after it."""
    events: list[str] = []
    monkeypatch.setattr(snapshot_file, "_WRITTEN_AT_ONCE_BYTES", 1_000)
    for name in ("write", "fsync", "replace"):
        original = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *a, f=original, n=name: (events.append(n), f(*a))[1]
        )  # fmt: skip
    synced = snapshot_file._sync_data
    monkeypatch.setattr(
        snapshot_file, "_sync_data", lambda file: (events.append("part"), synced(file))[1]
    )
    write_snapshot(path, {}, [bytes(2_500)])
    parts = ["write", "write", "part", "write", "part", "write"]
    assert events == [*parts, "fsync", "replace", "fsync"]


def test_a_header_that_is_no_json_is_refused(path: str):
    """NaN and objects raise with the argument's name, and the file stays as it was."""
    for value in (float("nan"), object()):
        with pytest.raises(BadInputError, match="header"):
            write_snapshot(path, {"value": value}, [])
    assert read_snapshot(path).header == HEADER


def test_the_format_is_the_one_that_is_documented(path: str):
    """The bytes of a snapshot of version 1, which later releases must read."""
    contents = json.dumps({"header": {"a": 1}, "pieces": [[2, zlib.crc32(b"xy")]]}).encode()
    write_snapshot(path, {"a": 1}, [b"xy"])
    assert Path(path).read_bytes() == with_contents(contents) + b"xy"

"""Small JSON files that are there whole or not at all, and on the disk once they are written.

A note is written beside its name, synced, renamed, and its folder synced. Whoever is killed in
between leaves the note as it was, and ``.<name>.<random>`` beside it, which may be deleted.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from typing import TypeVar

import msgspec

from memory_core.errors import CorruptionError, DatabaseError, IncompatibleError
from memory_core.file_system import sync, write_error

__all__ = ["SCHEMA_VERSION", "make_folders", "read_note", "write_new_note", "write_note"]

SCHEMA_VERSION = 1
_LARGEST_BYTES = 16 * 1024 * 1024

_Note = TypeVar("_Note", bound=msgspec.Struct)


class _Versioned(msgspec.Struct):
    schema_version: int


def read_note(path: str, kind: type[_Note]) -> _Note | None:
    """A note, or None where there is none.

    Raises:
        CorruptionError: the file is no such note.
        IncompatibleError: a later version of this package wrote it.
        DatabaseError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DatabaseError(path, f"cannot be read: {error.strerror or error}") from None
    try:
        version = msgspec.json.decode(data, type=_Versioned).schema_version
        if version > SCHEMA_VERSION:
            problem = f"has schema_version {version}; this package reads up to {SCHEMA_VERSION}"
            raise IncompatibleError(path, problem)
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptionError(path, f"is damaged ({error})") from None


def write_note(path: str, note: msgspec.Struct) -> None:
    """Write a note in the place of what is there; its folder must be there.

    Raises:
        StorageFullError: the disk has no room.
        DatabaseError: it cannot be written.
    """
    with _said_of(path):
        written = _written_beside(path, note)
        os.replace(written, path)
        sync(os.path.dirname(path))


def write_new_note(path: str, note: msgspec.Struct) -> bool:
    """Write a note unless there is one, whoever else does at the same moment; whether it did.

    Raises as `write_note` does.
    """
    with _said_of(path):
        written = _written_beside(path, note)
        try:
            os.link(written, path)
        except FileExistsError:
            return False
        finally:
            os.unlink(written)
        sync(os.path.dirname(path))
        return True


def make_folders(path: str) -> None:
    """Make a folder and those above it, on the disk when this returns.

    Raises as `write_note` does.
    """
    with _said_of(path):
        missing = []
        above = path
        while not os.path.isdir(above):
            missing.append(above)
            above = os.path.dirname(above)
        for folder in reversed(missing):
            os.makedirs(folder, exist_ok=True)
            sync(os.path.dirname(folder))


def _written_beside(path: str, note: msgspec.Struct) -> str:
    folder, name = os.path.split(path)
    written = os.path.join(folder, f".{name}.{secrets.token_hex(4)}")
    try:
        with open(written, "xb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(note)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(written)
        raise
    return written


@contextlib.contextmanager
def _said_of(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise write_error(path, error) from None

"""Where backups are kept: a folder, or a prefix in an object store, by its URI.

The only module that knows pyarrow's file systems and fsspec's. Names are relative to the place,
with ``/`` between their parts, and made by our own code from what was checked before.

A file appears whole under its name or not at all: an object store does that by itself; anywhere
else it is written under a name of its own beside it and moved. In a local folder it is on the
disk when `write` returns.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from memory_core.errors import BadInputError, MemoryCoreError, StorageFullError, UnavailableError
from memory_core.file_system import has_no_room, sync

__all__ = ["CHUNK_BYTES", "BackupPlace", "Entry", "absolute_uri"]

CHUNK_BYTES = 1024 * 1024
UNFINISHED = ".unfinished-"
# Of pyarrow, and of fsspec: where an object is there once all of it has arrived.
_OBJECT_STORES = frozenset({"s3", "gcs", "abfs"})
_OBJECT_PROTOCOLS = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl"})


class Entry(NamedTuple):
    """What a folder of a place has in it."""

    name: str
    size_bytes: int
    is_folder: bool


def absolute_uri(uri: object) -> str:
    """A URI that means the same to every process: a local path becomes absolute.

    Raises:
        BadInputError: it is empty, or has a password in it.
    """
    if not isinstance(uri, str) or not uri or "\0" in uri:
        raise BadInputError("uri", "must be a folder's path or a URI such as s3://bucket/prefix")
    if "://" not in uri:
        return os.path.abspath(uri)
    try:
        password = urlsplit(uri).password
    except ValueError:
        raise BadInputError("uri", "is none; name a folder, or s3://bucket/prefix") from None
    if password is not None:
        raise BadInputError(
            "uri", "must not hold a secret, which would be written down; set it in the environment"
        )
    return uri


class BackupPlace:
    """A place for backups. Safe to use from several threads.

    Args:
        uri: a folder's path, or a URI that pyarrow or fsspec takes.

    Attributes:
        uri: the same to every process.

    Raises:
        BadInputError: nobody knows how to reach it.
    """

    def __init__(self, uri: str) -> None:
        self.uri = absolute_uri(uri)
        self._files, self._root = _file_system(self.uri)
        kind = str(self._files.type_name)
        self._is_local = kind == "local"
        protocols = kind.removeprefix("py::fsspec+").strip("()'\" ").replace("'", "").split(", ")
        self._is_whole_at_once = kind in _OBJECT_STORES or bool(
            _OBJECT_PROTOCOLS.intersection(protocols)
        )

    def shown(self, name: str) -> str:
        """A name in this place, as people are told it."""
        return f"{self.uri.rstrip('/')}/{name}"

    def read(self, name: str, most_bytes: int) -> bytes | None:
        """A file, or None if there is none.

        Raises:
            BadInputError: it is larger than ``most_bytes``.
            UnavailableError: it cannot be read.
        """
        pieces, size = [], 0
        try:
            for chunk in self.chunks(name):
                size += len(chunk)
                if size > most_bytes:
                    raise BadInputError(
                        "uri", f"{self.shown(name)} is larger than {most_bytes:,} bytes"
                    )
                pieces.append(chunk)
        except FileNotFoundError:
            return None
        return b"".join(pieces)

    def chunks(self, name: str) -> Iterator[bytes]:
        """A file's bytes, `CHUNK_BYTES` at a time at most.

        Raises:
            FileNotFoundError: there is none.
            UnavailableError: it cannot be read.
        """
        with self._told(name, "read", missing=True):
            stream = self._files.open_input_stream(self._path(name))
        with contextlib.closing(stream):
            while True:
                with self._told(name, "read"):
                    chunk: bytes = stream.read(CHUNK_BYTES)
                if not chunk:
                    return
                yield chunk

    def write(self, name: str, chunks: Iterable[bytes], *, settle: bool = True) -> None:
        """Make a file, whole or not at all, in the place of one that has this name.

        Without ``settle`` its bytes are on the disk then, its name once `settle` was called.

        Raises:
            StorageFullError: there is no room.
            UnavailableError: it cannot be written.
        """
        path = self._path(name)
        folder, _, base = path.rpartition("/")
        first = path
        if not self._is_whole_at_once:
            first = f"{folder}/{UNFINISHED}{base[:64]}-{secrets.token_hex(8)}"
        with self._told(name, "written"):
            if not self._is_whole_at_once:
                self._files.create_dir(folder, recursive=True)
            try:
                self._write(first, chunks)
                if first != path:
                    self._files.move(first, path)
            except BaseException:
                if first != path:
                    with contextlib.suppress(Exception):
                        self._files.delete_file(first)
                raise
            if self._is_local and settle:
                sync(folder)

    def settle(self, folder: str) -> None:
        """Wait until the names of a folder's files are on the disk, if it is a local one."""
        if self._is_local:
            with self._told(folder, "written"):
                sync(self._path(folder))

    def sizes(self, names: Sequence[str]) -> list[int | None]:
        """The bytes of files, None for those that are not there. Raises UnavailableError."""
        with self._told(names[0] if names else "", "read"):
            found = self._files.get_file_info([self._path(name) for name in names])
        return [int(one.size) if one.is_file else None for one in found]

    def entries(self, folder: str) -> list[Entry]:
        """What is in a folder, by name; nothing if there is none. Raises UnavailableError."""
        from pyarrow.fs import FileSelector

        with self._told(folder, "listed"):
            found = self._files.get_file_info(
                FileSelector(self._path(folder), allow_not_found=True)
            )
        entries = [Entry(one.base_name, int(one.size or 0), not one.is_file) for one in found]
        return sorted(entry for entry in entries if entry.name)

    def remove(self, name: str) -> None:
        """Remove a file; one that has gone is gone. Raises UnavailableError."""
        with contextlib.suppress(FileNotFoundError), self._told(name, "removed", missing=True):
            self._files.delete_file(self._path(name))

    def remove_folder(self, name: str) -> None:
        """Remove a folder with all that is in it. Raises UnavailableError."""
        with contextlib.suppress(FileNotFoundError), self._told(name, "removed", missing=True):
            self._files.delete_dir(self._path(name))

    def _write(self, path: str, chunks: Iterable[bytes]) -> None:
        # Closing a stream that was given up leaves a shorter object in an object store, which has
        # no way to take it back here: its size gives it away.
        with contextlib.closing(self._files.open_output_stream(path)) as stream:
            for chunk in chunks:
                stream.write(chunk)
        if self._is_local:
            sync(path)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    @contextlib.contextmanager
    def _told(self, name: str, done: str, *, missing: bool = False) -> Iterator[None]:
        """Errors of any file system in our words; a missing file's own, if it is asked for."""
        try:
            yield
        except MemoryCoreError:
            raise
        except FileNotFoundError as error:
            if missing:
                raise
            raise UnavailableError(f"{self.shown(name)} cannot be {done}: {_line(error)}") from None
        except Exception as error:  # noqa: BLE001 - an fsspec file system raises its library's own
            if isinstance(error, OSError) and has_no_room(error):
                raise StorageFullError(self.shown(name), "there is no room for it") from None
            raise UnavailableError(f"{self.shown(name)} cannot be {done}: {_line(error)}") from None


def _line(error: Exception) -> str:
    """An error in a line of bounded length."""
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror)
    return " ".join(str(error).split())[:300] or type(error).__name__


def _file_system(uri: str) -> tuple[Any, str]:
    """The file system of a URI, and where in it the URI points."""
    import pyarrow as pa
    from pyarrow.fs import FileSystem, FSSpecHandler, LocalFileSystem, PyFileSystem

    if "://" not in uri:
        return LocalFileSystem(), uri.rstrip("/")
    try:
        files, root = FileSystem.from_uri(uri)
        return files, root.rstrip("/")
    except (pa.ArrowException, OSError) as error:
        refused = _line(error)
    try:
        import fsspec
    except ImportError:
        raise BadInputError(
            "uri", f"{uri} cannot be used: {refused}; other schemes than pyarrow's need fsspec"
        ) from None
    try:
        files, root = fsspec.core.url_to_fs(uri)
    except Exception as error:  # noqa: BLE001 - as above
        raise BadInputError("uri", f"{uri} cannot be used: {_line(error)}") from None
    return PyFileSystem(FSSpecHandler(files)), str(root).rstrip("/")

"""A repository of backups of one memory, in a folder or an object store.

    <memory>/<backup id>/manifest.json    written last: without one a backup is not there
    <memory>/tables/<checksum>            the files of databases, each once, by its SHA-256
    <memory>/marks/backup-<id>            a backup is being made
    <memory>/marks/deletion-<id>          old backups are being deleted

RocksDB's tables never change, so a backup adds only what is new since the one before. A file that
is there with its right size is not written again, whoever left it: so what a backup that was
killed had written is used by the next. What no manifest names goes with the next deletion.

Several backups may be made at the same time. A deletion may take away what a backup counts on
finding, so they keep out of each other's way (`memory_core.backup_marks`).
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from memory_core.backup_manifest import (
    MAX_MANIFEST_BYTES,
    Manifest,
    StoredFile,
    check_backup_id,
    check_memory_name,
    decode_manifest,
    encode_manifest,
    time_of_backup_ns,
)
from memory_core.backup_marks import Marks
from memory_core.backup_place import CHUNK_BYTES, BackupPlace
from memory_core.errors import (
    BadInputError,
    CorruptionError,
    DatabaseError,
    UnavailableError,
)
from memory_core.file_system import write_error

__all__ = ["BackupRepository", "Listing", "checksum", "file_chunks", "memories_in"]

_TABLES, _MARKS, _MANIFEST = "tables", "marks", "manifest.json"
_ASKED_TOGETHER = 1_000
_DELETION_WAIT_S = 60.0
_POLL_S = 0.2


@dataclass(frozen=True)
class Listing:
    """The backups of a memory.

    Attributes:
        backups: the oldest first.
        damaged: why others cannot be used, one sentence each.
        unfinished: ids of those that are being made, or were given up.
    """

    backups: list[Manifest]
    damaged: list[str]
    unfinished: list[str]


def memories_in(place: BackupPlace) -> list[str]:
    """The memories that have backups in a place, by name. Raises UnavailableError."""
    found = []
    for entry in place.entries(""):
        try:
            check_memory_name(entry.name)
        except BadInputError:
            continue
        inside = place.entries(entry.name) if entry.is_folder else []
        if any(time_of_backup_ns(one.name) is not None for one in inside):
            found.append(entry.name)
    return found


def checksum(path: str, pace: Callable[[int], None] = lambda _: None) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal; ``pace`` is told of each chunk's size."""
    digest = hashlib.sha256()
    for chunk in file_chunks(path):
        digest.update(chunk)
        pace(len(chunk))
    return digest.hexdigest()


def file_chunks(path: str) -> Iterator[bytes]:
    """A local file's bytes, some at a time. Raises OSError."""
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


class BackupRepository:
    """The backups of one memory in a place. Safe to use from several threads.

    Attributes:
        place: where they are.
        memory: the memory's name.
        clock: wall clock, in nanoseconds.
        marks: of those who make or delete backups.

    Raises:
        BadInputError: the name cannot be a memory's.
    """

    def __init__(
        self, place: BackupPlace, memory: str, *, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self.place = place
        self.memory = check_memory_name(memory)
        self.clock = clock
        self.marks = Marks(place, f"{memory}/{_MARKS}", clock)

    def begin(self, memory_id: str, *, wait_s: float = _DELETION_WAIT_S) -> str:
        """Announce a new backup of the memory that has this id; the backup's id.

        Raises:
            BadInputError: there are backups of another memory of this name.
            UnavailableError: old backups are being deleted, for longer than ``wait_s``.
        """
        self._require_same_memory(memory_id)
        backup = self.marks.leave("backup")
        deadline = time.monotonic() + wait_s
        while self.marks.of("deletion"):
            if time.monotonic() > deadline:
                self.abandon(backup)
                shown = self.place.shown(self.memory)
                raise UnavailableError(f"old backups in {shown} are being deleted; try again later")
            time.sleep(_POLL_S)
        return backup

    def have(self, files: Iterable[StoredFile]) -> list[bool]:
        """Which files the repository has, as far as their sizes tell. Raises UnavailableError."""
        files = list(files)
        found: list[bool] = []
        for first in range(0, len(files), _ASKED_TOGETHER):
            some = files[first : first + _ASKED_TOGETHER]
            sizes = self.place.sizes([self._table(one.sha256) for one in some])
            found += [size == one.size_bytes for size, one in zip(sizes, some, strict=True)]
        return found

    def add(self, file: StoredFile, chunks: Iterable[bytes]) -> None:
        """Write a file's bytes, and `settle` later. Raises StorageFullError, UnavailableError."""
        self.place.write(self._table(file.sha256), chunks, settle=False)

    def settle(self) -> None:
        """Wait until what was added is on the disk under its name. Raises UnavailableError."""
        self.place.settle(f"{self.memory}/{_TABLES}")

    def finish(self, manifest: Manifest) -> None:
        """Make a backup one that is there, if all of its files are.

        Raises:
            UnavailableError: one is not; the backup is not there.
            BadInputError: its place has backups of another memory of this name.
        """
        self._require_same_memory(manifest.memory_id)
        self._require_files(manifest)
        name = f"{self.memory}/{manifest.backup}/{_MANIFEST}"
        self.place.write(name, [encode_manifest(manifest)])
        self.abandon(manifest.backup)

    def abandon(self, backup: str) -> None:
        """Take the mark of a backup away, finished or given up. Raises UnavailableError."""
        self.marks.take_away("backup", check_backup_id(backup))

    def listing(self) -> Listing:
        """All backups. Raises UnavailableError."""
        backups, damaged = [], []
        for backup in self._ids():
            try:
                found = self._read(backup)
            except (DatabaseError, BadInputError) as error:
                damaged.append(str(error))
                continue
            if found is not None:
                backups.append(found)
        there = {one.backup for one in backups}
        backups.sort(key=lambda one: (one.began_wall_ns, one.backup))
        marked = [one for one in self.marks.of("backup") if one not in there]
        return Listing(backups, damaged, marked)

    def manifest(self, backup: str | None = None) -> Manifest:
        """One backup, or the newest that is whole.

        Raises:
            BadInputError: there is no such backup, or none at all.
            CorruptionError, IncompatibleError: its manifest cannot be used.
            UnavailableError: it cannot be read.
        """
        shown = self.place.shown(self.memory)
        if backup is not None:
            found = self._read(check_backup_id(backup))
            if found is None:
                raise BadInputError("backup", f"there is no backup {backup} in {shown}")
            return found
        listing = self.listing()
        if listing.backups:
            return listing.backups[-1]
        if listing.damaged:
            raise CorruptionError(shown, f"has no whole backup: {listing.damaged[-1]}")
        raise BadInputError("memory", f"there are no backups in {shown}")

    def remove(self, backup: str) -> None:
        """Delete a backup, but not the files that it has named. Raises UnavailableError."""
        folder = f"{self.memory}/{check_backup_id(backup)}"
        # the manifest first: what is half removed is not there
        self.place.remove(f"{folder}/{_MANIFEST}")
        self.place.remove_folder(folder)

    def tables(self) -> Iterator[tuple[str, int]]:
        """Checksum and size of each file that is kept. Raises UnavailableError."""
        for entry in self.place.entries(f"{self.memory}/{_TABLES}"):
            if not entry.is_folder:
                yield entry.name, entry.size_bytes

    def remove_table(self, digest: str) -> None:
        """Delete a file by its checksum. Raises UnavailableError."""
        self.place.remove(self._table(digest))

    def fetch(self, file: StoredFile, path: str, shard: int) -> None:
        """Bring a file's bytes to a new local file, and look whether they are the right ones.

        Raises:
            CorruptionError: it is missing, or its bytes are not those that were backed up.
            StorageFullError, DatabaseError: the local file cannot be written.
            UnavailableError: it cannot be read.
        """
        name = self._table(file.sha256)
        what = f"{self.place.shown(name)} ({file.name} of shard {shard})"
        digest, size = hashlib.sha256(), 0
        try:
            with open(path, "xb", buffering=0) as target:
                for chunk in self.place.chunks(name):
                    size += len(chunk)
                    if size > file.size_bytes:
                        raise CorruptionError(what, f"is longer than {file.size_bytes:,} bytes")
                    digest.update(chunk)
                    target.write(chunk)
                os.fsync(target.fileno())
        except FileNotFoundError:
            raise CorruptionError(what, "is missing from the backup") from None
        except OSError as error:
            raise write_error(path, error) from None
        if size < file.size_bytes:
            raise CorruptionError(what, f"has {size:,} bytes of {file.size_bytes:,}")
        if digest.hexdigest() != file.sha256:
            raise CorruptionError(what, "is damaged: its checksum is wrong")

    def _require_same_memory(self, memory_id: str) -> None:
        for backup in reversed(self._ids()):
            try:
                other = self._read(backup)
            except (DatabaseError, BadInputError):
                continue
            if other is not None and other.memory_id != memory_id:
                raise BadInputError(
                    "uri",
                    f"{self.place.shown(self.memory)} has backups of another memory of this "
                    f"name (id {other.memory_id}, not {memory_id}); name another place",
                )
            if other is not None:
                return

    def _require_files(self, manifest: Manifest) -> None:
        for shard in manifest.shards:
            for file, there in zip(shard.files, self.have(shard.files), strict=True):
                if not there:
                    raise UnavailableError(
                        f"{self.place.shown(self._table(file.sha256))} ({file.name} of shard "
                        f"{shard.shard}, written on {shard.host}) is not there as seen from here; "
                        "hosts must share the place of a backup: a folder of all, or an object "
                        "store"
                    )

    def _ids(self) -> list[str]:
        entries = self.place.entries(self.memory)
        return [one.name for one in entries if time_of_backup_ns(one.name) is not None]

    def _read(self, backup: str) -> Manifest | None:
        name = f"{self.memory}/{backup}/{_MANIFEST}"
        data = self.place.read(name, MAX_MANIFEST_BYTES)
        if data is None:
            return None
        return decode_manifest(data, self.place.shown(name), backup, self.memory)

    def _table(self, digest: str) -> str:
        return f"{self.memory}/{_TABLES}/{digest}"

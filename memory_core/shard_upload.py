"""A shard's part of a backup: a checkpoint of its open store, brought into a repository.

The checkpoint lies beside the database, on the same disk, so its tables are hard links; it goes
when its files are in the repository. One that was left by a kill is removed by
`remove_stale_checkpoints`, which whoever opens the database next calls.

What it costs the store is bounded: `RATE_BYTES_S` limits what is read and written, a chunk at a
time, on one thread; and a table whose checksum is known from an earlier backup is not read again.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator

import msgspec

from memory_core.backup_manifest import ShardBackup, StoredFile
from memory_core.backup_repository import BackupRepository, checksum, file_chunks
from memory_core.damage import database_files
from memory_core.errors import (
    DatabaseError,
    OverloadedError,
    StorageFullError,
    UnavailableError,
)
from memory_core.file_system import has_no_room

__all__ = [
    "RATE_BYTES_S",
    "Pace",
    "ShardUploads",
    "UploadRequest",
    "remove_stale_checkpoints",
]

RATE_BYTES_S = 32 * 1024 * 1024
_CHECKPOINT = ".checkpoint-"
_LEFT_OUT = ("LOCK", "LOG")
_LONGEST_PAUSE_S = 1.0
_Known = tuple[int, int, int]  # inode, size, time of the last change in ns


class UploadRequest(msgspec.Struct, frozen=True):
    """What a shard is asked to do: bring its part of a backup into a repository.

    Attributes:
        uri: of the place.
        memory: whose repository it is.
        rate_bytes_s: bound on what is read and written.
    """

    uri: str
    memory: str
    rate_bytes_s: float = RATE_BYTES_S


class Pace:
    """Keeps work at a rate, by pauses.

    Args:
        rate_bytes_s: bytes a second, over any second or so.
    """

    def __init__(
        self,
        rate_bytes_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate_bytes_s = rate_bytes_s
        self._clock = clock
        self._sleep = sleep
        self._free_at = clock()

    def __call__(self, size_bytes: int) -> None:
        """So many bytes were worked on: pause for as long as they should have taken."""
        now = self._clock()
        self._free_at = max(self._free_at, now - _LONGEST_PAUSE_S) + size_bytes / self._rate_bytes_s
        while True:  # once at least: whoever sleeps for it may have a reason to end the work
            pause_s = self._free_at - self._clock()
            self._sleep(min(max(pause_s, 0.0), _LONGEST_PAUSE_S))
            if pause_s <= _LONGEST_PAUSE_S:
                return


class ShardUploads:
    """Makes one shard's parts of backups, one at a time.

    Args:
        shard: its number.
        path: the database's folder.
    """

    def __init__(self, shard: int, path: str) -> None:
        self._shard = shard
        self._path = os.path.normpath(path)
        self._busy = threading.Lock()
        self._given_up = threading.Event()
        self._known: dict[_Known, str] = {}

    def run(
        self,
        checkpoint: Callable[[str], object],
        repository: BackupRepository,
        rate_bytes_s: float = RATE_BYTES_S,
    ) -> ShardBackup:
        """Make a part of a backup.

        Args:
            checkpoint: makes a consistent database in a folder that does not exist yet.
            repository: where its files go.
            rate_bytes_s: bound on what is read and written.

        Raises:
            OverloadedError: one is being made already.
            UnavailableError: it was given up.
            MemoryCoreError: the checkpoint cannot be made, or its files cannot be written.
        """
        if not self._busy.acquire(blocking=False):
            raise OverloadedError(
                f"shard {self._shard} makes a backup already; try again when that is done"
            )
        self._given_up.clear()
        folder = f"{self._path}{_CHECKPOINT}{secrets.token_hex(8)}"
        try:
            began_ns = time.time_ns()
            checkpoint(folder)
            taken_ns = time.time_ns()
            pace = Pace(rate_bytes_s, sleep=self._sleep)
            files, new_bytes, reused_bytes = self._upload(folder, repository, pace)
        except OSError as error:
            if has_no_room(error):
                raise StorageFullError(folder, "the disk has no room for a checkpoint") from None
            raise DatabaseError(
                error.filename or folder, f"cannot be read: {error.strerror or error}"
            ) from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            self._busy.release()
        return ShardBackup(
            shard=self._shard,
            host=socket.gethostname(),
            files=files,
            began_wall_ns=began_ns,
            taken_wall_ns=taken_ns,
            new_bytes=new_bytes,
            reused_bytes=reused_bytes,
        )

    def give_up(self) -> None:
        """Let the part that is being made, if one is, fail soon."""
        self._given_up.set()

    def _sleep(self, pause_s: float) -> None:
        if self._given_up.wait(pause_s):
            raise UnavailableError(f"the backup of shard {self._shard} was given up")

    def _upload(
        self, folder: str, repository: BackupRepository, pace: Pace
    ) -> tuple[list[StoredFile], int, int]:
        names = [name for name in database_files(folder) if not name.startswith(_LEFT_OUT)]
        known: dict[_Known, str] = {}
        files = []
        for name in names:
            path = os.path.join(folder, name)
            facts = os.stat(path)
            key = (facts.st_ino, facts.st_size, facts.st_mtime_ns)
            digest = self._known.get(key) if name.endswith(".sst") else None
            if digest is None:
                digest = checksum(path, pace)
            if name.endswith(".sst"):
                known[key] = digest
            files.append(StoredFile(name, facts.st_size, digest))
        self._known = known  # of tables that are gone nothing is kept
        sent: set[str] = set()
        for file, there in zip(files, repository.have(files), strict=True):
            if not there and file.sha256 not in sent:
                chunks = _paced(file_chunks(os.path.join(folder, file.name)), pace)
                repository.add(file, chunks)
                sent.add(file.sha256)
        if sent:
            repository.settle()
        new_bytes = sum(
            {one.sha256: one.size_bytes for one in files if one.sha256 in sent}.values()
        )
        return files, new_bytes, sum(one.size_bytes for one in files) - new_bytes


def remove_stale_checkpoints(path: str) -> list[str]:
    """Remove what a killed shard left beside its database's folder; the names.

    To be called by whoever has the database open: nobody else makes checkpoints of it then.
    """
    parent, base = os.path.split(os.path.normpath(os.path.abspath(path)))
    try:
        names = [name for name in os.listdir(parent) if name.startswith(f"{base}{_CHECKPOINT}")]
    except OSError:
        return []
    for name in names:
        shutil.rmtree(os.path.join(parent, name), ignore_errors=True)
    return names


def _paced(chunks: Iterator[bytes], pace: Pace) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk
        pace(len(chunk))

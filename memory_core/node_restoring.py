"""A node's part of a restore: databases of a backup made beside a memory's folders, then put there.

    <data root>/<memory>/restoring-<random>/shard-0    databases in the making
    <data root>/<memory>/replaced/<n>-<random>/        folders of generation n, put aside

Nothing of the memory is touched until all nodes have their databases. One restore of a memory
goes on at a time on a node, which a lock on the memory's folder sees to, and a lock ends with its
process: so what a killed restore has left there is known as that, and removed by the next.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator

import msgspec

from memory_core.backup_place import BackupPlace
from memory_core.backup_repository import BackupRepository
from memory_core.backup_restoring import make_databases
from memory_core.data_root import data_root, node_identity
from memory_core.errors import DatabaseError, StorageFullError, UnavailableError
from memory_core.file_system import has_no_room, sync
from memory_core.note_file import make_folders, read_note
from memory_core.shard_folder import Marks, ShardClaim, begin_making, end_making, place_of

__all__ = ["Fetched", "NodeRestoring", "RestoreRequest"]

_UNFINISHED = "restoring-"
_OF_A_SHARD = re.compile(r"shard-\d+(\.json)?")


class RestoreRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a node is asked to make.

    Attributes:
        uri: of the place that has the backup.
        source: the memory that it is of.
        backup: its id.
        shards: the numbers of those to make here.
        count: how many shards the memory is to have.
    """

    uri: str
    source: str
    backup: str
    shards: list[int]
    count: int


class Fetched(msgspec.Struct, frozen=True):
    """What a node has made: bytes read from the repository; memories sorted into new shards."""

    read_bytes: int
    memories: int | None


class NodeRestoring:
    """A restore of one memory on this node.

    Args:
        memory: the name that it is to have.
        root: the data root; None is the node's own.

    Attributes:
        identity: of the node.
        host: its name.

    Raises:
        UnavailableError: another restore of it goes on here.
        StorageFullError, DatabaseError: its folder cannot be written.
    """

    def __init__(self, memory: str, root: str | None = None) -> None:
        self.host = socket.gethostname()
        self._memory = memory
        self._root = root or data_root()
        self._folder = os.path.join(self._root, memory)
        self.identity = node_identity(self._root)
        make_folders(self._folder)
        self._lock: int | None = self._locked()
        for name in os.listdir(self._folder):
            if name.startswith(_UNFINISHED):
                shutil.rmtree(os.path.join(self._folder, name), ignore_errors=True)
        self._scratch = os.path.join(self._folder, f"{_UNFINISHED}{secrets.token_hex(8)}")

    def fetch(self, request: RestoreRequest) -> Fetched:
        """Make the databases, on the disk when this returns; nothing of the memory is touched.

        Raises:
            CorruptionError: a file of the backup is missing or damaged; names it.
            UnavailableError: the repository cannot be read.
            StorageFullError, DatabaseError: the databases cannot be written.
        """
        repository = BackupRepository(BackupPlace(request.uri), request.source)
        manifest = repository.manifest(request.backup)
        with self._told():
            os.mkdir(self._scratch)
            folders = {one: os.path.join(self._scratch, f"shard-{one}") for one in request.shards}
            made = make_databases(repository, manifest, folders, request.count, self._scratch)
            sync(self._scratch)
        return Fetched(*made)

    def put_in_place(self, claims: list[ShardClaim]) -> None:
        """Put folders of before aside, and the databases in their place, marked as made.

        Raises:
            StorageFullError, DatabaseError: a folder cannot be renamed or written.
        """
        with self._told():
            self._put_aside()
            for claim in claims:
                place = place_of(claim)
                begin_making(claim)
                os.rename(os.path.join(self._scratch, f"shard-{claim.shard}"), place.folder)
                sync(self._folder)
                end_making(claim)

    def close(self) -> None:
        """Remove what was not put in place, and let others restore. Safe at any moment."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        with contextlib.suppress(OSError):  # it has something in it
            os.rmdir(self._folder)
        self.let_go()

    def let_go(self) -> None:
        """Let others restore; what was made stays, as when this process is killed."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _locked(self) -> int:
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(folder)
            raise UnavailableError(
                f"memory {self._memory!r} is being restored on host {self.host} already"
            ) from None
        return folder

    def _put_aside(self) -> None:
        names = [name for name in os.listdir(self._folder) if _OF_A_SHARD.fullmatch(name)]
        aside: dict[str, str] = {}
        for name in sorted(names, key=lambda one: (not one.endswith(".json"), one)):
            path = os.path.join(self._folder, name)
            number = name.removesuffix(".json")
            if number not in aside:  # its marks, if it has some, come first
                marks = read_note(path, Marks) if name.endswith(".json") else None
                aside[number] = "" if marks is not None and not marks.made else self._aside(marks)
            if aside[number]:
                make_folders(aside[number])
                os.rename(path, os.path.join(aside[number], name))
            elif os.path.isdir(path):
                shutil.rmtree(path)  # a making that was cut short: nothing was acknowledged in it
            else:
                os.unlink(path)
        sync(self._folder)

    def _aside(self, marks: Marks | None) -> str:
        generation = "unmarked" if marks is None else f"generation-{marks.generation}"
        own = os.path.basename(self._scratch).removeprefix(_UNFINISHED)
        return os.path.join(self._folder, "replaced", f"{generation}-{own}")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (DatabaseError, UnavailableError):
            raise
        except OSError as error:
            if has_no_room(error):
                raise StorageFullError(self._folder, "the disk has no room for it") from None
            problem = f"cannot be written: {error.strerror or error}"
            raise DatabaseError(error.filename or self._folder, problem) from None

"""Databases of some shards made into databases of another number of shards, record by record.

Every record goes to the shard that its agent belongs to, as it is: state, vector, importance,
kind, step, metadata, time and tier. Only sequences change. Those of one database say the order of
storing, and two databases have given the same ones; so of ``n`` sources, sequence ``s`` of source
``i`` becomes ``s * n + i``, which keeps every agent's order and gives none twice.

Some `_BATCH_BYTES` for each target are in memory at a time, whatever the databases' size.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Literal

from memory_core.client import shard_of
from memory_core.config import MemoryConfig
from memory_core.errors import CorruptionError, DatabaseError, IncompatibleError
from memory_core.log import DATA_FAMILIES, IDS, Batch, Log
from memory_core.record import SEQUENCE_BYTES, ids_of

__all__ = ["ReshardTargets", "reshard_into"]

_BATCH_BYTES = 1024 * 1024
_BATCH_RECORDS = 2_000
_MOST_SEQUENCE = 2**62
_STM = 0
_Order = Literal["big", "little"]
_Renumber = Callable[[bytes, _Order], bytes]
_SETTINGS: dict[str, Any] = {
    "write_buffer_bytes": 4 * 1024 * 1024,
    "block_cache_bytes": 1024 * 1024,
    "durability": "os",
}


class ReshardTargets:
    """Databases in the making; a context manager that closes them, on the disk if all went well.

    Args:
        folders: of the shards that are made here, by their numbers; none exists yet.
        shards: how many the memory will have.
        sources: how many databases it is made of.

    Attributes:
        memories: how many were taken.
    """

    def __init__(self, folders: dict[int, str], shards: int, sources: int) -> None:
        self._shards = shards
        self._sources = sources
        self._identity: dict[str, Any] | None = None
        self._open = contextlib.ExitStack()
        self.memories = 0
        self._targets: dict[int, _Target] = {}
        try:
            for shard, folder in folders.items():
                log = Log(folder, MemoryConfig(path=folder, **_SETTINGS))
                self._open.callback(log.close)
                self._targets[shard] = _Target(log)
        except BaseException:
            self._open.close()
            raise

    def __enter__(self) -> ReshardTargets:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._open:
            if kind is None:
                for target in self._targets.values():
                    target.finish(self._identity)

    def take(self, source: int, folder: str) -> None:
        """Take what belongs here out of a source, a closed database that nobody else has open.

        Raises:
            CorruptionError: it holds a record that is none.
            IncompatibleError: it was made with other settings than the sources before it.
            StorageFullError, DatabaseError: something cannot be read or written.
        """
        log = Log(folder, MemoryConfig(path=folder, **_SETTINGS))
        try:
            self._note_identity(log)
            for family in range(len(DATA_FAMILIES)):
                self._take_family(log, family, self._renumbering(folder, source))
        finally:
            log.close()

    def _take_family(self, log: Log, family: int, renumbered: _Renumber) -> None:
        prefix, target = b"\xff\xff\xff", None  # which no key begins with
        with contextlib.closing(log.scan(family)) as records:
            for key, value in records:
                if not key.startswith(prefix):
                    prefix, target = self._target_of(log.path, key)
                if target is None:
                    continue
                if family == IDS:
                    target.put(family, key, renumbered(value, "big"))
                    continue
                head, rest = value[:SEQUENCE_BYTES], value[SEQUENCE_BYTES:]
                new_key = key
                if family != _STM:
                    new_key = prefix + renumbered(key[len(prefix) :], "big")
                target.put(family, new_key, renumbered(head, "little") + rest)
                self.memories += 1

    def _target_of(self, path: str, key: bytes) -> tuple[bytes, _Target | None]:
        """What the keys of a key's agent begin with, and where they go, if it is here."""
        prefix = key[: 2 + int.from_bytes(key[:2], "big")]
        try:
            agent_id, _ = ids_of(prefix)
        except ValueError as error:
            raise CorruptionError(path, f"the record {key!r:.200} is none: {error}") from None
        return prefix, self._targets.get(shard_of(agent_id, self._shards))

    def _renumbering(self, path: str, source: int) -> _Renumber:
        def renumbered(encoded: bytes, order: _Order) -> bytes:
            if len(encoded) != SEQUENCE_BYTES:
                raise CorruptionError(path, "has a record without a sequence")
            number = int.from_bytes(encoded, order) * self._sources + source
            if number > _MOST_SEQUENCE:
                raise DatabaseError(path, "has too large sequences; export and import it instead")
            return number.to_bytes(SEQUENCE_BYTES, order)

        return renumbered

    def _note_identity(self, log: Log) -> None:
        stored = log.get_meta("identity")
        try:
            identity = json.loads(stored or b"")
            identity.pop("database", None)
        except (ValueError, AttributeError):
            raise CorruptionError(log.path, "does not say what it was made with") from None
        if self._identity is None:
            self._identity = identity
        elif identity != self._identity:
            raise IncompatibleError(log.path, "was made with other settings than other shards")


class _Target:
    """A database that is written, in batches."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._batch: Batch = log.batch()
        self._size = 0

    def put(self, family: int, key: bytes, value: bytes) -> None:
        self._batch.put(family, key, value)
        self._size += len(key) + len(value)
        if self._size >= _BATCH_BYTES or len(self._batch) >= _BATCH_RECORDS:
            self._write()

    def finish(self, identity: dict[str, Any] | None) -> None:
        if len(self._batch):
            self._write()
        named = {**(identity or {}), "database": secrets.token_hex(16)}
        self._log.put_meta("identity", json.dumps(named).encode())
        self._log.sync()

    def _write(self) -> None:
        self._log.write(self._batch)
        self._batch, self._size = self._log.batch(), 0


def reshard_into(folders: dict[int, str], shards: int, sources: Sequence[Callable[[], Any]]) -> int:
    """Make the databases of some shards of all sources; how many memories they have.

    Args:
        folders: of the shards to make here, by number.
        shards: how many the memory will have.
        sources: each gives, as a context manager, the folder of a source, which goes after it.
    """
    with ReshardTargets(folders, shards, len(sources)) as targets:
        for number, source in enumerate(sources):
            with source() as folder:
                targets.take(number, folder)
    return targets.memories

"""The Ray actor around a `MemoryStore`; `memory_core.placement` starts and finds it.

With a claim its constructor never makes a folder: it opens the one that is the claim's, or says
of each call why it cannot (`memory_core.shard_folder`). So however often Ray starts the actor
again, nobody is served an empty store for one that is gone. `make` makes the folder, once.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from dataclasses import fields, replace
from time import perf_counter_ns

import msgspec

from memory_core.backup_place import BackupPlace
from memory_core.backup_repository import BackupRepository
from memory_core.config import MemoryConfig
from memory_core.data_root import known_identity
from memory_core.errors import LockedError, MemoryCoreError, UnavailableError
from memory_core.local_transport import execute_encoded
from memory_core.shard_calls import ShardInfo
from memory_core.shard_folder import (
    ShardClaim,
    begin_making,
    end_making,
    own_folder,
    place_of,
)
from memory_core.shard_upload import ShardUploads, UploadRequest, remove_stale_checkpoints
from memory_core.store import MemoryStore

__all__ = ["ShardActor"]

_GC_THRESHOLDS = (50_000, 50, 100)


class ShardActor:
    """Hosts one `MemoryStore`; batches come in and go out as bytes (`memory_core.wire`).

    Calls run on threads, so that a batch that arrives during another's fsync joins the next
    group commit. A store that refuses writes after a failed one is opened anew.

    Args:
        memory: the memory's name.
        shard: the number of this one.
        shards: how many there are.
        config: of the store.
        claim: whose folder to open; it then says where, too. Without one the folder is the
            config's, whatever is in it.
    """

    def __init__(
        self,
        memory: str,
        shard: int,
        shards: int,
        config: MemoryConfig,
        claim: ShardClaim | None = None,
    ) -> None:
        self._identity = (memory, shard, shards)
        self._config = config
        self._claim = claim
        self._opened = 0
        self._opening = threading.Lock()
        self._store: MemoryStore | None = None
        self._uploads: ShardUploads | None = None
        # Why it cannot be opened is said to each who asks: Ray would hand on the text alone.
        with contextlib.suppress(MemoryCoreError):
            self._usable_store()
        # Operations and results hold no cycles; a collection would only walk the tables.
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)

    def execute(self, data: bytes) -> bytes:
        """Execute a batch; the reply. Raises MemoryCoreError when the batch is none."""
        received_ns = perf_counter_ns()
        try:
            store = self._usable_store()
        except LockedError as error:  # by this shard's process of before, until it is gone
            raise UnavailableError(str(error)) from None
        return execute_encoded(store, data, received_ns)

    def info(self) -> bytes:
        """A packed `ShardInfo`. Raises MemoryCoreError when the store cannot be opened."""
        store, claim = self._usable_store(), self._claim
        info = ShardInfo.here(*self._identity, path=store.path, opened=self._opened)
        if claim is not None:
            root = place_of(claim).root
            info = msgspec.structs.replace(
                info,
                memory_id=claim.memory_id,
                generation=claim.generation,
                node=known_identity(root) or "",
            )
        return msgspec.msgpack.encode(info)

    def make(self) -> bytes:
        """Make the folder of the claim, unless it was made; a packed `ShardInfo`.

        Raises MemoryCoreError when it cannot be made, or is another's.
        """
        claim = self._claim
        if claim is not None:
            with self._opening:
                if self._store is None:
                    place = begin_making(claim)
                    store = MemoryStore(replace(self._config, path=place.folder))
                    try:
                        end_making(claim)
                    except BaseException:
                        store.close()
                        raise
                    self._store = store
                    self._opened += 1
        return self.info()

    def settings(self) -> bytes:
        """What a backup notes of the store's configuration: plain values by name, packed."""
        plain = {
            field.name: getattr(self._config, field.name)
            for field in fields(self._config)
            if field.name not in ("path", "encoder")
        }
        return msgspec.msgpack.encode(plain)

    def back_up(self, request: bytes) -> bytes:
        """Do a packed `UploadRequest`: a packed `ShardBackup`. Raises MemoryCoreError.

        It takes one of the actor's threads while it lasts.
        """
        asked = msgspec.msgpack.decode(request, type=UploadRequest)
        store = self._usable_store()
        repository = BackupRepository(BackupPlace(asked.uri), asked.memory)
        with self._opening:
            if self._uploads is None:
                self._uploads = ShardUploads(self._identity[1], store.path)
        part = self._uploads.run(store.checkpoint, repository, asked.rate_bytes_s)
        return msgspec.msgpack.encode(part)

    def give_up_backup(self) -> None:
        """Let the part of a backup that is being made, if one is, fail soon."""
        if self._uploads is not None:
            self._uploads.give_up()

    def close(self) -> None:
        """Close the store, so that the folder can be removed."""
        with self._opening:
            if self._store is not None:
                self._store.close()

    def _usable_store(self) -> MemoryStore:
        """The store, opened if it is not and opened anew if it refuses writes."""
        store = self._store
        if store is not None and store.refusal is None:
            return store
        with self._opening:  # calls come on several threads
            store = self._store
            if store is None or store.refusal is not None:
                path = self._config.path if self._claim is None else own_folder(self._claim).folder
                if store is None:
                    store = MemoryStore(replace(self._config, path=path))
                    remove_stale_checkpoints(store.path)  # of a process before this one
                else:
                    store = store.reopened()
                self._store = store
                self._opened += 1
            return store

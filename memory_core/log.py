"""RocksDB: column families, write batches, and its errors in our words; the only rocksdict import.

One column family a tier, ``ids`` for where a memory of a lower tier is (`memory_core.record`),
and ``meta`` for what the database is. A write batch is atomic over all of them. `Log.write` hands
a batch to the operating system, `Log.sync` waits until the disk has it: two steps, because
rocksdict holds the interpreter's lock in the first and releases it in the second, so that other
threads get on during the fsync.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
import time
import weakref
from collections.abc import Callable, Generator
from typing import Any

from rocksdict import (
    BlockBasedOptions,
    Cache,
    Checkpoint,
    DBCompressionType,
    DBRecoveryMode,
    Options,
    Rdict,
    WriteBatch,
    WriteBufferManager,
    WriteOptions,
)

from memory_core.config import MemoryConfig
from memory_core.disk_room import DiskRoom
from memory_core.errors import (
    CorruptionError,
    DatabaseError,
    IncompatibleError,
    StorageFullError,
    UnavailableError,
)
from memory_core.folder import family_order, is_unfinished, prepare_folder
from memory_core.memory_shares import Shares, shares_of
from memory_core.operations import TIERS
from memory_core.rocks_errors import in_our_words, translated

__all__ = ["DATA_FAMILIES", "IDS", "Batch", "Log", "is_open_here"]

_META = "meta"
# A tier's number is its place in `TIERS`; this is that of the family of ids.
IDS = len(TIERS)
DATA_FAMILIES = (*TIERS, "ids")
_FAMILIES = frozenset({"default", _META, *DATA_FAMILIES})
_FAMILIES_OF_FORMAT_1 = _FAMILIES - {"ids"}
_MEMTABLES_OF_LOG = 4
# What moves down is written once and seldom again: its memtables need not be as large.
_LOWER_BUFFER_RATIO = 0.25
_LEAST_BUFFER_BYTES = 64 * 1024
_SETTLED_LEVEL = 9
_DICTIONARY_BYTES = 16 * 1024
_SYNC_BYTES = 1024 * 1024
# With less room on the disk than this, or 8 memtables, a flush may not find any.
_AMPLE_BYTES = 64 * 1024 * 1024
_ROOM_S, _FLUSH_S, _ROOM_LOOK_S = 1.0, 10.0, 0.005
# Above every key: an agent id is no longer than 1,024 bytes, which keys begin with.
_END = b"\xff"


class Batch:
    """Writes that become durable together or not at all, in their order. Of `Log.batch`."""

    __slots__ = ("_first", "_handles", "_put", "count", "together")

    def __init__(self, handles: list[Any]) -> None:
        self._handles = handles
        self.count = 0
        # a single put needs no batch of RocksDB's, which is made for the second write
        self._first: tuple[int, bytes, bytes] | None = None
        self.together: Any = None
        self._put: Any = None

    def put(self, family: int, key: bytes, value: bytes) -> None:
        """Set a key in a column family: a tier's, or `IDS`."""
        self.count += 1
        if self._put is None:
            if self.count == 1:
                self._first = (family, key, value)
                return
            self._begin()
        self._put(key, value, self._handles[family])

    def delete(self, family: int, key: bytes) -> None:
        """Take a key out of a column family."""
        self.count += 1
        if self._put is None:
            self._begin()
        self.together.delete(key, self._handles[family])

    def delete_all(self, prefix: bytes = b"") -> None:
        """Take every key that begins with ``prefix`` out of all tiers and of `IDS`."""
        self.count += 1
        if self._put is None:
            self._begin()
        for handle in self._handles:
            self.together.delete_range(prefix, prefix + _END, handle)

    @property
    def single(self) -> tuple[int, bytes, bytes] | None:
        """The family, key and value of its only put, if that is all that there is."""
        return self._first if self._put is None else None

    def __len__(self) -> int:
        return self.count

    def _begin(self) -> None:
        self.together = WriteBatch(raw_mode=True)
        self._put = self.together.put
        if self._first is not None:
            family, key, value = self._first
            self._put(key, value, self._handles[family])


class Log:
    """An open database.

    Args:
        path: its folder, made if it does not exist.
        config: sizes of memtables and cache.

    Raises:
        LockedError: somebody else has it open.
        CorruptionError: its files are damaged.
        DatabaseError: it cannot be opened for another reason, which the text gives.
        BadInputError: the folder holds something else.
    """

    def __init__(self, path: str, config: MemoryConfig) -> None:
        shares = shares_of(config)  # before there is a folder
        self.path = path
        self.closed = False
        self._keeps_open = threading.Lock()  # a checkpoint, which other writes do not wait for
        self.created = prepare_folder(path)
        cache = Cache(shares.block_cache_bytes)
        names = (_META, *DATA_FAMILIES)
        families = {name: _family_options(name, shares, cache) for name in names}
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.create_missing_column_families(True)
        # A torn last record is a write that was never acknowledged; anything else is damage.
        options.set_wal_recovery_mode(DBRecoveryMode.tolerate_corrupted_tail_records())
        options.set_keep_log_file_num(4)
        options.set_max_background_jobs(2)
        options.set_max_open_files(512)
        # tables go to the disk as they are written: the log's fsync waits for what is before it
        options.set_bytes_per_sync(_SYNC_BYTES)
        # Older logs go once they are this long, which also bounds the time that opening takes.
        options.set_max_total_wal_size(_MEMTABLES_OF_LOG * shares.write_buffer_bytes)
        if shares.memtable_bytes is not None:
            options.set_write_buffer_manager(WriteBufferManager(shares.memtable_bytes, False))
        options.enable_statistics()  # less than the noise of measuring it, in and out of batches
        self._options = options
        self._patient, self._impatient = WriteOptions(), WriteOptions()
        self._impatient.no_slowdown = True
        self._room = DiskRoom(path, max(_AMPLE_BYTES, 8 * shares.write_buffer_bytes))
        self._flush_bytes = 2 * shares.write_buffer_bytes
        with translated(path):
            # RocksDB knows its own process's databases by their names: each needs one only
            real_path = os.path.realpath(path)
            if not self.created:
                _check_families(path, Rdict.list_cf(real_path, options))
            self._db = Rdict(real_path, options, column_families=families)
            self._meta = self._db.get_column_family(_META)
            self._families = [self._db.get_column_family(name) for name in DATA_FAMILIES]
            self._handles = [self._db.get_column_family_handle(name) for name in DATA_FAMILIES]
        _open_logs.add(self)

    def batch(self) -> Batch:
        """An empty batch for `write`."""
        return Batch(self._handles)

    def write(self, batch: Batch) -> None:
        """Hand a batch to the operating system, whole. Raises DatabaseError, StorageFullError."""
        how = self._patient if self._room.is_ample() else self._wait_for_flushes()
        try:
            single = batch.single
            if single is not None:
                family, key, value = single
                self._families[family].put(key, value, how)
            else:
                self._db.write(batch.together, how)
        except Exception as error:  # noqa: BLE001 - rocksdict raises nothing narrower
            raise in_our_words(self.path, str(error)) from None

    def _wait_for_flushes(self) -> WriteOptions:
        """How to write on a disk that is nearly full: without waiting within RocksDB.

        Where a flush finds no room RocksDB tries again for ever, and a write that has to wait for
        that flush holds the interpreter's lock meanwhile: nothing else in this process would run.
        So all flushes are waited for here, and then the write does not have to, even if it begins
        one: for `_ROOM_S` where there is no room for a flush, and for `_FLUSH_S` where there is,
        as that one is only slow.

        Raises:
            StorageFullError: RocksDB did not get done with them in that time.
        """
        began_s = time.monotonic()
        while self._is_flushing():
            patience_s = _FLUSH_S if self._room.is_there(self._flush_bytes) else _ROOM_S
            if time.monotonic() - began_s > patience_s:
                raise StorageFullError(self.path, "the disk has no room: a flush waits for some")
            time.sleep(_ROOM_LOOK_S)
        return self._impatient

    def _is_flushing(self) -> bool:
        """Whether a write may have to wait: for a memtable that is full, or for compaction."""
        families = (self._meta, *self._families)
        return bool(
            any(one.property_int_value("rocksdb.num-immutable-mem-table") for one in families)
            or self._db.property_int_value("rocksdb.is-write-stopped")
            or self._db.property_int_value("rocksdb.actual-delayed-write-rate")
        )

    def sync(self) -> None:
        """Wait until the disk has all that was written. Raises as `write` does."""
        try:
            self._db.flush_wal(True)
        except Exception as error:  # noqa: BLE001 - rocksdict raises nothing narrower
            raise in_our_words(self.path, str(error)) from None

    def get(self, family: int, key: bytes) -> bytes | None:
        """The value of a key in a column family. Raises CorruptionError."""
        try:
            value: bytes | None = self._families[family].get(key)
        except Exception as error:  # noqa: BLE001 - rocksdict raises nothing narrower
            raise in_our_words(self.path, str(error)) from None
        return value

    def get_many(self, family: int, keys: list[bytes]) -> list[bytes | None]:
        """The values of keys in a column family, in their order. Raises CorruptionError."""
        with translated(self.path):
            values: list[bytes | None] = self._families[family].get(list(keys)) or []
        return values

    def scan(self, tier: int, prefix: bytes = b"") -> Generator[tuple[bytes, bytes], None, None]:
        """Keys and values of a tier, or of `IDS`, that begin with ``prefix``, in their order."""
        with translated(self.path):
            key: Any = prefix
            for key, value in self._families[tier].items(from_key=prefix or None):
                if not key.startswith(prefix):
                    return
                yield key, value
            self._require_end(tier, key)

    def between(self, family: int, first: bytes, last: bytes) -> dict[bytes, bytes]:
        """What lies from one key to another, both included, as far as it can be read."""
        found: dict[bytes, bytes] = {}
        with translated(self.path):
            key: Any
            value: Any
            for key, value in self._families[family].items(from_key=first):
                if key > last:
                    break
                found[key] = value
        return found

    def _require_end(self, tier: int, last: bytes) -> None:
        """Raise if there is more after ``last``: rocksdict's iterators end at damage in silence."""
        cursor = self._families[tier].iter()
        try:
            cursor.seek(last)
            if cursor.valid() and cursor.key() == last:
                cursor.next()
            cursor.status()
            if cursor.valid():
                problem = f"could not be read to the end of {DATA_FAMILIES[tier]}"
                raise CorruptionError(self.path, problem)
        finally:
            del cursor  # in an error's traceback it would keep the database open, and locked

    def get_meta(self, key: str) -> bytes | None:
        """What the database says of itself under ``key``."""
        with translated(self.path):
            value: bytes | None = self._meta.get(key.encode())
        return value

    def put_meta(self, key: str, value: bytes) -> None:
        """Note something about the database, on disk when this returns."""
        with translated(self.path):
            self._meta.put(key.encode(), value)
            # into a file of its own: a log is kept as long as any family has its writes in it only
            self._meta.flush()

    def checkpoint(self, folder: str) -> None:
        """Make a database of all that was written before, in a folder that does not exist yet.

        Tables are hard links where the file system allows it. Safe beside `write` and `sync` of
        another thread: each write batch is in it whole or not at all.

        Raises:
            StorageFullError, DatabaseError: it could not be made.
            UnavailableError: the database is closed.
        """
        with self._keeps_open, translated(self.path):
            if self.closed:
                raise UnavailableError("the store is closed; open it again")
            Checkpoint(self._db).create_checkpoint(folder)

    def properties(self) -> dict[str, Callable[[str], str | None]]:
        """What tells a property of RocksDB's by its name, for each column family of memories."""
        return {
            name: family.property_value
            for name, family in zip(DATA_FAMILIES, self._families, strict=True)
        }

    def tickers(self) -> str:
        """RocksDB's own counts since the database was opened, one to a line."""
        return self._options.get_statistics() or ""

    def is_empty(self) -> bool:
        """True when no tier has a record."""
        return not any(True for tier in range(len(TIERS)) for _ in self.scan(tier))

    def close(self) -> None:
        """Close the files; nothing but `closed` may be asked afterwards.

        Never fails: closing writes to the disk, which may be full, but nothing that is not in
        the write-ahead log already.
        """
        if self.closed:
            return
        with self._keeps_open:
            self.closed = True
        _open_logs.discard(self)
        self._families.clear()
        self._handles.clear()
        del self._meta
        with contextlib.suppress(DatabaseError), translated(self.path):
            self._db.close()
        del self._db  # which closes it also when closing could not flush


_open_logs: weakref.WeakSet[Log] = weakref.WeakSet()


def is_open_here(path: str) -> bool:
    """Whether this process has the database of a folder open."""
    real_path = os.path.realpath(path)
    return any(os.path.realpath(log.path) == real_path for log in list(_open_logs))


def _abandon_in_forked_child() -> None:
    """Let a forked child neither use its parent's databases nor close them.

    RocksDB's threads are not forked: a child that closed one would wait for them for ever, and
    one that wrote to it would damage it. So the child never drops it, not even when it ends.
    """
    for log in list(_open_logs):
        log.closed = True
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(log))
    _open_logs.clear()


os.register_at_fork(after_in_child=_abandon_in_forked_child)


def _check_families(path: str, found: list[str]) -> None:
    """Refuse a database that lacks what every database of ours has from its making on."""
    families = set(found)
    if families == _FAMILIES or (families < _FAMILIES and is_unfinished(path)):
        return
    # one that lacks ids now, and had them, has lost the end of its MANIFEST
    if families == _FAMILIES_OF_FORMAT_1 and "ids" not in family_order(path):
        raise IncompatibleError(path, "was made with format 1; export it there and import it here")
    if families & {_META, *DATA_FAMILIES}:
        missing = ", ".join(sorted(_FAMILIES - families)) or "none"
        raise CorruptionError(
            path, f"lists other column families than it was made with (missing: {missing})"
        )
    raise IncompatibleError(path, "is a RocksDB database of something else, or its MANIFEST is cut")


def _family_options(name: str, shares: Shares, cache: Cache) -> Options:
    options = Options(raw_mode=True)
    buffer_bytes = shares.write_buffer_bytes
    if name != TIERS[0]:
        buffer_bytes = max(int(buffer_bytes * _LOWER_BUFFER_RATIO), _LEAST_BUFFER_BYTES)
    options.set_write_buffer_size(buffer_bytes)
    # Short-term records are rewritten soon: lz4 is nearly free. What has moved down is read
    # seldom and kept long; where long-term records have come to rest they are packed harder, with
    # a dictionary, since a block holds few of these small records.
    options.set_compression_type(
        DBCompressionType.zstd() if name in TIERS[1:] else DBCompressionType.lz4()
    )
    if name == TIERS[-1]:
        options.set_bottommost_compression_type(DBCompressionType.zstd())
        options.set_bottommost_compression_options(-14, _SETTLED_LEVEL, 0, _DICTIONARY_BYTES, True)
        options.set_bottommost_zstd_max_train_bytes(100 * _DICTIONARY_BYTES, True)
    table = BlockBasedOptions()
    table.set_block_cache(cache)
    table.set_bloom_filter(10, False)
    options.set_block_based_table_factory(table)
    return options

"""RocksDB: column families, write batches, and its errors in our words; the only rocksdict import.

One column family a tier, and ``meta`` for what the database is. A write batch is atomic over
all of them. `Log.write` hands a batch to the operating system, `Log.sync` waits until the disk
has it: two steps, because rocksdict holds the interpreter's lock in the first and releases it
in the second, so that other threads get on during the fsync.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rocksdict import (
    BlockBasedOptions,
    Cache,
    ColumnFamily,
    DBCompressionType,
    DBRecoveryMode,
    Options,
    Rdict,
    WriteBatch,
)

from memory_core.config import MemoryConfig
from memory_core.errors import (
    BadInputError,
    CorruptionError,
    DatabaseError,
    IncompatibleError,
    LockedError,
    StorageFullError,
)
from memory_core.ops import TIERS

__all__ = ["Batch", "Log"]

_META = "meta"


class Batch:
    """Writes that become durable together or not at all."""

    __slots__ = ("_batch", "_delete", "_handles", "_put")

    def __init__(self, handles: list[ColumnFamily]) -> None:
        self._batch = WriteBatch(raw_mode=True)
        self._put = self._batch.put
        self._delete = self._batch.delete
        self._handles = handles

    def put(self, tier: int, key: bytes, value: bytes) -> None:
        """Set a key in a tier's column family."""
        self._put(key, value, self._handles[tier])

    def delete(self, tier: int, key: bytes) -> None:
        """Take a key out of a tier's column family."""
        self._delete(key, self._handles[tier])

    def __len__(self) -> int:
        return self._batch.len()


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
        self.path = path
        self.closed = False
        self.created = _prepare_folder(path)
        cache = Cache(config.block_cache_bytes)
        families = {name: _family_options(name, config, cache) for name in (_META, *TIERS)}
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.create_missing_column_families(True)
        # A torn last record is a write that was never acknowledged; anything else is damage.
        options.set_wal_recovery_mode(DBRecoveryMode.tolerate_corrupted_tail_records())
        options.set_keep_log_file_num(4)
        options.set_max_background_jobs(2)
        options.set_max_open_files(512)
        with _translated(path):
            self._db = Rdict(path, options, column_families=families)
            self._meta = self._db.get_column_family(_META)
            self._families = [self._db.get_column_family(tier) for tier in TIERS]
            self._handles = [self._db.get_column_family_handle(tier) for tier in TIERS]

    def batch(self) -> Batch:
        """An empty write batch."""
        return Batch(self._handles)

    def write(self, batch: Batch) -> None:
        """Hand a batch to the operating system, whole. Raises DatabaseError, StorageFullError."""
        with _translated(self.path):
            self._db.write(batch._batch)

    def sync(self) -> None:
        """Wait until the disk has all that was written. Raises as `write` does."""
        with _translated(self.path):
            self._db.flush_wal(True)

    def get(self, tier: int, key: bytes) -> bytes | None:
        """The value of a key in a tier. Raises CorruptionError."""
        try:
            value: bytes | None = self._families[tier].get(key)
        except Exception as error:  # noqa: BLE001 - rocksdict raises nothing narrower
            raise _in_our_words(self.path, str(error)) from None
        return value

    def get_many(self, tier: int, keys: list[bytes]) -> list[bytes | None]:
        """The values of keys in a tier, in their order. Raises CorruptionError."""
        with _translated(self.path):
            values: list[bytes | None] = self._families[tier].get(list(keys)) or []
        return values

    def scan(self, tier: int, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Keys and values of a tier that begin with ``prefix``, in the order of the keys."""
        with _translated(self.path):
            key: Any
            for key, value in self._families[tier].items(from_key=prefix or None):
                if not key.startswith(prefix):
                    return
                yield key, value

    def get_meta(self, key: str) -> bytes | None:
        """What the database says of itself under ``key``."""
        with _translated(self.path):
            value: bytes | None = self._meta.get(key.encode())
        return value

    def put_meta(self, key: str, value: bytes) -> None:
        """Note something about the database, on disk when this returns."""
        with _translated(self.path):
            self._meta.put(key.encode(), value)
            self._db.flush_wal(True)

    def is_empty(self) -> bool:
        """True when no tier has a record."""
        return not any(True for tier in range(len(TIERS)) for _ in self.scan(tier))

    def close(self) -> None:
        """Close the files; nothing but `closed` may be asked afterwards."""
        if self.closed:
            return
        self.closed = True
        self._families.clear()
        self._handles.clear()
        del self._meta
        self._db.close()


def _family_options(name: str, config: MemoryConfig, cache: Cache) -> Options:
    options = Options(raw_mode=True)
    options.set_write_buffer_size(config.write_buffer_bytes)
    # Short-term records are rewritten soon: lz4 is nearly free. What has moved down is read
    # seldom and kept long.
    options.set_compression_type(
        DBCompressionType.zstd() if name in TIERS[1:] else DBCompressionType.lz4()
    )
    table = BlockBasedOptions()
    table.set_block_cache(cache)
    table.set_bloom_filter(10, False)
    options.set_block_based_table_factory(table)
    return options


def _prepare_folder(path: str) -> bool:
    """Make the folder if need be; True when there is no database in it yet."""
    try:
        os.makedirs(path, exist_ok=True)
        names = os.listdir(path)
    except (FileExistsError, NotADirectoryError):
        raise BadInputError("path", f"{path} is a file; name a folder") from None
    except OSError as error:
        raise DatabaseError(path, f"cannot be made or read: {error.strerror}") from None
    if "CURRENT" in names:
        return False
    if any(name.endswith((".sst", ".log")) or name.startswith("MANIFEST") for name in names):
        raise CorruptionError(
            os.path.join(path, "CURRENT"), "is missing, though the rest of a database is there"
        )
    if any(name not in {"LOCK", "LOG", "rocksdict-config.json"} for name in names):
        raise BadInputError("path", f"{path} holds something else; name a new or empty folder")
    return True


_FILE_NAME = re.compile(r"[^\s:'\"]*(?:\d{6}\.(?:sst|log|ldb)|MANIFEST-\d+|CURRENT)")


@contextlib.contextmanager
def _translated(path: str) -> Iterator[None]:
    """Maps RocksDB's errors, which rocksdict raises as plain exceptions, to ours."""
    try:
        yield
    except DatabaseError:
        raise
    except Exception as error:  # noqa: BLE001 - rocksdict raises nothing narrower
        raise _in_our_words(path, str(error)) from None


def _in_our_words(path: str, text: str) -> DatabaseError:
    first_line = text.splitlines()[0] if text else "unknown error"
    lowered = text.lower()
    if "lock" in lowered and ("unavailable" in lowered or "lock hold" in lowered):
        return LockedError(path, "another process has this database open; close it there first")
    if "no space left" in lowered or "disk quota" in lowered or "nospace" in lowered:
        return StorageFullError(path, f"the disk has no room ({first_line})")
    if lowered.startswith("corruption") or "corrupt" in lowered or "checksum" in lowered:
        match = _FILE_NAME.search(text)
        where = path
        if match:
            name = match.group()
            where = name if os.path.isabs(name) else str(Path(path) / Path(name).name)
        return CorruptionError(where, f"is damaged ({first_line})")
    if "comparator" in lowered or "not supported" in lowered:
        return IncompatibleError(path, first_line)
    return DatabaseError(path, first_line)

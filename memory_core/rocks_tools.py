"""A database's files read without touching its folder, also when its list of files is lost.

RocksDB is shown a temporary folder of links, so that whatever it writes on opening lands there,
and the folder itself may be damaged, read-only, or on a full disk. In place of the linked logs
it can be given mended ones. Where CURRENT or MANIFEST are lost, or a table is, RocksDB's repair
makes a new list of the tables that it can read from end to end.

The second importer of rocksdict, beside `memory_core.log`.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from rocksdict import AccessType, DBRecoveryMode, Options, Rdict, ReadOptions

from memory_core.errors import DatabaseError, StorageFullError
from memory_core.file_system import has_no_room
from memory_core.folder import family_order
from memory_core.rocks_errors import in_our_words

__all__ = ["NAMING_KEY", "Cursor", "View", "family_of_table", "last_write_of_table"]

_LINKED = re.compile(r"\d{6,}\.(sst|log)|MANIFEST-\d+|CURRENT")
_TABLE_OR_LOG = re.compile(r"\d{6,}\.(sst|log)")
# As it is among a table's properties, which are never compressed and lie near its end.
_FAMILY_PROPERTY = re.compile(rb"column\.family\.id.{4,8}name(stm|im|ltm|ids|meta)\n", re.DOTALL)
_LAST_WRITE_PROPERTY = re.compile(rb"\x08\x11([\x01-\x0a])key\.largest\.seqno", re.DOTALL)
_PROPERTIES_WITHIN_BYTES = 1 << 20
# A key that is none of ours, in tables that exist only to name column families.
NAMING_KEY = b"\xff\xff"


class Cursor(Protocol):
    """A place in the keys of a column family; invalid at the end and at damage."""

    def valid(self) -> bool:
        """Whether it is at a key."""

    def status(self) -> None:
        """Raise what ended it, if that was not the end of the keys."""

    def seek_to_first(self) -> None:
        """Go to the first key."""

    def seek_to_last(self) -> None:
        """Go to the last key."""

    def seek(self, key: bytes) -> None:
        """Go to the first key from ``key`` on."""

    def seek_for_prev(self, key: bytes) -> None:
        """Go to the last key up to ``key``."""

    def next(self) -> None:
        """Go on by one."""

    def prev(self) -> None:
        """Go back by one."""

    def key(self) -> Any:
        """The key here."""

    def value(self) -> Any:
        """The value here."""


class View:
    """A database as its files show it; a context manager. Nothing in its folder is changed.

    Args:
        path: the folder; whoever makes a view keeps it closed meanwhile.
        logs: bytes that take the place of a write-ahead log, by file name.
        rebuild: make a new list of tables instead of following CURRENT and MANIFEST.

    Attributes:
        families: the names of the column families.
        left_out: tables that a rebuilt list lacks because they cannot be read to their end.

    Raises:
        CorruptionError: the files cannot be opened as they are; names the file if RocksDB does.
        DatabaseError: they cannot be read for another reason.
    """

    def __init__(
        self, path: str, *, logs: Mapping[str, bytes] | None = None, rebuild: bool = False
    ) -> None:
        self._path = path
        self._cleanup = contextlib.ExitStack()
        self._db: Any = None
        self.left_out: list[str] = []
        try:
            self._folder = self._temporary_folder()
            _lay_out(path, self._folder, logs or {}, _TABLE_OR_LOG if rebuild else _LINKED)
            with self._named():
                if rebuild:
                    self._rebuild()
                self._open()
        except OSError as error:
            self.close()
            if has_no_room(error):
                raise StorageFullError(self._folder, "the disk has no room") from None
            raise DatabaseError(path, f"cannot be read: {error.strerror}") from None
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> View:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cursor(self, family: str) -> Cursor:
        """A new cursor; what it raises is RocksDB's, see `error_of`."""
        options = ReadOptions()
        options.set_verify_checksums(True)
        cursor: Cursor = self._tables[family].iter(options)
        return cursor

    def get(self, family: str, key: bytes) -> bytes | None:
        """The value of a key. Raises DatabaseError."""
        with self._named():
            value: bytes | None = self._tables[family].get(key)
        return value

    def get_many(self, family: str, keys: list[bytes]) -> list[bytes | None]:
        """The values of keys, in their order. Raises DatabaseError."""
        with self._named():
            values: list[bytes | None] = self._tables[family].get(keys) if keys else []
        return values

    def error_of(self, error: Exception) -> DatabaseError:
        """An error of a cursor's in our words, with the file in the database's own folder."""
        return in_our_words(self._path, str(error).replace(self._folder, self._path))

    def tables(self) -> set[str]:
        """The file names of the tables that are listed."""
        with self._named():
            return {file["name"].lstrip("/") for file in self._db.live_files()}

    def last_write(self) -> int:
        """RocksDB's number of the last write that tables and logs have."""
        with self._named():
            number: int = self._db.latest_sequence_number()
        return number

    def table_levels(self) -> list[tuple[int, int, int]]:
        """(level, bytes, records) of each table."""
        with self._named():
            return [
                (file["level"], file["size"], file["num_entries"]) for file in self._db.live_files()
            ]

    def close(self) -> None:
        """Close the files and take the temporary folder away."""
        if self._db is not None:
            self._tables.clear()
            with contextlib.suppress(Exception):
                self._db.close()
            self._db = None
        self._cleanup.close()

    def _temporary_folder(self) -> str:
        made = tempfile.TemporaryDirectory(prefix="memory-core-", ignore_cleanup_errors=True)
        return os.path.realpath(self._cleanup.enter_context(made))

    def _open(self) -> None:
        options = _options()
        options.set_wal_recovery_mode(DBRecoveryMode.tolerate_corrupted_tail_records())
        options.set_max_open_files(512)
        self.families = Rdict.list_cf(self._folder, options)
        others = {name: _options() for name in self.families if name != "default"}
        self._db = Rdict(
            self._folder,
            options,
            column_families=others,
            access_type=AccessType.read_only(False),
        )
        self._tables = {name: self._db.get_column_family(name) for name in self.families}

    def _rebuild(self) -> None:
        """Let RocksDB make a list of the tables and turn the logs into tables.

        Its repair knows a column family by the tables that name it, and drops from the logs what
        belongs to another. So tables are added, one of each family, under the family's number.
        """
        names = family_order(self._path)
        if names:
            self._add_naming_tables(names)
        Rdict.repair(self._folder, _options())
        lost = os.path.join(self._folder, "lost")
        if os.path.isdir(lost):
            self.left_out = sorted(name for name in os.listdir(lost) if name.endswith(".sst"))

    def _add_naming_tables(self, names: list[str]) -> None:
        donor = self._temporary_folder()
        options = _options()
        options.create_if_missing(True)
        database = Rdict(donor, options)
        for name in names[1:]:  # the first is the default one
            _put_naming_record(database.create_column_family(name, _options()))
        database.close()
        taken = [int(name[:-4]) for name in os.listdir(self._folder) if name[:-4].isdigit()]
        number = max(taken, default=0)
        for name in sorted(os.listdir(donor)):
            if name.endswith(".sst"):
                number += 1
                link = os.path.join(self._folder, f"{number:06d}.sst")
                os.symlink(os.path.join(donor, name), link)

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except (DatabaseError, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - rocksdict raises nothing narrower
            raise self.error_of(error) from None


def family_of_table(file: str) -> str | None:
    """The column family that a table says it is of, also when it is damaged elsewhere."""
    found = _FAMILY_PROPERTY.findall(_end_of(file))
    if not found:
        return None
    name: bytes = found[-1]
    return name.decode()


def last_write_of_table(file: str) -> int | None:
    """RocksDB's number of the last write in a table; None if the table no longer says it."""
    end = _end_of(file)
    number = None
    for match in _LAST_WRITE_PROPERTY.finditer(end):
        number = _varint(end[match.end() : match.end() + match.group(1)[0]])
    return number


def _end_of(file: str) -> bytes:
    with contextlib.suppress(OSError), open(file, "rb") as opened:
        opened.seek(max(0, os.path.getsize(file) - _PROPERTIES_WITHIN_BYTES))
        return opened.read()
    return b""


def _varint(encoded: bytes) -> int:
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(encoded))


def _put_naming_record(family: Rdict) -> None:
    family.put(NAMING_KEY, b"")
    family.flush()


def _options() -> Options:
    return Options(raw_mode=True)


def _lay_out(path: str, folder: str, logs: Mapping[str, bytes], wanted: re.Pattern[str]) -> None:
    real_path = os.path.realpath(path)
    for name in os.listdir(path):
        if not wanted.fullmatch(name):
            continue
        if name in logs:
            with open(os.path.join(folder, name), "wb") as file:
                file.write(logs[name])
        else:
            os.symlink(os.path.join(real_path, name), os.path.join(folder, name))

"""The folder of a database before RocksDB opens it: what it is, and whether files are missing.

RocksDB makes do with what it finds: it would make a new database beside the remains of one whose
``CURRENT`` has gone, and open one without its write-ahead log as if nothing had been in it. So
the folder is looked at first. What a kill can leave is taken for what it is: a database whose
making was cut short holds nothing, and is made again; and where a repair was killed between the
two names that it gives, the database is not begun anew.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from memory_core.errors import BadInputError, CorruptionError, DatabaseError
from memory_core.log_format import check_log_file

__all__ = ["family_order", "is_unfinished", "prepare_folder", "put_aside"]

_FIRST_MANIFEST = "MANIFEST-000001"
_FAMILY_HEADER = re.compile(r'^\[CFOptions "([^"]+)"\]', re.MULTILINE)
# What is opened to be written in place, and before RocksDB reads anything.
_WRITTEN = ("LOCK", "rocksdict-config.json")
# What RocksDB and rocksdict have written before there is a CURRENT.
_BEFORE_CURRENT = re.compile(
    r"LOCK|LOG|LOG\.old\.\d+|IDENTITY|MANIFEST-000001|\d{6}\.dbtmp|rocksdict-config\.json"
)


def prepare_folder(path: str) -> bool:
    """Make the folder if need be; True when there is no database in it yet.

    Raises:
        BadInputError: it is a file, or holds something else.
        CorruptionError: files of a database are missing or damaged; names the file.
        DatabaseError: it cannot be made, read or written; names the folder or the file.
    """
    _require_not_put_aside(path)
    try:
        os.makedirs(path, exist_ok=True)
        names = sorted(os.listdir(path))
    except (FileExistsError, NotADirectoryError):
        raise BadInputError("path", f"{path} is a file, or below one; name a folder") from None
    except OSError as error:
        raise DatabaseError(path, f"cannot be made or read: {error.strerror}") from None
    if "CURRENT" not in names:
        _require_no_database(path, names)
        _require_writable(path, names)
        return True
    try:
        _check_files(Path(path), names)
    except OSError as error:
        raise DatabaseError(error.filename or path, f"cannot be read: {error.strerror}") from None
    _require_writable(path, names)
    return False


def put_aside(path: str) -> str:
    """Where a repair puts the damaged database of a folder."""
    return f"{os.path.normpath(path)}.damaged"


def _require_not_put_aside(path: str) -> None:
    """Raise CorruptionError if the folder is gone because a repair was killed as it renamed it."""
    aside = put_aside(path)
    if os.path.lexists(aside) and not os.path.lexists(path):
        problem = f"is at {aside}, since a repair did not end; rename that back, and repair it"
        raise CorruptionError(path, problem)


def is_unfinished(path: str) -> bool:
    """Whether the making of a database was cut short, so that nothing can be in it."""
    folder = Path(path)
    return not any(folder.glob("*.sst")) and not any(
        log.stat().st_size for log in folder.glob("*.log")
    )


def _require_writable(path: str, names: list[str]) -> None:
    """Refuse what RocksDB would fail on half way, or rocksdict without saying where."""
    effective = os.access in os.supports_effective_ids
    for name in (path, *(os.path.join(path, name) for name in _WRITTEN if name in names)):
        if not os.access(name, os.W_OK, effective_ids=effective):
            raise DatabaseError(
                name, "is read-only to this user; allow writing to it, or open a copy"
            )


def _require_no_database(path: str, names: list[str]) -> None:
    if any(
        name.endswith((".sst", ".log"))
        or (name.startswith("MANIFEST-") and name != _FIRST_MANIFEST)
        for name in names
    ):
        raise CorruptionError(
            os.path.join(path, "CURRENT"), "is missing, though the rest of a database is there"
        )
    if not all(_BEFORE_CURRENT.fullmatch(name) for name in names):
        raise BadInputError("path", f"{path} holds something else; name a new or empty folder")


def _check_files(folder: Path, names: list[str]) -> None:
    manifest = (folder / "CURRENT").read_bytes().decode(errors="replace").strip()
    if not re.fullmatch(r"MANIFEST-\d{6,}", manifest):
        raise CorruptionError(str(folder / "CURRENT"), "is damaged: it names no MANIFEST")
    if manifest not in names:
        raise CorruptionError(str(folder / manifest), "is missing, though CURRENT names it")
    logs = [name for name in names if name.endswith(".log")]
    if not logs and manifest != _FIRST_MANIFEST:
        raise CorruptionError(str(folder), "has lost its write-ahead log (the .log files)")
    for name in (manifest, *logs):
        check_log_file(folder / name)


def family_order(path: str) -> list[str]:
    """The column families in the order of their numbers, from OPTIONS; empty when it is lost."""
    for name in sorted(os.listdir(path), reverse=True):
        if name.startswith("OPTIONS-"):
            with open(os.path.join(path, name), "rb") as file:
                found = _FAMILY_HEADER.findall(file.read().decode(errors="replace"))
            if len(found) > 1 and found[0] == "default" and len(set(found)) == len(found):
                return list(found)
    return []

"""Reading a JSON document of a run directory: the one place where such a file is opened.

Invariants
- A document of a newer schema is an error, never guessed at; what is larger than any that a run
  writes is not loaded, and what is no plain file is not opened, for that might never end.
- Nothing here needs more than the file: whoever lists thousands of runs reads two of them each.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import msgspec

from harness.errors import NewerSchemaError, RunDirectoryError
from harness.schema import SCHEMA_VERSION

__all__ = ["DOCUMENT_BYTES_MAX", "check_version", "read_document"]

# No document of ours comes near it; it bounds what a foreign one can make a reader load.
DOCUMENT_BYTES_MAX = 256 * 2**20


def read_document(path: Path) -> dict[str, Any] | None:
    """The document at `path`; None if there is no such file.

    Raises:
        RunDirectoryError: it cannot be read, is damaged or foreign; `NewerSchemaError` where this
            release is too old for it.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise RunDirectoryError(f"{path} is not a file")
        if found.st_size > DOCUMENT_BYTES_MAX:
            raise RunDirectoryError(f"{path} is larger than any that a run writes")
        document = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunDirectoryError(f"{path} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RunDirectoryError(f"{path} is damaged: it is not a JSON document") from None
    check_version(document.get("schema_version"), path)
    return document


def check_version(version: object, path: Path) -> None:
    """Raise RunDirectoryError unless `version` is one of a schema that this release reads."""
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise RunDirectoryError(f"{path} was not written by this harness: no schema_version")
    if version > SCHEMA_VERSION:
        raise NewerSchemaError(
            f"{path} has schema version {version}, and this release reads up to "
            f"{SCHEMA_VERSION}: install a newer agent-memory-harness"
        )

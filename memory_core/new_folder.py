"""A folder that is there whole or not at all: made under another name, then renamed.

Whoever is killed in between leaves ``<name>.partial-<random>`` beside it, which may be deleted.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager

from memory_core.errors import BadInputError
from memory_core.file_system import sync, write_error

__all__ = ["NewFolder", "new_folder", "require_free"]


class NewFolder:
    """A folder in the making.

    Attributes:
        path: where to make it; does not exist at first.
    """

    def __init__(self, path: str, final: str) -> None:
        self.path = path
        self._final = final

    def finish(self, around: AbstractContextManager[None] | None = None) -> None:
        """Put it in its place, on the disk when this returns. Raises OSError.

        Args:
            around: is entered when only its name is left to be given.
        """
        for name in os.listdir(self.path):
            sync(os.path.join(self.path, name))
        sync(self.path)
        with around or contextlib.nullcontext():
            os.rename(self.path, self._final)  # which an empty folder there gives way to
        sync(os.path.dirname(os.path.abspath(self._final)))


@contextlib.contextmanager
def new_folder(final: str) -> Iterator[NewFolder]:
    """Make a folder; nothing is left of it unless it is finished.

    Raises:
        StorageFullError: the disk has no room.
        DatabaseError: it cannot be written.
    """
    try:
        parent = os.path.dirname(os.path.abspath(final))
        os.makedirs(parent, exist_ok=True)
        around = tempfile.mkdtemp(prefix=f"{os.path.basename(final)}.partial-", dir=parent)
        try:
            yield NewFolder(os.path.join(around, "database"), final)
        finally:
            shutil.rmtree(around, ignore_errors=True)
    except OSError as error:
        raise write_error(final, error, "cannot be made") from None


def require_free(path: str, field: str) -> None:
    """Raise BadInputError unless a folder can be made at a path: nothing there, or empty."""
    try:
        holds = bool(os.listdir(path))
    except FileNotFoundError:
        return
    except OSError:  # a file, or a folder that may not be read
        holds = True
    if holds:
        raise BadInputError(field, f"{path} is not free; name a new or empty folder")

"""The error tree of memory_core.

    MemoryCoreError
    ├── BadInputError        an argument is wrong; names the field          (also a ValueError)
    ├── OverloadedError      a named bound is reached; try again later
    ├── UnavailableError     the store or shard cannot answer now
    │   └── DeadlineError    no answer came before the deadline             (also a TimeoutError)
    └── DatabaseError        something is wrong with the files; names the path
        ├── CorruptionError  the files are damaged
        ├── IncompatibleError  made by another format, encoder or dimension
        ├── LockedError      another process has the database open
        └── StorageFullError the disk or quota has no room

Every error is rebuilt from its ``args`` alone, so each survives pickling through Ray.
"""

from __future__ import annotations

__all__ = [
    "BadInputError",
    "CorruptionError",
    "DatabaseError",
    "DeadlineError",
    "IncompatibleError",
    "LockedError",
    "MemoryCoreError",
    "OverloadedError",
    "StorageFullError",
    "UnavailableError",
]


class MemoryCoreError(Exception):
    """Base of every error that memory_core raises on purpose."""


class BadInputError(MemoryCoreError, ValueError):
    """An argument is wrong. Only the operation that carries it fails.

    Attributes:
        field: the argument's name, with the path inside it (``state_data.position[0]``).
        problem: what is wrong with it and what would be right.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.field = field
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}"


class OverloadedError(MemoryCoreError):
    """A named bound is reached; the operation was not begun and may be tried again."""


class UnavailableError(MemoryCoreError):
    """The store or shard cannot answer now; whether a write took effect is not known."""


class DeadlineError(UnavailableError, TimeoutError):
    """No answer came before the operation's deadline."""


class DatabaseError(MemoryCoreError):
    """Something is wrong with the files of a database.

    Attributes:
        path: the database folder, or the file in it.
        problem: what is wrong and what can be done.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


class CorruptionError(DatabaseError):
    """The files are damaged; nothing is served from them as if they were whole."""


class IncompatibleError(DatabaseError):
    """The database was made by another format, encoder or dimension."""


class LockedError(DatabaseError):
    """Another process (or another store in this one) has the database open."""


class StorageFullError(DatabaseError):
    """The disk or its quota has no room; the write was not acknowledged."""

"""The error tree of the harness; the CLI maps each branch to an exit code.

    HarnessError
    ├── UsageError        the plan, an option or an input file is wrong     exit 2
    │   └── NotInstalledError   what a target needs is not on this machine
    ├── RunFailedError    the run began and could not be completed          exit 1
    └── RunDirectoryError a run directory is missing, damaged or foreign    exit 2
        └── NewerSchemaError    a newer release wrote it

A failed operation is no error here: it is a row with an outcome.
"""

from __future__ import annotations

__all__ = [
    "HarnessError",
    "NewerSchemaError",
    "NotInstalledError",
    "RunDirectoryError",
    "RunFailedError",
    "UsageError",
    "first_line",
    "quoted",
]

_SHOWN_MAX = 80


class HarnessError(Exception):
    """Base of every error that the harness raises on purpose; its text is one clear sentence."""


class UsageError(HarnessError):
    """A field of the plan is wrong.

    Attributes:
        field: the option as the user types it (``--agents``) or the file's name.
        problem: what is wrong, and the remedy.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.field = field
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}"


class NotInstalledError(UsageError):
    """A target needs something that is not on this machine; the problem says how to install it."""


class RunFailedError(HarnessError):
    """The run began and could not be completed; what it saw so far is kept."""


class RunDirectoryError(HarnessError):
    """A run directory is missing, damaged, or of a schema version this release cannot read."""


class NewerSchemaError(RunDirectoryError):
    """A file is of a newer schema than this release reads."""


def quoted(value: object) -> str:
    """A wrong value as an error quotes it, not longer than a line."""
    try:
        text = repr(value)
    except ValueError:  # more digits than Python writes
        return "a number of thousands of digits"
    return text if len(text) <= _SHOWN_MAX else f"{text[: _SHOWN_MAX - 3]}..."


def first_line(error: BaseException) -> str:
    """What an error of somebody else's says first, as text that can be written; it may be none."""
    try:
        lines = str(error).splitlines()
    except Exception:  # noqa: BLE001 - the text of an error is its author's code, too
        return ""
    return lines[0].encode("utf-8", "backslashreplace").decode() if lines else ""

"""The error tree of the harness; the CLI maps each branch to an exit code.

    HarnessError
    ├── UsageError        the plan, an option or an input file is wrong     exit 2
    ├── RunFailedError    the run began and could not be completed          exit 1
    └── RunDirectoryError a run directory is missing, damaged or foreign    exit 2

A failed operation is no error here: it is a row with an outcome.
"""

from __future__ import annotations

__all__ = ["HarnessError", "RunDirectoryError", "RunFailedError", "UsageError", "quoted"]

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


class RunFailedError(HarnessError):
    """The run began and could not be completed; what it saw so far is kept."""


class RunDirectoryError(HarnessError):
    """A run directory is missing, damaged, or of a schema version this release cannot read."""


def quoted(value: object) -> str:
    """A wrong value as an error quotes it, not longer than a line."""
    try:
        text = repr(value)
    except ValueError:  # more digits than Python writes
        return "a number of thousands of digits"
    return text if len(text) <= _SHOWN_MAX else f"{text[: _SHOWN_MAX - 3]}..."

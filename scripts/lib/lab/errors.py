"""What can go wrong in a lab; the text of each is one sentence with the remedy.

LabError          exit code 1: the machine, or the lab's state, does not allow it
└── UsageError    exit code 2: it was asked for in a wrong way
"""

from __future__ import annotations

__all__ = ["LabError", "UsageError"]


class LabError(Exception):
    """Something about the machine or the lab stands against it."""

    exit_code = 1


class UsageError(LabError):
    """The command was wrong."""

    exit_code = 2

"""Maintenance: what waits to move or to be deleted is moved and deleted, a part at a time.

The store has a `Maintenance` go on between other batches, so that nobody waits for all of it.
"""

from __future__ import annotations

from memory_core.operations import Maintain
from memory_core.results import Maintained

__all__ = ["Maintenance"]


class Maintenance:
    """A `Maintain` that goes on a part at a time.

    Attributes:
        operation: what was asked for.
        demoted: memories that it has moved down so far.
        promoted: and up.
        expired: and deleted, being too old.
        is_done: whether that is all.
        unseen: agents that have not been looked at; None before it has begun.
    """

    __slots__ = ("demoted", "expired", "is_done", "operation", "promoted", "unseen")

    def __init__(self, operation: Maintain) -> None:
        self.operation = operation
        self.demoted = self.promoted = self.expired = 0
        self.is_done = False
        self.unseen: list[str] | None = None

    @property
    def result(self) -> Maintained:
        """What was done so far."""
        return Maintained(self.demoted, self.promoted, self.expired)

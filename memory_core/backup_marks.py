"""Marks in a repository of backups: who is making one, and who is deleting old ones.

A mark is an empty file whose name says what it is of and since when. Whoever makes a backup, or
deletes, first leaves its own and then looks for those of the other kind: so of two that begin at
the same moment at least one sees the other. A mark older than `STALE_NS` is that of somebody who
was killed, and goes. Wall clocks of those who use a repository so have to agree within hours.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from memory_core.backup_manifest import time_of_backup_ns
from memory_core.backup_place import BackupPlace

__all__ = ["STALE_NS", "Marks"]

STALE_NS = 24 * 3_600 * 1_000_000_000
Kind = Literal["backup", "deletion"]


class Marks:
    """The marks in one folder.

    Args:
        place: of the backups.
        folder: of the marks.
        clock: wall clock, in nanoseconds.
    """

    def __init__(self, place: BackupPlace, folder: str, clock: Callable[[], int]) -> None:
        self._place = place
        self._folder = folder
        self._clock = clock

    def leave(self, kind: Kind) -> str:
        """Leave a new mark; its id, which begins with the time. Raises UnavailableError."""
        now = datetime.fromtimestamp(self._clock() // 1_000 / 1_000_000, UTC)
        one = f"{now:%Y%m%dT%H%M%S.%f}Z-{secrets.token_hex(4)}"
        self._place.write(self._name(kind, one), [b""])
        return one

    def take_away(self, kind: Kind, one: str) -> None:
        """Remove a mark; one that has gone is gone. Raises UnavailableError."""
        self._place.remove(self._name(kind, one))

    def of(self, kind: Kind) -> list[str]:
        """Ids of the marks of a kind, the oldest first. Raises UnavailableError."""
        young = []
        for entry in self._place.entries(self._folder):
            marked, _, one = entry.name.partition("-")
            began_ns = time_of_backup_ns(one)
            if marked != kind or began_ns is None:
                continue
            if self._clock() - began_ns > STALE_NS:
                self.take_away(kind, one)
            else:
                young.append(one)
        return sorted(young)

    def _name(self, kind: Kind, one: str) -> str:
        return f"{self._folder}/{kind}-{one}"

"""Counters that only grow, made of readings that may fall."""

from __future__ import annotations

from collections.abc import Hashable

__all__ = ["Growing"]


class Growing:
    """Each grows by what its readings grew, and stands still where they fell."""

    def __init__(self) -> None:
        self._seen: dict[Hashable, int] = {}
        self._grown: dict[Hashable, int] = {}

    def counted(self, key: Hashable, read: int) -> int:
        """What a counter has come to with its newest reading; the first is taken as it is."""
        grown = self._grown.get(key, 0) + max(0, read - self._seen.get(key, 0))
        self._seen[key], self._grown[key] = read, grown
        return grown

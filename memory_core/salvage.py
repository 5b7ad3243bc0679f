"""Reading what can be read of a column family: around damage, from both of its sides.

A cursor stops at a damaged block of a table. The keys behind it are reached from the end
backwards, and those between two damaged blocks by seeking to keys in between: an interval is
halved until a readable key is found in it, breadth first, within a bound of seeks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from memory_core.errors import DatabaseError
from memory_core.rocks_tools import Cursor

__all__ = ["Gap", "Salvage"]

_MAX_SEEKS = 1_000
_DIGIT_BYTES = 8

_Record = tuple[bytes, bytes]


@dataclass(frozen=True)
class Gap:
    """Keys that cannot be read: all between two that can; None is the family's end."""

    after: bytes | None
    before: bytes | None

    def covers(self, key: bytes) -> bool:
        """Whether a key lies in it."""
        return (self.after is None or key > self.after) and (
            self.before is None or key < self.before
        )


@dataclass
class Salvage:
    """One reading of a family; iterate `records` to its end, then see the rest.

    Attributes:
        cursor: makes a new cursor.
        error_of: maps what a cursor raises.
        gaps: where nothing could be read, once all is read.
        errors: what was met, each once.
    """

    cursor: Callable[[], Cursor]
    error_of: Callable[[Exception], DatabaseError]
    gaps: list[Gap] = field(default_factory=list)
    errors: list[DatabaseError] = field(default_factory=list)

    def records(self) -> Iterator[_Record]:
        """Every record that can be read, once; in the order of keys if nothing is damaged."""
        cursor = self.cursor()
        cursor.seek_to_first()
        last: bytes | None = None
        while cursor.valid():
            last = cursor.key()
            yield cursor.key(), cursor.value()
            cursor.next()
        if not self._is_damaged(cursor):
            return
        first: bytes | None = None
        cursor = self.cursor()
        cursor.seek_to_last()
        while cursor.valid() and (last is None or cursor.key() > last):
            first = cursor.key()
            yield cursor.key(), cursor.value()
            cursor.prev()
        self._is_damaged(cursor)
        yield from self._between(Gap(last, first))

    def _between(self, whole: Gap) -> Iterator[_Record]:
        waiting = deque([whole])
        dark: list[Gap] = []
        for _ in range(_MAX_SEEKS):
            if not waiting:
                break
            gap = waiting.popleft()
            middle = _middle(gap)
            if middle is None:
                dark.append(gap)
                continue
            found: list[_Record] = []
            up_to = self._walk(gap, middle, found, forward=True)
            down_to = self._walk(gap, middle, found, forward=False)
            yield from found
            # what was walked over to a bound of the gap is no longer dark
            for part in (Gap(gap.after, down_to), Gap(up_to, gap.before)):
                if part.before == gap.after and gap.after is not None:
                    continue
                if part.after == gap.before and gap.before is not None:
                    continue
                waiting.append(part)
        self.gaps = [self._named(gap) for gap in _joined(dark + list(waiting))]

    def _named(self, gap: Gap) -> Gap:
        """The gap between records, where it is one between keys that were sought."""
        after, before = gap.after, gap.before
        cursor = self.cursor()
        if after is not None:
            cursor.seek_for_prev(after)
            after = cursor.key() if cursor.valid() else after
        cursor = self.cursor()
        if before is not None:
            cursor.seek(before)
            before = cursor.key() if cursor.valid() else before
        return Gap(after, before)

    def _walk(self, gap: Gap, start: bytes, found: list[_Record], *, forward: bool) -> bytes | None:
        """Collect records from ``start`` to a damaged block; where it got to.

        That is the gap's own bound when no damage lies on the way to it.
        """
        cursor = self.cursor()
        reached = start
        if forward:
            cursor.seek(start)
        else:
            cursor.seek_for_prev(start)
        if not forward and cursor.valid() and cursor.key() == start:
            cursor.prev()  # which the way forward has
        while cursor.valid() and gap.covers(cursor.key()):
            reached = cursor.key()
            found.append((reached, cursor.value()))
            if forward:
                cursor.next()
            else:
                cursor.prev()
        if cursor.valid() or not self._is_damaged(cursor):
            return gap.before if forward else gap.after
        return reached

    def _is_damaged(self, cursor: Cursor) -> bool:
        try:
            cursor.status()
        except Exception as error:  # noqa: BLE001 - rocksdict raises nothing narrower
            named = self.error_of(error)
            if all(named.args != other.args for other in self.errors):
                self.errors.append(named)
            return True
        return False


def _middle(gap: Gap) -> bytes | None:
    """A key about half-way into a gap; None when there is no room in it."""
    low = gap.after or b""
    high = gap.before if gap.before is not None else low[:0] + b"\xff" * (_DIGIT_BYTES + 2)
    shared = 0
    while shared < min(len(low), len(high)) and low[shared] == high[shared]:
        shared += 1
    ends = [
        int.from_bytes(key[shared : shared + _DIGIT_BYTES].ljust(_DIGIT_BYTES, b"\0"), "big")
        for key in (low, high)
    ]
    number = sum(ends) // 2
    middle = low[:shared] + number.to_bytes(_DIGIT_BYTES, "big")
    return middle if gap.covers(middle) and number not in ends else None


def _joined(gaps: list[Gap]) -> list[Gap]:
    """Gaps in order, those that touch made one."""
    ordered = sorted(gaps, key=lambda gap: (gap.after is not None, gap.after or b""))
    joined: list[Gap] = []
    for gap in ordered:
        if joined and joined[-1].before is not None and joined[-1].before == gap.after:
            joined[-1] = Gap(joined[-1].after, gap.before)
        else:
            joined.append(gap)
    return joined

"""How far the wall clocks of a run's nodes are from the driver's: pure functions.

NTP's on-wire protocol (RFC 5905, section 8): the driver reads its clock (t1), the node answers
with its own (t2 when it was asked, t3 when it answers), the driver reads its clock again (t4). The
node's clock is ahead by ``((t2 - t1) + (t3 - t4)) / 2``, whatever the way took, if it took as long
there as back; if not, that is wrong by half the round trip at most, which is the error. Of several
exchanges the one with the shortest round trip says most.

Nodes are asked at the start of a run and at its end. Between, their clocks are taken to be halfway
between the two, and wrong by no more than the larger error and half of what they drifted.

Offsets place rows and samples of several nodes on one time line. No duration is made of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "SAME_CLOCK",
    "ClockOffset",
    "Exchange",
    "clock_document",
    "offset_of",
    "offsets_of_run",
]

# Over a century: more than any clock is off, and small enough to be added to any time.
_LARGEST_NS = 2**62


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """Four readings of two clocks, in ns: the driver's (``sent``, ``got``) and the node's.

    Attributes:
        sent_ns: when the driver asked.
        received_ns: when the node was asked.
        answered_ns: when it answered.
        got_ns: when the driver had the answer.
    """

    sent_ns: int
    received_ns: int
    answered_ns: int
    got_ns: int

    @property
    def round_trip_ns(self) -> int:
        """Time on the way, there and back; each clock alone is asked for a duration."""
        return max((self.got_ns - self.sent_ns) - (self.answered_ns - self.received_ns), 0)

    @property
    def offset_ns(self) -> int:
        """The node's clock less the driver's."""
        return ((self.received_ns - self.sent_ns) + (self.answered_ns - self.got_ns)) // 2


@dataclass(frozen=True, kw_only=True)
class ClockOffset:
    """A node's wall clock less the driver's, and how wrong that may be, in ns."""

    offset_ns: int
    error_ns: int


SAME_CLOCK = ClockOffset(offset_ns=0, error_ns=0)


def offset_of(exchanges: Iterable[Exchange]) -> ClockOffset | None:
    """What the exchange with the shortest round trip says; None of no exchange."""
    best = min(exchanges, key=lambda one: one.round_trip_ns, default=None)
    if best is None:
        return None
    return ClockOffset(offset_ns=best.offset_ns, error_ns=-(-best.round_trip_ns // 2))


def clock_document(start: ClockOffset | None, end: ClockOffset | None) -> dict[str, Any] | None:
    """A node's entry in ``clocks`` of ``run.json``; None when it never answered.

    Returns:
        ``offset_ns`` and ``error_ns`` for the whole run, and ``drift_ns``: how much further ahead
        the clock was at the end than at the start, None where only one of the two is known.
    """
    known = [one for one in (start, end) if one is not None]
    if not known:
        return None
    drift_ns = None if start is None or end is None else end.offset_ns - start.offset_ns
    return {
        "offset_ns": sum(one.offset_ns for one in known) // len(known),
        "error_ns": max(one.error_ns for one in known) + -(-abs(drift_ns or 0) // 2),
        "drift_ns": drift_ns,
    }


def offsets_of_run(run: Mapping[str, Any]) -> dict[str, int]:
    """The offset in ns by node that a ``run.json`` has; what is no offset counts as not there."""
    clocks = run.get("clocks")
    found: dict[str, int] = {}
    for node_id, clock in clocks.items() if isinstance(clocks, Mapping) else ():
        offset_ns = clock.get("offset_ns") if isinstance(clock, Mapping) else None
        if not isinstance(offset_ns, int) or isinstance(offset_ns, bool):
            continue
        if abs(offset_ns) <= _LARGEST_NS:
            found[node_id] = offset_ns
    return found

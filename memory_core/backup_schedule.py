"""Backups at an interval: one after the other, each at its time or as soon as the one before ends.

Times are kept from the first begin, so that a backup that takes a while does not shift those
after it. One that takes longer than the interval makes those miss that were due meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["repeat"]


def repeat(
    take: Callable[[int], None],
    interval_s: float | None,
    stop: threading.Event,
    *,
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[float], object] | None = None,
) -> int:
    """Take backups until asked to stop, the first at once; how many times went by without one.

    Args:
        take: takes one; is given its number, from 1. What it raises ends the repetition.
        interval_s: from the begin of one to that of the next; None takes one only.
        stop: asks for the end; a backup that is being taken is not broken off.
        clock: monotonic, in seconds.
        wait: waits so many seconds, or until asked to stop; by default of ``stop``.
    """
    pause = stop.wait if wait is None else wait
    due_s, missed, number = clock(), 0, 0
    while not stop.is_set():
        number += 1
        take(number)
        if interval_s is None:
            break
        due_s += interval_s
        late = int(max(0.0, clock() - due_s) // interval_s)
        missed += late
        due_s += late * interval_s
        pause(max(0.0, due_s - clock()))
    return missed

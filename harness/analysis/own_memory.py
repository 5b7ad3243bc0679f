"""The memory that is a process's own, from samples of what is resident (RSS) and unique (USS).

USS is what a process would give back by ending: the figure to look for leaks in. But it is dear,
so it is read some twenty times more seldom than RSS; and it moves without the process doing
anything: when another process begins or ends to use the same libraries, tens of MiB are unique to
it no more, or again. (USS of Ray's gcs fell from 41.8 to 27.1 MiB that way and rose again, three
times in ten minutes, while its RSS moved by 0.1 MiB.)

So own memory is taken to be RSS less what is shared, at every sample of RSS. What is shared is
RSS - USS where USS was read, straight lines between, and every jump of it taken out that RSS
did not make: that was another process. A jump that RSS made too, as when a process maps memory
that it shares, stays in, and so stays out of what is the process's own.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["own_bytes", "running_median"]

Floats = npt.NDArray[np.float64]

# Between two readings; less is what a reading itself wavers by.
_JUMP_BYTES = 2.0**20
_SAME_RATIO = 0.25
# Single wild readings go, jumps stay.
_READINGS = 5


def own_bytes(times_s: npt.ArrayLike, rss_bytes: npt.ArrayLike, uss_bytes: npt.ArrayLike) -> Floats:
    """Give ``(n,)`` bytes of own memory, NaN where RSS is.

    Args:
        times_s: ``(n,)``, in order.
        rss_bytes: ``(n,)``.
        uss_bytes: ``(n,)``, NaN where it was not read; NaN throughout gives RSS.
    """
    times, rss = np.asarray(times_s, np.float64), np.asarray(rss_bytes, np.float64)
    uss = np.asarray(uss_bytes, np.float64)
    read = np.flatnonzero(np.isfinite(uss) & np.isfinite(rss))
    if not read.size:
        return rss.copy()
    shared = running_median(rss[read] - uss[read], _READINGS)
    own: Floats = rss - np.interp(times, times[read], _without_strangers(shared, rss[read]))
    return own


def running_median(values: Floats, width: int) -> Floats:
    """Give the medians of so many neighbours, an odd number; fewer than half are ever lost."""
    if values.size < width:
        return values
    side = width // 2
    padded = np.pad(values, side, mode="edge")
    medians: Floats = np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1)
    return medians


def _without_strangers(shared: Floats, rss: Floats) -> Floats:
    """Take out the jumps that only what is shared made; the first reading is the level kept.

    RSS made a jump if it moved by as much, beyond what it usually does between two readings at
    that time, and does not move by as much all the time.
    """
    jump, moved = np.diff(shared), np.diff(rss)
    unusual = moved - running_median(moved, _READINGS)
    calm = np.median(np.abs(unusual)) if unusual.size else 0.0
    by_rss = (np.abs(unusual - jump) < _SAME_RATIO * np.abs(jump)) & (
        calm < _SAME_RATIO * np.abs(jump)
    )
    strangers = np.where((np.abs(jump) > _JUMP_BYTES) & ~by_rss, jump, 0.0)
    kept: Floats = shared - np.concatenate([[0.0], np.cumsum(strangers)])
    return kept

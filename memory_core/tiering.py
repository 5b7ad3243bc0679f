"""Which memories move down a tier: pure functions of numbers, without a store.

A memory's retention is its recency plus its importance. Recency is its place in the order of
storing among the memories of its tier, from 0 (oldest) to 1 (newest); importance is given with
the store call, from 0 to 1, by default 0.5. The lowest retention goes first, and of equals the
oldest. So importance 1 outlives the whole tier's turn once, and importance 0 goes at once
unless all is new.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["demotion_count", "lowest_retention", "retention", "transition_count"]

_SLACK_RATIO = 0.1


def retention(sequences: npt.ArrayLike, importances: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Retention of the memories of one agent in one tier, shape (n,), in [0, 2].

    Args:
        sequences: (n,) order of storing, distinct.
        importances: (n,) in [0, 1].
    """
    order = np.argsort(np.asarray(sequences, dtype=np.int64), kind="stable")
    recency = np.empty(len(order))
    recency[order] = np.arange(len(order)) / max(len(order) - 1, 1)
    return recency + np.asarray(importances, dtype=np.float64)


def lowest_retention(
    sequences: npt.NDArray[np.int64], scores: npt.NDArray[np.float64], count: int
) -> npt.NDArray[np.int64]:
    """Positions (count,) of the memories to move down, in the order of storing.

    Those of the lowest retention, and of equals the oldest.

    Args:
        sequences: (n,) order of storing, distinct.
        scores: (n,) retention.
        count: from 0 to n.
    """
    if count >= len(scores):
        return np.argsort(sequences, kind="stable")
    if count <= 0:
        return np.empty(0, np.int64)
    limit = np.partition(scores, count - 1)[count - 1]
    chosen = np.flatnonzero(scores < limit)
    equal = np.flatnonzero(scores == limit)
    oldest = equal[np.argsort(sequences[equal], kind="stable")[: count - len(chosen)]]
    chosen = np.concatenate((chosen, oldest))
    return chosen[np.argsort(sequences[chosen], kind="stable")]


def demotion_count(held: int, capacity: int) -> int:
    """How many memories leave a tier that holds ``held`` and may hold ``capacity``.

    None while it fits; otherwise the excess and a tenth of the capacity, so that the work
    of choosing is shared by many stores.
    """
    if held <= capacity:
        return 0
    return held - capacity + int(capacity * _SLACK_RATIO)


def transition_count(held: int, percentage: float) -> int:
    """How many of ``held`` memories are ``percentage`` of them, to the nearest whole."""
    return min(held, int(held * percentage / 100.0 + 0.5))

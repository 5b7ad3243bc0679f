"""Which memories move between tiers: pure functions of numbers, without a store.

A memory's retention is its recency plus its importance plus its access. Recency is its place in
the order of storing among the memories of its tier, from 0 (oldest) to 1 (newest); importance is
given with the store call, from 0 to 1, by default 0.5. The lowest retention goes down first, and of
equals the oldest. So importance 1 outlives the whole tier's turn once, and importance 0 goes at
once unless all is new.

Access, from 0 to 1, grows with how often a memory was retrieved and fades with how long ago that
is. The strength S of a memory is the sum over its retrievals of 2 ** (-age / half-life), and its
access is S / (S + 3.5). This is the probability of recall of ACT-R, 1 / (1 + exp(t - B)) with
B = ln S and t = ln 3.5 (Anderson and Lebiere, "The Atomic Components of Thought", 1998), with an
exponential in the place of its power law of decay, so that one number for a memory is enough: that
is the combined recency and frequency of LRFU (Lee et al., "LRFU: A Spectrum of Policies that
Subsumes the Least Recently Used and Least Frequently Used Policies", IEEE Transactions on Computers
50(12), 2001).

A memory of a lower tier whose access is over a half moves up one tier: that takes four retrievals
within a fifth of the half-life, or more that are spread further. What moves down has its strength
set to 0: it moves up again only after it was retrieved as often anew. So no memory goes up and down
with every batch, however full the tiers are; and one that has moved up, having the lowest recency
there, stays as long as its access makes up for it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = [
    "RISING_STRENGTH",
    "access",
    "demotion_count",
    "lowest_retention",
    "retention",
    "transition_count",
]

_SLACK_RATIO = 0.1
# Of a memory whose access is a half. Between two whole numbers, so that rounding decides nothing
# where retrievals come together.
RISING_STRENGTH = 3.5
_ACCESS_DECIMALS = 6


def access(strengths: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Access, shape (n,), in [0, 1], to six decimals.

    Args:
        strengths: (n,) sums of retrievals, each faded since; at least 0.
    """
    given = np.asarray(strengths, dtype=np.float64)
    return np.round(given / (given + RISING_STRENGTH), _ACCESS_DECIMALS)


def retention(
    sequences: npt.ArrayLike,
    importances: npt.ArrayLike,
    read: npt.NDArray[np.int64] | None = None,
    accesses: npt.NDArray[np.float64] | None = None,
) -> npt.NDArray[np.float64]:
    """Retention of the memories of one agent in one tier, shape (n,), in [0, 3].

    Args:
        sequences: (n,) order of storing, distinct.
        importances: (n,) in [0, 1].
        read: (m,) distinct sequences of what was retrieved, in any order; those that are not
            among ``sequences`` do not count. None is the same as no such sequence.
        accesses: (m,) access of each of them, in [0, 1]; of all others it is 0.
    """
    given = np.asarray(sequences, dtype=np.int64)
    if bool((given[1:] > given[:-1]).all()):  # as they mostly are
        order = np.arange(len(given))
        recency = order / max(len(given) - 1, 1)
    else:
        order = np.argsort(given, kind="stable")
        recency = np.empty(len(order))
        recency[order] = np.arange(len(order)) / max(len(order) - 1, 1)
    scores: npt.NDArray[np.float64] = recency + np.asarray(importances, dtype=np.float64)
    if read is not None and accesses is not None and len(read) and len(order):
        places = np.searchsorted(given, read, sorter=order)
        places = order[np.minimum(places, len(order) - 1)]
        is_here = given[places] == read
        scores[places[is_here]] += accesses[is_here]
    return scores


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

"""Searches inverted lists some of whose rows are dead, until there are as many hits as there are.

A list is scanned whatever rows of it are dead, so more hits are fetched than are asked for, and
more lists scanned where few rows count.
"""

from __future__ import annotations

from collections.abc import Set

import numpy as np
import numpy.typing as npt

from memory_core.inverted_lists import InvertedLists, selector

__all__ = ["search_live"]

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

_MIN_SCANNED_ROWS = 4_096
_AMONG_PROBES = 4


def search_live(
    lists: InvertedLists, dead: Set[int], query: Floats, k: int, probes: int, among: Ints | None
) -> tuple[list[float], list[int]]:
    """Scores, best first, and ids of the ``k`` nearest whose ids are not ``dead``.

    Args:
        lists: where to search.
        dead: ids whose rows in the lists do not count.
        query: unit vector of shape (dim,), float32.
        k: at least 1.
        probes: lists to scan at least.
        among: ids to which the search is restricted, sorted, int64, or None.
    """
    chosen = None
    k = min(k, len(lists))  # for which there has to be room
    if not k:
        return [], []
    probes = max(probes, int(_MIN_SCANNED_ROWS * len(lists.sizes) / max(len(lists), 1)))
    if among is not None:
        if not len(among):
            return [], []
        chosen = selector(among)
        # As many of those that count are scanned as of all otherwise, and more lists at any rate:
        # what is left is often not where the query is.
        probes = max(_AMONG_PROBES * probes, -(-probes * len(lists) // len(among)))
    fetched = k + min(k, len(dead))
    while True:
        scores, ids = lists.search(query, fetched, probes, chosen)
        is_full = len(ids) == fetched
        if dead and not dead.isdisjoint(ids):
            live = [pair for pair in zip(scores, ids, strict=True) if pair[1] not in dead]
            scores, ids = [score for score, _ in live], [id_ for _, id_ in live]
        if len(ids) >= k:
            return scores[:k], ids[:k]
        if is_full:
            fetched *= 4
        elif probes < len(lists.sizes):
            probes = len(lists.sizes)
        else:
            return scores, ids

"""Recall of an approximate search, against exact search on vectors kept apart from the store.

recall@k is the share of the k nearest that a search found (J. Johnson, M. Douze, H. Jégou,
"Billion-Scale Similarity Search with GPUs", IEEE Transactions on Big Data 7(3), 2021, 6.1). The
truth is the inner product of the query with every vector.

Ties. Where several memories share the score of the k-th place, none has a better claim to the
places that are left, so whichever of them was found counts, but no more than there are places:
with b memories strictly better than the k-th score, a list earns a point for each of those b it
has and at most k - b points for ties. Scores closer than 1e-6 of the product of the lengths are
ties, for they are sums of rounded float32 products.

Memory is bounded: vectors are read in chunks (they may be a memory map), and of each query only
its k best scores are kept. What is looked up by id is what was found, never the whole list.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["RecallCount", "recall_at_k", "recall_count"]

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

_TIE_RATIO = 1e-6
_VECTORS_AT_ONCE = 8192
_QUERIES_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True)
class RecallCount:
    """What a recall is a ratio of; counts of several corpora (agents) add up.

    Attributes:
        hits: places of the truth that the found lists filled.
        places: places there were: for each query k, or as many as there are vectors.
        queries: how many queries were judged.
    """

    hits: int
    places: int
    queries: int

    def __add__(self, other: RecallCount) -> RecallCount:
        return RecallCount(
            hits=self.hits + other.hits,
            places=self.places + other.places,
            queries=self.queries + other.queries,
        )

    @property
    def recall(self) -> float | None:
        """Hits over places; None when there was none to fill."""
        return self.hits / self.places if self.places else None


def recall_at_k(
    found: Sequence[Sequence[Hashable]],
    vectors: npt.NDArray[Any],
    ids: Sequence[Hashable],
    queries: npt.ArrayLike,
    k: int,
    *,
    subset: Collection[Hashable] | None = None,
) -> float | None:
    """Give the recall@k of what a store found; the arguments are those of `recall_count`.

    Returns:
        Within [0, 1]; None when there are no queries or no vectors.
    """
    return recall_count(found, vectors, ids, queries, k, subset=subset).recall


def recall_count(
    found: Sequence[Sequence[Hashable]],
    vectors: npt.NDArray[Any],
    ids: Sequence[Hashable],
    queries: npt.ArrayLike,
    k: int,
    *,
    subset: Collection[Hashable] | None = None,
) -> RecallCount:
    """Count how many of the k nearest a store found.

    Args:
        found: for each query the ids found, best first; only the first k count, each once. An
            id that is not among `ids`, or not in the subset, is a miss.
        vectors: ``(n, d)``, read in chunks and converted to float32.
        ids: the n ids of the vectors; those that were found occur once.
        queries: ``(q, d)``.
        k: places for each query, at least 1.
        subset: ids that were searched, such as those of one tier; all by default.

    Raises:
        ValueError: shapes do not fit each other, `k` is less than 1, a value is not finite, or
            a found id occurs twice.
    """
    asked = np.asarray(queries, dtype=np.float32)
    _check(found, vectors, ids, asked, k)
    searched = _searched(ids, subset)
    places = min(k, searched.size)
    if places == 0:
        return RecallCount(hits=0, places=0, queries=len(found))
    at = _positions(found, ids, searched, k)
    hits = 0
    for start in range(0, len(found), _QUERIES_AT_ONCE):
        part = slice(start, start + _QUERIES_AT_ONCE)
        best, longest = _best_scores(vectors, searched, asked[part], places)
        margins = _TIE_RATIO * longest * np.linalg.norm(asked[part], axis=1)
        for row, margin in enumerate(margins.tolist()):
            scores = vectors[at[start + row]].astype(np.float32) @ asked[start + row]
            hits += _hits(scores, best[row], margin)
    return RecallCount(hits=hits, places=places * len(found), queries=len(found))


def _check(
    found: Sequence[Sequence[Hashable]],
    vectors: npt.NDArray[Any],
    ids: Sequence[Hashable],
    queries: Floats,
    k: int,
) -> None:
    if k < 1:
        raise ValueError(f"k: {k} is less than 1")
    if vectors.ndim != 2 or vectors.shape[0] != len(ids):
        raise ValueError(f"vectors: have shape {vectors.shape}; give a row for each of {len(ids)}")
    if queries.shape != (len(found), vectors.shape[1]) and len(found):
        wanted = (len(found), vectors.shape[1])
        raise ValueError(f"queries: have shape {queries.shape}, not {wanted}")
    if not np.isfinite(queries).all():
        raise ValueError("queries: hold a value that is not finite")


def _searched(ids: Sequence[Hashable], subset: Collection[Hashable] | None) -> Indices:
    if subset is None:
        return np.arange(len(ids))
    members = frozenset(subset)
    return np.flatnonzero(np.fromiter((one in members for one in ids), np.bool_, len(ids)))


def _positions(
    found: Sequence[Sequence[Hashable]], ids: Sequence[Hashable], searched: Indices, k: int
) -> list[list[int]]:
    """Where the vectors of each found list are, without misses and doubles."""
    wanted = frozenset(one for few in found for one in few[:k])
    position: dict[Hashable, int] = {}
    for index in searched.tolist():
        if ids[index] in wanted:
            if ids[index] in position:
                raise ValueError(f"ids: {ids[index]!r} occurs twice")
            position[ids[index]] = index
    return [[position[one] for one in dict.fromkeys(few[:k]) if one in position] for few in found]


def _chunks(vectors: npt.NDArray[Any], searched: Indices) -> Iterator[Floats]:
    whole = searched.size == vectors.shape[0]
    for start in range(0, searched.size, _VECTORS_AT_ONCE):
        stop = start + _VECTORS_AT_ONCE
        part = vectors[start:stop] if whole else vectors[searched[start:stop]]
        chunk = part.astype(np.float32, copy=False)
        if not np.isfinite(chunk).all():
            raise ValueError("vectors: hold a value that is not finite")
        yield chunk


def _best_scores(
    vectors: npt.NDArray[Any], searched: Indices, queries: Floats, places: int
) -> tuple[Floats, float]:
    """The best scores ``(q, places)`` in ascending order, and the length of the longest vector."""
    best = np.full((queries.shape[0], places), -np.inf, dtype=np.float32)
    longest = 0.0
    for chunk in _chunks(vectors, searched):
        longest = max(longest, float(np.linalg.norm(chunk, axis=1).max()))
        scores = queries @ chunk.T
        # After the first chunks few scores are better than the worst that is kept.
        rows, columns = np.nonzero(scores > best[:, :1])
        if rows.size == 0:
            continue
        of_row = np.bincount(rows, minlength=queries.shape[0])
        place = np.arange(rows.size) - np.repeat(np.cumsum(of_row) - of_row, of_row)
        merged = np.full((queries.shape[0], places + int(of_row.max())), -np.inf, np.float32)
        merged[:, :places] = best
        merged[rows, places + place] = scores[rows, columns]
        best = np.partition(merged, merged.shape[1] - places, axis=1)[:, -places:]
        best.sort(axis=1)
    return best, longest


def _hits(scores: Floats, best: Floats, margin: float) -> int:
    """Places that found scores fill, where `best` are the best there are, ascending."""
    last = float(best[0])
    better = int((best > last + margin).sum())
    found_better = int((scores > last + margin).sum())
    found_ties = int((scores >= last - margin).sum()) - found_better
    return min(found_better, better) + min(found_ties, best.size - better)

"""Unit vectors under ids, in full precision: all of a small index, and the newest of a large one.

Rows below ``frozen`` are being read by a build: they stay where they are, and removing one only
marks it with the id -1. `thaw` ends that. Not thread-safe, but for the search's buffers.
"""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt

from memory_core.index import FlatIndex, Searcher

__all__ = ["ExactRows"]

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

_NO_ID = -1
_FIRST_ROWS = 4
_MAX_GROWTH_ROWS = 65_536
_THREAD = threading.local()


def _searcher(dimension: int) -> Searcher:
    """This thread's buffers; shared by all indexes, so that a small one needs none of its own."""
    searchers: dict[int, Searcher] = _THREAD.__dict__.setdefault("searchers", {})
    searcher = searchers.get(dimension)
    if searcher is None:
        searcher = searchers[dimension] = Searcher(dimension)
    return searcher


class ExactRows(FlatIndex):
    """A matrix of vectors and the id of each row.

    Attributes:
        ids: (capacity,) int64; those of the first ``count`` rows mean something.
        frozen: how many rows a build is reading.
        marked: how many of them have been removed meanwhile.
    """

    __slots__ = ("frozen", "ids", "marked")

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension)
        self.frozen = self.marked = 0
        self.ids: Ints = np.empty(len(self.vectors), np.int64)

    def __len__(self) -> int:
        return self.count - self.marked

    @property
    def memory_bytes(self) -> int:
        """Bytes of the matrix and the ids."""
        return self.vectors.nbytes + self.ids.nbytes

    def extend(self, ids: Ints, vectors: Floats) -> None:
        """Append vectors (n, dim) under ids (n,)."""
        first, count = self.count, self.count + len(ids)
        if count > len(self.vectors):
            growth = min(max(first // 4, _FIRST_ROWS), _MAX_GROWTH_ROWS)
            self._resize(max(count, first + growth))
        self.vectors[first:count] = vectors
        self.ids[first:count] = ids
        self.count = count

    def discard(self, ids: Ints) -> None:
        """Take the rows of ids (n,), sorted and not negative, away; others are ignored."""
        here = self.ids[: self.count]
        if not len(ids) or not len(here):
            return
        if len(ids) == 1:
            found = np.flatnonzero(here == ids[0])
        else:
            # ids mostly come in the order of time, so few of those here are in the range
            found = np.flatnonzero((here >= ids[0]) & (here <= ids[-1]))
            some = here[found]
            found = found[ids[np.searchsorted(ids, some)] == some]
        if not len(found):
            return
        frozen = found[found < self.frozen]
        self.ids[frozen] = _NO_ID
        self.marked += len(frozen)
        keep = np.ones(self.count - self.frozen, np.bool_)
        keep[found[len(frozen) :] - self.frozen] = False
        self.retain(self.frozen, keep)

    def freeze(self) -> tuple[Ints, Floats]:
        """Keep all rows in place until `thaw`; their ids, as a copy, and their vectors."""
        self.frozen = self.count
        return self.ids[: self.count].copy(), self.vectors[: self.count]

    def thaw(self, *, drop: bool) -> None:
        """End what `freeze` began; with ``drop`` the frozen rows go, else those marked."""
        keep = np.arange(self.count) >= self.frozen
        if not drop:
            keep |= self.ids[: self.count] != _NO_ID
        self.frozen = self.marked = 0
        self.retain(0, keep)

    def retain(self, first: int, keep: npt.NDArray[np.bool_]) -> None:
        """Of the rows from ``first`` on keep those where ``keep`` (n,) is true.

        The last rows take the places that fall free.
        """
        count = self.count - int(np.count_nonzero(~keep))
        if count != self.count:
            free = np.flatnonzero(~keep) + first
            free = free[free < count]
            moved = np.arange(count, self.count)
            within = moved < first + len(keep)
            moved = moved[~within | keep[np.where(within, moved - first, 0)]]
            self.vectors[free] = self.vectors[moved]
            self.ids[free] = self.ids[moved]
            self.count = count
        if count < len(self.vectors) // 4 and len(self.vectors) > 2 * _FIRST_ROWS:
            self._resize(max(2 * count, 2 * _FIRST_ROWS))

    def nearest(self, query: Floats, k: int, among: Ints | None) -> tuple[list[float], list[int]]:
        """Scores, best first, and ids of the ``k`` nearest, of ``among`` (sorted) only if given."""
        if among is not None:
            return self._nearest_among(query, k, among)
        fetched = k
        while True:
            scores, rows = _searcher(self.vectors.shape[1]).search(self, query, fetched)
            ids = self.ids[rows].tolist()
            if not self.marked:
                return scores, ids
            live = [pair for pair in zip(scores, ids, strict=True) if pair[1] != _NO_ID][:k]
            if len(live) == min(k, len(self)):
                return [score for score, _ in live], [id_ for _, id_ in live]
            fetched = min(4 * fetched, fetched + self.marked)

    def _nearest_among(self, query: Floats, k: int, among: Ints) -> tuple[list[float], list[int]]:
        ids = self.ids[: self.count]
        if not len(among) or not len(ids):
            return [], []
        places = np.minimum(np.searchsorted(among, ids), len(among) - 1)
        chosen = np.flatnonzero(among[places] == ids)
        few = _Rows(self.vectors[chosen])
        scores, rows = _searcher(self.vectors.shape[1]).search(few, query, k)
        return scores, ids[chosen[rows]].tolist()

    def _resize(self, capacity: int) -> None:
        super()._resize(capacity)
        ids = np.empty(capacity, np.int64)
        ids[: self.count] = self.ids[: self.count]
        self.ids = ids


class _Rows(FlatIndex):
    """Vectors that are searched once."""

    __slots__ = ()

    def __init__(self, vectors: Floats) -> None:
        super().__init__(vectors.shape[1])
        self.vectors = vectors
        self.count = len(vectors)
        self._resize(len(vectors))

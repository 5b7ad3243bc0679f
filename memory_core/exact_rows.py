"""Unit vectors under ids, in full precision: all of a small index, and the newest of a large one.

Two arrays that grow by a quarter, so that three vectors cost little more than themselves: what a
search needs besides belongs to the thread that searches.

Rows below ``frozen`` are being read by a build: they stay where they are, and removing one only
marks it with the id -1. `thaw` ends that. Not thread-safe, but for the search's buffers.
"""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt

from memory_core.index import FlatIndex, Searcher
from memory_core.inverted_lists import pointer

__all__ = ["ExactRows"]

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

_NO_ID = -1
_MAX_GROWTH_ROWS = 65_536
_SMALL_ROWS = 8
_THREAD = threading.local()


class _View(FlatIndex):
    """Rows of any matrix, for the search: this thread's, shared by all indexes."""

    __slots__ = ("searcher",)

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension)
        self.searcher = Searcher(dimension)

    def nearest(self, vectors: Floats, query: Floats, k: int) -> tuple[list[float], list[int]]:
        """Scores, best first, and rows of the ``k`` nearest of vectors (n, dim), contiguous."""
        self.count = len(vectors)
        self.pointer = pointer(vectors)
        return self.searcher.search(self, query, k)


def _nearest(vectors: Floats, query: Floats, k: int) -> tuple[list[float], list[int]]:
    if not len(vectors):
        return [], []
    views: dict[int, _View] = _THREAD.__dict__.setdefault("views", {})
    view = views.get(len(query))
    if view is None:
        view = views[len(query)] = _View(len(query))
    return view.nearest(vectors, query, k)


class ExactRows:
    """A matrix of vectors and the id of each row.

    Attributes:
        count: how many rows there are.
        vectors: (capacity, dim) float32; the first ``count`` rows mean something.
        ids: (capacity,) int64, likewise.
        frozen: how many rows a build is reading.
        marked: how many of them have been removed meanwhile.
        kept: rows that keep their memory when they are taken away, since others will come.
    """

    __slots__ = ("count", "frozen", "ids", "kept", "marked", "vectors")

    def __init__(self, dimension: int) -> None:
        self.count = self.frozen = self.marked = 0
        self.kept = _SMALL_ROWS
        self.vectors: Floats = np.empty((0, dimension), np.float32)
        self.ids: Ints = np.empty(0, np.int64)

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
            floor = self.kept if self.kept > _SMALL_ROWS else 0
            self._resize(max(count, floor, first + min(first // 4, _MAX_GROWTH_ROWS)))
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
        capacity = len(self.vectors)
        if count < capacity // 4 and capacity > 2 * self.kept:
            self._resize(max(2 * count, self.kept))

    def nearest(self, query: Floats, k: int, among: Ints | None) -> tuple[list[float], list[int]]:
        """Scores, best first, and ids of the ``k`` nearest, of ``among`` (sorted) only if given."""
        if among is not None:
            return self._nearest_among(query, k, among)
        fetched = k
        while True:
            scores, rows = _nearest(self.vectors[: self.count], query, fetched)
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
        scores, rows = _nearest(self.vectors[chosen], query, k)
        return scores, ids[chosen[rows]].tolist()

    def _resize(self, capacity: int) -> None:
        vectors = np.empty((capacity, self.vectors.shape[1]), np.float32)
        vectors[: self.count] = self.vectors[: self.count]
        ids = np.empty(capacity, np.int64)
        ids[: self.count] = self.ids[: self.count]
        self.vectors, self.ids = vectors, ids

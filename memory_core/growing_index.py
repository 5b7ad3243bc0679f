"""The vector index of one agent in one lower tier: exact while small, inverted lists when large.

A vector is in one of two places. It enters the exact rows. Once there are `InvertedLists`, rows
are folded into them, some thousand at a time; what these cannot code within their range stays
exact. A search looks in both, under the lock. How lists come about is the matter of `Growth`,
which an index has only from ``exact_below`` rows on: until then it is two arrays and a lock.

Invariant: every id that was added, and not removed since, is in exactly one live row.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from memory_core.errors import BadInputError
from memory_core.exact_rows import ExactRows
from memory_core.index_growth import FOLD_ROWS, Growth, in_thread
from memory_core.index_state import read_state

__all__ = ["GrowingIndex", "in_thread"]

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

_PROBES = 40


class GrowingIndex:
    """Unit vectors under ids, searched by inner product. Thread-safe.

    Args:
        dimension: length of the vectors.
        exact_below: rows from which on the index is approximate; below it needs no build and a
            search is exact, at 7 ns a row of 64 dimensions.
        probes: lists that a search scans; more cost time and find more.
        start: runs a build, by default `in_thread`; one that runs it at once and returns None
            makes everything deterministic. It is called without the lock held.
    """

    __slots__ = ("_closed", "_exact_below", "_growth", "_lock", "_probes", "_rows", "_start")

    def __init__(
        self,
        dimension: int,
        *,
        exact_below: int = 10_000,
        probes: int = _PROBES,
        start: Callable[[Callable[[], None]], threading.Thread | None] = in_thread,
    ) -> None:
        self._exact_below = exact_below
        self._probes = probes
        self._start = start
        self._lock = threading.Lock()
        self._rows = ExactRows(dimension)
        self._growth: Growth | None = None
        self._closed = False

    def __len__(self) -> int:
        """How many ids are here; takes milliseconds when large and some were just removed."""
        with self._lock:
            return len(self._rows) + (0 if self._growth is None else self._growth.live_rows())

    @property
    def is_exact(self) -> bool:
        """Whether scores are exact, of every vector."""
        return self._growth is None or self._growth.lists is None

    def score_error(self, query: Floats) -> float:
        """What the scores of a query, a unit vector of shape (dim,), may be off by."""
        lists = None if self._growth is None else self._growth.lists
        return 0.0 if lists is None else lists.score_error(query)

    def score_deviation(self, query: Floats) -> float:
        """The standard deviation of what the scores of a query, a unit vector, are off by."""
        lists = None if self._growth is None else self._growth.lists
        return 0.0 if lists is None else lists.score_deviation(query)

    @property
    def is_building(self) -> bool:
        """Whether a build is under way."""
        return self._growth is not None and self._growth.is_building

    @property
    def build_error(self) -> Exception | None:
        """Why the last build failed, or None. What was there before serves on."""
        return None if self._growth is None else self._growth.error

    @property
    def memory_bytes(self) -> int:
        """Bytes of vectors, codes, ids and centroids."""
        with self._lock:
            grown = 0 if self._growth is None else self._growth.memory_bytes
            return self._rows.memory_bytes + grown

    def add(self, ids: Ints, vectors: Floats) -> None:
        """Add unit vectors (n, dim) float32 under ids (n,) int64, none of them here already.

        Ids are not negative.

        Raises:
            BadInputError: the shapes do not fit.
        """
        ids = np.ascontiguousarray(ids, np.int64)
        vectors = np.ascontiguousarray(vectors, np.float32)
        shape = (len(ids), self._rows.vectors.shape[1])
        if vectors.shape != shape:
            raise BadInputError("vectors", f"must be of shape {shape}, not {vectors.shape}")
        step = len(ids) if self.is_exact else FOLD_ROWS // 2
        for first in range(0, len(ids), max(step, 1)):
            with self._lock:
                self._rows.extend(ids[first : first + step], vectors[first : first + step])
                growth = self._grown()
                if growth is None:
                    continue
                growth.fold()
                due = growth.is_due()
            if due:
                growth.begin()

    def add_one(self, id_: int, vector: Floats) -> None:
        """Add one vector of shape (dim,)."""
        self.add(np.array([id_], np.int64), vector[np.newaxis])

    def remove(self, id_: int) -> None:
        """Take an id away; one that is not here is ignored."""
        self.remove_many(np.array([id_], np.int64))

    def remove_many(self, ids: Ints) -> None:
        """Take ids (n,) int64, in any order, away; those that are not here are ignored."""
        ids = np.sort(np.asarray(ids, np.int64))
        ids = ids[np.searchsorted(ids, 0) :]
        with self._lock:
            self._rows.discard(ids)
            growth = self._growth
            if growth is None or not len(ids):
                return
            growth.remove(ids)
            due = growth.is_due()
        if due:
            growth.begin()

    def search(
        self, query: Floats, k: int, *, among: Ints | None = None
    ) -> tuple[list[float], list[int]]:
        """Scores, best first, and ids of the ``k`` nearest; fewer when fewer are here.

        Scores from the lists are off by the rounding of codes, and what lies in lists that are
        not scanned is missed: take more than are needed, and rank them again by full vectors.

        Args:
            query: unit vector of shape (dim,), float32.
            k: at least 1.
            among: ids to which the search is restricted, sorted, int64.
        """
        dimension = self._rows.vectors.shape[1]
        if query.shape != (dimension,):
            raise BadInputError("query", f"must be of shape ({dimension},)")
        if k < 1:
            raise BadInputError("k", f"must be at least 1, not {k}")
        with self._lock:
            scores, ids = self._rows.nearest(query, k, among)
            if self._growth is None:
                return scores, ids
            more_scores, more_ids = self._growth.search(query, k, self._probes, among)
        if not more_scores:
            return scores, ids
        if not scores:
            return more_scores, more_ids
        found = list(zip(scores + more_scores, ids + more_ids, strict=True))
        found.sort(key=itemgetter(0), reverse=True)
        return [score for score, _ in found[:k]], [id_ for _, id_ in found[:k]]

    def wait(self) -> None:
        """Return when no build in a thread is under way."""
        if self._growth is not None:
            self._growth.wait()

    def close(self) -> None:
        """End a build that is under way and begin none any more; what is here stays usable."""
        with self._lock:
            self._closed = True
            growth = self._growth
        if growth is not None:
            growth.close()

    def state(self) -> list[npt.NDArray[Any]]:
        """Everything that is here at this moment as arrays, for `from_state`.

        Adds, removes and searches go on meanwhile; codes are copied list by list.
        """
        with self._lock:
            growth = self._growth
        return (growth or Growth(self._rows, self._lock)).state()

    @classmethod
    def from_state(cls, pieces: Sequence[Any], dimension: int, **options: Any) -> GrowingIndex:
        """The index that gave ``pieces`` (`state`), which may be any buffers, read-only ones too.

        What is needed of them is copied.

        Args:
            pieces: in the order given, whole: checksums are their keeper's business.
            dimension: as of the index that gave them.
            options: keywords of the constructor.

        Raises:
            BadInputError: they are of another version or dimension, or do not fit together.
        """
        index = cls(dimension, **options)
        restored = read_state(pieces, dimension)
        with index._lock:
            index._rows.extend(restored.ids, restored.vectors)
            if restored.lists is not None:
                index._growth = Growth(index._rows, index._lock, index._exact_below, index._start)
                index._growth.restore(restored)
            growth = index._grown()
            due = growth is not None and growth.is_due()
        if growth is not None and due:
            growth.begin()
        return index

    def _grown(self) -> Growth | None:
        """What takes care of growth, made when there is enough; the lock is held."""
        if self._growth is None and not self._closed and len(self._rows) >= self._exact_below:
            self._growth = Growth(self._rows, self._lock, self._exact_below, self._start)
        return self._growth

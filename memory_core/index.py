"""Exact similarity search over the vectors of one agent in one tier; the only FAISS import.

A `FlatIndex` is a matrix that grows, and FAISS's inner-product kernel runs on it in place. It
holds no FAISS object, so an index of ten vectors costs little more than the vectors. Rows are
dense: removing one moves the last into its place, and the caller is told.
"""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

__all__ = ["FlatIndex", "Searcher"]

_FIRST_ROWS = 8
_MAX_GROWTH_ROWS = 65_536


class FlatIndex:
    """Unit vectors in rows of a float32 matrix of shape (capacity, dim)."""

    __slots__ = ("count", "pointer", "vectors")

    def __init__(self, dimension: int) -> None:
        self.count = 0
        self.vectors: npt.NDArray[np.float32] = np.empty((_FIRST_ROWS, dimension), np.float32)
        self.pointer: Any = faiss.swig_ptr(self.vectors)

    def add(self, vector: npt.NDArray[np.float32]) -> int:
        """Append a vector of shape (dim,); its row."""
        row = self.count
        if row == len(self.vectors):
            self._grow()
        self.vectors[row] = vector
        self.count = row + 1
        return row

    def extend(self, vectors: npt.NDArray[np.float32]) -> None:
        """Append vectors of shape (n, dim)."""
        count = self.count + len(vectors)
        while count > len(self.vectors):
            self._grow()
        self.vectors[self.count : count] = vectors
        self.count = count

    def replace(self, row: int, vector: npt.NDArray[np.float32]) -> None:
        """Overwrite the vector in ``row``."""
        self.vectors[row] = vector

    def remove(self, holes: list[int], movers: list[int], count: int) -> None:
        """Put ``movers``, rows from ``count`` on, into ``holes``; keep ``count`` rows."""
        if holes:
            self.vectors[holes] = self.vectors[movers]
        self.count = count
        if count < len(self.vectors) // 4 and len(self.vectors) > _FIRST_ROWS:
            self._resize(max(2 * count, _FIRST_ROWS))

    def _grow(self) -> None:
        # by half: most of a store's memory may be the empty rows of agents with few memories
        rows = len(self.vectors)
        self._resize(rows + min(rows // 2, _MAX_GROWTH_ROWS))

    def _resize(self, capacity: int) -> None:
        vectors = np.empty((capacity, self.vectors.shape[1]), np.float32)
        vectors[: self.count] = self.vectors[: self.count]
        self.vectors = vectors
        self.pointer = faiss.swig_ptr(vectors)


class Searcher:
    """Runs searches one at a time, with buffers that it uses again. Not thread-safe."""

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._query = np.empty(dimension, np.float32)
        self._query_pointer = faiss.swig_ptr(self._query)
        self._search = faiss.knn_inner_product
        self._resize(64)

    def _resize(self, k: int) -> None:
        self._k = k
        self._scores = np.empty(k, np.float32)
        self._rows = np.empty(k, np.int64)
        self._scores_pointer = faiss.swig_ptr(self._scores)
        self._rows_pointer = faiss.swig_ptr(self._rows)

    def search(
        self, index: FlatIndex, query: npt.NDArray[np.float32], k: int
    ) -> tuple[list[float], list[int]]:
        """Scores (cosine, best first) and rows of the ``min(k, count)`` nearest.

        Args:
            index: where to search.
            query: unit vector of shape (dim,), float32.
            k: at least 1.
        """
        k = min(k, index.count)
        if k == 0:
            return [], []
        if k > self._k:
            self._resize(k)
        self._query[:] = query
        # One query runs on the calling thread; FAISS releases the interpreter's lock meanwhile.
        self._search(
            self._query_pointer,
            index.pointer,
            self._dimension,
            1,
            index.count,
            k,
            self._scores_pointer,
            self._rows_pointer,
        )
        return self._scores[:k].tolist(), self._rows[:k].tolist()

"""Vectors as 8-bit codes in inverted lists: what a large `memory_core.growing_index` searches.

Vectors are shared out to lists by the centroid they are most like (k-means on the sphere), and a
search scans the lists of the centroids that the query is most like: "IVF" (Jégou, Douze and
Schmid, "Product Quantization for Nearest Neighbor Search", TPAMI 2011), here with a code of one
byte a dimension, in FAISS's `IndexIVFScalarQuantizer`.

Codes are a linear scale from ``low`` to ``high`` of each dimension, so a vector that `fits` is off
by at most half a step in each dimension, and coding what was decoded changes nothing: lists are
made from lists again and again without losing anything more.

FAISS's lists grow by doubling, which would leave a third of them empty; here a list that is full
is given an eighth more than it needs. Lists are added within a number of slots: FAISS has no way
to make room for more. Not thread-safe.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

__all__ = ["InvertedLists", "nearest", "pointer", "selector", "train_centroids"]

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

_TRAINING_ROUNDS = 8
_MARGIN_RATIO = 0.1
_MIN_MARGIN = 1e-3
_MIN_SPARE_ROWS = 4
_STEPS = 255  # between the codes of a dimension
_LIST_OVERHEAD_BYTES = 128
# A bitmap of ids takes an eighth of a byte for each id up to the largest; a hash set takes some
# 60 bytes for each id that is in it, and a search longer to ask it.
_SMALL_BITMAP_BYTES = 1 << 20
_SET_BYTES_AN_ID = 64


def train_centroids(sample: Floats, lists: int, stopped: Callable[[], bool]) -> Floats | None:
    """Centroids of shape (lists, dim), or None when ``stopped`` said so between two rounds.

    Args:
        sample: vectors of shape (n, dim), n at least ``lists``.
        lists: how many centroids.
        stopped: asked before each round of k-means.
    """
    faiss.omp_set_num_threads(1)
    dimension = sample.shape[1]
    clustering = faiss.Clustering(dimension, lists)
    clustering.niter = 1
    clustering.spherical = True
    clustering.min_points_per_centroid = 1
    clustering.max_points_per_centroid = len(sample)
    quantiser = faiss.IndexFlatIP(dimension)
    for _ in range(_TRAINING_ROUNDS):
        if stopped():
            return None
        quantiser.reset()
        clustering.train(sample, quantiser)
    centroids: Floats = faiss.vector_to_array(clustering.centroids).reshape(lists, dimension)
    return centroids.astype(np.float32, copy=True)


def pointer(array: npt.NDArray[Any]) -> Any:
    """Where a contiguous array is, as FAISS wants it; the array must outlive it."""
    return faiss.swig_ptr(array)


def nearest(vectors: Floats, of: Floats, k: int = 1) -> Ints:
    """Rows of the ``k`` of ``of`` (m, dim) most like each of vectors (n, dim): (n, k) int64."""
    # With more threads than one, FAISS takes 80 times as long on a core that is shared.
    faiss.omp_set_num_threads(1)
    rows = np.empty((len(vectors), k), np.int64)
    scores = np.empty((len(vectors), k), np.float32)
    faiss.knn_inner_product(
        faiss.swig_ptr(vectors),
        faiss.swig_ptr(of),
        vectors.shape[1],
        len(vectors),
        len(of),
        k,
        faiss.swig_ptr(scores),
        faiss.swig_ptr(rows),
    )
    return rows


def selector(among: Ints) -> Any:
    """FAISS's selector of the ids in ``among``: sorted, int64, not empty."""
    bitmap_bytes = (int(among[-1]) >> 3) + 1
    if bitmap_bytes > max(_SMALL_BITMAP_BYTES, _SET_BYTES_AN_ID * len(among)):
        return faiss.IDSelectorBatch(among)
    places = among >> 3
    bits = np.left_shift(1, among & 7).astype(np.uint8)
    starts = np.flatnonzero(np.diff(places, prepend=-1))
    bitmap = np.zeros(bitmap_bytes, np.uint8)
    bitmap[places[starts]] = np.bitwise_or.reduceat(bits, starts)
    make: Any = faiss.IDSelectorBitmap
    return make(bitmap)


class InvertedLists:
    """Codes and ids in lists, one list a centroid.

    Args:
        centroids: unit vectors of shape (lists, dim), float32.
        low: least value of each dimension that a code can stand for, shape (dim,), float32.
        high: greatest, likewise.

    Attributes:
        centroids: as given, and of the lists that were added, (lists, dim) float32.
        slots: how many lists there can be.
        sizes: rows of each list, (lists,) int64.
        capacities: rows that each list has memory for, (lists,) int64.
    """

    def __init__(self, centroids: Floats, low: Floats, high: Floats) -> None:
        lists = len(centroids)
        self._dimension: int = centroids.shape[1]
        self.centroids = np.ascontiguousarray(centroids, np.float32)
        self.slots = min(8 * lists + 64, 2 * lists + 1_024)
        self.low, self.high = low, high
        self._deviations = (high - low) / (_STEPS * math.sqrt(12))
        self.sizes: Ints = np.zeros(lists, np.int64)
        self.capacities: Ints = np.zeros(lists, np.int64)
        self._quantiser: Any = faiss.IndexFlatIP(self._dimension)
        self._quantiser.add(self.centroids)
        self._index: Any = faiss.IndexIVFScalarQuantizer(
            self._quantiser,
            self._dimension,
            self.slots,
            faiss.ScalarQuantizer.QT_8bit,
            faiss.METRIC_INNER_PRODUCT,
            False,
        )
        self._index.sq.train(np.stack([low, high]))
        self._index.is_trained = True
        inverted: Any = self._index.invlists
        self._lists: Any = faiss.downcast_InvertedLists(inverted)
        self._parameters = faiss.SearchParametersIVF()
        self._query = np.empty(self._dimension, np.float32)
        self._query_pointer = faiss.swig_ptr(self._query)
        self._make_buffers(64)

    def __len__(self) -> int:
        return int(self.sizes.sum())

    @property
    def memory_bytes(self) -> int:
        """Bytes that the lists and centroids take."""
        rows = int(self.capacities.sum()) * (self._dimension + 8)
        centroids = len(self.sizes) * (2 * 4 * self._dimension + 16)
        return rows + centroids + self.slots * _LIST_OVERHEAD_BYTES

    @staticmethod
    def span(vectors: Floats) -> tuple[Floats, Floats]:
        """The ``low`` and ``high`` to use for vectors like these, of shape (n, dim), n > 0."""
        low, high = vectors.min(axis=0), vectors.max(axis=0)
        margin = np.maximum(_MARGIN_RATIO * (high - low), np.float32(_MIN_MARGIN))
        return low - margin, high + margin

    def fits(self, vectors: Floats) -> npt.NDArray[np.bool_]:
        """Which of vectors (n, dim) can be coded: (n,) bool."""
        inside = (vectors >= self.low) & (vectors <= self.high)
        fits: npt.NDArray[np.bool_] = np.logical_and.reduce(inside, axis=1)
        return fits

    def score_error(self, query: Floats) -> float:
        """What the score of a query (dim,) may be off by: half a step in each dimension."""
        return float(np.abs(query) @ (self.high - self.low)) / (2 * _STEPS)

    def score_deviation(self, query: Floats) -> float:
        """The standard deviation of what the score of a query (dim,) is off by.

        What rounding leaves is taken to be spread evenly over a step, and independently so in
        each dimension: a step's width over the square root of 12.
        """
        widths = query * self._deviations
        return math.sqrt(float(widths.dot(widths)))

    def assign(self, vectors: Floats) -> Ints:
        """The list of each of vectors (n, dim), contiguous: (n,) int64. Safe beside anything."""
        return nearest(vectors, self.centroids)[:, 0]

    def append(self, ids: Ints, vectors: Floats, numbers: Ints) -> None:
        """Add vectors (n, dim) that fit, under ids (n,), to the lists of these numbers (n,)."""
        self.reserve(self.sizes + np.bincount(numbers, minlength=len(self.sizes)))
        self._index.add_core(
            len(ids),
            faiss.swig_ptr(vectors),
            faiss.swig_ptr(ids),
            faiss.swig_ptr(numbers),
            None,
        )
        self.sizes += np.bincount(numbers, minlength=len(self.sizes))

    def append_codes(self, number: int, ids: Ints, codes: npt.NDArray[np.uint8]) -> None:
        """Add rows (n,), (n, dim) that are coded already to one list."""
        if not len(ids):
            return
        size = int(self.sizes[number]) + len(ids)
        if size > self.capacities[number]:
            self._set_capacity(number, size + size // 8 + _MIN_SPARE_ROWS)
        self._lists.add_entries(number, len(ids), faiss.swig_ptr(ids), faiss.swig_ptr(codes))
        self.sizes[number] += len(ids)
        self._index.ntotal += len(ids)

    def replace(self, number: int, ids: Ints, codes: npt.NDArray[np.uint8]) -> None:
        """Let these rows (n,), (n, dim) be all that a list holds; its memory stays if it fits."""
        self._lists.resize(number, 0)
        self._index.ntotal -= int(self.sizes[number])
        self.sizes[number] = 0
        self.append_codes(number, ids, codes)

    def add_list(self, centroid: Floats) -> int:
        """Add an empty list while there are fewer than ``slots``; its number."""
        number = len(self.sizes)
        self._quantiser.add(centroid[np.newaxis])
        self.centroids = np.concatenate([self.centroids, centroid[np.newaxis]])
        self.sizes, self.capacities = np.append(self.sizes, 0), np.append(self.capacities, 0)
        return number

    def move(self, number: int, centroid: Floats) -> None:
        """Give a list another centroid."""
        self.centroids[number] = centroid
        held = faiss.rev_swig_ptr(self._quantiser.get_xb(), self.centroids.size)
        held.reshape(self.centroids.shape)[number] = centroid

    def reserve(self, sizes: Ints) -> None:
        """Give each list that has less memory than for ``sizes`` (lists,) rows an eighth more."""
        for number in np.flatnonzero(sizes > self.capacities).tolist():
            size = int(sizes[number])
            self._set_capacity(number, size + size // 8 + _MIN_SPARE_ROWS)

    def rows(self, number: int, start: int, stop: int) -> tuple[Ints, npt.NDArray[np.uint8]]:
        """Ids (n,) and codes (n, dim) of rows ``start`` to ``stop`` of a list, as copies."""
        if stop <= start:
            return np.empty(0, np.int64), np.empty((0, self._dimension), np.uint8)
        ids = faiss.rev_swig_ptr(self._lists.get_ids(number), stop)[start:].copy()
        codes = faiss.rev_swig_ptr(self._lists.get_codes(number), stop * self._dimension)
        return ids, codes[start * self._dimension :].reshape(-1, self._dimension).copy()

    def decode(self, codes: npt.NDArray[np.uint8]) -> Floats:
        """What codes (n, dim) stand for, (n, dim) float32. Safe beside anything."""
        vectors: Floats = self._index.sq.decode(codes)
        return vectors

    def remove(self, ids: Ints) -> None:
        """Take every row of these ids away; an id that is not here does no harm."""
        faiss.omp_set_num_threads(1)
        self._index.remove_ids(faiss.IDSelectorBatch(ids))
        lists = self._lists
        count = len(self.sizes)
        self.sizes = np.fromiter(map(lists.list_size, range(count)), np.int64, count)

    def held(self, ids: Ints) -> int:
        """How many rows are of these ids (sorted)."""
        if not len(ids):
            return 0
        count = 0
        for number in np.flatnonzero(self.sizes).tolist():
            size = int(self.sizes[number])
            here = faiss.rev_swig_ptr(self._lists.get_ids(number), size)
            places = np.minimum(np.searchsorted(ids, here), len(ids) - 1)
            count += int(np.count_nonzero(ids[places] == here))
        return count

    def search(
        self, query: Floats, k: int, probes: int, chosen: Any = None
    ) -> tuple[list[float], list[int]]:
        """Scores, best first, and ids of the ``k`` nearest in the ``probes`` likeliest lists.

        Fewer when those lists hold fewer.

        Args:
            query: unit vector of shape (dim,), float32.
            k: at least 1.
            probes: how many lists to scan.
            chosen: a `selector` of the ids that count, or None for all.
        """
        if k > len(self._ids):
            self._make_buffers(k)
        self._query[:] = query
        self._parameters.nprobe = min(probes, len(self.sizes))
        self._parameters.sel = chosen
        # One query runs on the calling thread; FAISS releases the interpreter's lock meanwhile.
        self._index.search_c(
            1, self._query_pointer, k, self._scores_pointer, self._ids_pointer, self._parameters
        )
        ids = self._ids[:k].tolist()
        found = ids.index(-1) if ids[-1] == -1 else k
        return self._scores[:found].tolist(), ids[:found]

    def _make_buffers(self, k: int) -> None:
        self._scores = np.empty(k, np.float32)
        self._ids = np.empty(k, np.int64)
        self._scores_pointer = faiss.swig_ptr(self._scores)
        self._ids_pointer = faiss.swig_ptr(self._ids)

    def _set_capacity(self, number: int, capacity: int) -> None:
        """Give a list memory for so many rows, and no more.

        A vector that is empty grows to what it is asked for; one that is not grows to twice its
        size at least.
        """
        if capacity <= self.capacities[number]:
            return
        size = int(self.sizes[number])
        ids, codes = self.rows(number, 0, size)
        self._lists.resize(number, 0)
        self._lists.resize(number, capacity)
        self._lists.resize(number, size)
        if size:
            self._lists.update_entries(number, 0, size, faiss.swig_ptr(ids), faiss.swig_ptr(codes))
        self.capacities[number] = capacity

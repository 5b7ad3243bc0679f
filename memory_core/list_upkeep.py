"""Keeps inverted lists in shape while rows come: which list a row goes to, and which are split.

A list that has become twice as long as it should be is split in two along the direction in which
its vectors differ most, after which 2-means settles where each goes; its neighbours are left as
they are. So lists follow growth and drift at the cost of some splits a thousand rows, without a
build (cf. Xu et al., "SPFresh: Incremental In-Place Update for Billion-Scale Vector Search",
SOSP 2023). A list that has become empty is used for the next.

Which list a row goes to is found in two steps when there are many: centroids are in groups of
their own, and a row is compared only with those that are nearest to the middle of its group, a
sixth of all. About one row in twenty so goes to its second-nearest list, at a quarter of the time.

Not thread-safe.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from memory_core.inverted_lists import InvertedLists, nearest, train_centroids
from memory_core.list_building import lists_for

__all__ = ["ListUpkeep", "halves"]

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

_MIN_GROUPED_LISTS = 128
_MIN_GROUPED_ROWS = 256
_MAX_GROUPS = 32
_COMPARED_RATIO = 1 / 6
_MIN_COMPARED = 16
_MAX_STALE_RATIO = 0.25
_MAX_LENGTH_RATIO = 2.0
_MIN_SPLIT_ROWS = 16
_AXIS_ROUNDS = 2
_MEAN_ROUNDS = 2
_MIN_HALF_RATIO = 1 / 8


class ListUpkeep:
    """Sees to some lists.

    Args:
        lists: nobody else adds lists to them or moves centroids.
    """

    def __init__(self, lists: InvertedLists) -> None:
        self._lists = lists
        self._middles: Floats | None = None
        # (groups, lists): which lists the rows of a group are compared with
        self._compared: npt.NDArray[np.bool_] = np.zeros((0, 0), np.bool_)
        self._splits = 0

    def assign(self, vectors: Floats) -> Ints:
        """The list for each of vectors (n, dim), contiguous: (n,) int64."""
        count = len(self._lists.sizes)
        if count < _MIN_GROUPED_LISTS or len(vectors) < _MIN_GROUPED_ROWS:
            return self._lists.assign(vectors)
        if self._middles is None or self._splits > _MAX_STALE_RATIO * count:
            self._middles = self._group()
        groups = nearest(vectors, self._middles)[:, 0]
        order = np.argsort(groups, kind="stable")
        bounds = np.searchsorted(groups[order], np.arange(len(self._middles) + 1)).tolist()
        vectors, numbers = vectors[order], np.empty(len(vectors), np.int64)
        for group in range(len(self._middles)):
            part = slice(bounds[group], bounds[group + 1])
            if part.start < part.stop:
                compared = np.flatnonzero(self._compared[group])
                found = nearest(vectors[part], self._lists.centroids[compared])[:, 0]
                numbers[order[part]] = compared[found]
        return numbers

    def split(self, most: int) -> int:
        """Split lists that are too long, the longest first, at most so many; how many there were.

        Takes some tenths of a millisecond for each.
        """
        lists = self._lists
        listed = len(lists)
        limit = max(_MAX_LENGTH_RATIO * listed / lists_for(listed), _MIN_SPLIT_ROWS)
        long = np.flatnonzero(lists.sizes > limit)
        if not len(long):
            return 0
        long = long[np.argsort(-lists.sizes[long])][:most]
        empty = np.flatnonzero(lists.sizes == 0).tolist()
        done = 0
        for number in long.tolist():
            if not empty and len(lists.sizes) >= lists.slots:
                break
            self._split(number, empty.pop() if empty else None)
            done += 1
        return done

    def _split(self, number: int, other: int | None) -> None:
        lists = self._lists
        ids, codes = lists.rows(number, 0, int(lists.sizes[number]))
        side, centroids = halves(lists.decode(codes))
        lists.move(number, centroids[0])
        if other is None:
            other = lists.add_list(centroids[1])
            column = np.zeros((len(self._compared), 1), np.bool_)
            self._compared = np.concatenate([self._compared, column], axis=1)
        else:
            lists.move(other, centroids[1])
        if self._middles is not None:
            self._compared[:, other] = self._compared[:, number]
        lists.replace(number, ids[~side], codes[~side])
        lists.replace(other, ids[side], codes[side])
        self._splits += 1

    def _group(self) -> Floats:
        """The middles of groups, made anew with what each group is compared with."""
        centroids = self._lists.centroids
        count = len(centroids)
        groups = max(1, min(_MAX_GROUPS, int(count**0.5)))
        middles = train_centroids(centroids, groups, lambda: False)
        if middles is None:  # nobody stops it
            raise RuntimeError("training was stopped")
        some = min(count, max(_MIN_COMPARED, int(_COMPARED_RATIO * count)))
        self._compared = np.zeros((groups, count), np.bool_)
        np.put_along_axis(self._compared, nearest(middles, centroids, some), True, axis=1)
        self._splits = 0
        return middles


def halves(vectors: Floats) -> tuple[npt.NDArray[np.bool_], Floats]:
    """Which of vectors (n, dim), n > 1, go to the second half, and unit centroids (2, dim).

    Neither half is smaller than an eighth.
    """
    # einsum, since a BLAS would start threads for so little.
    count = len(vectors)
    total = vectors.sum(axis=0)
    centred = vectors - total / count
    axis = centred[np.argmax(np.einsum("nd,nd->n", centred, centred))]
    for _ in range(_AXIS_ROUNDS):
        axis = np.einsum("nd,n->d", centred, np.einsum("nd,d->n", centred, axis))
        axis /= max(float(np.sqrt(np.einsum("d,d->", axis, axis))), 1e-20)
    along = np.argsort(np.einsum("nd,d->n", centred, axis))
    even = np.zeros(count, np.bool_)
    even[along[count // 2 :]] = True
    side = even
    centroids = _centroids(vectors, side, total)
    for _ in range(_MEAN_ROUNDS):
        side = np.einsum("nd,d->n", vectors, centroids[1] - centroids[0]) > 0
        smaller = int(np.count_nonzero(side))
        if min(smaller, count - smaller) < _MIN_HALF_RATIO * count:
            return even, _centroids(vectors, even, total)
        centroids = _centroids(vectors, side, total)
    return side, centroids


def _centroids(vectors: Floats, side: npt.NDArray[np.bool_], total: Floats) -> Floats:
    second = np.einsum("n,nd->d", side.astype(np.float32), vectors)
    both = np.array([total - second, second])
    lengths = np.sqrt(np.einsum("kd,kd->k", both, both))
    return np.asarray(both / np.maximum(lengths, 1e-20)[:, np.newaxis], np.float32)

"""Makes inverted lists of exact rows and of the lists before, while these are used and grow.

Either with centroids made anew, or with those of the lists before, where these are in shape and
only the range of codes or the lists' memory is not: that costs a twentieth.

What is read stands still: the exact rows are frozen, and nothing is taken out of the lists, only
put behind what they hold. So what has come since is what is behind the rows that were read.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from memory_core.inverted_lists import InvertedLists, train_centroids

__all__ = ["ListBuilding", "copied_rows", "give_back_memory", "lists_for"]

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint8]

_LISTS_PER_ROOT = 1.5
_MIN_ROWS_A_LIST = 8
_SAMPLE_ROWS_A_LIST = 48
_ROWS_AT_ONCE = 4_096
# A thread that wants the interpreter's lock back after a call into FAISS would else wait for 5 ms.
_LISTS_AT_ONCE = 16
_PAUSE_S = 50e-6


def lists_for(rows: int) -> int:
    """How many lists to make for so many rows."""
    return max(1, min(int(_LISTS_PER_ROOT * rows**0.5), rows // _MIN_ROWS_A_LIST))


def copied_rows(
    lists: InvertedLists, starts: Ints, stops: Ints, lock: threading.Lock
) -> Iterator[tuple[int, Ints, Codes]]:
    """Number, ids and codes of each list from ``starts`` to ``stops`` (lists,).

    The lock is taken for one list at a time.
    """
    for turn, number in enumerate(np.flatnonzero(stops > starts).tolist()):
        with lock:
            ids, codes = lists.rows(number, int(starts[number]), int(stops[number]))
        yield number, ids, codes
        if turn % _LISTS_AT_ONCE == 0:
            time.sleep(_PAUSE_S)


def give_back_memory() -> None:
    """Let the system have what lists before took, where the C library can do that (glibc).

    It would keep the room of many small blocks, as much again as the lists themselves.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class ListBuilding:
    """One build.

    Args:
        ids: of the frozen rows, (n,) int64.
        vectors: of the frozen rows, (n, dim) float32.
        old: the lists before, or None.
        gone: ids whose rows in ``old`` are dead, sorted.
        lock: whoever changes ``old`` holds it.
        is_anew: whether to make other centroids than those of ``old``.
    """

    def __init__(
        self,
        ids: Ints,
        vectors: Floats,
        old: InvertedLists | None,
        gone: Ints,
        lock: threading.Lock,
        *,
        is_anew: bool,
    ) -> None:
        self._ids, self._vectors = ids, vectors
        self._old, self._gone, self._lock = old, gone, lock
        self._kept = None if is_anew or old is None else old.centroids.copy()
        self._taken: Ints = np.zeros(0, np.int64) if old is None else old.sizes.copy()

    @property
    def behind(self) -> int:
        """Rows of the lists before that have come since and are not copied yet."""
        return 0 if self._old is None else int(self._old.sizes.sum() - self._taken.sum())

    def make(self, stopped: Callable[[], bool]) -> InvertedLists | None:
        """The new lists, or None when ``stopped`` said so."""
        new = self._empty(stopped) if self._kept is None else self._like_old(self._kept)
        if new is None:
            return None
        for first in range(0, len(self._ids), _ROWS_AT_ONCE):
            if stopped():
                return None
            part = slice(first, first + _ROWS_AT_ONCE)
            _add(new, self._ids[part], np.ascontiguousarray(self._vectors[part]))
        starts = np.zeros_like(self._taken)
        return new if self._copy(new, starts, self._taken, stopped) else None

    def catch_up(self, new: InvertedLists, stopped: Callable[[], bool]) -> bool:
        """Copy what has come since; False when ``stopped`` said so."""
        if self._old is None:
            return True
        with self._lock:
            stops = self._old.sizes.copy()
        starts, self._taken = self._taken, stops
        return self._copy(new, starts, stops, stopped)

    def _empty(self, stopped: Callable[[], bool]) -> InvertedLists | None:
        """Lists with centroids made anew, and memory for the rows that there will be."""
        rows = len(self._ids) + int(self._taken.sum())
        lists = lists_for(rows)
        sample = self._sample(lists * _SAMPLE_ROWS_A_LIST / max(rows, 1))
        centroids = train_centroids(sample, min(lists, len(sample)), stopped)
        if centroids is None:
            return None
        new = InvertedLists(centroids, *self._span())
        likely = np.bincount(new.assign(sample), minlength=len(centroids))
        _reserve(new, (likely * (rows / max(int(likely.sum()), 1))).astype(np.int64))
        return new

    def _like_old(self, centroids: Floats) -> InvertedLists:
        new = InvertedLists(centroids, *self._span())
        _reserve(new, self._taken)
        return new

    def _span(self) -> tuple[Floats, Floats]:
        """What codes stand for: as before if everything fits, since then no code changes."""
        old = self._old
        if old is None:
            return InvertedLists.span(self._vectors)
        if not len(self._vectors) or bool(old.fits(self._vectors).all()):
            return old.low, old.high
        low, high = InvertedLists.span(self._vectors)
        return np.minimum(low, old.low), np.maximum(high, old.high)

    def _sample(self, ratio: float) -> Floats:
        """About this part of all rows, evenly from everywhere, and some row at least."""
        step = max(1, int(1 / ratio))
        parts = [np.ascontiguousarray(self._vectors[::step])]
        if self._old is not None:
            zeros = np.zeros_like(self._taken)
            for number, _, codes in copied_rows(self._old, zeros, self._taken, self._lock):
                parts.append(self._old.decode(codes[number % step :: step]))
        return np.concatenate(parts)

    def _copy(
        self, new: InvertedLists, starts: Ints, stops: Ints, stopped: Callable[[], bool]
    ) -> bool:
        if self._old is None:
            return True
        waiting: list[tuple[int, Ints, Codes]] = []
        rows = 0
        for part in copied_rows(self._old, starts, stops, self._lock):
            waiting.append(part)
            rows += len(part[1])
            if rows >= _ROWS_AT_ONCE:
                if stopped():
                    return False
                self._add_coded(new, waiting)
                waiting, rows = [], 0
        self._add_coded(new, waiting)
        return not stopped()

    def _add_coded(self, new: InvertedLists, waiting: list[tuple[int, Ints, Codes]]) -> None:
        if not waiting or self._old is None:
            return
        numbers = np.repeat([number for number, _, _ in waiting], [len(w[1]) for w in waiting])
        ids = np.concatenate([ids for _, ids, _ in waiting])
        codes = np.concatenate([codes for _, _, codes in waiting])
        if len(self._gone):
            places = np.minimum(np.searchsorted(self._gone, ids), len(self._gone) - 1)
            live = self._gone[places] != ids
            ids, codes, numbers = ids[live], codes[live], numbers[live]
        if not len(ids):
            return
        vectors = self._old.decode(np.ascontiguousarray(codes))
        if self._kept is None:
            _add(new, ids, vectors)
        else:
            new.append(np.ascontiguousarray(ids), vectors, np.ascontiguousarray(numbers))


def _reserve(lists: InvertedLists, sizes: Ints) -> None:
    for first in range(0, len(sizes), _LISTS_AT_ONCE):
        lists.reserve(sizes * (np.arange(len(sizes)) < first + _LISTS_AT_ONCE))
        time.sleep(_PAUSE_S)


def _add(lists: InvertedLists, ids: Ints, vectors: Floats) -> None:
    lists.append(np.ascontiguousarray(ids), vectors, lists.assign(vectors))

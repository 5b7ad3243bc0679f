"""The vector index of one agent in one lower tier: exact while small, inverted lists when large.

A vector is in one of two places. It enters the exact rows. Once there are `InvertedLists`, rows
are folded into them, `_FOLD_ROWS` at a time; what they cannot code within their range stays exact
until the next build, which widens the range. A search looks in both.

Lists are built beside what is there, which goes on serving, and then put in its place under the
lock: first when there are ``exact_below`` rows; again when a list is `_MAX_SCAN_RATIO` times as
long as one of lists made anew would be (after growth to four times the rows, or when new vectors
crowd a few lists), when a quarter of the lists' memory is empty, or when so few rows are left that
there are far too many lists.

Invariants:
- Every id that was added, and not removed since, is in exactly one live row.
- A row of the lists is live unless its id is in ``_dead``; a row of the exact rows is always live.
  An id in ``_dead`` is therefore not folded, so one that comes back is found where it is exact.
- Rows are taken out of the lists (`_purge`) only while nobody copies from them.
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
from memory_core.index_state import read_state, write_state
from memory_core.inverted_lists import InvertedLists, selector
from memory_core.list_building import ListBuilding, copied_rows, give_back_memory, lists_for

__all__ = ["GrowingIndex", "in_thread"]

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

_PROBES = 16
_MIN_SCANNED_ROWS = 4_096
_FOLD_ROWS = 2_048
_MAX_FOLDS_A_CALL = 2
_MAX_DEAD_ROWS = 1_024
_MAX_DEAD_RATIO = 1 / 64
_MAX_SCAN_RATIO = 2.0
_MAX_SPARE_RATIO = 0.25
_SPARE_ROWS_A_LIST = 16
_MIN_SHRINKAGE = 0.25
_MAX_CATCH_UPS = 8
_RETRY_GROWTH = 1.25
_DEAD_ID_BYTES = 64


def in_thread(build: Callable[[], None]) -> threading.Thread:
    """Run a build in a thread of its own."""
    thread = threading.Thread(target=build, name="index-build", daemon=False)
    thread.start()
    return thread


class GrowingIndex:
    """Unit vectors under ids, searched by inner product. Thread-safe.

    Args:
        dimension: length of the vectors.
        exact_below: rows from which on the index is approximate; below it needs no build and a
            search is exact, at 7 ns a row of 64 dimensions.
        probes: lists that a search scans; more cost time and find more.
        start: runs a build, by default `in_thread`; one that runs it at once and returns None
            makes everything deterministic. It is called without the lock held.

    Attributes:
        build_error: why the last build failed, or None. What was there before serves on.
    """

    __slots__ = (
        "_building",
        "_built_rows",
        "_built_skew",
        "_closed",
        "_copying",
        "_dead",
        "_dead_since",
        "_dimension",
        "_exact_below",
        "_holding",
        "_lists",
        "_lock",
        "_probes",
        "_retry_rows",
        "_rows",
        "_start",
        "_stuck",
        "_threads",
        "build_error",
    )

    def __init__(
        self,
        dimension: int,
        *,
        exact_below: int = 10_000,
        probes: int = _PROBES,
        start: Callable[[Callable[[], None]], threading.Thread | None] = in_thread,
    ) -> None:
        self._dimension = dimension
        self._exact_below = exact_below
        self._probes = probes
        self._start = start
        self._lock = threading.Lock()
        self._rows = ExactRows(dimension)
        # of the exact rows behind the frozen ones, so many cannot be folded for now
        self._stuck = 0
        self._lists: InvertedLists | None = None
        self._built_skew = 0.0
        self._built_rows = 0
        self._dead: set[int] = set()
        self._dead_since: set[int] | None = None
        self._copying = 0
        self._building = self._holding = self._closed = False
        self._retry_rows = 0
        self._threads: list[threading.Thread] = []
        self.build_error: Exception | None = None

    def __len__(self) -> int:
        """How many ids are here; takes milliseconds when large and some were just removed."""
        with self._lock:
            if self._lists is None:
                return len(self._rows)
            if self._dead and not self._copying:
                self._purge()
            dead = self._lists.held(_sorted(self._dead))
            return len(self._rows) + len(self._lists) - dead

    @property
    def is_exact(self) -> bool:
        """Whether scores are exact, of every vector."""
        return self._lists is None

    @property
    def is_building(self) -> bool:
        """Whether a build is under way."""
        return self._building

    @property
    def memory_bytes(self) -> int:
        """Bytes of vectors, codes, ids and centroids."""
        with self._lock:
            listed = 0 if self._lists is None else self._lists.memory_bytes
            return self._rows.memory_bytes + listed + _DEAD_ID_BYTES * len(self._dead)

    def add(self, ids: Ints, vectors: Floats) -> None:
        """Add unit vectors (n, dim) float32 under ids (n,) int64, none of them here already.

        Ids are not negative.

        Raises:
            BadInputError: the shapes do not fit.
        """
        ids = np.ascontiguousarray(ids, np.int64)
        vectors = np.ascontiguousarray(vectors, np.float32)
        if vectors.shape != (len(ids), self._dimension):
            shape = (len(ids), self._dimension)
            raise BadInputError("vectors", f"must be of shape {shape}, not {vectors.shape}")
        step = len(ids) if self._lists is None else _FOLD_ROWS
        for first in range(0, len(ids), max(step, 1)):
            with self._lock:
                self._rows.extend(ids[first : first + step], vectors[first : first + step])
                self._fold()
                due = self._is_due()
            if due:
                self._begin()

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
        if not len(ids):
            return
        with self._lock:
            self._remove(ids)
            due = self._is_due()
        if due:
            self._begin()

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
        if query.shape != (self._dimension,):
            raise BadInputError("query", f"must be of shape ({self._dimension},)")
        if k < 1:
            raise BadInputError("k", f"must be at least 1, not {k}")
        with self._lock:
            scores, ids = self._rows.nearest(query, k, among)
            if self._lists is None:
                return scores, ids
            more_scores, more_ids = self._search_lists(self._lists, query, k, among)
        if not scores:
            return more_scores, more_ids
        found = list(zip(scores + more_scores, ids + more_ids, strict=True))
        found.sort(key=itemgetter(0), reverse=True)
        return [score for score, _ in found[:k]], [id_ for _, id_ in found[:k]]

    def wait(self) -> None:
        """Return when no build in a thread is under way."""
        while self._threads:
            with self._lock:
                threads, self._threads = self._threads, []
            for thread in threads:
                thread.join()

    def close(self) -> None:
        """End a build that is under way and begin none any more; what is here stays usable."""
        self._closed = True
        self.wait()

    def state(self) -> list[npt.NDArray[Any]]:
        """Everything that is here at this moment as arrays, for `from_state`.

        Adds, removes and searches go on meanwhile; codes are copied list by list.
        """
        with self._lock:
            rows, lists = self._rows, self._lists
            live = np.flatnonzero(rows.ids[: rows.count] >= 0)
            exact_ids, exact_vectors = rows.ids[live], rows.vectors[live]
            dead = _sorted(self._dead)
            sizes = np.zeros(0, np.int64) if lists is None else lists.sizes.copy()
            built = (self._built_skew, float(self._built_rows))
            self._copying += 1
        try:
            parts = [] if lists is None else copied_rows(lists, 0 * sizes, sizes, self._lock)
            return write_state(exact_ids, exact_vectors, dead, lists, sizes, parts, built)
        finally:
            with self._lock:
                self._copying -= 1

    @classmethod
    def from_state(cls, pieces: Sequence[Any], dimension: int, **options: Any) -> GrowingIndex:
        """The index that gave ``pieces`` (`state`), which may be any buffers.

        Args:
            pieces: in the order given, whole: checksums are their keeper's business.
            dimension: as of the index that gave them.
            options: keywords of the constructor.

        Raises:
            BadInputError: they are of another version or dimension, or do not fit together.
        """
        index = cls(dimension, **options)
        restored = read_state(pieces, dimension)
        index._rows.extend(restored.ids, restored.vectors)
        index._lists = restored.lists
        index._dead.update(restored.dead.tolist())
        index._built_skew, index._built_rows = restored.built[0], int(restored.built[1])
        with index._lock:
            due = index._is_due()
        if due:
            index._begin()
        return index

    # What follows runs with the lock held.

    def _remove(self, ids: Ints) -> None:
        self._rows.discard(ids)
        if self._lists is None and self._dead_since is None:
            return
        some = ids.tolist()
        self._dead.update(some)
        if self._dead_since is not None:
            self._dead_since.update(some)
        listed = 0 if self._lists is None else len(self._lists)
        if not self._copying and len(self._dead) > max(_MAX_DEAD_ROWS, _MAX_DEAD_RATIO * listed):
            self._purge()

    def _purge(self) -> None:
        """Take the dead rows out of the lists."""
        if self._lists is not None:
            self._lists.remove(_sorted(self._dead))
        self._dead.clear()
        self._stuck = 0

    def _fold(self) -> None:
        """Move exact rows into the lists while there are enough of them."""
        lists, rows = self._lists, self._rows
        if lists is None or self._holding:
            return
        for _ in range(_MAX_FOLDS_A_CALL):
            first = rows.frozen + min(self._stuck, rows.count - rows.frozen)
            stop = first + _FOLD_ROWS
            if rows.count < stop:
                return
            if self._dead and not self._copying and self._is_back(rows.ids[first:stop]):
                self._purge()
            fit = lists.fits(rows.vectors[first:stop])
            if self._dead:
                fit &= np.array([id_ not in self._dead for id_ in rows.ids[first:stop].tolist()])
            if not fit.all():
                order = first + np.argsort(fit, kind="stable")
                rows.vectors[first:stop] = rows.vectors[order]
                rows.ids[first:stop] = rows.ids[order]
                fit.sort()
                self._stuck += int(np.count_nonzero(~fit))
                first = stop - int(np.count_nonzero(fit))
            if first < stop:
                vectors = rows.vectors[first:stop]
                lists.append(rows.ids[first:stop], vectors, lists.assign(vectors))
                rows.retain(first, np.zeros(stop - first, np.bool_))

    def _is_back(self, ids: Ints) -> bool:
        return not self._dead.isdisjoint(ids.tolist())

    def _search_lists(
        self, lists: InvertedLists, query: Floats, k: int, among: Ints | None
    ) -> tuple[list[float], list[int]]:
        dead = self._dead
        if not len(lists):
            return [], []
        probes, chosen = self._probes, None
        probes = max(probes, int(_MIN_SCANNED_ROWS * len(lists.sizes) / max(len(lists), 1)))
        if among is not None:
            if not len(among):
                return [], []
            chosen = selector(among)
            # as many of those that count are scanned as of all otherwise
            probes = max(probes, -(-probes * len(lists) // len(among)))
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

    def _is_due(self) -> bool:
        """Whether a build should begin now; then it is taken to have begun."""
        if self._building or self._closed:
            return False
        rows, lists = len(self._rows), self._lists
        if lists is None:
            due = rows >= max(self._exact_below, 1)
        else:
            listed = len(lists)
            spare = int(lists.capacities.sum()) - listed - _SPARE_ROWS_A_LIST * len(lists.sizes)
            due = (
                lists.scanned_rows > _MAX_SCAN_RATIO * self._built_skew * listed / lists_for(listed)
                or spare > _MAX_SPARE_RATIO * (listed + spare)
                or (listed < _MIN_SHRINKAGE * self._built_rows)
                or self._stuck > max(_FOLD_ROWS, listed // 16)
            )
            rows += listed
        if not due or rows < self._retry_rows or not rows:
            return False
        self._building = True
        return True

    # What follows runs without it.

    def _begin(self) -> None:
        thread = self._start(self._build)
        if thread is not None:
            with self._lock:
                self._threads = [*(one for one in self._threads if one.is_alive()), thread]

    def _stopped(self) -> bool:
        """Whether to give up a build: the index is closed, or the interpreter ends."""
        return self._closed or not threading.main_thread().is_alive()

    def _build(self) -> None:
        with self._lock:
            ids, vectors = self._rows.freeze()
            self._stuck = 0
            self._copying += 1
            self._dead_since = set()
            building = ListBuilding(ids, vectors, self._lists, _sorted(self._dead), self._lock)
        lists = None
        try:
            lists = building.make(self._stopped)
            if lists is not None and not self._catch_up(building, lists):
                lists = None
            self.build_error = None
        except Exception as error:  # noqa: BLE001 - what was there serves on, and says why
            lists, self.build_error = None, error
        finally:
            with self._lock:
                self._end(lists)
        del ids, vectors, building
        give_back_memory()

    def _catch_up(self, building: ListBuilding, lists: InvertedLists) -> bool:
        for _ in range(_MAX_CATCH_UPS):
            if building.behind <= _FOLD_ROWS:
                break
            if not building.catch_up(lists, self._stopped):
                return False
        with self._lock:
            self._holding = True
        return building.catch_up(lists, self._stopped)

    def _end(self, lists: InvertedLists | None) -> None:
        """Put new lists in the place of what they were made of, or without them go on as before."""
        self._rows.thaw(drop=lists is not None)
        if lists is not None:
            self._lists = lists
            self._dead = self._dead_since or set()
            self._built_skew, self._built_rows = lists.skew, len(lists)
        elif self.build_error is not None:
            listed = 0 if self._lists is None else len(self._lists)
            self._retry_rows = int(_RETRY_GROWTH * (len(self._rows) + listed))
        if self._lists is None:
            self._dead.clear()
        self._dead_since = None
        self._stuck = 0
        self._copying -= 1
        self._building = self._holding = False


def _sorted(ids: set[int]) -> Ints:
    array = np.fromiter(ids, np.int64, len(ids))
    array.sort()
    return array

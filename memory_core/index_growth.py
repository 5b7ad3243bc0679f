"""The lists of a `memory_core.growing_index`: what is folded into them, and how they are made.

Lists are built when there are ``exact_below`` rows, beside what is there, which goes on serving,
and then put in its place under the lock. From then on they grow by being split (`ListUpkeep`), a
few after each fold, at a small part of the cost of a build. Another build comes where that does
not do: when rows are out of the range of codes, when much of the lists' memory is empty, when no
slot is left for another list, or when there are far too many lists for the rows that are left.
Only the last makes other centroids; the others keep the lists as they are.

Invariants:
- A row of the lists is live unless its id is in ``_dead``; a row of the exact rows is always live.
  An id in ``_dead`` is therefore not folded, so one that comes back is found where it is exact.
- Rows are taken out of the lists (`_purge`), and lists split, only while nobody copies from them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from memory_core.exact_rows import ExactRows
from memory_core.index_state import Restored, write_state
from memory_core.inverted_lists import InvertedLists
from memory_core.list_building import ListBuilding, copied_rows, give_back_memory, lists_for
from memory_core.list_upkeep import ListUpkeep
from memory_core.live_search import search_live

__all__ = ["FOLD_ROWS", "Growth", "in_thread"]

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

FOLD_ROWS = 2_048
_MAX_FOLDS_A_CALL = 1
_MIN_DEAD_ROWS = 1_024
_MAX_DEAD_ROWS = 16_384
_MAX_DEAD_RATIO = 1 / 8
_MAX_SPLITS_A_FOLD = 6
_MAX_SPARE_RATIO = 0.4
_SPARE_ROWS_A_LIST = 16
_MAX_LISTS_RATIO = 2.0
_MAX_CATCH_UPS = 8
_RETRY_GROWTH = 1.25
_DEAD_ID_BYTES = 64
# A state has room for how lists were when they were built, which nothing depends on any more.
_BUILT = (0.0, 0.0)


def in_thread(build: Callable[[], None]) -> threading.Thread:
    """Run a build in a thread of its own."""
    thread = threading.Thread(target=build, name="index-build", daemon=False)
    thread.start()
    return thread


class Growth:
    """The lists of an index, what makes them, and which of their rows are dead.

    Args:
        rows: the exact rows of the index.
        lock: of the index.
        exact_below: rows from which on there are lists.
        start: runs a build.

    Attributes:
        lists: what is folded already, or None as long as no build has ended.
        is_building: whether a build is under way.
        error: why the last build failed, or None.
    """

    def __init__(
        self,
        rows: ExactRows,
        lock: threading.Lock,
        exact_below: int = 0,
        start: Callable[[Callable[[], None]], threading.Thread | None] = in_thread,
    ) -> None:
        self._rows, self._lock = rows, lock
        self._exact_below, self._start = exact_below, start
        self.lists: InvertedLists | None = None
        self._upkeep: ListUpkeep | None = None
        self.is_building = False
        self.error: Exception | None = None
        # of the exact rows behind the frozen ones, so many cannot be folded for now
        self._stuck = 0
        # what the build that is under way does with centroids
        self._is_anew = True
        self._dead: set[int] = set()
        self._dead_since: set[int] | None = None
        self._copying = 0
        # since it was last asked whether a build is due
        self._has_changed = True
        self._holding = self._closed = False
        self._retry_rows = 0
        self._threads: list[threading.Thread] = []

    # What follows runs with the lock held.

    @property
    def memory_bytes(self) -> int:
        """Bytes of codes, ids and centroids."""
        listed = 0 if self.lists is None else self.lists.memory_bytes
        return listed + _DEAD_ID_BYTES * len(self._dead)

    def live_rows(self) -> int:
        """How many rows of the lists are live."""
        if self.lists is None:
            return 0
        if self._dead and not self._copying:
            self._purge()
        return len(self.lists) - self.lists.held(_sorted(self._dead))

    def restore(self, restored: Restored) -> None:
        """Take over what a state held."""
        if restored.lists is not None:
            self._take(restored.lists)
        self._dead.update(restored.dead.tolist())

    def _take(self, lists: InvertedLists) -> None:
        self.lists, self._upkeep = lists, ListUpkeep(lists)
        # what is folded away comes again
        self._rows.kept = FOLD_ROWS + FOLD_ROWS // 4

    def remove(self, ids: Ints) -> None:
        """Let the rows of ids (n,), wherever they are in lists, be dead."""
        if self.lists is None and self._dead_since is None:
            return
        some = ids.tolist()
        self._dead.update(some)
        if self._dead_since is not None:
            self._dead_since.update(some)
        listed = 0 if self.lists is None else len(self.lists)
        most = max(_MIN_DEAD_ROWS, min(_MAX_DEAD_ROWS, int(_MAX_DEAD_RATIO * listed)))
        if not self._copying and len(self._dead) > most:
            self._purge()

    def _purge(self) -> None:
        """Take the dead rows out of the lists."""
        if self.lists is not None:
            self.lists.remove(_sorted(self._dead))
        self._dead.clear()
        self._stuck = 0
        self._has_changed = True

    def fold(self) -> None:
        """Move exact rows into the lists while there are enough of them."""
        lists, upkeep, rows = self.lists, self._upkeep, self._rows
        if lists is None or upkeep is None or self._holding:
            return
        for _ in range(_MAX_FOLDS_A_CALL):
            first = rows.frozen + min(self._stuck, rows.count - rows.frozen)
            stop = first + FOLD_ROWS
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
                lists.append(rows.ids[first:stop], vectors, upkeep.assign(vectors))
                rows.retain(first, np.zeros(stop - first, np.bool_))
            if not self._copying:
                upkeep.split(_MAX_SPLITS_A_FOLD)
            self._has_changed = True

    def _is_back(self, ids: Ints) -> bool:
        return not self._dead.isdisjoint(ids.tolist())

    def search(
        self, query: Floats, k: int, probes: int, among: Ints | None
    ) -> tuple[list[float], list[int]]:
        """As `GrowingIndex.search`, of what is in the lists."""
        if self.lists is None:
            return [], []
        return search_live(self.lists, self._dead, query, k, probes, among)

    def is_due(self) -> bool:
        """Whether a build should begin now; then it is taken to have begun, and `begin` it."""
        if self.is_building or self._closed:
            return False
        rows, lists = len(self._rows), self.lists
        if lists is None:
            self._is_anew = rows >= max(self._exact_below, 1)
            is_due = self._is_anew
        elif not self._has_changed:
            return False
        else:
            self._has_changed = False
            listed = len(lists)
            rows += listed
            spare = int(lists.capacities.sum()) - listed - _SPARE_ROWS_A_LIST * len(lists.sizes)
            self._is_anew = len(lists.sizes) > _MAX_LISTS_RATIO * lists_for(listed)
            is_due = (
                self._is_anew
                or len(lists.sizes) >= lists.slots
                or spare > _MAX_SPARE_RATIO * (listed + spare)
                or self._stuck > max(FOLD_ROWS, listed // 16)
            )
        if not is_due or rows < self._retry_rows or not rows:
            return False
        self.is_building = True
        return True

    # What follows runs without it.

    def state(self) -> list[npt.NDArray[Any]]:
        """As `GrowingIndex.state`."""
        with self._lock:
            rows, lists = self._rows, self.lists
            live = np.flatnonzero(rows.ids[: rows.count] >= 0)
            exact_ids, exact_vectors = rows.ids[live], rows.vectors[live]
            dead = _sorted(self._dead)
            sizes = np.zeros(0, np.int64) if lists is None else lists.sizes.copy()
            self._copying += 1
        try:
            copied = [] if lists is None else copied_rows(lists, 0 * sizes, sizes, self._lock)
            parts = ((part_ids, codes) for _, part_ids, codes in copied)
            return write_state(exact_ids, exact_vectors, dead, lists, sizes, parts, _BUILT)
        finally:
            with self._lock:
                self._copying -= 1

    def wait(self) -> None:
        """Return when no build in a thread is under way."""
        while self._threads:
            with self._lock:
                threads, self._threads = self._threads, []
            for thread in threads:
                thread.join()

    def close(self) -> None:
        """End a build that is under way and begin none any more."""
        self._closed = True
        self.wait()

    def begin(self) -> None:
        """Begin the build that is due."""
        thread = self._start(self._build)
        if thread is not None:
            with self._lock:
                self._threads = [*(one for one in self._threads if one.is_alive()), thread]

    def stopped(self) -> bool:
        """Whether to give up a build: the index is closed, or the interpreter ends."""
        return self._closed or not threading.main_thread().is_alive()

    def _build(self) -> None:
        with self._lock:
            ids, vectors = self._rows.freeze()
            self._stuck = 0
            self._copying += 1
            self._dead_since = set()
            dead = _sorted(self._dead)
            building = ListBuilding(
                ids, vectors, self.lists, dead, self._lock, is_anew=self._is_anew
            )
        lists = None
        try:
            lists = building.make(self.stopped)
            if lists is not None and not self._catch_up(building, lists):
                lists = None
            self.error = None
        except Exception as error:  # noqa: BLE001 - what was there serves on, and says why
            lists, self.error = None, error
        finally:
            with self._lock:
                self._end(lists)
        del ids, vectors, building
        give_back_memory()

    def _catch_up(self, building: ListBuilding, lists: InvertedLists) -> bool:
        for _ in range(_MAX_CATCH_UPS):
            if building.behind <= FOLD_ROWS:
                break
            if not building.catch_up(lists, self.stopped):
                return False
        with self._lock:
            self._holding = True
        return building.catch_up(lists, self.stopped)

    def _end(self, lists: InvertedLists | None) -> None:
        """Put new lists in the place of what they were made of, or without them go on as before."""
        self._rows.thaw(drop=lists is not None)
        if lists is not None:
            self._take(lists)
            self._dead = self._dead_since or set()
        elif self.error is not None:
            listed = 0 if self.lists is None else len(self.lists)
            self._retry_rows = int(_RETRY_GROWTH * (len(self._rows) + listed))
        if self.lists is None:
            self._dead.clear()
        self._dead_since = None
        self._stuck = 0
        self._has_changed = True
        self._copying -= 1
        self.is_building = self._holding = False


def _sorted(ids: set[int]) -> Ints:
    array = np.fromiter(ids, np.int64, len(ids))
    array.sort()
    return array

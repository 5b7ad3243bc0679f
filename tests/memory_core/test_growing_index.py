"""The growing index: against a plain dict, while it is exact, while it is built, and after."""

from __future__ import annotations

import random
import threading
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from memory_core import growing_index, index_growth, list_building, list_upkeep, live_search
from memory_core.errors import BadInputError
from memory_core.growing_index import GrowingIndex, in_thread
from memory_core.index_growth import Growth

DIMENSION = 16
ALL = 1 << 30
# a code is off by half a step in each dimension, and a step is (2 + 20%) / 255 at the most
SCORE_ERROR = 0.5 * 2.5 / 255 * DIMENSION**0.5


def at_once(build: Callable[[], None]) -> None:
    """Run a build where it was begun."""
    build()


def unit(vectors: np.ndarray) -> np.ndarray:
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors, np.float32)


def clustered(rng: np.random.Generator, count: int, dimension: int = DIMENSION) -> np.ndarray:
    """Unit vectors (count, dimension) around 40 centres."""
    centres = rng.normal(size=(40, dimension))
    noise = 0.3 * rng.normal(size=(count, dimension))
    return unit(centres[rng.integers(40, size=count)] + noise)


@pytest.fixture
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fold, purge and copy a few rows at a time, so that little data meets every bound."""
    make_bounds_small(monkeypatch)


def make_bounds_small(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(growing_index, "FOLD_ROWS", 8)
    patch.setattr(index_growth, "FOLD_ROWS", 8)
    patch.setattr(index_growth, "_MIN_DEAD_ROWS", 4)
    patch.setattr(list_upkeep, "_MIN_GROUPED_LISTS", 4)
    patch.setattr(list_upkeep, "_MIN_GROUPED_ROWS", 2)
    patch.setattr(live_search, "_MIN_SCANNED_ROWS", 1)
    patch.setattr(list_building, "_ROWS_AT_ONCE", 16)


def interrupt_builds(patch: pytest.MonkeyPatch, meanwhile: Callable[[], object]) -> None:
    """Let something happen between the steps of every build, on the thread that builds."""

    class Interrupted(Growth):
        def stopped(self) -> bool:
            meanwhile()
            return super().stopped()

    patch.setattr(growing_index, "Growth", Interrupted)


class IndexMachine(RuleBasedStateMachine):
    """Any calls, before, in the midst of and after builds, against a dict of vectors.

    All lists are scanned, so the only freedom that the index has is the rounding of codes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        make_bounds_small(self.patch)

    @initialize(seed=st.integers(0, 2**32 - 1), threaded=st.booleans(), exact=st.integers(1, 60))
    def begin(self, seed: int, threaded: bool, exact: int):
        self.rng = np.random.default_rng(seed)
        self.options = {
            "exact_below": exact,
            "probes": ALL,
            "start": in_thread if threaded else at_once,
        }
        self.vectors: dict[int, np.ndarray] = {}
        self.removed: list[int] = []
        self.next_id = 0
        self.is_inside = False
        self.busy_builds = 0
        if not threaded:
            interrupt_builds(self.patch, self.happen)
        self.index = GrowingIndex(DIMENSION, **self.options)

    def happen(self) -> None:
        """Do something in the midst of a build."""
        if self.is_inside or self.busy_builds > 40:
            return
        self.is_inside, self.busy_builds = True, self.busy_builds + 1
        self.add(int(self.rng.integers(1, 12)), bool(self.rng.integers(2)))
        self.remove(int(self.rng.integers(1, 6)), self.rng.integers(1 << 30))
        self.come_back()
        self.search(int(self.rng.integers(1, 20)))
        self.search_among(5, 0.5)
        self.is_inside = False

    @rule(count=st.integers(1, 60), is_far=st.booleans())
    def add(self, count: int, is_far: bool):
        vectors = self.rng.normal(size=(count, DIMENSION))
        if is_far:  # beyond what codes were made to stand for
            vectors[:, self.rng.integers(DIMENSION)] += 10.0
        vectors = unit(vectors)
        ids = np.arange(self.next_id, self.next_id + count)
        self.next_id += count
        # a call of more rows than half of a fold may begin a build in its midst
        for first in range(0, count, 4):
            some = slice(first, first + 4)
            self.vectors.update(zip(ids[some].tolist(), vectors[some], strict=True))
            self.index.add(ids[some], vectors[some])

    @precondition(lambda self: self.vectors)
    @rule(count=st.integers(1, 40), seed=st.integers(0, 99))
    def remove(self, count: int, seed: int):
        ids = list(self.vectors)
        for id_ in random.Random(int(seed)).sample(ids, min(count, len(ids))):
            if id_ not in self.vectors:  # removed in the midst of a build that was begun here
                continue
            del self.vectors[id_]
            self.removed.append(id_)
            self.index.remove(id_)
            if id_ not in self.vectors:
                self.index.remove(id_)  # not here any more: ignored

    @precondition(lambda self: self.vectors)
    @rule(count=st.integers(1, 200), seed=st.integers(0, 99))
    def remove_many(self, count: int, seed: int):
        """Many at once, some of them twice, and some that are not here."""
        choice = random.Random(seed)
        ids = choice.sample(list(self.vectors), min(count, len(self.vectors)))
        for id_ in ids:
            del self.vectors[id_]
        some = [*ids, *ids[:3], *self.removed[-3:], self.next_id + 7, -1]
        some = [id_ for id_ in some if id_ not in self.vectors]
        self.removed += ids
        choice.shuffle(some)
        self.index.remove_many(np.array(some, np.int64))

    @rule()
    def remove_what_never_was(self):
        self.index.remove(self.next_id + 7)
        self.index.remove_many(np.zeros(0, np.int64))

    @precondition(lambda self: self.removed)
    @rule()
    def come_back(self):
        """An id that was removed is added again, with another vector."""
        if not self.removed:
            return
        id_ = self.removed.pop()
        if id_ not in self.vectors:
            self.vectors[id_] = unit(self.rng.normal(size=(1, DIMENSION)))[0]
            self.index.add_one(id_, self.vectors[id_])

    @rule(k=st.integers(1, 100))
    def search(self, k: int):
        query = unit(self.rng.normal(size=(1, DIMENSION)))[0]
        self.check(query, k, self.vectors, *self.index.search(query, k))

    @rule(k=st.integers(1, 30), ratio=st.floats(0, 1))
    def search_among(self, k: int, ratio: float):
        """Ids that are here, some that were, and one that never was."""
        chosen = [id_ for id_ in self.vectors if self.rng.random() < ratio]
        among = np.array(sorted({*chosen, *self.removed[:5], self.next_id}), np.int64)
        query = unit(self.rng.normal(size=(1, DIMENSION)))[0]
        expected = {id_: self.vectors[id_] for id_ in among.tolist() if id_ in self.vectors}
        self.check(query, k, expected, *self.index.search(query, k, among=among))

    @precondition(lambda self: self.vectors)
    @rule(seed=st.integers(0, 99))
    def find_by_its_own_vector(self, seed: int):
        id_ = random.Random(seed).choice(list(self.vectors))
        _, ids = self.index.search(self.vectors[id_], 10)
        assert id_ in ids

    @rule()
    def wait(self):
        self.index.wait()
        assert self.index.build_error is None

    @rule()
    def restore(self):
        """What is made from a state answers as what gave it."""
        query = unit(self.rng.normal(size=(1, DIMENSION)))[0]
        self.index.wait()
        pieces = [piece.tobytes() for piece in self.index.state()]
        self.is_inside, was_inside = True, self.is_inside  # a build may begin at once
        restored = GrowingIndex.from_state(pieces, DIMENSION, **self.options)
        self.is_inside = was_inside
        self.check(query, 20, self.vectors, *restored.search(query, 20))
        assert len(restored) == len(self.vectors)
        self.index.close()
        self.index = restored

    @invariant()
    def count(self):
        if hasattr(self, "index"):
            assert len(self.index) == len(self.vectors)

    def check(self, query, k, expected, scores, ids) -> None:
        assert len(ids) == min(k, len(expected))
        assert len(set(ids)) == len(ids)
        assert set(ids) <= set(expected)
        assert scores == sorted(scores, reverse=True)
        assert all(type(id_) is int for id_ in ids)
        error = 1e-5 if self.index.is_exact else SCORE_ERROR
        best = sorted((float(vector @ query) for vector in expected.values()), reverse=True)
        right = [float(expected[id_] @ query) for id_ in ids]
        assert np.allclose(scores, best[: len(ids)], rtol=0, atol=error)
        assert np.allclose(scores, right, rtol=0, atol=error)

    def teardown(self) -> None:
        if hasattr(self, "index"):
            self.index.close()
            assert self.index.build_error is None
        self.patch.undo()


TestIndexMachine = IndexMachine.TestCase
TestIndexMachine.settings = settings(stateful_step_count=25)


def filled(count: int, dimension: int = DIMENSION, **options) -> tuple[GrowingIndex, np.ndarray]:
    """An index of clustered vectors under the ids from 0, all of its builds done."""
    vectors = clustered(np.random.default_rng(3), count, dimension)
    index = GrowingIndex(dimension, **{"start": at_once, **options})
    for first in range(0, count, 500):
        part = vectors[first : first + 500]
        index.add(np.arange(first, first + len(part)), part)
    return index, vectors


def recall(index: GrowingIndex, vectors: np.ndarray, live: np.ndarray) -> float:
    """recall@10 of 20 candidates that are ranked again, over 100 queries."""
    queries = clustered(np.random.default_rng(3), 100, vectors.shape[1])
    found = 0
    for query in queries:
        _, ids = index.search(query, 20)
        tenth = np.sort(vectors[live] @ query)[-10]
        found += np.count_nonzero(np.sort(vectors[ids] @ query)[-10:] >= tenth - 1e-6)
    return found / 1_000


def test_a_large_index_is_small_and_finds_nearly_all():
    """After builds recall is high, in less than half of the memory of the vectors."""
    index, vectors = filled(30_000, 64, exact_below=1_000)
    assert not index.is_exact
    assert index.memory_bytes < 0.5 * vectors.nbytes
    assert recall(index, vectors, np.arange(30_000)) >= 0.95


def test_removed_ids_are_never_found_and_the_index_does_not_rot():
    """With most of it removed only live ids are found, the best of them, and memory is freed."""
    index, vectors = filled(20_000, 64, exact_below=500)
    before = index.memory_bytes
    for first in range(0, 18_900, 300):
        index.remove_many(np.arange(first, first + 300))
    for id_ in range(18_900, 19_000):
        index.remove(id_)
    live = np.arange(19_000, 20_000)
    assert len(index) == 1_000
    assert recall(index, vectors, live) >= 0.95
    _, ids = index.search(vectors[0], 2_000)
    assert sorted(ids) == live.tolist()
    assert index.memory_bytes < before / 2


def test_lists_that_are_empty_find_nothing(small_bounds: None):
    """When all was removed, searches of either kind are empty, and adding starts anew."""
    index, vectors = filled(200, exact_below=50)
    for id_ in range(200):
        index.remove(id_)
    assert len(index) == 0
    assert index.search(vectors[0], 5) == ([], [])
    assert index.search(vectors[0], 5, among=np.arange(200)) == ([], [])
    index.add_one(7, vectors[7])
    assert index.search(vectors[7], 5, among=np.arange(200))[1] == [7]


def test_an_index_of_three_vectors_costs_little_more_than_they_do():
    """Beyond the vectors it takes at most 700 bytes, all objects counted, and the same later."""
    vectors = clustered(np.random.default_rng(0), 3, 64)
    ids = np.arange(3)
    kept = [GrowingIndex(64)]
    kept[0].add(ids, vectors)
    kept[0].search(vectors[0], 3)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(500):
            index = GrowingIndex(64)
            for id_ in ids.tolist():
                index.add_one(id_, vectors[id_])
            index.search(vectors[0], 3)
            index.state()
            index.remove(7)
            kept.append(index)
        each = (tracemalloc.get_traced_memory()[0] - before) / 500
    finally:
        tracemalloc.stop()
    assert each < vectors.nbytes + 700


def test_searches_see_every_vector_while_builds_go_on():
    """From several threads, what was added is found by its own vector at every moment."""
    vectors = clustered(np.random.default_rng(5), 8_000)
    index = GrowingIndex(DIMENSION, exact_below=300, probes=ALL)
    added, ended, wrong = 0, threading.Event(), []
    leaving: set[int] = set()
    gone: set[int] = set()

    def search(seed: int) -> None:
        choice = random.Random(seed)
        while not ended.is_set():
            if added:
                id_ = choice.randrange(added)
                was_gone = id_ in gone
                _, ids = index.search(vectors[id_], 10)
                if was_gone if id_ in ids else id_ not in leaving:
                    wrong.append(id_)

    threads = [threading.Thread(target=search, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    try:
        for first in range(0, len(vectors), 100):
            index.add(np.arange(first, first + 100), vectors[first : first + 100])
            added = first + 100
            for id_ in range(first, first + 20):
                leaving.add(id_)
                index.remove(id_)
                gone.add(id_)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    index.wait()
    assert index.build_error is None
    assert not index.is_exact
    assert len(index) == len(vectors) - len(gone)
    assert not wrong


def test_closing_ends_a_build_and_its_thread():
    """After `close` no build goes on, and what was added is found all the same."""
    before = threading.active_count()
    vectors = clustered(np.random.default_rng(6), 50_000)
    index = GrowingIndex(DIMENSION, exact_below=40_000)
    index.add(np.arange(50_000), vectors)
    assert index.is_building
    started = time.monotonic()
    index.close()
    assert time.monotonic() - started < 10
    assert threading.active_count() == before
    assert not index.is_building
    assert len(index) == 50_000
    assert index.search(vectors[7], 1)[1] == [7]
    index.add_one(50_000, vectors[0])
    assert not index.is_building


def test_a_build_that_fails_is_told_and_what_was_there_serves_on(monkeypatch: pytest.MonkeyPatch):
    """The error is kept, nothing is lost, and a build after some growth succeeds."""

    def fail(*_: object) -> None:
        raise MemoryError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(list_building, "train_centroids", fail)
        index, vectors = filled(1_000, exact_below=900)
    assert isinstance(index.build_error, MemoryError)
    assert index.is_exact
    assert index.search(vectors[3], 1)[1] == [3]
    index.add(np.arange(1_000, 2_000), vectors)
    assert index.build_error is None
    assert not index.is_exact
    assert len(index) == 2_000


def test_a_state_that_is_taken_while_a_build_goes_on_holds_everything(
    small_bounds: None, monkeypatch: pytest.MonkeyPatch
):
    """At each step of a build the state is whole, removed ids left out."""
    states = []

    def watch() -> None:
        index.remove(3)
        index.remove(777)
        states.append(index.state())

    interrupt_builds(monkeypatch, watch)
    index = GrowingIndex(DIMENSION, exact_below=500, start=at_once)
    vectors = clustered(np.random.default_rng(8), 4_000)
    for first in range(0, 4_000, 100):
        index.add(np.arange(first, first + 100), vectors[first : first + 100])
    assert len(states) > 20
    for pieces in states[:: len(states) // 20]:
        restored = GrowingIndex.from_state(pieces, DIMENSION, start=at_once)
        _, ids = restored.search(vectors[0], 5_000)
        assert len(ids) == len(restored)
        assert sorted(ids) == [id_ for id_ in range(max(ids) + 1) if id_ not in (3, 777)]


def test_a_state_stays_as_it_was_taken():
    """Lists that are split afterwards, and ids that go, change nothing in it."""
    index, vectors = filled(6_000, exact_below=500)
    pieces = index.state()
    before = [piece.tobytes() for piece in pieces]
    index.add(np.arange(6_000, 12_000), vectors)
    index.remove_many(np.arange(500))
    assert [piece.tobytes() for piece in pieces] == before


@pytest.mark.parametrize("rows", [50, 3_000])
def test_a_state_that_is_none_is_refused(rows: int):
    """Another version or dimension, and pieces that do not fit, raise and name the pieces."""
    index, _ = filled(rows, exact_below=1_000)
    pieces = [piece.tobytes() for piece in index.state()]
    header = np.frombuffer(pieces[0], np.int64)
    other = header.copy()
    other[0] += 1
    damaged = [
        ([], DIMENSION),
        (pieces, DIMENSION + 1),
        ([other.tobytes(), *pieces[1:]], DIMENSION),
        ([*pieces[:2], pieces[2] + b"\0", *pieces[3:]], DIMENSION),
        ([(-header).tobytes(), *pieces[1:]], DIMENSION),
    ]
    for bad, dimension in damaged:
        with pytest.raises(BadInputError, match="pieces"):
            GrowingIndex.from_state(bad, dimension)


def test_bad_arguments_are_named():
    """Shapes that do not fit and a k of none raise with the argument's name."""
    index, vectors = filled(10)
    with pytest.raises(BadInputError, match="vectors"):
        index.add(np.arange(2), vectors[:1])
    with pytest.raises(BadInputError, match="query"):
        index.search(vectors[0, :3], 1)
    with pytest.raises(BadInputError, match="k: "):
        index.search(vectors[0], 0)

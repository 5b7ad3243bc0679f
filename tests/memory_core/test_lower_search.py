"""Search in tiers whose indexes are approximate: what it finds, and what it survives."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memory_core import (
    Condition,
    CorruptionError,
    Delete,
    Done,
    Failure,
    Filter,
    Hits,
    MemoryConfig,
    MemoryStore,
    Moved,
    Query,
    Record,
    Retrieve,
    Search,
    StateEncoder,
    Store,
    Transition,
)
from memory_core.growing_index import GrowingIndex
from memory_core.operations import Export, Restore
from memory_core.payload import pack_state

DIMENSION = 32
COUNT = 3_000
TIERS = ("stm", "im", "ltm")
ENCODER = StateEncoder(DIMENSION)


def walk(count: int, seed: int = 7) -> list[dict[str, Any]]:
    """States of a forager that wanders."""
    chance = random.Random(seed)
    x = y = 0.0
    health, energy, food = 100.0, 50.0, 0
    states = []
    for step in range(count):
        x, y = x + chance.gauss(0, 1), y + chance.gauss(0, 1)
        action = chance.choice(["move", "eat", "rest", "look"])
        food = max(0, food + (action == "look") - (action == "eat"))
        energy += chance.gauss(0, 2) + (action == "eat")
        health += chance.gauss(0, 1)
        states.append(
            {
                "position": [round(x, 3), round(y, 3)],
                "health": round(health, 2),
                "energy": round(energy, 2),
                "inventory": {"food": food, "wood": chance.randrange(5)},
                "action": action,
                "near": chance.choice(["river", "wood", "rock"]),
                "step": step,
            }
        )
    return states


STATES = walk(COUNT)
QUERIES = walk(COUNT, seed=11)[:: COUNT // 40]


class Told:
    """What a store of `STATES` must hold: vectors and tiers, by state id."""

    def __init__(self, store: MemoryStore) -> None:
        [found] = store.execute([Query("a", newest_first=False)])
        self.memories = {one.state_id: one for one in found.memories}
        self.ids = list(self.memories)
        payloads = [one.payload for one in self.memories.values()]
        self.vectors = np.asarray(ENCODER.encode_packed(payloads))
        self.tiers = np.array([one.tier for one in self.memories.values()])

    def exact(self, query: dict[str, Any]) -> dict[str, float]:
        """The score of every memory."""
        scores = self.vectors @ ENCODER.encode([query])[0]
        return dict(zip(self.ids, scores.tolist(), strict=True))


def wait_for_builds(store: MemoryStore) -> None:
    for one in store._tables.agents.values():
        if one.lower is not None:
            one.lower.index.wait()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryStore]:
    config = MemoryConfig(
        path=tmp_path_factory.mktemp("lower") / "db",
        dimension=DIMENSION,
        stm_capacity=400,
        im_capacity=900,
        exact_below=500,
        durability="os",
    )
    ticks = iter(range(10**9))
    with MemoryStore(config, clock=lambda: next(ticks)) as store:
        for first in range(0, COUNT, 100):
            some = range(first, first + 100)
            store.execute([Store.of("a", f"s{at}", STATES[at], step=at) for at in some])
        wait_for_builds(store)
        assert not store._tables.agents["a"].lower.index.is_exact
        yield store


@pytest.fixture(scope="module")
def told(store: MemoryStore) -> Told:
    return Told(store)


def search(store: MemoryStore, query: dict[str, Any], k: int, **how: Any) -> list[Any]:
    [found] = store.execute(
        [Search(**{"agent_id": "a", "payload": pack_state(query), "k": k} | how)]
    )
    assert isinstance(found, Hits), found
    return found.hits


@pytest.mark.parametrize("tier", ["all", *TIERS])
def test_finds_nearly_all_of_the_nearest(store: MemoryStore, told: Told, tier: str):
    """Recall@10 is 0.98 at least, across tiers and in each alone, with the full vectors' scores."""
    found = 0
    within = {one for one, kept in told.memories.items() if tier in {"all", kept.tier}}
    assert len(within) >= 300
    for query in QUERIES:
        exact = told.exact(query)
        best = sorted(within, key=lambda one: -exact[one])[:10]
        hits = search(store, query, 10, tier=tier)
        assert len(hits) == 10
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        for hit in hits:
            assert hit.state_id in within
            assert hit.score == pytest.approx(exact[hit.state_id], abs=1e-5)
            assert (hit.state, hit.tier) == (
                told.memories[hit.state_id].state,
                told.memories[hit.state_id].tier,
            )
        found += len({hit.state_id for hit in hits} & set(best))
    assert found >= 0.98 * 10 * len(QUERIES)


FILTERS: list[tuple[Filter, Callable[[Any], bool]]] = [
    (Filter(steps=(100, 130)), lambda one: 100 <= one.step <= 130),
    (Filter(steps=(2_000, 2_900)), lambda one: 2_000 <= one.step <= 2_900),
    (Filter(time_ns=(5, 20)), lambda one: 5 <= one.stored_ns <= 20),
    (
        Filter(conditions=[Condition(["inventory", "wood"], "eq", 3)]),
        lambda one: one.state["inventory"]["wood"] == 3,
    ),
    (
        Filter(steps=(0, 2_999), conditions=[Condition(["step"], "in", [1, 1_500, 2_999])]),
        lambda one: one.step in {1, 1_500, 2_999},
    ),
]


@pytest.mark.parametrize("number", range(len(FILTERS)))
@pytest.mark.parametrize("tier", ["all", "im", "ltm"])
def test_a_filter_leaves_k_when_there_are_k(store: MemoryStore, told: Told, number: int, tier: str):
    """A filtered search gives k memories that fit when k do, and nearly always the best of them."""
    wanted, fits = FILTERS[number]
    within = {one for one, kept in told.memories.items() if tier in {"all", kept.tier}}
    within = {one for one in within if fits(told.memories[one])}
    found = expected = 0
    for query in QUERIES[::4]:
        exact = told.exact(query)
        hits = search(store, query, 20, tier=tier, filter=wanted)
        best = sorted(within, key=lambda one: -exact[one])[:20]
        assert len(hits) == len(best)
        assert {hit.state_id for hit in hits} <= within
        for hit in hits:
            assert hit.score == pytest.approx(exact[hit.state_id], abs=1e-5)
        found += len({hit.state_id for hit in hits} & set(best))
        expected += len(best)
    assert found >= 0.97 * expected


def test_a_minimum_score_leaves_out_nothing_above_it(store: MemoryStore, told: Told):
    """All memories of at least the minimum score are found when they are asked for."""
    for query in QUERIES[::5]:
        exact = told.exact(query)
        ranked = sorted(exact.values(), reverse=True)
        for place in (3, 40, 700):
            floor = (ranked[place - 1] + ranked[place]) / 2
            above = {one for one, score in exact.items() if score >= floor + 1e-6}
            near = {one for one, score in exact.items() if abs(score - floor) < 1e-6}
            hits = search(store, query, COUNT, min_score=floor)
            assert above <= {hit.state_id for hit in hits} <= above | near


def test_scores_that_codes_make_much_too_low_are_not_left_out(tmp_path: Path):
    """What codes put furthest below the minimum score is found, however coarse they are."""
    dimension, count = 12, 4_000
    rng = np.random.default_rng(3)
    vectors = rng.choice([-1.0, 1.0], (count, dimension)) * rng.random((count, dimension)) ** 4
    vectors[:dimension] = np.eye(dimension)
    vectors[dimension : 2 * dimension] = -np.eye(dimension)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    config = MemoryConfig(
        path=tmp_path / "db", dimension=dimension, exact_below=2_000, durability="os"
    )
    with MemoryStore(config) as store:
        store.execute(
            [Store.of("a", f"s{at}", {}, vector=vector) for at, vector in enumerate(vectors)]
        )
        store.execute([Transition("im", 100.0)])
        index = store._tables.agents["a"].lower.index
        index.wait()
        query, far, below = furthest_below(index, vectors.astype(np.float32), rng)
        assert below > 0.01, "the case is not as hard as it should be"
        floor = float(vectors[far] @ query) - 1e-6
        [found] = store.execute(
            [Search("a", None, query.astype(np.float32).tobytes(), count, min_score=floor)]
        )
        assert f"s{far}" in {hit.state_id for hit in found.hits}
        assert below <= index.score_error(query.astype(np.float32)) + 1e-5


def furthest_below(
    index: GrowingIndex, vectors: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, int, float]:
    """A query, the memory whose score by codes is the furthest below its own, and how far."""
    lists = index._growth.lists
    decoded = vectors.copy()
    for number in range(len(lists.sizes)):
        ids, codes = lists.rows(number, 0, int(lists.sizes[number]))
        decoded[ids - 1] = lists.decode(codes)
    errors = vectors.astype(np.float64) - decoded
    far = int(np.argmax(np.linalg.norm(errors, axis=1)))
    query = errors[far] / np.linalg.norm(errors[far])
    return query, far, float(errors[far] @ query)


def test_a_hybrid_search_finds_what_exact_scores_put_first(store: MemoryStore, told: Told):
    """Similarity and attributes together rank memories of all tiers as exact scores would."""
    prefer = [Condition(["near"], "eq", "river"), Condition(["action"], "eq", "eat")]
    found = 0
    for query in QUERIES[::4]:
        exact = told.exact(query)
        for one, kept in told.memories.items():
            state = kept.state
            share = ((state["near"] == "river") + (state["action"] == "eat")) / 2
            exact[one] = 0.7 * exact[one] + 0.3 * share
        hits = search(store, query, 10, prefer=prefer, vector_weight=0.7, attribute_weight=0.3)
        assert len(hits) == 10
        for hit in hits:
            assert hit.score == pytest.approx(exact[hit.state_id], abs=1e-5)
        best = sorted(exact, key=lambda one: -exact[one])[:10]
        found += len({hit.state_id for hit in hits} & set(best))
    assert found >= 0.97 * 10 * len(QUERIES[::4])


@pytest.mark.parametrize("k", [COUNT, COUNT + 1, 10**7, 2**62])
@pytest.mark.parametrize("how", [{}, {"tier": "ltm"}, {"min_score": -2.0}])
def test_as_many_as_there_are_can_be_asked_for(
    store: MemoryStore, told: Told, k: int, how: dict[str, Any]
):
    """A k beyond what there is gives all there is, however large it is."""
    expected = {
        one for one, kept in told.memories.items() if how.get("tier", kept.tier) == kept.tier
    }
    hits = search(store, QUERIES[0], k, **how)
    assert sorted(hit.state_id for hit in hits) == sorted(expected)


def small(path: Path, **settings: Any) -> MemoryConfig:
    """Tiers of some memories, approximate from 20 on."""
    given = {
        "dimension": 8,
        "stm_capacity": 10,
        "im_capacity": 30,
        "exact_below": 20,
        "durability": "os",
    }
    return MemoryConfig(path=path, **given | settings)


def state(number: int) -> bytes:
    return pack_state({"number": number, "text": f"t{number % 7}"})


def vector(number: int) -> bytes:
    return np.random.default_rng(number).normal(size=8).astype(np.float32).tobytes()


def unit(data: bytes) -> bytes:
    """As a store scales a ready vector."""
    given = np.frombuffer(data, np.float32).astype(np.float64)
    return (given / np.sqrt(given @ given)).astype(np.float32).tobytes()


def test_what_was_deleted_or_replaced_never_comes_back(tmp_path: Path):
    """Searches give each memory once, as it is now, through builds, deletes and overwrites."""
    chance = random.Random(5)
    held: dict[str, bytes] = {}
    with MemoryStore(small(tmp_path / "db")) as store:
        for turn in range(120):
            batch: list[Any] = []
            for _ in range(5):
                one = f"s{chance.randrange(150)}"
                if chance.random() < 0.3:
                    batch.append(Delete("a", one))
                    held.pop(one, None)
                else:
                    held[one] = vector(chance.randrange(10**6))
                    batch.append(Store("a", one, state(turn), vector=held[one]))
            if turn % 11 == 0:
                batch.append(Transition(chance.choice(["im", "ltm"]), 50.0))
            assert not [one for one in store.execute(batch) if isinstance(one, Failure)]
            query = vector(turn)
            [found] = store.execute([Search("a", None, query, 500)])
            assert sorted(hit.state_id for hit in found.hits) == sorted(held)
            exact = {
                one: float(np.frombuffer(unit(kept), "<f4") @ np.frombuffer(unit(query), "<f4"))
                for one, kept in held.items()
            }
            for hit in found.hits:
                assert hit.score == pytest.approx(exact[hit.state_id], abs=1e-5)


@pytest.mark.parametrize("how", [{}, {"min_score": -2.0}, {"tier": "im"}])
def test_a_build_that_ends_while_a_search_is_under_way_shows_in_no_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any]
):
    """A search whose index becomes approximate meanwhile gives the full vectors' scores."""
    held: list[Callable[[], None]] = []
    made = GrowingIndex.__init__

    def held_back(self: GrowingIndex, dimension: int, **options: Any) -> None:
        made(self, dimension, **options | {"start": held.append})

    look = GrowingIndex.search

    def look_after_builds(self: GrowingIndex, *given: Any, **options: Any) -> Any:
        while held:
            held.pop()()
        return look(self, *given, **options)

    monkeypatch.setattr(GrowingIndex, "__init__", held_back)
    with MemoryStore(small(tmp_path / "db", im_capacity=300)) as store:
        store.execute([Store("a", f"s{at}", state(at), vector=vector(at)) for at in range(200)])
        assert held, "no build is due"
        monkeypatch.setattr(GrowingIndex, "search", look_after_builds)
        [found] = store.execute([Search("a", None, vector(1_000), 8, **how)])
        assert not store._tables.agents["a"].lower.index.is_exact
        query = np.frombuffer(unit(vector(1_000)), np.float32)
        exact = {
            f"s{at}": float(np.frombuffer(unit(vector(at)), np.float32) @ query)
            for at in range(200)
        }
        assert len(found.hits) == 8
        for hit in found.hits:
            assert hit.score == pytest.approx(exact[hit.state_id], abs=1e-6)


@pytest.mark.parametrize("tier", ["stm", "im", "ltm"])
def test_a_restored_memory_is_in_its_tier_alone(tmp_path: Path, tier: str):
    """Restoring an id that is there already moves it, wherever it was and is to be."""
    with MemoryStore(small(tmp_path / "db")) as store:
        for number in range(4):
            store.execute([Store("a", f"s{one}", state(one)) for one in range(4)])
            again = Restore("a", f"s{number}", state(9), 0.5, None, "state", None, None, 5, tier)
            done, found, ids = store.execute(
                [again, Retrieve("a", f"s{number}"), Query("a", newest_first=True)]
            )
            assert (done, found) == (Done(), Record(state(9), tier))
            assert sorted(one.state_id for one in ids.memories) == ["s0", "s1", "s2", "s3"]
            store.execute([Delete("a")])


def test_searches_beside_stores_see_every_memory_that_is_acknowledged(tmp_path: Path):
    """A memory is found as its own nearest from when it is stored, whatever goes on beside."""
    acknowledged: list[int] = []
    problems: list[str] = []
    is_over = threading.Event()

    def look() -> None:
        chance = random.Random(1)
        while not is_over.is_set():
            count = len(acknowledged)
            if not count:
                continue
            newest = acknowledged[count - 1]
            for number in (newest, chance.randrange(newest + 1)):
                [found] = store.execute([Search("a", None, vector(number), 1)])
                if [hit.state_id for hit in found.hits] != [f"s{number}"]:
                    problems.append(f"{number} of {count}: {found}")

    with MemoryStore(small(tmp_path / "db", im_capacity=200, exact_below=100)) as store:
        looking = threading.Thread(target=look)
        looking.start()
        try:
            for number in range(0, 2_500, 10):
                some = range(number, number + 10)
                store.execute([Store("a", f"s{at}", state(at), vector=vector(at)) for at in some])
                acknowledged.append(number + 9)
                if number % 500 == 0:
                    [moved] = store.execute([Transition("ltm", 30.0)])
                    assert isinstance(moved, Moved)
        finally:
            is_over.set()
            looking.join()
        assert not problems
        wait_for_builds(store)
        for number in range(0, 2_500, 50):
            [found] = store.execute([Search("a", None, vector(number), 1)])
            assert found.hits[0].state_id == f"s{number}"


class Fickle:
    """An encoder that gives a state another vector each time."""

    name, version, dimension = "fickle", 1, 8

    def __init__(self) -> None:
        self.given: dict[int, bytes] = {}
        self.calls = 0

    def encode(self, states: Any) -> np.ndarray:
        self.calls += 1
        made = np.random.default_rng(self.calls).normal(size=(len(states), 8)).astype(np.float32)
        for one, row in zip(states, made, strict=True):
            self.given.setdefault(one["number"], unit(row.tobytes()))
        return made


def kept_vectors(store: MemoryStore) -> dict[str, bytes | None]:
    [page] = store.execute([Export("a", limit=1_000)])
    assert not page.more
    return {one.state_id: data for one, data in zip(page.memories, page.vectors, strict=True)}


@pytest.mark.parametrize("is_ready", [True, False])
def test_vectors_that_do_not_follow_from_the_state_are_kept_to_the_bit(
    tmp_path: Path, is_ready: bool
):
    """Ready vectors, and those of an encoder of the user's, go down, out and in unchanged."""
    encoder = None if is_ready else Fickle()
    config = small(tmp_path / "db", encoder=encoder)
    numbers = range(100)
    with MemoryStore(config) as store:
        store.execute(
            [
                Store("a", f"s{at}", state(at), vector=vector(at) if is_ready else None)
                for at in numbers
            ]
        )
        store.execute([Transition("ltm", 40.0)])
        expected = {
            f"s{at}": unit(vector(at)) if encoder is None else encoder.given[at] for at in numbers
        }
        kept = kept_vectors(store)
        assert kept == expected
        [found] = store.execute([Query("a")])
        assert {one.tier for one in found.memories} == set(TIERS)
    with MemoryStore(config) as store:
        assert kept_vectors(store) == expected
    with MemoryStore(small(tmp_path / "other", encoder=encoder)) as other:
        again = [
            Restore("a", one.state_id, one.payload, 0.5, kept[one.state_id], "state", *rest)
            for one in found.memories
            for rest in [(None, None, 1, one.tier)]
        ]
        assert set(map(type, other.execute(again))) == {Done}
        assert kept_vectors(other) == expected
        [[nearest]] = [one.hits for one in other.execute([Search("a", None, expected["s3"], 1)])]
        assert nearest.state_id == "s3"
        assert nearest.score == pytest.approx(1.0, abs=1e-6)


def place_of(store: MemoryStore, state_id: str) -> tuple[int, int]:
    """Tier and sequence of a memory of a lower tier."""
    agent = store._tables.agents["a"]
    entry = store._log.get(3, agent.prefix + state_id.encode())
    sequence = int.from_bytes(entry, "big")
    return agent.lower.rows.tier_of(sequence), sequence


def damage(store: MemoryStore, state_id: str) -> bytes:
    """Cut a lower record short beneath a store; its key."""
    tier, sequence = place_of(store, state_id)
    key = store._tables.agents["a"].prefix + sequence.to_bytes(8, "big")
    store._log._families[tier].put(key, b"torn")
    return key


def test_a_damaged_record_of_a_lower_tier_fails_only_what_needs_it(tmp_path: Path):
    """Who needs the record is told so, by its key; everything else goes on."""
    with MemoryStore(small(tmp_path / "db", payload_cache_bytes=0)) as store:
        store.execute([Store("a", f"s{at}", state(at), vector=vector(at)) for at in range(100)])
        store.execute([Transition("ltm", 40.0)])
        wait_for_builds(store)
        for victim in ("s1", "s70"):
            key = damage(store, victim)
            whole = [f"s{at}" for at in range(100) if f"s{at}" not in {"s1", "s70"}]
            results = store.execute(
                [
                    Retrieve("a", victim),
                    Search("a", None, vector(int(victim[1:])), 1),
                    *[Retrieve("a", one) for one in whole],
                    Store("a", "new", state(1), vector=vector(1_000)),
                    Search("a", None, vector(1_000), 1, "stm"),
                ]
            )
            for failed in results[:2]:
                assert isinstance(failed, Failure), failed
                assert failed.error == "CorruptionError"
                assert repr(key) in failed.args[1]
            assert {type(one) for one in results[2:-2]} == {Record}
            assert isinstance(results[-2], Done)
            assert results[-1].hits[0].state_id == "new"
            assert store.execute([Delete("a", victim)])[0].count == 1


def test_demotion_that_meets_damage_fails_no_store(tmp_path: Path):
    """A tier whose record cannot be read keeps what it has; stores and searches go on."""
    with MemoryStore(small(tmp_path / "db", payload_cache_bytes=0)) as store:
        store.execute([Store("a", f"s{at}", state(at), vector=vector(at)) for at in range(35)])
        tier, _ = place_of(store, "s0")
        assert tier == 1
        damage_gone(store, "s0")
        for at in range(100, 200):
            assert store.execute([Store("a", f"s{at}", state(at), vector=vector(at))]) == [Done()]
        blocked = store._execution._mover.blocked
        assert list(blocked) == [("a", 1)]
        assert isinstance(blocked["a", 1], CorruptionError)
        for at in (1, 34, 100, 199):
            assert isinstance(store.execute([Retrieve("a", f"s{at}")])[0], Record)
            [found] = store.execute(
                [Search("a", None, vector(at), 1, "stm" if at == 199 else "im")]
            )
            if isinstance(found, Hits):
                assert found.hits[0].state_id == f"s{at}"


def damage_gone(store: MemoryStore, state_id: str) -> None:
    """Take a lower record away beneath a store."""
    tier, sequence = place_of(store, state_id)
    memories = store._tables.agents["a"]
    key = memories.prefix + sequence.to_bytes(8, "big")
    family: Any = store._log._families[tier]
    del family[key]
    memories.make_lower().held.clear()  # or moving down would not read it


def test_an_agent_that_is_stored_anew_is_not_held_back_by_what_it_was(tmp_path: Path):
    """Deleting an agent forgets that damage kept its tiers from moving down."""
    with MemoryStore(small(tmp_path / "db", payload_cache_bytes=0)) as store:
        store.execute([Store("a", f"s{at}", state(at), vector=vector(at)) for at in range(35)])
        damage_gone(store, "s0")
        store.execute(
            [Store("a", f"s{at}", state(at), vector=vector(at)) for at in range(100, 150)]
        )
        assert store._execution._mover.blocked
        store.execute([Delete("a")])
        store.execute([Store("a", f"s{at}", state(at), vector=vector(at)) for at in range(200)])
        counts = store._tables.counts("a")
        assert (counts.stm <= 10, counts.im <= 30) == (True, True), counts


@pytest.mark.slow
def test_memories_that_are_nearly_alike_are_found_in_their_order(tmp_path: Path):
    """Where scores lie closer together than codes tell apart, more candidates are read."""
    chance = np.random.default_rng(3)
    states = [
        {
            "position": chance.integers(100, size=2).tolist(),
            "gold": int(chance.integers(50)),
            "role": "ab"[chance.integers(2)],
        }
        for _ in range(20_000)
    ]
    vectors = StateEncoder(64).encode(states)
    with MemoryStore(MemoryConfig(path=tmp_path / "db", durability="os")) as store:
        for first in range(0, len(states), 500):
            store.execute([Store.of("a", str(at), states[at]) for at in range(first, first + 500)])
        wait_for_builds(store)
        is_first, found = 0, 0
        for at in range(0, 10_000, 100):
            [hits] = store.execute([Search.of("a", states[at], k=10)])
            tenth = np.sort(vectors @ vectors[at])[-10]
            found += sum(hit.score >= tenth - 1e-6 for hit in hits.hits)
            is_first += hits.hits[0].score > 1 - 1e-6
    assert is_first >= 98
    assert found >= 970

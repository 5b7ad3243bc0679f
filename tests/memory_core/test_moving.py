"""Memories on their way down: a part at a time, beside everything else that goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from memory_core import (
    Counts,
    Delete,
    Describe,
    Done,
    Failure,
    Hits,
    MemoryConfig,
    MemoryStore,
    Moved,
    Query,
    Record,
    Retrieve,
    Search,
    Store,
    Transition,
    UnavailableError,
    moving,
)
from memory_core.errors import DatabaseError
from memory_core.log import Log
from memory_core.movement import Movement
from memory_core.payload import pack_state
from memory_core.payload_budget import _ENTRY_OVERHEAD_BYTES
from memory_core.results import Demotion

STM, IM, LTM = range(3)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Move a few memories at a time."""
    monkeypatch.setattr(moving, "_PART", 20)
    monkeypatch.setattr(moving, "_AGENT_COST", 1)
    monkeypatch.setattr(moving, "_AT_ONCE", 8)
    monkeypatch.setattr(moving, "_LEAST_TOGETHER", 4)
    monkeypatch.setattr(moving, "_LOOKED_AT_TOGETHER", 50)
    monkeypatch.setattr(moving, "_AGENTS_LOOKED_AT_TOGETHER", 2)


def configured(path: Path, **settings: Any) -> MemoryConfig:
    given = {
        "dimension": 8,
        "stm_capacity": 1_000,
        "im_capacity": 1_000,
        "durability": "os",
        "exact_below": 30,
        "access_half_life_s": 1e-9,  # so that nothing moves up, however often it is asked for
    }
    return MemoryConfig(path=path, **given | settings)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MemoryStore]:
    with MemoryStore(configured(tmp_path / "db")) as store:
        yield store


def state(number: int) -> bytes:
    return pack_state({"number": number})


def put(numbers: Any, agent_id: str = "a") -> list[Any]:
    return [Store(agent_id, f"s{at}", state(at)) for at in numbers]


def counts(store: MemoryStore, agent_id: str | None = None) -> Counts:
    [found] = store.execute([Describe(agent_id)])
    return found.counts


def between_parts(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch, look: Callable[[int], object]
) -> None:
    """Have ``look`` called, as by another caller, before each part of a transition."""
    submit, parts = store._submit, []

    def looking(work: Any) -> None:
        if any(isinstance(one, Movement) for one in work.operations):
            parts.append(None)
            look(len(parts))
        submit(work)

    monkeypatch.setattr(store, "_submit", looking)


def tiers(store: MemoryStore, agent_id: str = "a") -> dict[str, str]:
    """The tier of each memory; each is there once, and is found and read where it is."""
    [found] = store.execute([Query(agent_id)])
    ids = [one.state_id for one in found.memories]
    assert len(set(ids)) == len(ids)
    asked = [Retrieve(agent_id, one.state_id, one.tier) for one in found.memories]
    for one, result in zip(found.memories, store.execute(asked), strict=True):
        assert result == Record(one.payload, one.tier)
    [hits] = store.execute([Search(agent_id, state(1), k=len(ids) + 5)])
    assert sorted(hit.state_id for hit in hits.hits) == sorted(ids)
    return {one.state_id: one.tier for one in found.memories}


@pytest.mark.parametrize("agent_id", ["a", None])
def test_a_transition_goes_on_between_the_batches_of_others(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch, agent_id: str | None
):
    """Others store and read between its parts, and see every memory once, in one tier."""
    store.execute([*put(range(150)), *put(range(150), "b")])
    seen: list[Counts] = []

    def look(part: int) -> None:
        seen.append(counts(store))
        assert seen[-1].total == 300 + part - 1
        assert store.execute(put([1_000 + part], "b")) == [Done()]
        some = tiers(store)
        assert len(some) == 150
        [found] = store.execute([Search("a", state(part), k=1)])
        assert found.hits[0].state_id == f"s{part}"

    between_parts(store, monkeypatch, look)
    chosen = 150 if agent_id else 300
    [moved] = store.execute([Transition("im", 60.0, agent_id)])
    # what was stored since the look at its agent may be among what it chooses from, or not
    assert isinstance(moved, Moved)
    assert 0.6 * chosen <= moved.count <= 0.6 * (chosen + len(seen))
    assert len(seen) >= moved.count / 20
    assert counts(store).im == moved.count
    assert len({one.im for one in seen}) > moved.count / 20 - 1, "it moved all at once"
    assert max(later.im - one.im for one, later in pairwise(seen)) <= 20


@pytest.mark.parametrize("to", ["im", "ltm"])
def test_what_is_deleted_or_replaced_on_its_way_is_not_counted(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch, to: str
):
    """A memory that is gone, or stored anew, when its turn comes is not moved."""
    above = {"im": STM, "ltm": IM}[to]
    store.execute(put(range(100)))
    if above == IM:
        store.execute([Transition("im", 100.0)])
    gone = range(70, 80)
    again = range(80, 90)

    def look(part: int) -> None:
        if part == 4:  # two parts were for looking and choosing
            store.execute([Delete("a", f"s{at}") for at in gone])
            store.execute(put(again))

    between_parts(store, monkeypatch, look)
    assert store.execute([Transition(to, 100.0, "a")]) == [Moved(80)]
    found = tiers(store)
    assert found == {
        **{f"s{at}": to for at in range(100) if at not in {*gone, *again}},
        **{f"s{at}": "stm" for at in again},
    }


def test_an_agent_that_is_deleted_on_the_way_is_not_missed(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
):
    """A transition of all agents goes on when one of them is deleted, or stored anew."""
    for agent_id in "abcde":
        store.execute(put(range(30), agent_id))

    def look(part: int) -> None:
        if part == 2:
            store.execute([Delete("b")])
        if part == 6:
            store.execute([Delete("d"), *put(range(5), "d")])

    between_parts(store, monkeypatch, look)
    [moved] = store.execute([Transition("im", 100.0)])
    assert counts(store).im == moved.count
    assert counts(store).total == 95
    for agent_id in "ace":
        assert set(tiers(store, agent_id).values()) == {"im"}
    assert set(tiers(store, "d").values()) == {"stm"}


def test_everything_may_be_deleted_on_the_way(store: MemoryStore, monkeypatch: pytest.MonkeyPatch):
    """A transition ends when nothing is left."""
    store.execute([*put(range(100)), *put(range(100), "b")])
    between_parts(store, monkeypatch, lambda part: part == 7 and store.execute([Delete(None)]))
    [moved] = store.execute([Transition("im", 100.0)])
    assert moved.count < 200
    assert counts(store) == Counts(0, 0, 0)


def test_a_store_that_is_closed_on_the_way_keeps_what_was_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Closing ends a transition, with each memory in one tier."""
    config = configured(tmp_path / "db")
    store = MemoryStore(config)
    store.execute(put(range(100)))
    between_parts(store, monkeypatch, lambda part: part == 5 and store.close())
    with pytest.raises(UnavailableError):
        store.execute([Transition("im", 100.0)])
    with MemoryStore(config) as store:
        found = list(tiers(store).values())
        assert len(found) == 100
        assert 0 < found.count("im") < 100
        [moved] = store.execute([Transition("im", 100.0)])
        assert moved.count == found.count("stm")


def test_a_write_that_fails_ends_a_transition(store: MemoryStore, monkeypatch: pytest.MonkeyPatch):
    """The transition fails, and what its earlier parts moved is where it was moved to."""
    store.execute(put(range(100)))
    write, written = Log.write, []

    def failing(self: Log, batch: Any) -> None:
        written.append(None)
        if len(written) == 3:
            raise DatabaseError(self.path, "cannot be written")
        write(self, batch)

    monkeypatch.setattr(Log, "write", failing)
    [failure] = store.execute([Transition("im", 100.0)])
    assert isinstance(failure, Failure)
    found = list(tiers(store).values())
    assert (found.count("im"), found.count("stm")) == (2 * 20, 100 - 2 * 20)


OVERFULL = {"stm_capacity": 50, "im_capacity": 60}


def test_what_a_tier_has_too_much_goes_with_later_writes(tmp_path: Path):
    """An over-full tier is within its capacity once all that is noted has gone."""
    with MemoryStore(configured(tmp_path / "db", **OVERFULL)) as store:
        store.execute(put(range(400)))
        mover = store._execution._mover
        waiting = [mover.waiting]
        for at in range(400, 900):
            held = counts(store)
            assert held.total == at
            if not mover.is_waiting:
                assert held.stm <= 50
                assert held.im <= 60
            store.execute(put([at]))
            waiting.append(mover.waiting)
        assert waiting[0] or max(waiting), "nothing was ever noted"
        assert 0 in waiting
        assert counts(store).stm <= 50 + max(waiting)
        assert len(tiers(store)) == 900
    assert counts_on_opening(tmp_path / "db").total == 900


def counts_on_opening(path: Path) -> Counts:
    with MemoryStore(configured(path, **OVERFULL)) as store:
        return counts(store)


@pytest.fixture
def noted(tmp_path: Path) -> Path:
    """A database whose tiers are too full, as a kill or a smaller capacity leaves them."""
    path = tmp_path / "noted"
    with MemoryStore(configured(path)) as store:
        store.execute(put(range(300)))
        store.execute([Transition("im", 50.0)])
        assert counts(store) == Counts(150, 150, 0)
    return path


def test_what_is_noted_is_forgotten_at_close_and_taken_up_again(noted: Path):
    """A store that was closed with memories still to move moves them with the writes after."""
    with MemoryStore(configured(noted, **OVERFULL)) as store:
        mover = store._execution._mover
        store.execute(put([1_000]))
        assert mover.is_waiting
        left = sum(len(one.sequences) for one in mover._queue if one.tier == STM)
        assert 0 < left < 151 - 50 + 5
    held = counts_on_opening(noted)
    assert held.total == 301
    assert held.stm > 50
    with MemoryStore(configured(noted, **OVERFULL)) as store:
        mover = store._execution._mover
        assert not mover.is_waiting
        for at in range(1_001, 1_200):
            store.execute(put([at]))
        held = counts(store)
        assert (held.stm <= 50, held.im <= 60) == (True, True)
        assert held.total == 500
        assert len(tiers(store)) == 500


def test_what_is_noted_does_not_move_what_replaced_it(noted: Path):
    """Memories that are deleted or stored again while they wait stay as they are."""
    with MemoryStore(configured(noted, **OVERFULL)) as store:
        mover = store._execution._mover
        store.execute(put([1_000]))
        assert mover.is_waiting
        waiting = [one for some in mover._queue for one in some.state_ids]
        deleted, again = waiting[-6:-3], waiting[-3:]
        store.execute([Delete("a", one) for one in deleted])
        store.execute([Store("a", one, state(7)) for one in again])
        held = tiers(store)
        assert {held[one] for one in again} == {"stm"}
        while mover.is_waiting:
            store.execute([Store("a", again[0], state(8))])
        held = tiers(store)
        assert not held.keys() & set(deleted)
        assert {held[one] for one in again} == {"stm"}
        assert len(held) == 301 - 3


def test_a_deleted_agent_is_not_moved_when_it_is_stored_anew(noted: Path):
    """What is noted of an agent goes with it, and its tiers keep to their capacities afterwards."""
    with MemoryStore(configured(noted, **OVERFULL)) as store:
        store.execute(put([1_000]))
        mover = store._execution._mover
        assert mover.is_waiting
        store.execute([Delete("a")])
        assert not mover.is_waiting
        for at in range(200):
            store.execute(put([at]))
            assert counts(store).stm <= 50
        assert len(tiers(store)) == 200


def test_demotions_of_a_batch_with_transitions_are_told_where_they_come_from(tmp_path: Path):
    """Each has the position of the operation that led to it, and all that moved is told once."""
    with MemoryStore(configured(tmp_path / "db", stm_capacity=10)) as store:
        store.execute(put(range(10)))
        batch = [
            Retrieve("a", "s9"),
            *put([10]),
            Transition("im", 100.0, "a"),
            *put([11], "b"),
            Transition("ltm", 50.0),
            Transition("im", 100.0),
            Search("a", state(3)),
        ]
        results, demotions = store.execute_watched(batch)
        assert isinstance(results[-1], Hits)
        assert [type(one) for one in results[1:6]] == [Done, Moved, Done, Moved, Moved]
        # one more than fits and a tenth of the capacity: 0 and 1 go first
        assert demotions[:2] == [Demotion(1, "a", f"s{at}", STM) for at in (0, 1)]
        assert demotions[2:11] == [Demotion(2, "a", f"s{at}", STM) for at in range(2, 11)]
        assert results[2] == Moved(9)
        assert demotions[11:17] == [Demotion(4, "a", f"s{at}", IM) for at in range(6)]
        assert demotions[17:] == [Demotion(5, "b", "s11", STM)]
        assert [results[4], results[5]] == [Moved(6), Moved(1)]


def test_a_batch_with_transitions_gives_each_result_in_its_place(store: MemoryStore):
    """Failures, unknown agents and 0 per cent are told apart, in order."""
    results = store.execute(
        [
            Transition("stm", 10.0),
            *put(range(10)),
            Transition("im", 0.0),
            Transition("im", 30.0, "nobody"),
            Transition("im", 30.0, "a"),
            Describe("a"),
            Transition("ltm", 101.0),
        ]
    )
    assert isinstance(results[0], Failure)
    assert results[1:11] == [Done()] * 10
    assert results[11:14] == [Moved(0), Moved(0), Moved(3)]
    assert results[14].counts == Counts(7, 3, 0)
    assert isinstance(results[15], Failure)


def test_what_is_held_on_the_way_down_is_counted(tmp_path: Path):
    """The budget of what is held never counts less than is held, wherever it was read from."""
    config = configured(tmp_path / "db", stm_capacity=20, im_capacity=50)

    def held_bytes() -> int:
        short, lower = store._tables.agents["a"].short, store._tables.agents["a"].lower
        held = [one for one in short.payloads if one is not None]
        held += [] if lower is None else lower.held.values()
        return sum(map(len, held)) + _ENTRY_OVERHEAD_BYTES * len(held)

    with MemoryStore(config) as store:
        store.execute(put(range(200)))
        assert 0 < held_bytes() <= store._budget._held_bytes
    with MemoryStore(config) as store:
        assert held_bytes() == 0
        for at in range(200, 240, 4):
            store.execute(put(range(at, at + 4)))
            assert 0 < held_bytes() <= store._budget._held_bytes
        store.execute([Transition("im", 100.0), *put(range(300, 305))])
        assert 0 < held_bytes() <= store._budget._held_bytes
        store.execute([Transition("ltm", 100.0)])
        assert 0 < held_bytes() <= store._budget._held_bytes

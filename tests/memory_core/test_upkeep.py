"""What a store does of itself: moving up what is retrieved often, letting go of what is too old."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from memory_core import (
    AgentMemorySystem,
    BadInputError,
    Counts,
    Delete,
    Deleted,
    Describe,
    Done,
    Maintain,
    Maintained,
    MemoryConfig,
    MemoryStore,
    Missing,
    Moved,
    Promotion,
    Query,
    Record,
    Restore,
    Retrieve,
    RetrieveMany,
    Search,
    StorageFullError,
    Store,
    Transition,
    UnavailableError,
    verify,
)
from memory_core.access import MAX_READ
from memory_core.client import MemoryClient
from memory_core.hooks import PromotionEvent
from memory_core.local_transport import LocalTransport
from memory_core.log import Log
from memory_core.maintaining import Maintainer
from memory_core.payload import pack_state

HUGE = -(10**5_000)
SECOND_NS = 1_000_000_000


class Clock:
    """A wall clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now_ns = 1_700_000_000 * SECOND_NS

    def __call__(self) -> int:
        return self.now_ns

    def pass_s(self, seconds: float) -> None:
        self.now_ns += round(seconds * SECOND_NS)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened(tmp_path: Path, clock: Clock) -> Iterator[Any]:
    """Opens the store, or opens it anew with other settings."""
    stores: list[MemoryStore] = []

    def open_store(**settings: Any) -> MemoryStore:
        for store in stores:
            store.close()
        config = {"dimension": 8, "durability": "os", "stm_capacity": 4, "im_capacity": 4}
        config |= settings
        stores.append(MemoryStore(MemoryConfig(path=tmp_path / "db", **config), clock=clock))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


def put(number: int, agent_id: str = "a", **fields: Any) -> Store:
    return Store(agent_id, f"s{number}", pack_state({"number": number}), **fields)


def tiers(store: MemoryStore, agent_id: str = "a") -> dict[str, str]:
    """The tier of each memory, asked for in a way that tells the store least."""
    [found] = store.execute([Query(agent_id)])
    return {memory.state_id: memory.tier for memory in found.memories}


def counts(store: MemoryStore, agent_id: str | None = None) -> tuple[int, int, int]:
    [described] = store.execute([Describe(agent_id)])
    return described.counts.stm, described.counts.im, described.counts.ltm


WAYS = {
    "id": Retrieve("a", "s0"),
    "ids": RetrieveMany("a", ["s0", "s9"]),
    "similarity": Search("a", pack_state({"number": 0}), None, 1),
    "filtered similarity": Search("a", pack_state({"number": 0}), None, 1, min_score=-1.0),
    "query": Query("a", limit=1, newest_first=False),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
@pytest.mark.parametrize(("below", "above"), [("im", "stm"), ("ltm", "im")])
@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
def test_what_is_retrieved_four_times_moves_up_with_the_next_store(
    opened: Any, way: Any, below: str, above: str, cache_bytes: int
):
    """Whichever way it is found; three times are too few, and reads alone move nothing."""
    store = opened(payload_cache_bytes=cache_bytes)
    store.execute([put(0), put(1), Transition("im", 100.0)])
    if below == "ltm":
        store.execute([Transition("ltm", 100.0)])
    store.execute([way] * 3)
    store.execute([put(5, "b")])
    assert store.execute([Retrieve("a", "s1", below)])[0] != Missing()
    assert counts(store, "a")[1 if below == "im" else 2] == 2
    store.execute([way])
    assert counts(store, "a")[1 if below == "im" else 2] == 2
    store.execute([put(5, "b")])
    assert store.execute([Retrieve("a", "s0", above)])[0] == Record(
        pack_state({"number": 0}), above
    )
    assert counts(store, "a")[1 if below == "im" else 2] == 1
    store.close()
    assert verify(store.path).is_clean


def test_a_memory_that_has_moved_up_is_as_it_was_and_so_it_is_after_opening(
    opened: Any, clock: Clock
):
    """Its time, step, importance, metadata and vector go with it, and its place among the old."""
    store = opened()
    store.execute(
        [put(0, importance=0.25, kind="action", step=7, metadata=pack_state({"m": 1})), put(1)]
    )
    clock.pass_s(5)
    [before] = store.execute([RetrieveMany("a", ["s0"])])
    store.execute([Transition("im", 100.0), *[Retrieve("a", "s0")] * 4, put(2)])
    for _ in range(2):
        [after] = store.execute([RetrieveMany("a", ["s0"])])
        assert after == before
        assert list(tiers(store)) == ["s2", "s1", "s0"]
        store = opened()


def test_what_has_moved_up_stays_while_it_is_retrieved_and_goes_when_that_fades(
    opened: Any, clock: Clock
):
    """Its access makes up for its age, for some half-lives; then the oldest goes first."""
    store = opened(stm_capacity=20, access_half_life_s=3_600)
    store.execute([put(0), Transition("im", 100.0), *[Retrieve("a", "s0")] * 4, put(1)])
    store.execute([put(number) for number in range(2, 40)])
    assert isinstance(store.execute([Retrieve("a", "s0", "stm")])[0], Record)
    clock.pass_s(10 * 3_600)
    store.execute([put(number) for number in range(40, 60)])
    assert store.execute([Retrieve("a", "s0", "stm")])[0] == Missing()


def test_what_moves_down_has_to_be_retrieved_as_often_anew(opened: Any):
    """However often it was retrieved before, and however full the tiers: nothing bounces."""
    store = opened()
    store.execute([put(0), *[Retrieve("a", "s0")] * 50, Transition("im", 100.0)])
    for number in range(1, 4):
        store.execute([put(number)])
        assert store.execute([Describe("a")])[0].counts.im == 1
    store.execute([*[Retrieve("a", "s0")] * 4, put(4, "b")])
    assert store.execute([Describe("a")])[0].counts.im == 0


def test_retrievals_fade(opened: Any, clock: Clock):
    """Three long ago and one now are not four; a clock that is set back makes none of them more."""
    store = opened(access_half_life_s=60)
    store.execute([put(0), Transition("im", 100.0), *[Retrieve("a", "s0")] * 3])
    clock.pass_s(600)
    store.execute([Retrieve("a", "s0"), put(1, "b")])
    assert counts(store, "a") == (0, 1, 0)
    clock.pass_s(-3_000_000)
    store.execute([*[Retrieve("a", "s0")] * 2, put(1, "b")])
    assert counts(store, "a") == (0, 1, 0)
    store.execute([Retrieve("a", "s0"), put(1, "b")])
    assert counts(store, "a") == (1, 0, 0)


def test_a_memory_that_is_stored_again_begins_anew(opened: Any):
    """What was known of how often the old one was retrieved says nothing of the new one."""
    store = opened()
    store.execute([put(0), *[Retrieve("a", "s0")] * 9, put(0), Transition("im", 100.0)])
    store.execute([put(1, "b")])
    assert counts(store, "a") == (0, 1, 0)
    assert store._tables.agents["a"].reads == {}


def test_what_is_known_of_an_agents_retrievals_is_bounded(opened: Any):
    """The weaker half is forgotten, and an answer that gives everything tells of nothing."""
    store = opened(stm_capacity=MAX_READ * 2, payload_cache_bytes=0)
    store.execute([put(number) for number in range(MAX_READ + 1)])
    store.execute([Query("a")])
    assert not store._tables.agents["a"].reads
    store.execute([Retrieve("a", f"s{number}") for number in range(MAX_READ) for _ in range(2)])
    store.execute([Retrieve("a", f"s{MAX_READ}")])
    reads = store._tables.agents["a"].reads
    assert len(reads) <= MAX_READ // 2 + 1
    assert min(reads.values()) > 1.9


def test_reads_write_nothing(opened: Any, monkeypatch: pytest.MonkeyPatch):
    """Neither what should move up nor what is too old makes a batch of reads write."""
    store = opened(stm_ttl_s=60)
    store.execute([put(0), Transition("im", 100.0), put(1)])
    written: list[Any] = []
    monkeypatch.setattr(Log, "write", lambda self, batch: written.append(batch))
    store._clock.pass_s(61)
    store.execute([Retrieve("a", "s0"), Retrieve("a", "s1"), Query("a"), Describe()] * 9)
    assert written == []


@pytest.mark.fault
def test_a_promotion_that_was_not_written_did_not_happen(
    opened: Any, monkeypatch: pytest.MonkeyPatch
):
    """After a failed write a memory is where the disk has it, and reads say so."""
    store = opened()
    store.execute([put(0), Transition("im", 100.0), *[Retrieve("a", "s0")] * 4])

    def full(log: Log, *_: Any) -> None:
        raise StorageFullError(log.path, "the disk has no room (injected)")

    with monkeypatch.context() as patch:
        patch.setattr(Log, "write", full)
        store.execute([put(1)])
    assert tiers(store) == {"s0": "im"}
    with pytest.raises(UnavailableError):
        store.force_memory_maintenance()
    assert tiers(opened()) == {"s0": "im"}


def test_a_hook_after_a_promotion_is_told_from_where_to_where(tmp_path: Path):
    """Each memory that moved up is an event with both tiers."""
    config = MemoryConfig(path=tmp_path / "db", dimension=8)
    with AgentMemorySystem(config) as memory:
        seen: list[Any] = []
        memory.register_memory_hook(event="promotion", hook=seen.append)
        memory.execute([put(0), put(1), Transition("im", 100.0)])
        memory.execute([*[Retrieve("a", "s0")] * 4, put(2)])
        assert seen == [PromotionEvent("a", "s0", "im", "stm")]
        memory.execute([Transition("im", 100.0), Transition("ltm", 100.0)])
        memory.execute([Retrieve("a", "s1")] * 4)
        assert memory.force_memory_maintenance() == Maintained(0, 1, 0)
        assert seen[1:] == [PromotionEvent("a", "s1", "ltm", "im")]


def test_who_watches_a_batch_is_told_which_operation_led_to_a_promotion(opened: Any):
    """It is the last one of the batch that writes."""
    store = opened()
    store.execute([put(0), Transition("im", 100.0)])
    often = [Retrieve("a", "s0")] * 4
    _, moves = store.execute_watched([put(1, "b"), *often, put(2, "b"), Describe()])
    assert moves == [Promotion(5, "a", "s0", 1)]


@pytest.mark.parametrize("tier", ["stm", "im", "ltm"])
def test_a_memory_older_than_its_tiers_time_to_live_is_in_no_answer(
    opened: Any, clock: Clock, tier: str
):
    """Exactly until it is over the memory is there; from then on nothing knows of it."""
    settings = {f"{tier}_ttl_s": 60}
    store = opened(**settings)
    store.execute([put(0), put(1, "b")])
    for to in ("im", "ltm")[: ("stm", "im", "ltm").index(tier)]:
        store.execute([Transition(to, 100.0, "a")])
    asked = [
        Retrieve("a", "s0"),
        RetrieveMany("a", ["s0"]),
        Query("a"),
        Search("a", pack_state({"number": 0})),
        Search("a", pack_state({"number": 0}), min_score=-1.0),
    ]
    clock.pass_s(60)
    assert isinstance(store.execute([Retrieve("a", "s0")])[0], Record)
    clock.now_ns += 1
    for _ in range(2):
        [missing, *none] = store.execute(asked)
        assert missing == Missing()
        assert [len(getattr(one, one.__struct_fields__[0])) for one in none] == [0] * 4
        assert store.execute([Describe("a")])[0].agents == 0
        assert store.execute([Delete("a", "s0"), Delete("a")]) == [Deleted(0)] * 2
        store = opened(**settings)
    assert store.execute([Describe("b")])[0].agents == (0 if tier == "stm" else 1)


def test_the_age_counts_from_the_store_in_whatever_tier_it_is(opened: Any, clock: Clock):
    """What moves down into a tier where it is too old is gone at once, for what follows too."""
    store = opened(im_ttl_s=60)
    store.execute([put(0)])
    clock.pass_s(61)
    moved, gone, described = store.execute(
        [Transition("im", 100.0), Retrieve("a", "s0"), Describe()]
    )
    assert (moved, gone) == (Moved(1), Missing())
    assert described.counts == Counts()


def test_what_is_too_old_for_the_tier_above_does_not_move_up(opened: Any, clock: Clock):
    """To be retrieved often makes nothing go away."""
    store = opened(stm_ttl_s=60)
    store.execute([put(0), Transition("im", 100.0)])
    clock.pass_s(61)
    store.execute([*[Retrieve("a", "s0")] * 9, put(1, "b")])
    assert store.force_memory_maintenance().promoted == 0
    assert tiers(store) == {"s0": "im"}


def test_what_was_restored_keeps_its_age(opened: Any, clock: Clock):
    """A memory that comes back with an old time is gone after that operation already."""
    store = opened(ltm_ttl_s=60)
    old = clock.now_ns - 61 * SECOND_NS
    fields = (pack_state({}), 0.5, None, "state", None, None)
    done, one = store.execute([Restore("a", "s0", *fields, old, "ltm"), Retrieve("a", "s0")])
    assert (done, one) == (Done(), Missing())
    old += 30 * SECOND_NS
    store.execute([Restore("a", "s1", *fields, old, "ltm")])
    clock.pass_s(29)
    assert list(tiers(store)) == ["s1"]
    clock.now_ns += 1
    assert list(tiers(store)) == []


@pytest.mark.parametrize("tier", ["stm", "im", "ltm"])
def test_what_is_too_old_is_deleted_with_the_next_write(opened: Any, clock: Clock, tier: str):
    """A store without a time-to-live finds nothing of it afterwards, and the database is whole."""
    store = opened(**{f"{tier}_ttl_s": 60})
    store.execute([put(number) for number in range(3)])
    for to in ("im", "ltm")[: ("stm", "im", "ltm").index(tier)]:
        store.execute([Transition(to, 100.0, "a")])
    clock.pass_s(61)
    assert counts(store) == (0, 0, 0)
    store.execute([put(9, "b")])
    store = opened()
    assert counts(store) == (1, 0, 0)
    store.close()
    assert verify(store.path).is_clean


@pytest.mark.parametrize("tier", ["stm", "im", "ltm"])
@pytest.mark.parametrize("again", ["store", "restore"])
def test_an_id_that_is_stored_again_before_the_old_memory_is_deleted_has_one_memory(
    opened: Any, clock: Clock, tier: str, again: str
):
    """The new one is all that there is, now and for a store that lets nothing expire."""
    store = opened(**{f"{tier}_ttl_s": 60})
    # more than one batch deletes, this one among the last
    store.execute([put(number) for number in range(4)])
    for to in ("im", "ltm")[: ("stm", "im", "ltm").index(tier)]:
        store.execute([Transition(to, 100.0, "a")])
    clock.pass_s(61)
    fields = (pack_state({"new": 1}), 0.5, None, "state", None, None)
    restore = Restore("a", "s3", *fields, clock.now_ns, "im")
    new = Store("a", "s3", pack_state({"new": 1})) if again == "store" else restore
    assert store.execute([new, Retrieve("a", "s3")])[1].state == {"new": 1}
    for _ in range(2):
        assert store.execute([Retrieve("a", "s3")])[0].state == {"new": 1}
        assert counts(store, "a") == ((1, 0, 0) if again == "store" else (0, 1, 0))
        store.close()
        assert verify(store.path).is_clean
        store = opened()


def test_maintenance_says_what_it_did(opened: Any, clock: Clock):
    """It moves down what is too much, up what is retrieved often, and deletes what is too old."""
    store = opened(stm_capacity=100, im_capacity=100, ltm_ttl_s=60)
    store.execute([put(number) for number in range(3)])
    store.execute([Transition("im", 100.0), Transition("ltm", 100.0)])
    clock.pass_s(61)
    store.execute([put(number) for number in range(10, 40)])
    store.execute([Transition("im", 50.0)])
    store = opened(stm_capacity=10, im_capacity=100)
    store.execute([Retrieve("a", "s10")] * 4)
    assert store.force_memory_maintenance(agent_id="nobody") == Maintained()
    done = store.force_memory_maintenance(agent_id="a")
    # 15 and the one that moved up are 6 over 10, and one more is a tenth of it
    assert done == Maintained(demoted=7, promoted=1, expired=0)
    assert counts(store, "a") == (9, 21, 0)
    assert store.force_memory_maintenance() == Maintained()


def test_maintenance_deletes_all_that_is_too_old_a_part_at_a_time(
    opened: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    """However much there is; other batches go on between the parts."""
    monkeypatch.setattr("memory_core.maintaining._PART", 50)
    store = opened(stm_capacity=1_000, im_capacity=1_000, stm_ttl_s=60, im_ttl_s=60)
    store.execute([put(number, agent) for agent in "ab" for number in range(120)])
    store.execute([Transition("im", 100.0, "a")])
    clock.pass_s(61)
    parts: list[int] = []
    advance = Maintainer.advance

    def noted(self: Maintainer, maintenance: Any, *rest: Any) -> None:
        before = maintenance.expired
        advance(self, maintenance, *rest)
        parts.append(maintenance.expired - before)

    monkeypatch.setattr(Maintainer, "advance", noted)
    [done] = store.execute([Maintain("a")])
    assert done == Maintained(expired=120)
    assert store.execute([Maintain(), Maintain()]) == [Maintained(expired=120), Maintained()]
    assert parts == [50, 50, 20, 50, 50, 20, 0]
    store = opened()
    assert counts(store) == (0, 0, 0)
    store.close()
    assert verify(store.path).is_clean


def test_maintenance_moves_down_what_was_noted(opened: Any):
    """What waits for batches that write is moved now, of the agent that was asked for."""
    store = opened(stm_capacity=3_000, im_capacity=3_000)
    store.execute([put(number, agent) for agent in "ab" for number in range(3_000)])
    store = opened(stm_capacity=100, im_capacity=10_000)
    done = store.force_memory_maintenance(agent_id="a")
    assert (done.promoted, done.expired) == (0, 0)
    assert counts(store, "a") == (90, 2_910, 0)
    assert counts(store, "b") == (3_000, 0, 0)
    assert store.force_memory_maintenance().demoted == 2_910
    assert counts(store, "b") == (90, 2_910, 0)


def test_maintenance_of_shards_is_summed_up_and_that_of_an_agent_goes_to_its_own(tmp_path: Path):
    """A client asks every shard unless it names an agent, of whom one shard knows."""
    clock = Clock()
    stores = [
        MemoryStore(MemoryConfig(path=tmp_path / f"{at}", dimension=8, stm_ttl_s=60), clock=clock)
        for at in range(3)
    ]
    transport = LocalTransport(stores)

    async def body() -> None:
        client = MemoryClient(transport, 3)
        for number in range(30):
            assert await client.call(put(number, f"a{number}")) == Done()
        clock.pass_s(61)
        assert await client.call(Maintain("a7")) == Maintained(expired=1)
        assert await client.call(Maintain()) == Maintained(expired=29)

    asyncio.run(asyncio.wait_for(body(), 30))
    transport.close()


@pytest.mark.parametrize("agent_id", ["", 5, "x" * 1025])
def test_maintenance_of_what_is_no_agent_is_refused(opened: Any, agent_id: Any):
    """The field is named."""
    with pytest.raises(BadInputError, match="agent_id"):
        opened().force_memory_maintenance(agent_id=agent_id)


@pytest.mark.parametrize("field", ["stm_ttl_s", "im_ttl_s", "ltm_ttl_s", "access_half_life_s"])
@pytest.mark.parametrize(
    "value",
    [0, -1, -0.5, float("nan"), float("inf"), 1e-10, 10**10, HUGE, True, "1 h"],
    ids=lambda value: "huge" if value is HUGE else None,
)
def test_a_duration_that_is_none_is_refused(field: str, value: Any):
    """Zero, less, and what no clock counts are named in a sentence."""
    with pytest.raises(BadInputError, match=rf"{field}: must be seconds above 0") as caught:
        MemoryConfig(**{field: value})
    assert len(str(caught.value)) < 120

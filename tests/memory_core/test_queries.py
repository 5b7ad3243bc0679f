"""Memories found by what they are, and searches that look at more than similarity."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from memory_core import (
    AgentMemorySystem,
    BadInputError,
    Condition,
    Delete,
    Deleted,
    Describe,
    Described,
    Done,
    Failure,
    Filter,
    Hits,
    Memories,
    MemoryConfig,
    MemoryStore,
    Query,
    RetrieveMany,
    Search,
    Store,
    StoredMemory,
    conditions_of,
)
from memory_core.client import MemoryClient
from memory_core.local_transport import LocalTransport
from memory_core.payload import pack_state

ME = "agent"


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[AgentMemorySystem]:
    """A system with 30 memories of one agent in all tiers: steps 0 to 29."""
    config = MemoryConfig(path=tmp_path, stm_capacity=10, im_capacity=10)
    with AgentMemorySystem(config) as system:
        for step in range(30):
            system.store_agent_state(
                agent_id=ME,
                state_id=f"s{step}",
                state_data={
                    "x": step,
                    "inventory": {"food": step % 3},
                    "action": "rest" if step % 2 else "move",
                    "seen": ["Bob", step],
                    "a.b": {"c": step // 10},
                },
                importance=step / 29,
                step_number=step,
                metadata={"source": "test"} if step == 4 else None,
            )
        yield system


def ids(found: list[Any]) -> list[str]:
    return [one.state_id for one in found]


def steps_of(found: list[StoredMemory]) -> list[int | None]:
    return [one.step_number for one in found]


def test_step_ranges_include_both_ends(memory: AgentMemorySystem):
    """A range has both of its ends; one that is left open goes on."""
    find = memory.retrieve_by_step_range
    assert steps_of(find(agent_id=ME, start_step=3, end_step=6, newest_first=False)) == [3, 4, 5, 6]
    assert steps_of(find(agent_id=ME, start_step=28)) == [29, 28]
    assert steps_of(find(agent_id=ME, end_step=1)) == [1, 0]
    assert len(find(agent_id=ME)) == 30
    assert steps_of(find(agent_id=ME, limit=2)) == [29, 28]
    assert find(agent_id="nobody") == []


def test_a_memory_without_a_step_is_in_no_range_of_steps(memory: AgentMemorySystem):
    """No step is not a low step."""
    memory.store_agent_action(agent_id=ME, state_id="jump", state_data={"did": "jump"})
    assert "jump" not in ids(memory.retrieve_by_step_range(agent_id=ME, end_step=2**63 - 1))
    assert "jump" in ids(memory.retrieve_by_time_range(agent_id=ME))
    assert ids(memory.retrieve_by_time_range(agent_id=ME, memory_type="action")) == ["jump"]


def test_time_ranges_take_seconds_and_datetimes(memory: AgentMemorySystem):
    """A memory is found by the time it was stored, however a moment is written."""
    between = time.time()
    memory.store_agent_interaction(agent_id=ME, state_id="met", state_data={"who": "Ann"})
    local = datetime.fromtimestamp(between)  # noqa: DTZ006 - one without a zone is local time
    for moment in (between, datetime.fromtimestamp(between, UTC), local):
        found = memory.retrieve_by_time_range(agent_id=ME, start_time=moment)
        assert ids(found) == ["met"]
        assert len(memory.retrieve_by_time_range(agent_id=ME, end_time=moment)) == 30
    assert abs(found[0].stored_at_s - between) < 60
    assert found[0].memory_type == "interaction"


def test_attributes_are_compared_at_their_place(memory: AgentMemorySystem):
    """Equality, comparison and membership at nested places; all conditions hold."""

    def find(attributes: dict[Any, Any]) -> list[int | None]:
        found = memory.retrieve_by_attributes(
            agent_id=ME, attributes=attributes, newest_first=False
        )
        return steps_of(found)

    assert find({"inventory.food": 2, "action": "move"}) == [2, 8, 14, 20, 26]
    assert find({"x": {"$gte": 5, "$lt": 8}}) == [5, 6, 7]
    assert find({"x": {"$in": [1, 99, 3]}}) == [1, 3]
    assert find({"x": {"$nin": list(range(28))}}) == [28, 29]
    assert find({"seen": {"$contains": 7}}) == [7]
    assert find({"seen.1": {"$gt": 28}}) == [29]
    assert find({("a.b", "c"): 2, "x": {"$lte": 21}}) == [20, 21]
    assert find({"inventory": {"food": 1}, "x": {"$lt": 5}}) == [1, 4]
    assert find({"missing": {"$ne": 1}, "x": 3}) == [3]
    assert find({"missing": 1}) == []
    assert find({"x": {"$gt": "text"}}) == []
    assert len(find({})) == 30


def test_what_is_kept_beside_a_state_comes_back(memory: AgentMemorySystem):
    """Type, importance, step, metadata and tier come with a memory, from every tier."""
    [found] = memory.retrieve_states(agent_id=ME, state_ids=["s4"])
    assert found.metadata == {"source": "test"}
    assert (found.step_number, found.tier, found.memory_type) == (4, "ltm", "state")
    assert found.importance == pytest.approx(4 / 29)
    [newest] = memory.retrieve_states(agent_id=ME, state_ids=["s29"])
    assert (newest.tier, newest.metadata) == ("stm", None)


def test_many_ids_are_retrieved_in_their_order(memory: AgentMemorySystem):
    """Those that there are come, as often and in the order in which they were asked for."""
    asked = ["s29", "nothing", "s0", "s15", "s0"]
    assert ids(memory.retrieve_states(agent_id=ME, state_ids=asked)) == ["s29", "s0", "s15", "s0"]
    assert ids(memory.retrieve_states(agent_id=ME, state_ids=asked, tier="ltm")) == ["s0", "s0"]
    assert memory.retrieve_states(agent_id="nobody", state_ids=asked) == []


def test_importance_is_a_range(memory: AgentMemorySystem):
    """Memories are found by importance, both ends included."""
    found = memory.retrieve_by_importance(agent_id=ME, min_importance=27 / 29)
    assert ids(found) == ["s29", "s28", "s27"]
    assert ids(memory.retrieve_by_importance(agent_id=ME, max_importance=0.0)) == ["s0"]


def test_content_is_words_or_attributes(memory: AgentMemorySystem):
    """All words have to occur in keys or texts, whatever their case; a mapping is attributes."""
    memory.store_agent_state(
        agent_id=ME, state_id="note", state_data={"text": "We met BOB at the river", "n": 1}
    )
    assert ids(memory.search_by_content(agent_id=ME, content="bob RIVER")) == ["note"]
    assert ids(memory.search_by_content(agent_id=ME, content="bob", k=2)) == ["note", "s29"]
    assert ids(memory.search_by_content(agent_id=ME, content={"x": 7})) == ["s7"]
    assert memory.search_by_content(agent_id=ME, content="bob mountain") == []


def test_a_filtered_search_finds_k_when_k_exist(memory: AgentMemorySystem):
    """Filters apply before the k are chosen, in the order of similarity."""
    query = {"x": 15, "inventory": {"food": 0}, "action": "rest", "seen": ["Bob", 15]}
    everything = memory.retrieve_similar_states(agent_id=ME, query_state=query, k=30)
    for attributes in ({"action": "move"}, {"inventory.food": 2}, {"x": {"$lt": 4}}):
        fitting = set(ids(memory.retrieve_by_attributes(agent_id=ME, attributes=attributes)))
        expected = [one.state_id for one in everything if one.state_id in fitting][:4]
        found = memory.retrieve_similar_states(
            agent_id=ME, query_state=query, k=4, attributes=attributes
        )
        assert ids(found) == expected
        assert len(found) == 4


def test_a_threshold_leaves_out_what_is_less_similar(memory: AgentMemorySystem):
    """No result has a score below the threshold, and none at or above it is missing."""
    query = {"x": 15, "action": "rest"}
    everything = memory.retrieve_similar_states(agent_id=ME, query_state=query, k=30)
    threshold = everything[7].score
    found = memory.retrieve_similar_states(
        agent_id=ME, query_state=query, k=30, threshold=threshold - 1e-6
    )
    assert ids(found) == ids(everything[:8])


def test_a_hybrid_search_weighs_similarity_and_attributes(memory: AgentMemorySystem):
    """With all weight on one side the other does not matter, and scores are the mixture."""

    def find(vector_weight: float, attribute_weight: float) -> list[Any]:
        return memory.hybrid_retrieve(
            agent_id=ME,
            query_state={"x": 15, "action": "rest"},
            attributes={"action": "move", "inventory.food": 1},
            k=30,
            vector_weight=vector_weight,
            attribute_weight=attribute_weight,
        )

    similar = memory.retrieve_similar_states(
        agent_id=ME, query_state={"x": 15, "action": "rest"}, k=30
    )
    assert ids(find(1.0, 0.0)) == ids(similar)
    by_attributes = find(0.0, 1.0)
    assert {one.score for one in by_attributes} == {0.0, 0.5, 1.0}
    assert by_attributes[0].state["action"] == "move"
    score_of = {one.state_id: one.score for one in similar}
    share_of = {one.state_id: one.score for one in by_attributes}
    for one in find(0.6, 0.4):
        mixed = 0.6 * score_of[one.state_id] + 0.4 * share_of[one.state_id]
        assert one.score == pytest.approx(mixed, abs=1e-5)


def test_deletion_is_for_good(tmp_path: Path):
    """What was deleted is gone from every way of finding it, also after opening again."""
    config = MemoryConfig(path=tmp_path, stm_capacity=3)
    with AgentMemorySystem(config) as memory:
        for agent in ("a", "b"):
            for number in range(8):
                memory.store_agent_state(
                    agent_id=agent, state_id=f"s{number}", state_data={"x": number}
                )
        assert memory.delete_memory(agent_id="a", state_id="s0")
        assert not memory.delete_memory(agent_id="a", state_id="s0")
        assert not memory.delete_memory(agent_id="nobody", state_id="s0")
        assert memory.delete_memory(agent_id="a", state_id="s7")
        assert memory.clear_agent(agent_id="b") == 8
        assert not memory.has_agent("b")
    with AgentMemorySystem(config) as memory:
        assert memory.count_memories().total == 6
        assert memory.retrieve_state(agent_id="a", state_id="s0") is None
        found = memory.retrieve_similar_states(agent_id="a", query_state={"x": 0}, k=20)
        assert sorted(ids(found)) == [f"s{number}" for number in range(1, 7)]
        assert not memory.has_agent("b")
        assert memory.clear_all_memories() == 6
        assert memory.get_memory_statistics().agents == 0
    with AgentMemorySystem(config) as memory:
        assert memory.count_memories().total == 0


def test_statistics_count_memories_and_bytes(memory: AgentMemorySystem):
    """Counts and bytes of the packed states, by tier and agent."""
    statistics = memory.get_memory_statistics(agent_id=ME)
    assert statistics.counts.total == 30
    assert statistics.payload_bytes.total > 30 * 40
    assert memory.get_memory_statistics() == statistics
    assert memory.get_memory_statistics(agent_id="nobody").agents == 0


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda m: m.retrieve_by_step_range(agent_id=ME, start_step=5, end_step=2), "start_step"),
        (lambda m: m.retrieve_by_step_range(agent_id=ME, start_step=1.5), "start_step"),
        (lambda m: m.retrieve_by_step_range(agent_id=ME, end_step="x"), "end_step"),
        (lambda m: m.retrieve_by_time_range(agent_id=ME, start_time="noon"), "start_time"),
        (lambda m: m.retrieve_by_time_range(agent_id=ME, end_time=float("nan")), "end_time"),
        (lambda m: m.retrieve_by_time_range(agent_id=ME, start_time=2, end_time=1), "start_time"),
        (lambda m: m.retrieve_by_importance(agent_id=ME, min_importance="x"), "min_importance"),
        (lambda m: m.retrieve_by_importance(agent_id=ME, max_importance="x"), "max_importance"),
        (
            lambda m: m.retrieve_by_importance(agent_id=ME, min_importance=0.9, max_importance=0.1),
            "min_importance",
        ),
        (
            lambda m: m.retrieve_by_attributes(agent_id=ME, attributes={"x": {"$near": 1}}),
            "attributes",
        ),
        (
            lambda m: m.retrieve_by_attributes(agent_id=ME, attributes={"x": {"$in": 3}}),
            "attributes",
        ),
        (lambda m: m.retrieve_by_attributes(agent_id=ME, attributes={"": 3}), "attributes"),
        (lambda m: m.retrieve_by_attributes(agent_id=ME, attributes={7: 3}), "attributes"),
        (lambda m: m.retrieve_by_attributes(agent_id=ME, attributes=["x"]), "attributes"),
        (
            lambda m: m.retrieve_by_attributes(agent_id=ME, attributes={"x.y": [1, object()]}),
            "attributes.x.y[1]",
        ),
        (lambda m: m.retrieve_by_time_range(agent_id=ME, memory_type="dream"), "memory_type"),
        (lambda m: m.retrieve_by_time_range(agent_id=ME, limit=0), "limit"),
        (lambda m: m.retrieve_states(agent_id=ME, state_ids="s1"), "state_ids"),
        (lambda m: m.retrieve_states(agent_id=ME, state_ids=["s1", 2]), "state_ids"),
        (lambda m: m.search_by_content(agent_id=ME, content="  "), "content"),
        (lambda m: m.search_by_content(agent_id=ME, content="x", k=0), "k"),
        (lambda m: m.search_by_content(agent_id=ME, content="\ud800"), "content"),
        (lambda m: m.search_by_content(agent_id=ME, content={"x": 2**70}), "content"),
        (lambda m: m.search_by_embedding(agent_id=ME, embedding=["x"]), "embedding"),
        (lambda m: m.search_by_embedding(agent_id=ME, embedding=[1.0]), "embedding"),
        (lambda m: m.search_by_embedding(agent_id=ME, embedding=None), "embedding"),
        (
            lambda m: m.retrieve_similar_states(
                agent_id=ME, query_state={"x": 1}, time_range=(2, 1), memory_type="state"
            ),
            "time_range",
        ),
        (
            lambda m: m.retrieve_similar_states(
                agent_id=ME, query_state={"x": 1}, time_range=(None, "noon")
            ),
            "time_range",
        ),
        (
            lambda m: m.hybrid_retrieve(agent_id=ME, query_state={"x": 1}, attributes={}),
            "attributes",
        ),
        (
            lambda m: m.hybrid_retrieve(
                agent_id=ME, query_state={"x": 1}, attributes={"x": 1}, vector_weight=-1
            ),
            "vector_weight",
        ),
        (
            lambda m: m.retrieve_similar_states(
                agent_id=ME, query_state={"x": 1}, threshold=float("inf")
            ),
            "threshold",
        ),
        (lambda m: m.delete_memory(agent_id="", state_id="s"), "agent_id"),
        (
            lambda m: m.store_agent_state(
                agent_id=ME, state_id="s", state_data={}, step_number=2**63
            ),
            "step_number",
        ),
        (
            lambda m: m.store_agent_action(
                agent_id=ME, state_id="s", state_data={}, step_number="first"
            ),
            "step_number",
        ),
        (
            lambda m: m.store_agent_state(agent_id=ME, state_id="s", state_data={}, metadata=[1]),
            "metadata",
        ),
    ],
)
def test_a_wrong_argument_is_named(memory: AgentMemorySystem, call: Any, field: str):
    """What is wrong is refused by the name that the caller gave it, and nothing is changed."""
    with pytest.raises(BadInputError) as caught:
        call(memory)
    assert caught.value.field == field
    assert memory.count_memories().total == 30


def test_queries_travel_to_shards(tmp_path: Path):
    """Queries, filters and deletions are the same through the client, over several shards."""
    stores = [MemoryStore(MemoryConfig(path=tmp_path / str(shard))) for shard in range(3)]

    async def ask() -> None:
        transport = LocalTransport(stores)
        client = MemoryClient(transport, len(stores))
        for agent in range(9):
            for step in range(5):
                store = Store.of(
                    f"a{agent}",
                    f"s{step}",
                    {"x": step},
                    step=step,
                    kind="action",
                    metadata={"n": agent},
                    importance=step / 4,
                )
                assert isinstance(await client.call(store), Done)
        wanted = Filter(["action"], None, (1, 3), (0.5, None), conditions_of({"x": {"$ne": 2}}))
        found = await client.call(Query("a4", wanted))
        assert isinstance(found, Memories)
        [memory] = found.memories
        assert (memory.state_id, memory.step, memory.state) == ("s3", 3, {"x": 3})
        assert memory.metadata == pack_state({"n": 4})
        many = await client.call(RetrieveMany("a4", ["s1", "s9", "s0"]))
        assert isinstance(many, Memories)
        assert ids(many.memories) == ["s1", "s0"]
        search = Search.of("a5", {"x": 1}, k=2, min_score=-1.0, filter=wanted)
        hits = await client.call(search)
        assert isinstance(hits, Hits)
        assert ids(hits.hits) == ["s3"]
        described = await client.call(Describe())
        assert isinstance(described, Described)
        assert (described.agents, described.counts.stm) == (9, 45)
        assert described.payload_bytes.total == 45 * len(pack_state({"x": 1}))
        assert await client.call(Delete("a4", "s0")) == Deleted(1)
        assert await client.call(Delete("a4")) == Deleted(4)
        assert await client.call(Delete(None)) == Deleted(40)
        transport.close()

    asyncio.run(ask())


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(conditions=[Condition(["x"], "eq", object())]),
        Filter(conditions=[Condition(["x"], "eq", 2**70)]),
        Filter(conditions=[Condition(["\ud800"], "eq", 1)]),
        Filter(conditions=[Condition(["x"], "eq", ["\ud800"])]),
        Filter(words=["\ud800"]),
    ],
)
def test_what_cannot_travel_is_refused_and_disturbs_nobody(tmp_path: Path, wanted: Filter):
    """A filter that no message can hold fails by itself: what is asked after it is answered."""

    async def ask() -> None:
        with MemoryStore(MemoryConfig(path=tmp_path)) as store:
            client = MemoryClient(LocalTransport([store]), 1)
            for operation in (
                Query("a", wanted),
                Search("a", b"\x80", filter=wanted),
                Search("a", b"\x80", prefer=wanted.conditions or [Condition([""], "no", 1)]),
            ):
                with pytest.raises(BadInputError):
                    await asyncio.wait_for(client.call(operation), 10)
                [refused] = store.execute([operation])
                assert isinstance(refused, Failure)
                assert refused.error == "BadInputError"
            assert await asyncio.wait_for(client.call(Store("a", "s", b"\x80")), 10) == Done()

    asyncio.run(ask())


def test_a_number_that_no_condition_can_hold_is_named(memory: AgentMemorySystem):
    """Whole numbers beyond 64 bits are refused in attributes, rather than never found."""
    with pytest.raises(BadInputError, match="attributes"):
        memory.retrieve_by_attributes(agent_id=ME, attributes={"x": 2**70})


def test_an_unknown_keyword_is_refused(memory: AgentMemorySystem):
    """Nothing is silently ignored."""
    with pytest.raises(TypeError, match="treshold"):
        memory.retrieve_similar_states(agent_id=ME, query_state={"x": 1}, treshold=0.5)  # type: ignore[call-arg]


def test_a_memory_is_within_a_range_of_its_own_time(tmp_path: Path):
    """Seconds are a float, which stands for many nanoseconds; both ends are within the range."""
    with AgentMemorySystem(MemoryConfig(path=tmp_path)) as memory:
        for number in range(50):
            memory.store_agent_state(agent_id="a", state_id=str(number), state_data={})
        known = memory.retrieve_by_time_range(agent_id="a", newest_first=False)
        for one in known:
            at = one.stored_at_s
            found = memory.retrieve_by_time_range(agent_id="a", start_time=at, end_time=at)
            assert one.state_id in {same.state_id for same in found}
            assert all(same.stored_at_s == at for same in found)
        middle = known[25].stored_at_s
        before = memory.retrieve_by_time_range(agent_id="a", end_time=middle)
        after = memory.retrieve_by_time_range(agent_id="a", start_time=middle)
        assert len(before) == sum(one.stored_at_s <= middle for one in known)
        assert len(after) == sum(one.stored_at_s >= middle for one in known)
        assert len(memory.retrieve_by_time_range(agent_id="a", start_time=0)) == 50
        assert memory.retrieve_by_time_range(agent_id="a", end_time=-1.5) == []

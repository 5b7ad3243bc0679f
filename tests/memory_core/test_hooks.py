"""Hooks: what is called after what, by whom, and what becomes of one that raises."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_core import (
    AgentMemorySystem,
    BadInputError,
    MemoryConfig,
    MemoryStore,
    StorageFullError,
    UnavailableError,
)
from memory_core.client import MemoryClient
from memory_core.hooks import DemotionEvent, RetrievalEvent, StoreEvent
from memory_core.local_transport import LocalTransport
from memory_core.log import Log
from memory_core.operations import (
    Delete,
    Describe,
    Export,
    Operation,
    Query,
    Retrieve,
    RetrieveMany,
    Search,
    Store,
    Transition,
)
from memory_core.payload import pack_state
from memory_core.ray_memory import RayMemory

DIMENSION = 8


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[AgentMemorySystem]:
    config = MemoryConfig(
        path=tmp_path / "db",
        dimension=DIMENSION,
        stm_capacity=4,
        im_capacity=4,
        durability="os",
    )
    with AgentMemorySystem(config) as memory:
        yield memory


def put(agent_id: str, state_id: str, number: int = 0) -> Store:
    return Store(agent_id, state_id, pack_state({"number": number}))


def recorded(memory: Any, *events: str) -> list[Any]:
    """All that hooks after these events are called with from now on."""
    seen: list[Any] = []
    for event in events or ("store", "demotion", "retrieval"):
        memory.register_memory_hook(event=event, hook=seen.append)
    return seen


def test_a_hook_after_a_store_is_told_what_was_stored(memory: AgentMemorySystem):
    """Each memory that was stored is an event with its ids, type, importance, step and state."""
    seen = recorded(memory, "store")
    memory.store_agent_action(
        agent_id="a", state_id="s1", state_data={"x": 1}, importance=0.25, step_number=7
    )
    memory.execute([put("b", "s2"), put("", "wrong"), put("b", "s3")])
    assert seen == [
        StoreEvent("a", "s1", "action", 0.25, 7, pack_state({"x": 1})),
        StoreEvent("b", "s2", "state", 0.5, None, pack_state({"number": 0})),
        StoreEvent("b", "s3", "state", 0.5, None, pack_state({"number": 0})),
    ]
    assert seen[0].state == {"x": 1}


def test_a_hook_after_a_retrieval_is_told_what_was_given(memory: AgentMemorySystem):
    """Every way to ask is an event with the ids that were found, which may be none."""
    memory.execute([put("a", "s1", 1), put("a", "s2", 9)])
    seen = recorded(memory, "retrieval")
    memory.retrieve_state(agent_id="a", state_id="s1")
    memory.retrieve_state(agent_id="a", state_id="unknown")
    memory.retrieve_similar_states(agent_id="a", query_state={"number": 9}, k=2)
    memory.retrieve_by_time_range(agent_id="a", newest_first=False)
    memory.retrieve_states(agent_id="a", state_ids=["s2", "unknown", "s1"])
    memory.retrieve_similar_states(agent_id="unknown", query_state={"number": 9})
    with pytest.raises(BadInputError):
        memory.retrieve_state(agent_id="", state_id="s1")
    assert seen == [
        RetrievalEvent("a", "retrieve", ("s1",)),
        RetrievalEvent("a", "retrieve", ()),
        RetrievalEvent("a", "search", ("s2", "s1")),
        RetrievalEvent("a", "query", ("s1", "s2")),
        RetrievalEvent("a", "retrieve", ("s2", "s1")),
        RetrievalEvent("unknown", "search", ()),
    ]


def test_a_hook_after_a_demotion_is_told_from_where_to_where(memory: AgentMemorySystem):
    """What moves down, told to or for want of room, is an event with both tiers."""
    seen = recorded(memory, "demotion")
    for number in range(6):
        memory.execute([put("\u00e4", f"s{number}")])
    assert seen == [
        DemotionEvent("\u00e4", "s0", "stm", "im"),
        DemotionEvent("\u00e4", "s1", "stm", "im"),
    ]
    seen.clear()
    assert memory.force_transition_to_ltm(percentage=50) == 1
    assert memory.force_transition_to_im(percentage=100) == 4
    assert seen == [
        DemotionEvent("\u00e4", "s0", "im", "ltm"),
        *[DemotionEvent("\u00e4", f"s{number}", "stm", "im") for number in range(2, 6)],
        DemotionEvent("\u00e4", "s1", "im", "ltm"),
    ]


def test_events_of_a_batch_come_in_the_order_of_its_operations(memory: AgentMemorySystem):
    """What an operation moved down comes after it, and before the next."""
    seen = recorded(memory)
    memory.execute(
        [
            *[put("a", f"s{number}") for number in range(6)],
            Retrieve("a", "s0"),
            Transition("ltm", 100.0),
            Describe("a"),
            Delete("a"),
            Search("a", pack_state({"number": 0})),
        ]
    )
    kinds = [type(one) for one in seen]
    assert kinds == [
        *[StoreEvent] * 5,
        DemotionEvent,
        StoreEvent,
        DemotionEvent,
        RetrievalEvent,
        DemotionEvent,
        DemotionEvent,
        RetrievalEvent,
    ]


agents = st.sampled_from(["a", "b"])
state_ids = st.sampled_from([f"s{number}" for number in range(12)])
operations = st.one_of(
    st.builds(put, agents, state_ids),
    st.builds(put, agents, state_ids),
    st.builds(Delete, agents, state_ids),
    st.builds(Transition, st.sampled_from(["im", "ltm"]), st.integers(0, 100)),
    st.builds(Retrieve, agents, state_ids),
)


@settings(max_examples=settings().max_examples // 2)
@given(batches=st.lists(st.lists(operations, max_size=12), max_size=5))
def test_from_the_events_alone_it_is_known_where_every_memory_is(batches: list[list[Operation]]):
    """A program that follows stores, demotions and its own deletions has the store's own view."""
    config = MemoryConfig(dimension=DIMENSION, durability="os", stm_capacity=2, im_capacity=3)
    with AgentMemorySystem(config) as memory:
        seen = recorded(memory)
        tiers: dict[tuple[str, str], str] = {}
        for batch in batches:
            for operation in batch:
                memory.execute([operation])
                for event in seen:
                    if isinstance(event, StoreEvent):
                        tiers[event.agent_id, event.state_id] = "stm"
                    elif isinstance(event, DemotionEvent):
                        assert tiers[event.agent_id, event.state_id] == event.from_tier
                        tiers[event.agent_id, event.state_id] = event.to_tier
                seen.clear()
                if isinstance(operation, Delete):
                    tiers.pop((operation.agent_id, operation.state_id), None)
        pages = {agent: memory.execute([Export(agent)])[0] for agent in "ab"}
    assert tiers == {
        (agent, one.state_id): one.tier for agent, page in pages.items() for one in page.memories
    }


def test_a_hook_is_called_in_the_callers_thread_after_the_store_is_free(memory: AgentMemorySystem):
    """A hook may use the memory, as may other threads meanwhile; it sees what was stored."""
    found: list[Any] = []

    def hook(event: StoreEvent) -> None:
        assert threading.current_thread() is threading.main_thread()
        found.append(memory.retrieve_state(agent_id=event.agent_id, state_id=event.state_id))
        other = threading.Thread(target=lambda: found.append(memory.has_agent("a")))
        other.start()
        other.join(30)
        assert not other.is_alive()

    handle = memory.register_memory_hook(event="store", hook=hook)
    memory.execute([put("a", "s1", 5)])
    assert (found, handle.failures) == ([{"number": 5}, True], 0)


def test_what_a_hook_does_calls_no_hooks(memory: AgentMemorySystem):
    """A hook that stores does not call itself, nor others; the next call from outside does."""
    seen = recorded(memory)
    memory.register_memory_hook(
        event="store",
        hook=lambda event: memory.execute([put("log", event.state_id), Retrieve("a", "s1")]),
    )
    memory.execute([put("a", "s1")])
    memory.execute([put("a", "s2")])
    assert [event.state_id for event in seen] == ["s1", "s2"]
    assert memory.count_memories("log").total == 2


def test_each_caller_is_told_its_own_events(memory: AgentMemorySystem):
    """Threads whose batches share commits are each called with what their batches did."""
    wrong: list[Any] = []
    counts: Counter[str] = Counter()
    lock = threading.Lock()

    def hook(event: Any) -> None:
        if event.agent_id != threading.current_thread().name:
            wrong.append(event)
        with lock:
            counts[type(event).__name__] += 1

    for event in ("store", "demotion", "retrieval"):
        memory.register_memory_hook(event=event, hook=hook)

    def work() -> None:
        name = threading.current_thread().name
        for number in range(30):
            batch = [put(name, f"s{number}-{part}") for part in range(3)]
            memory.execute([*batch, Retrieve(name, f"s{number}-0")])

    threads = [threading.Thread(target=work, name=f"agent_{number}") for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert wrong == []
    held = memory.count_memories()
    assert counts["StoreEvent"] == 8 * 90
    assert counts["RetrievalEvent"] == 8 * 30
    assert counts["DemotionEvent"] == held.im + 2 * held.ltm


def test_a_hook_that_raises_harms_nothing(
    memory: AgentMemorySystem, caplog: pytest.LogCaptureFixture
):
    """The call succeeds, other hooks are called, each failure is counted, and one is logged."""
    error = RuntimeError("the hook is broken")

    def broken(event: Any) -> None:
        raise error

    before = recorded(memory, "store")
    handle = memory.register_memory_hook(event="store", hook=broken)
    after = recorded(memory, "store")
    with caplog.at_level(logging.WARNING, "memory_core.hooks"):
        for number in range(3):
            memory.store_agent_state(agent_id="a", state_id=f"s{number}", state_data={"x": 1})
    assert memory.count_memories().total == len(before) == len(after) == 3
    assert (handle.event, handle.failures, handle.last_error) == ("store", 3, error)
    [record] = caplog.records
    assert "a hook after each store failed" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_a_hook_that_was_removed_is_called_no_more(memory: AgentMemorySystem):
    """`remove` ends one registration, also of a function that is registered twice."""
    seen: list[Any] = []
    handles = [memory.register_memory_hook(event="store", hook=seen.append) for _ in range(2)]
    memory.execute([put("a", "s1")])
    handles[0].remove()
    handles[0].remove()
    memory.execute([put("a", "s2")])
    handles[1].remove()
    memory.execute([put("a", "s3")])
    assert [event.state_id for event in seen] == ["s1", "s1", "s2"]


@pytest.mark.parametrize(
    ("event", "hook", "problem"),
    [
        ("stored", print, "event: must be store, demotion, promotion or retrieval, not 'stored'"),
        (None, print, "event: must be store, demotion, promotion or retrieval, not None"),
        (["store"], print, "event: must be"),
        ("store", 7, "hook: must be a function that takes an event, not int"),
    ],
)
def test_what_is_no_event_or_function_is_named(
    memory: AgentMemorySystem, event: Any, hook: Any, problem: str
):
    """A hook that could never be called is refused when it is registered."""
    with pytest.raises(BadInputError) as caught:
        memory.register_memory_hook(event=event, hook=hook)
    assert str(caught.value).startswith(problem)


@pytest.mark.fault
def test_no_hook_is_told_of_what_was_not_kept(
    memory: AgentMemorySystem, monkeypatch: pytest.MonkeyPatch
):
    """A batch whose write failed stored nothing and moved nothing down; its reads were reads."""
    memory.execute([put("a", f"s{number}") for number in range(4)])
    seen = recorded(memory)

    def full(log: Log, *_: Any) -> None:
        raise StorageFullError(log.path, "the disk has no room (injected)")

    with monkeypatch.context() as patch:
        patch.setattr(Log, "write", full)
        memory.execute([put("a", "s9"), Transition("im", 100.0), Retrieve("a", "s0")])
    assert seen == [RetrievalEvent("a", "retrieve", ("s0",))]
    memory.close()
    with pytest.raises(UnavailableError):
        memory.execute([put("a", "s9")])
    with pytest.raises(BadInputError, match="must be operations"):
        memory.execute(7)  # type: ignore[arg-type]
    assert len(seen) == 1


def test_a_batch_that_can_be_read_only_once_is_told_too(memory: AgentMemorySystem):
    """Hooks see the operations of an iterator as those of a list."""
    seen = recorded(memory, "store")
    memory.execute(put("a", f"s{number}") for number in range(2))  # type: ignore[arg-type]
    assert [event.state_id for event in seen] == ["s0", "s1"]


def test_imported_memories_are_no_stores_and_exported_ones_no_retrievals(
    memory: AgentMemorySystem, tmp_path: Path
):
    """Only what an import moves down for want of room is told."""
    with AgentMemorySystem(MemoryConfig(dimension=DIMENSION)) as other:
        other.execute([put("a", f"s{number}") for number in range(6)])
        seen = recorded(other)
        other.export_memories(path=tmp_path / "file.parquet")
        assert seen == []
    seen = recorded(memory)
    memory.import_memories(path=tmp_path / "file.parquet")
    assert seen == [DemotionEvent("a", f"s{number}", "stm", "im") for number in range(2)]


class Counting(MemoryStore):
    """Counts how often demotions were asked for."""

    watched = 0

    def execute_watched(self, batch: Any) -> Any:
        type(self).watched += 1
        return super().execute_watched(batch)


def test_demotions_are_collected_only_while_somebody_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Without a hook after demotions nothing is collected, whatever other hooks there are."""
    monkeypatch.setattr("memory_core.system.MemoryStore", Counting)
    with AgentMemorySystem(MemoryConfig(path=tmp_path / "db", dimension=DIMENSION)) as memory:
        memory.execute([put("a", "s1")])
        recorded(memory, "store", "retrieval")
        memory.execute([put("a", "s1")])
        assert Counting.watched == 0
        handle = memory.register_memory_hook(event="demotion", hook=print)
        memory.execute([put("a", "s1")])
        handle.remove()
        memory.execute([put("a", "s1")])
        assert Counting.watched == 1


class Transported(RayMemory):
    """A `RayMemory` whose shards are stores of this process."""

    async def _connect(self, name: str, options: dict[str, Any]) -> MemoryClient:
        return MemoryClient(options["transport"], 2)


def test_a_client_of_shards_is_told_of_what_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Hooks of a client are called in its caller's thread, after what moves in the shards too."""
    monkeypatch.setattr("memory_core.ray_memory.find_shards", lambda name, **_: [])
    stores = [
        MemoryStore(
            MemoryConfig(
                path=tmp_path / f"{shard}", dimension=DIMENSION, stm_capacity=4, im_capacity=2
            )
        )
        for shard in range(2)
    ]
    transport = LocalTransport(stores)
    with Transported("m", transport=transport) as memory:
        threads: set[Any] = set()
        seen = recorded(memory, "store", "retrieval")
        moves = recorded(memory, "demotion")
        memory.register_memory_hook(
            event="store", hook=lambda _: threads.add(threading.current_thread())
        )
        memory.store_agent_state(agent_id="a", state_id="s1", state_data={"x": 1})
        memory.execute(
            [put("b", "s2"), put("", "wrong"), RetrieveMany("b", ["s2"]), Query("a"), Describe()]
        )
        assert moves == []
        memory.execute([put("a", f"t{number}") for number in range(4)])
        assert moves == [DemotionEvent("a", "s1", "stm", "im")]
        moves.clear()
        assert memory.force_transition_to_im(percentage=100) == 5
        told = {(one.agent_id, one.state_id) for one in moves if one.from_tier == "stm"}
        assert told == {("b", "s2"), *(("a", f"t{number}") for number in range(4))}
    transport.close()
    assert threads == {threading.main_thread()}
    kinds = [type(event).__name__ for event in seen]
    assert kinds == ["StoreEvent"] * 2 + ["RetrievalEvent"] * 2 + ["StoreEvent"] * 4
    assert [event.state_ids for event in seen[2:4]] == [("s2",), ("s1",)]

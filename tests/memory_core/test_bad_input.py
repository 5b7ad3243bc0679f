"""Whatever is wrong with an operation fails that operation alone, and the field is named."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from memory_core import (
    AgentMemorySystem,
    BadInputError,
    Condition,
    Counts,
    Describe,
    Described,
    Done,
    Failure,
    Filter,
    Hits,
    MemoryConfig,
    MemoryStore,
    Missing,
    Moved,
    Query,
    Record,
    Retrieve,
    Search,
    Store,
    Transition,
)
from memory_core.payload import pack_state

DIMENSION = 8
GOOD = pack_state({"x": 1})
EMPTY = pack_state({})
UNIT = np.eye(1, DIMENSION, dtype=np.float32).tobytes()
HUGE = 10**5000


def packed(state: Any) -> bytes:
    """Bytes that `pack_state` would not have made."""
    return msgspec.msgpack.encode(state)


def vector(*numbers: float) -> bytes:
    return np.array(numbers, np.float32).tobytes()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MemoryStore]:
    config = MemoryConfig(path=tmp_path / "db", dimension=DIMENSION, max_state_bytes=100_000)
    with MemoryStore(config) as store:
        yield store


BAD_IDS = ["", 5, None, b"a", "\ud800", "x" * 1025, "\u00e9" * 513, True, ["a"]]
BAD_PAYLOADS = [
    None,
    "text",
    5,
    bytearray(GOOD),
    b"",
    b"\xff\xff",
    GOOD + b"\x01",
    GOOD[:-1],
    packed([1]),
    packed({1: 2}),
    packed({"a": math.nan}),
    packed({"a": {"b": [1.0, math.inf]}}),
    packed({"a": b"bytes"}),
    packed({"a": "x" * 100_000}),
]
BAD_VECTORS = [
    b"",
    UNIT[:-1],
    UNIT + UNIT,
    vector(*[0.0] * DIMENSION),
    vector(math.nan, *[1.0] * (DIMENSION - 1)),
    vector(math.inf, *[1.0] * (DIMENSION - 1)),
    np.ones(DIMENSION, np.float32),
    "text",
    5,
]
BAD_TIERS = ["", "STM", "any", None, 1, ["stm"], b"stm"]
BAD_KS = [0, -1, 2**63, HUGE, -HUGE, True, False, 2.0, "3", None, math.nan]
BAD_PERCENTAGES = [-0.001, 100.001, -1, math.nan, math.inf, HUGE, "5", None, True, [5]]
BAD_IMPORTANCES = [-0.001, 1.001, math.nan, math.inf, HUGE, -HUGE, "x", None, True, [0.5]]

BEFORE_CLOCKS = datetime(1, 1, 1)  # noqa: DTZ001 - in the zone of the machine
BAD_NUMBERS = [math.nan, math.inf, HUGE, -HUGE, 10**400, "5", True, [0.5]]
WISHES = [Condition(["x"], "eq", 1)]

BAD_OPERATIONS: list[tuple[Any, str]] = [
    *[(Store(value, "s", GOOD), "agent_id") for value in BAD_IDS],
    *[(Store("a", value, GOOD), "state_id") for value in BAD_IDS],
    *[(Store("a", "s", value), "state_data") for value in BAD_PAYLOADS],
    *[(Store("a", "s", value, 0.5, UNIT), "state_data") for value in BAD_PAYLOADS],
    *[(Store("a", "s", GOOD, value), "importance") for value in BAD_IMPORTANCES],
    *[(Store("a", "s", GOOD, 0.5, value), "vector") for value in BAD_VECTORS],
    *[(Retrieve(value, "s"), "agent_id") for value in BAD_IDS],
    *[(Retrieve("a", value), "state_id") for value in BAD_IDS],
    *[(Retrieve("a", "s", value), "tier") for value in BAD_TIERS],
    *[(Search(value, GOOD), "agent_id") for value in BAD_IDS],
    *[(Search("a", value), "query_state") for value in BAD_PAYLOADS],
    *[(Search("a", None, value), "vector") for value in BAD_VECTORS],
    (Search("a", GOOD, UNIT), "query_state"),
    *[(Search("a", GOOD, None, value), "k") for value in BAD_KS],
    *[(Search("a", GOOD, None, 5, value), "tier") for value in BAD_TIERS],
    *[(Transition(value, 5.0), "to") for value in [*BAD_TIERS, "stm", np.array(["im", "ltm"])]],
    *[(Transition("im", value), "percentage") for value in BAD_PERCENTAGES],
    *[(Transition("im", 5.0, value), "agent_id") for value in BAD_IDS if value is not None],
    *[(Describe(value), "agent_id") for value in BAD_IDS if value is not None],
    *[(value, "batch") for value in [None, 5, "x", {}, object(), Store]],
    *[(Search("a", GOOD, min_score=value), "min_score") for value in BAD_NUMBERS],
    *[
        (Search("a", GOOD, prefer=WISHES, vector_weight=value), "vector_weight")
        for value in [*BAD_NUMBERS, None, -1.0]
    ],
    (Search("a", GOOD, prefer=WISHES, vector_weight=0, attribute_weight=0), "vector_weight"),
    *[(Search("a", GOOD, filter=value), "filter") for value in [5, {}, "x", True]],
    *[(Query("a", Filter(kinds=value)), "kinds") for value in [5, "state", [["state"]], [None]]],
    *[(Query("a", Filter(words=value)), "words") for value in [5, [5], [""], None]],
    *[
        (Query("a", Filter(conditions=value)), "attributes")
        for value in [5, None, [5], [Condition(["x"], "eq", object())]]
    ],
    *[
        (Query("a", Filter(importance=(value, None))), "importance[0]")
        for value in [*BAD_NUMBERS, 2, -1]
    ],
    *[(Query("a", Filter(time_ns=(value, None))), "time_ns[0]") for value in [HUGE, 0.5, "x"]],
    *[(Query("a", newest_first=value), "newest_first") for value in ["no", 1, None]],
    *[(Query("a", limit=value), "limit") for value in [0, HUGE, "3", True]],
]


@pytest.mark.parametrize(
    ("operation", "field"),
    [
        pytest.param(operation, field, id=f"{number}-{type(operation).__name__}-{field}")
        for number, (operation, field) in enumerate(BAD_OPERATIONS)
    ],
)
def test_a_bad_operation_fails_alone_and_names_its_field(
    store: MemoryStore, operation: Any, field: str
):
    """Among good operations a bad one is a BadInputError with the field, and changes nothing."""
    good = [Store("a", "good", GOOD), Retrieve("a", "good"), Search("a", GOOD), Describe()]
    results = store.execute([*good, operation, *good])
    before, failure, after = results[:4], results[4], results[5:]
    assert isinstance(failure, Failure), failure
    error = failure.exception()
    assert isinstance(error, BadInputError)
    assert error.field.split(".")[0] == field
    assert len(str(error)) < 300
    assert "\n" not in str(error)
    hit_free = [type(result) for result in before]
    assert hit_free == [type(result) for result in after] == [Done, Record, Hits, Described]
    assert before[1:] == after[1:]
    assert after[3].counts.total == 1


def test_all_bad_operations_together_fail_one_by_one(store: MemoryStore):
    """A batch of nothing but bad operations has a failure for each, and the store goes on."""
    batch: list[Any] = []
    for operation, _ in BAD_OPERATIONS:
        batch += [operation, Store("a", f"good-{len(batch)}", GOOD)]
    results = store.execute(batch)
    assert {type(result) for result in results[::2]} == {Failure}
    assert {type(result) for result in results[1::2]} == {Done}
    [described] = store.execute([Describe()])
    assert described.counts == Counts(stm=len(BAD_OPERATIONS))


def test_a_hundred_megabyte_state_is_refused_and_nothing_else(tmp_path: Path):
    """With default bounds a 100 MB state is too large; its neighbours are stored."""
    big = {"text": "x" * 100_000_000}
    with MemoryStore(MemoryConfig(path=tmp_path, dimension=DIMENSION)) as store:
        one, bad, two = store.execute(
            [Store("a", "1", GOOD), Store.of("a", "big", big), Store("a", "2", GOOD)]
        )
        assert (type(one), type(two)) == (Done, Done)
        assert isinstance(bad, Failure)
        assert bad.args[0] == "state_data"
        assert "100,000,0" in bad.args[1]
        assert store.execute([Retrieve("a", "big")]) == [Missing()]


@pytest.mark.parametrize("batch", [None, 5, (one for one in [Describe()])])
def test_a_batch_that_is_no_sequence_harms_only_its_caller(store: MemoryStore, batch: Any):
    """What cannot be a batch is refused before it joins a group with other callers' batches."""
    barrier = threading.Barrier(9)
    results: list[Any] = []

    def good() -> None:
        barrier.wait()
        results.extend(store.execute([Store("a", "s", GOOD)]))

    def bad() -> None:
        barrier.wait()
        try:
            results.append(store.execute(batch))
        except BadInputError as error:
            results.append(error)

    threads = [threading.Thread(target=good) for _ in range(8)] + [threading.Thread(target=bad)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    refused = [one for one in results if not isinstance(one, Done)]
    assert len(results) == 9
    assert [type(one) for one in refused] in ([BadInputError], [list])


def test_whole_numbers_of_any_size_are_taken_where_they_mean_something(store: MemoryStore):
    """A k beyond all memories gives all of them; 0 and 1 are importances, 0 and 100 shares."""
    results = store.execute(
        [
            Store("a", "1", GOOD, 1),
            Store("a", "2", GOOD, 0),
            Search("a", GOOD, None, 2**63 - 1),
            Transition("im", 0),
            Transition("im", 100),
        ]
    )
    assert [type(one) for one in results[:2]] == [Done, Done]
    assert {hit.state_id for hit in results[2].hits} == {"1", "2"}
    assert results[3:] == [Moved(0), Moved(2)]


@pytest.mark.parametrize("size", [1e-45, 1e-38, 3e-23, 1e-10, 1.0, 1e18, 1e30, 3e38])
def test_a_vector_of_any_size_is_scaled_to_unit_length(store: MemoryStore, size: float):
    """However small or large a ready vector is, it scores 1 with itself and never more."""
    ready = vector(size, *[0.0] * (DIMENSION - 2), size)
    both = vector(1.0, *[0.0] * (DIMENSION - 2), 1.0)
    stored, found, again = store.execute(
        [
            Store("a", "s", GOOD, 0.5, ready),
            Search("a", None, ready),
            Search("a", None, both),
        ]
    )
    assert isinstance(stored, Done)
    assert [hit.score for hit in found.hits] == pytest.approx([1.0], abs=1e-6)
    assert [hit.score for hit in again.hits] == pytest.approx([1.0], abs=1e-6)


class UsersEncoder:
    """An encoder that does what the state asks of it."""

    name, version, dimension = "users", 1, DIMENSION

    def encode(self, states: Sequence[Mapping[str, Any]]) -> Any:
        rows = np.ones((len(states), DIMENSION), np.float32)
        for row, state in zip(rows, states, strict=True):
            match state.get("do"):
                case "raise":
                    raise RuntimeError("the encoder broke")
                case "nan":
                    row[3] = np.nan
                case "infinity":
                    row[0] = np.inf
                case "zero":
                    row[:] = 0
        shapes = {"narrow": rows[:, :-1], "flat": rows.ravel(), "short": rows[1:], "text": "rows"}
        for state in states:
            if state.get("do") in shapes:
                return shapes[state["do"]]
        return rows


@pytest.mark.parametrize(
    "do", ["raise", "nan", "infinity", "zero", "narrow", "flat", "short", "text"]
)
def test_an_encoder_that_fails_on_a_state_fails_that_state_alone(tmp_path: Path, do: str):
    """An encoder that raises, or gives the wrong shape, NaN or zero, harms only its state."""
    config = MemoryConfig(path=tmp_path, dimension=DIMENSION, encoder=UsersEncoder())
    bad = pack_state({"do": do})
    with MemoryStore(config) as store:
        results = store.execute(
            [Store("a", "1", GOOD), Store("a", "bad", bad), Search("a", bad), Store("a", "2", GOOD)]
        )
        assert [type(one) for one in results] == [Done, Failure, Failure, Done]
        assert {one.error for one in results[1:3]} == {"BadInputError"}
        [found] = store.execute([Search("a", GOOD)])
        assert {hit.state_id for hit in found.hits} == {"1", "2"}
        assert [hit.score for hit in found.hits] == pytest.approx([1.0, 1.0], abs=1e-6)


FACE_CALLS: list[tuple[str, dict[str, Any], str]] = [
    ("store_agent_state", {"agent_id": "", "state_id": "s", "state_data": {}}, "agent_id"),
    ("store_agent_state", {"agent_id": "a", "state_id": "", "state_data": {}}, "state_id"),
    ("store_agent_state", {"agent_id": "a", "state_id": "s", "state_data": [1]}, "state_data"),
    ("store_agent_state", {"agent_id": "a", "state_id": "s", "state_data": None}, "state_data"),
    *[
        (
            "store_agent_state",
            {"agent_id": "a", "state_id": "s", "state_data": {}, "vector": value},
            "vector",
        )
        for value in [
            [],
            [1.0],
            [[1.0] * 8],
            ["x"] * 8,
            [None] * 8,
            5,
            [10**400] * 8,
            [1e300] * 8,
            [0] * 8,
            [1j] * 8,
            {1},
            object(),
        ]
    ],
    ("retrieve_state", {"agent_id": "a", "state_id": "s", "tier": "any"}, "tier"),
    ("retrieve_similar_states", {"agent_id": "a"}, "query_state"),
    ("retrieve_similar_states", {"agent_id": "a", "query_state": 5}, "query_state"),
    (
        "retrieve_similar_states",
        {"agent_id": "a", "query_state": {"p": [1, math.nan]}},
        "query_state.p[1]",
    ),
    ("retrieve_similar_states", {"agent_id": "a", "query_state": {}, "k": 0}, "k"),
    ("retrieve_similar_states", {"agent_id": "a", "vector": [1.0]}, "vector"),
    ("force_transition_to_im", {"percentage": 101}, "percentage"),
    ("force_transition_to_ltm", {"percentage": -1, "agent_id": "a"}, "percentage"),
    ("force_transition_to_im", {"percentage": 1, "agent_id": ""}, "agent_id"),
    ("has_agent", {"agent_id": ""}, "agent_id"),
    ("count_memories", {"agent_id": 5}, "agent_id"),
    ("has_agent", {"agent_id": None}, "agent_id"),
    ("clear_agent", {"agent_id": None}, "agent_id"),
    ("delete_memory", {"agent_id": "a", "state_id": None}, "state_id"),
    ("delete_memory", {"agent_id": None, "state_id": None}, "agent_id"),
    ("search_by_content", {"agent_id": "a", "content": None}, "content"),
    ("retrieve_by_attributes", {"agent_id": "a", "attributes": None}, "attributes"),
    *[
        ("retrieve_by_time_range", {"agent_id": "a", "start_time": value}, "start_time")
        for value in [10**400, math.nan, BEFORE_CLOCKS, "now", True]
    ],
    ("retrieve_by_importance", {"agent_id": "a", "min_importance": 2}, "min_importance"),
    (
        "retrieve_similar_states",
        {"agent_id": "a", "query_state": {}, "memory_type": ["state"]},
        "memory_type",
    ),
    (
        "retrieve_similar_states",
        {"agent_id": "a", "query_state": {}, "threshold": HUGE},
        "threshold",
    ),
    ("backup", {"folder": 5}, "folder"),
]


@pytest.mark.parametrize(
    ("call", "arguments", "field"),
    [pytest.param(*one, id=f"{number}-{one[0]}") for number, one in enumerate(FACE_CALLS)],
)
@pytest.mark.filterwarnings("error")
def test_the_face_raises_bad_input_that_names_the_argument(
    tmp_path: Path, call: str, arguments: dict[str, Any], field: str
):
    """A wrong argument of a call is a BadInputError, which is a ValueError, with its name."""
    with AgentMemorySystem(MemoryConfig(path=tmp_path, dimension=DIMENSION)) as system:
        with pytest.raises(BadInputError) as caught:
            getattr(system, call)(**arguments)
        assert isinstance(caught.value, ValueError)
        assert caught.value.field == field
        assert system.count_memories().total == 0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda memory: memory.clear_agent(agent_id=None),
        lambda memory: memory.delete_memory(agent_id="a", state_id=None),
        lambda memory: memory.delete_memory(agent_id=None, state_id="0"),
    ],
)
def test_an_id_that_is_none_deletes_nothing(tmp_path: Path, wrong: Callable[[Any], Any]):
    """None is no id: it never stands for all of them."""
    with AgentMemorySystem(MemoryConfig(path=tmp_path, dimension=DIMENSION)) as system:
        for number in range(6):
            system.store_agent_state(agent_id="ab"[number % 2], state_id=str(number), state_data={})
        with pytest.raises(BadInputError, match="must be a string, not NoneType"):
            wrong(system)
        assert system.count_memories().total == 6


@pytest.mark.parametrize(
    "call",
    [
        lambda system: system.store_agent_state(
            agent_id="a", state_id="s", state_data={}, priority=1
        ),
        lambda system: system.store_agent_state("a", "s", {}),
        lambda system: system.retrieve_state(state_id="s"),
        lambda system: system.retrieve_similar_states(agent_id="a", query_state={}, top=3),
        lambda system: system.force_transition_to_im(percent=5),
        lambda system: MemoryConfig(folder="x"),
    ],
)
def test_an_unknown_or_missing_keyword_is_a_type_error(
    tmp_path: Path, call: Callable[[AgentMemorySystem], Any]
):
    """The face takes keywords only, and those that it knows."""
    with AgentMemorySystem(MemoryConfig(path=tmp_path)) as system, pytest.raises(TypeError):
        call(system)


def test_what_is_unknown_is_no_error(tmp_path: Path):
    """An unknown state gives None, an unknown agent no results; has_agent tells them apart."""
    with AgentMemorySystem(MemoryConfig(path=tmp_path)) as system:
        assert system.retrieve_state(state_id="s", agent_id="a") is None
        assert system.retrieve_similar_states(agent_id="a", query_state={"x": 1}) == []
        assert not system.has_agent("a")
        assert system.force_transition_to_im(percentage=100, agent_id="a") == 0
        assert not system.has_agent("a")
        system.store_agent_state(agent_id="a", state_id="s", state_data={"x": 1})
        assert system.has_agent("a")
        assert system.retrieve_state(state_id="s", agent_id="a", tier="ltm") is None
        assert system.retrieve_state(state_id="s", agent_id="a", tier="stm") == {"x": 1}
        assert system.retrieve_similar_states(agent_id="a", query_state={}, tier="im") == []


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"path": ""}, "path"),
        ({"path": 5}, "path"),
        ({"path": b"x"}, "path"),
        ({"path": "a\0b"}, "path"),
        ({"path": "a\ud800"}, "path"),
        ({"dimension": 0}, "dimension"),
        ({"dimension": 64.0}, "dimension"),
        ({"dimension": True}, "dimension"),
        ({"dimension": HUGE}, "dimension"),
        ({"encoder": 5}, "encoder"),
        ({"encoder": UsersEncoder()}, "encoder"),
        ({"durability": "none"}, "durability"),
        ({"durability": ["os"]}, "durability"),
        ({"stm_capacity": 0}, "stm_capacity"),
        ({"stm_capacity": -HUGE}, "stm_capacity"),
        ({"im_capacity": "5"}, "im_capacity"),
        ({"max_state_bytes": 0}, "max_state_bytes"),
        ({"payload_cache_bytes": -1}, "payload_cache_bytes"),
        ({"write_buffer_bytes": 1}, "write_buffer_bytes"),
        ({"write_buffer_bytes": 2**64}, "write_buffer_bytes"),
        ({"block_cache_bytes": 2**64}, "block_cache_bytes"),
    ],
)
def test_a_configuration_is_checked_where_it_is_made(settings: dict[str, Any], field: str):
    """A wrong setting is named before anything is opened."""
    with pytest.raises(BadInputError) as caught:
        MemoryConfig(**settings)
    assert caught.value.field == field
    assert len(str(caught.value)) < 300

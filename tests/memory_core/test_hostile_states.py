"""Hostile states through every entry: kept exactly in every tier, or refused by name, alone.

What is kept is looked for after each demotion, by id, by search and by query, after an export and
an import, and when the store is opened again; once as states, once as metadata.
"""

from __future__ import annotations

import asyncio
import collections
import enum
import functools
import math
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from memory_core import (
    AgentMemorySystem,
    BadInputError,
    Describe,
    Done,
    Failure,
    MemoryConfig,
    MemoryStore,
    Missing,
    Record,
    Retrieve,
    Search,
    Store,
    Transition,
)
from memory_core.client import MemoryClient
from memory_core.inspection import verify
from memory_core.local_transport import LocalTransport
from memory_core.operations import TIERS, Query
from memory_core.payload import MAX_DEPTH, pack_state, unpack_state
from tests.memory_core.test_payload import nested, same

pytestmark = pytest.mark.slow

DIMENSION = 16
MIB = 1024 * 1024


def lists(depth: int) -> dict[str, Any]:
    """A state that is all lists, so deep."""
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return {"in": value}


class Mood(str, enum.Enum):  # noqa: UP042 - whose str() is the member's name
    CALM = "calm"


class Size(enum.IntEnum):
    LARGE = 3


SHARED_PART = {"x": [1, {"y": 2}]}
AWKWARD_KEYS = {
    **dict.fromkeys(("", "\x00", "a\x00b", ".", "a.b", "a[0]", "[1]", "\n", '"', "\\", "'"), 1),
    **dict.fromkeys(("😀\u200d🔥", "\ufeff", "\u202e", "é", "é"), 2),
    **dict.fromkeys(("__class__", "None", "x" * 100000, "\ufffe", "\U0010ffff", "\x7f"), 3),
}

# What is given, and what comes back; None: the same.
KEPT: dict[str, tuple[Any, Any]] = {
    "empty": ({}, None),
    "deepest mappings": (nested(MAX_DEPTH), None),
    "deepest lists": (lists(MAX_DEPTH), None),
    "long text": ({"text": "\U0001f525x\0" * (10 * MIB // 6)}, None),
    "long list": ({"list": list(range(20_000))}, None),
    "many keys": ({f"k{n}": n for n in range(5_000)}, None),
    "awkward keys": ({**AWKWARD_KEYS, "inside": AWKWARD_KEYS}, None),
    "beyond 64 bits": (
        {"n": [2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**400, -(2**4000), 2**127]},
        None,
    ),
    "thousands of digits": ({"n": 10**6000, "m": [-(10**6000)]}, None),
    "thousands of digits, far down": (
        {"a": functools.reduce(lambda inner, _: {"d": [inner]}, range(60), {"n": 10**6000})},
        None,
    ),
    "edges of floats": (
        {"f": [-0.0, 5e-324, -5e-324, sys.float_info.max, -sys.float_info.max, 0.1 + 0.2]},
        None,
    ),
    "like an infinity": (
        {"text": "\xcb\x7f\xf0", "b": "\xcb\xff\xff", "n": 0x7FF0_0000_0000},
        None,
    ),
    "true is not 1": ({"a": [True, 1, 1.0, False, 0, 0.0, None, "", [], {}]}, None),
    "the same part twice": ({"a": SHARED_PART, "b": [SHARED_PART, SHARED_PART]}, None),
    "scalars of numpy": (
        {
            "f": [np.float16(0.1), np.float32(0.1), np.float64(0.1)],
            "i": [np.int8(-128), np.uint8(255), np.int64(-(2**63)), np.uint64(2**64 - 1)],
            "o": [np.bool_(False), np.str_("\U0001f525")],
        },
        {
            "f": [float(np.float16(0.1)), float(np.float32(0.1)), 0.1],
            "i": [-128, 255, -(2**63), 2**64 - 1],
            "o": [False, "\U0001f525"],
        },
    ),
    "arrays of numpy": (
        {
            "big-endian": np.array([1.5, -2.5], ">f4"),
            "strided": np.arange(12).reshape(3, 4)[::2, ::-2],
            "fortran": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
            "none of them": np.empty((0, 3)),
            "no axis": np.array(7, np.uint16),
            "text": np.array(["a", "\u00e9\U0001f525"]),
            "booleans": np.array([[True], [False]]),
            "objects": np.array([1, "x", None, {"y": 2**70}], object),
            "longdouble": np.array([1.5], np.longdouble),
            "structured": np.array([(1, 2.5)], [("a", "i4"), ("b", "f8")]),
            "masked": np.ma.masked_array([1, 2], [False, False]),
        },
        {
            "big-endian": [1.5, -2.5],
            "strided": [[3, 1], [11, 9]],
            "fortran": [[0, 1, 2], [3, 4, 5]],
            "none of them": [],
            "no axis": 7,
            "text": ["a", "\u00e9\U0001f525"],
            "booleans": [[True], [False]],
            "objects": [1, "x", None, {"y": 2**70}],
            "longdouble": [1.5],
            "structured": [[1, 2.5]],
            "masked": [1, 2],
        },
    ),
    "members of enumerations": (
        {"a": Mood.CALM, Mood.CALM: [Size.LARGE], "b": {Mood.CALM: np.str_("x")}},
        {"a": "calm", "calm": [3], "b": {"calm": "x"}},
    ),
    "other mappings": (
        collections.OrderedDict(
            a=types.MappingProxyType({"b": collections.Counter("xxy")}), c=(1, ((), (2,)))
        ),
        {"a": {"b": {"x": 2, "y": 1}}, "c": [1, [[], [2]]]},
    ),
}

CYCLE: dict[str, Any] = {"a": {"b": []}}
CYCLE["a"]["b"].append(CYCLE)
CYCLIC_LIST: list[Any] = []
CYCLIC_LIST.append(CYCLIC_LIST)


class NoLength(Mapping[str, Any]):
    """A mapping that does not stand being looked at."""

    def __getitem__(self, key: str) -> Any:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


# What is given, and the place that is named, behind the name of the argument.
REFUSED: dict[str, tuple[Any, str]] = {
    "one too deep, mappings": (nested(MAX_DEPTH + 1), ""),
    "one too deep, lists": (lists(MAX_DEPTH + 1), ""),
    "far too deep": (nested(50_000), ""),
    "far too deep, lists": (lists(50_000), ""),
    "an array that is too deep": (
        {"a": np.zeros((1,) * 60), "b": [{"c": nested(100)}], "d": nested(MAX_DEPTH)},
        "",
    ),
    "a cycle": (CYCLE, ""),
    "a cycle of lists": ({"a": CYCLIC_LIST}, ""),
    "too large": ({"text": "x" * (33 * MIB)}, ""),
    "NaN": ({"a": {"b": [1.0, math.nan]}}, ".a.b[1]"),
    "infinity": ({"a": [{"b": -math.inf}]}, ".a[0].b"),
    "NaN of numpy": ({"a": np.float16("nan")}, ".a"),
    "infinity in an array": ({"a": np.array([[0.0, 1.0], [np.inf, 0.0]])}, ".a[1][0]"),
    "infinity beyond float64": ({"a": np.longdouble("1e4000")}, ".a"),
    "bytes": ({"a": [b"x"]}, ".a[0]"),
    "a memoryview": ({"a": memoryview(b"x")}, ".a"),
    "array of bytes": ({"a": np.array([b"x"])}, ".a[0]"),
    "set": ({"a": {"b": {1, 2}}}, ".a.b"),
    "frozenset": ({"a": frozenset()}, ".a"),
    "complex": ({"a": np.array([1 + 2j])}, ".a[0]"),
    "Decimal": ({"a": Decimal("1.5")}, ".a"),
    "datetime64": ({"a": np.array(["2026-01-01"], "datetime64[D]")}, ".a"),
    "timedelta64": ({"a": np.timedelta64(5, "s")}, ".a"),
    "timedelta64 in an array": ({"a": np.array([5], "timedelta64[s]")}, ".a"),
    "dates of nanoseconds": ({"a": np.array(["2026-01-01"], "datetime64[ns]")}, ".a"),
    "dates in records": ({"a": {"b": np.zeros(2, [("t", "M8[ns]", (2,))])}}, ".a.b"),
    "more digits than a float": ({"a": [np.longdouble(1) / 3]}, ".a[0]"),
    "a long key that is none": ({"a": {("\n" * 5_000, 1): 1}}, ".a"),
    "void": ({"a": np.void(b"abc")}, ".a"),
    "objects": ({"a": np.array([1, object()], object)}, ".a[1]"),
    "a class": ({"a": int}, ".a"),
    "a function": ({"a": len}, ".a"),
    "a generator": ({"a": (x for x in "ab")}, ".a"),
    "a range": ({"a": range(3)}, ".a"),
    "a struct": ({"a": Describe()}, ".a"),
    "an extension": ({"a": msgspec.msgpack.Ext(1, b"0x5")}, ".a"),
    "raw": ({"a": msgspec.Raw(b"\x01")}, ".a"),
    "surrogate": ({"a": ["ok", "\udc80"]}, ".a[1]"),
    "surrogate in a key": ({"a": {"\ud83d": 1}}, ".a"),
    "key 1": ({"a": {1: "x"}}, ".a"),
    "key None": ({None: 1}, ""),
    "key of bytes": ({"a": [{b"k": 1}]}, ".a[0]"),
    "key of a tuple": ({"a": {("x", 1): 1}}, ".a"),
    "key True": ({"a": {True: 1}}, ".a"),
    "keys of which one is none": ({"a": {"x": 1, 2: 3}}, ".a"),
    "a mapping that fails": (NoLength(), ""),
    "list": ([1], ""),
    "text": ("state", ""),
    "None": (None, ""),
    "array": (np.zeros(3), ""),
}


def expected_of(name: str) -> Any:
    given, back = KEPT[name]
    return given if back is None else back


@pytest.fixture
def system(tmp_path: Path) -> Iterator[AgentMemorySystem]:
    config = MemoryConfig(path=tmp_path / "db", dimension=DIMENSION)
    with AgentMemorySystem(config) as system:
        yield system


def require_kept(system: AgentMemorySystem, tier: str, names: list[str]) -> None:
    """Each is in that tier, as state and as metadata, however it is asked for."""
    [everything] = system.execute([Query("a", tier=tier)])
    found = {memory.state_id: memory for memory in everything.memories}
    assert found.keys() == set(names)
    for name in names:
        expected = expected_of(name)
        assert same(system.retrieve_state(agent_id="a", state_id=name, tier=tier), expected), name
        memory = found[name]
        assert same(memory.state, expected), name
        assert memory.metadata is not None
        assert same(unpack_state(memory.metadata), expected), name
        hits = system.retrieve_similar_states(agent_id="a", query_state=expected, k=3)
        assert {hit.state_id for hit in hits} >= {name}
        [hit] = [hit for hit in hits if hit.state_id == name]
        assert same(hit.state, expected), name
        assert hit.score > 1 - 1e-5


def test_what_a_state_may_hold_is_kept_exactly_in_every_tier(
    system: AgentMemorySystem, tmp_path: Path
):
    """By id, search and query, in each tier, opened again, exported and imported: always equal."""
    names = list(KEPT)
    for name in names:
        given = KEPT[name][0]
        system.store_agent_state(agent_id="a", state_id=name, state_data=given, metadata=given)
    require_kept(system, "stm", names)
    assert system.force_transition_to_im(percentage=100) == len(names)
    require_kept(system, "im", names)
    assert system.force_transition_to_ltm(percentage=100) == len(names)
    require_kept(system, "ltm", names)
    system.export_memories(path=tmp_path / "all.parquet")
    system.close()
    assert verify(tmp_path / "db").is_clean
    with AgentMemorySystem(MemoryConfig(path=tmp_path / "db", dimension=DIMENSION)) as again:
        require_kept(again, "ltm", names)
    with AgentMemorySystem(MemoryConfig(path=tmp_path / "new", dimension=DIMENSION)) as other:
        other.import_memories(path=tmp_path / "all.parquet")
        require_kept(other, "ltm", names)


@pytest.mark.parametrize("argument", ["state_data", "metadata", "query_state"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_no_state_may_hold_is_refused_by_its_place(
    system: AgentMemorySystem, name: str, argument: str
):
    """One sentence names the argument and the place in it, and nothing is stored."""
    given, place = REFUSED[name]
    if argument == "metadata" and given is None:
        pytest.skip("no metadata is what None means")
    arguments: dict[str, Any] = {"agent_id": "a", argument: given}
    call: Callable[..., Any] = system.retrieve_similar_states
    if argument != "query_state":
        call = system.store_agent_state
        arguments = {"state_data": {}, **arguments, "state_id": "s"}
    with pytest.raises(BadInputError) as caught:
        call(**arguments)
    assert caught.value.field == argument + place, caught.value
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert system.count_memories().total == 0


@pytest.mark.parametrize("key", ["k" * 5_000, "\n" * 5_000, "\u202e" * 70, "a\nb"])
def test_a_place_with_keys_that_nobody_can_read_is_named_in_one_short_line(key: str):
    """Of keys that are long or not printable a part is shown; begin and end tell the place."""
    with pytest.raises(BadInputError) as caught:
        pack_state({key: {key: [{f"level {level}": {key: {"end": math.nan}} for level in [1]}]}})
    assert caught.value.field.startswith("state_data.")
    assert caught.value.field.endswith(".end")
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()


# As they come to the batch entry and over the wire: bytes that pack_state would not have made.
_encode = msgspec.msgpack.encode
HOSTILE_BYTES: dict[str, bytes] = {
    "NaN": _encode({"a": [math.nan]}),
    "infinity": _encode({"a": {"b": math.inf}}),
    "float32 NaN": b"\x81\xa1a\xca\x7f\xc0\x00\x00",
    "bytes": _encode({"a": b"x"}),
    "key 1": _encode({1: 2}),
    "inner key 1": _encode({"a": {1: 2}}),
    "a list": _encode([1]),
    "too deep": b"\x81\xa1d" * (MAX_DEPTH + 2) + b"\x80",
    "far too deep": b"\x81\xa1d" * 100_000 + b"\x80",
    "lists far too deep": b"\x81\xa1d" + b"\x91" * 100_000 + b"\x90",
    "text that is none": b"\x81\xa1a\xa2\xff\xfe",
    "a key that is none": b"\x81\xa2\xff\xfe\x01",
    "a surrogate": b"\x81\xa1a\xa3\xed\xa0\x80",
    "a time": b"\x81\xa1a\xd6\xff\x00\x00\x00\x00",
    "another extension": _encode({"a": msgspec.msgpack.Ext(5, b"x")}),
    "digits that are none": _encode({"a": msgspec.msgpack.Ext(1, b"0xzz")}),
    "NaN far down": b"\x81\xa1d" * 60 + _encode({"a": math.nan}),
    "bytes far down": b"\x81\xa1d" * 60 + _encode({"a": b"x"}),
    "NaN far behind": _encode({"a": [*range(100_001), math.nan]}),
    "a key far behind that is none": _encode({"a": [*range(100_001), {1: 2}]}),
    "a list of a billion": b"\x81\xa1a\xdd\x3b\x9a\xca\x00",
    "a mapping of a billion": b"\xdf\x3b\x9a\xca\x00",
    "text of a gigabyte": b"\x81\xa1a\xdb\x3f\xff\xff\xff",
    "cut short": pack_state({"a": "xyz"})[:-1],
    "more behind it": pack_state({"a": 1}) + b"\xc0",
    "nothing": b"",
    "the unused byte": b"\x81\xa1a\xc1",
}


def hostile_batch() -> tuple[list[Any], list[int]]:
    """Good operations with bad ones between them, and the places of these."""
    batch: list[Any] = [Store.of("a", "first", {"n": 0})]
    bad: list[int] = []
    for number, payload in enumerate(HOSTILE_BYTES.values()):
        bad += [len(batch), len(batch) + 1, len(batch) + 2]
        batch += [
            Store("a", "bad", payload),
            Store("a", "bad", b"\x80", 0.5, None, "state", None, payload),
            Search("a", payload),
            Store.of("a", f"good-{number}", {"n": number}),
        ]
    return batch, bad


def require_only_the_bad_failed(batch: list[Any], bad: list[int], results: list[Any]) -> None:
    names = [name for name in HOSTILE_BYTES for _ in range(3)]
    fields = ["state_data", "metadata", "query_state"] * len(HOSTILE_BYTES)
    for at, name, field in zip(bad, names, fields, strict=True):
        result = results[at]
        assert isinstance(result, Failure), (name, field, result)
        error = result.exception()
        assert isinstance(error, BadInputError), (name, error)
        assert error.field.startswith(field), (name, field, error)
        assert len(str(error)) < 300
        assert "\n" not in str(error)
    good = [result for at, result in enumerate(results) if at not in set(bad)]
    assert good == [Done()] * (len(batch) - len(bad))


@pytest.mark.parametrize("lower", [False, True])
def test_hostile_bytes_fail_alone_in_a_batch(tmp_path: Path, lower: bool):
    """At the batch entry, beside good operations, whatever tier these are in."""
    capacity = 4 if lower else 1_000
    config = MemoryConfig(
        path=tmp_path / "db", dimension=DIMENSION, stm_capacity=capacity, im_capacity=capacity
    )
    batch, bad = hostile_batch()
    with MemoryStore(config) as store:
        require_only_the_bad_failed(batch, bad, store.execute(batch))
        [described, missing] = store.execute([Describe("a"), Retrieve("a", "bad")])
        assert (described.counts.total, missing) == (len(batch) - len(bad), Missing())
        assert (described.counts.ltm > 0) == lower
    assert verify(tmp_path / "db").is_clean


def test_hostile_states_through_the_client_fail_alone(tmp_path: Path):
    """Encoded, carried and decoded, the good come back equal from every tier; the bad are named."""
    stores = [
        MemoryStore(MemoryConfig(path=tmp_path / str(one), dimension=DIMENSION)) for one in range(2)
    ]
    transport = LocalTransport(stores)
    batch, bad = hostile_batch()

    async def answer(client: MemoryClient, operation: Any) -> Any:
        try:
            return await client.call(operation)
        except BadInputError as error:  # named before it is sent
            return Failure.of(error)

    async def body() -> None:
        client = MemoryClient(transport, 2)
        results = await asyncio.gather(*(answer(client, operation) for operation in batch))
        require_only_the_bad_failed(batch, bad, results)
        stored = [Store.of("b", name, given) for name, (given, _) in KEPT.items()]
        assert await asyncio.gather(*(client.call(one) for one in stored)) == [Done()] * len(KEPT)
        for tier, below in zip(TIERS, (*TIERS[1:], None), strict=True):
            found = await asyncio.gather(*(client.call(Retrieve("b", name, tier)) for name in KEPT))
            for name, result in zip(KEPT, found, strict=True):
                assert isinstance(result, Record), (name, tier)
                assert same(result.state, expected_of(name)), (name, tier)
            if below is not None:
                await client.call(Transition(below, 100.0, "b"))
        await client.drain()

    try:
        asyncio.run(body())
    finally:
        transport.close()


AWKWARD_IDS = [
    "\0",
    "a\0",
    "\U0001f600\u200d\U0001f525",
    "\x7f",
    "\ufeff",
    "x" * 1024,
    "\u00e9" * 512,
]
AWKWARD_IDS += ["\U0010ffff" * 256, " ", "../../etc", "a\nb", "e\u0301", "\u00e9", "0", "\x00\x01"]


def test_awkward_ids_are_kept_apart_in_every_tier(system: AgentMemorySystem, tmp_path: Path):
    """Ids of any text, as agents' and as memories', name one memory each, wherever it is."""
    for agent in AWKWARD_IDS:
        for state_id in AWKWARD_IDS:
            system.store_agent_state(
                agent_id=agent, state_id=state_id, state_data={"of": [agent, state_id]}
            )

    def require_all(memory: AgentMemorySystem, tier: str) -> None:
        for agent in AWKWARD_IDS:
            for state_id in AWKWARD_IDS:
                found = memory.retrieve_state(agent_id=agent, state_id=state_id, tier=tier)
                assert found == {"of": [agent, state_id]}, (agent, state_id, tier)
            assert memory.count_memories(agent).total == len(AWKWARD_IDS)

    require_all(system, "stm")
    system.force_transition_to_im(percentage=100)
    require_all(system, "im")
    system.force_transition_to_ltm(percentage=100)
    system.close()
    assert verify(tmp_path / "db").is_clean
    with AgentMemorySystem(MemoryConfig(path=tmp_path / "db", dimension=DIMENSION)) as again:
        require_all(again, "ltm")
        again.clear_agent(agent_id="\0")
        again.delete_memory(agent_id="a\0", state_id="\0")
        assert again.count_memories("\0").total == 0
        assert again.count_memories("a\0").total == len(AWKWARD_IDS) - 1
        assert again.count_memories().total == len(AWKWARD_IDS) * (len(AWKWARD_IDS) - 1) - 1

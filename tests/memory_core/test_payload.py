"""States as bytes: what goes in comes back equal, and what cannot is named with its place."""

from __future__ import annotations

import collections
import math
import types
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from memory_core import BadInputError
from memory_core.payload import MAX_DEPTH, pack_state, unpack_state

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["\0", "\U0001f600\u200d\U0001f525", "\ufeff", "\xcb\x7f\xf0", "a.b", "a[0]", 'a"b\\\n']
)
numbers = (
    st.integers()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, -0.0, 5e-324])
)
leaves = texts | numbers | st.booleans() | st.none()
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
states = st.dictionaries(texts, values, max_size=6)
arrays = npst.arrays(
    st.sampled_from([np.dtype(kind) for kind in ("f4", "f8", "f2", "i8", "u8", "i1", "?", "U3")]),
    npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    elements={"allow_nan": False, "allow_infinity": False},
)


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types all the way down: True is not 1, nor 1 1.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return math.copysign(1, one) == math.copysign(1, other) and one == other
    return bool(one == other)


@given(states)
@example({"n": 10**5000, "m": -(10**5000)})
@example({"text": "\xcb\x7f\xf0 looks like an infinity", "b": "\xcb\xff\xff"})
def test_a_plain_state_comes_back_equal(state: dict[str, Any]):
    """A state of plain types is unpacked to the same values of the same types, in order."""
    assert same(unpack_state(pack_state(state)), state)


@given(st.dictionaries(texts, arrays, max_size=3), st.lists(leaves, max_size=3))
def test_arrays_and_tuples_come_back_as_lists(held: dict[str, Any], items: list[Any]):
    """Arrays of any shape come back as nested lists, tuples as lists, scalars as plain ones."""
    state = {"arrays": held, "tuple": tuple(items), "nested": ((), [tuple(items)])}
    expected = {
        "arrays": {key: array.tolist() for key, array in held.items()},
        "tuple": items,
        "nested": [[], [items]],
    }
    assert same(unpack_state(pack_state(state)), expected)


@pytest.mark.parametrize(
    ("scalar", "plain"),
    [
        (np.float32(0.1), float(np.float32(0.1))),
        (np.float64(1e300), 1e300),
        (np.int8(-5), -5),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.bool_(True), True),
        (np.str_("x"), "x"),
    ],
)
def test_numpy_scalars_come_back_as_plain_ones(scalar: Any, plain: Any):
    """A numpy scalar becomes the Python value that it stands for."""
    assert same(unpack_state(pack_state({"x": scalar, "y": [scalar]})), {"x": plain, "y": [plain]})


@pytest.mark.parametrize("kind", [collections.OrderedDict, types.MappingProxyType])
def test_any_mapping_is_a_state(kind: type):
    """A mapping that is no dict is packed as one, at the top and inside."""
    state = kind({"a": kind({"b": 1})})
    assert unpack_state(pack_state(state)) == {"a": {"b": 1}}


CYCLE: dict[str, Any] = {"a": []}
CYCLE["a"].append(CYCLE)


def nested(depth: int) -> dict[str, Any]:
    state: dict[str, Any] = {"deepest": 1}
    for _ in range(depth):
        state = {"d": state}
    return state


@pytest.mark.parametrize(
    ("state", "field"),
    [
        ({"a": math.nan}, "state_data.a"),
        ({"a": {"b": [1.0, -math.inf]}}, "state_data.a.b[1]"),
        ({"a": [{"b": np.float32("nan")}]}, "state_data.a[0].b"),
        ({"a": np.array([[0.0], [np.inf]])}, "state_data.a[1][0]"),
        ({"a": {1, 2}}, "state_data.a"),
        ({"a": {"b": b"bytes"}}, "state_data.a.b"),
        ({"a": bytearray(b"x")}, "state_data.a"),
        ({"a": 1j}, "state_data.a"),
        ({"a": np.array([1j])}, "state_data.a[0]"),
        ({"a": np.datetime64("2026-01-01")}, "state_data.a"),
        ({"a": (x for x in "ab")}, "state_data.a"),
        ({"a": object()}, "state_data.a"),
        ({"a": {1: "x"}}, "state_data.a"),
        ({None: "x"}, "state_data"),
        ({"a": [{b"k": 1}]}, "state_data.a[0]"),
        ({"a": "\ud800"}, "state_data.a"),
        ({"a": {"\udfff": 1}}, "state_data.a"),
        (nested(MAX_DEPTH + 1), "state_data"),
        (nested(5000), "state_data"),
        (CYCLE, "state_data"),
        ([("a", 1)], "state_data"),
        ("text", "state_data"),
        (None, "state_data"),
        (np.zeros(3), "state_data"),
    ],
)
def test_what_no_state_can_hold_is_named_with_its_place(state: Any, field: str):
    """What cannot be kept is refused in one line, with the path to it."""
    with pytest.raises(BadInputError) as caught:
        pack_state(state)
    assert caught.value.field == field
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@given(states, st.sampled_from([math.nan, math.inf, -math.inf]), st.data())
def test_a_number_that_is_not_finite_is_found_wherever_it_hides(
    state: dict[str, Any], number: float, data: st.DataObject
):
    """A NaN or an infinity is refused, however the state around it looks."""
    key = data.draw(texts)
    place = data.draw(st.sampled_from([number, [0, number], {"in": {"side": number}}]))
    with pytest.raises(BadInputError, match=r"must be finite"):
        pack_state({**state, key: place})


def test_the_deepest_state_that_is_allowed_comes_back():
    """A state as deep as the bound is kept whole."""
    assert unpack_state(pack_state(nested(MAX_DEPTH))) == nested(MAX_DEPTH)


def test_the_size_is_bounded_where_a_bound_is_given():
    """A state that packs to more bytes than allowed is refused; one that just fits is not."""
    size = len(pack_state({"a": "x" * 1000}))
    assert len(pack_state({"a": "x" * 1000}, max_bytes=size)) == size
    with pytest.raises(BadInputError, match=f"is {size:,} bytes packed; at most {size - 1:,}"):
        pack_state({"a": "x" * 1000}, max_bytes=size - 1)


@given(st.binary(max_size=40))
@example(b"")
@example(b"\x91" * 100_000)
@example(msgspec.msgpack.encode([1]))
@example(msgspec.msgpack.encode({1: 2}))
@example(msgspec.msgpack.encode({"a": msgspec.msgpack.Ext(1, b"no digits")}))
@example(msgspec.msgpack.encode({"a": msgspec.msgpack.Ext(9, b"")}))
def test_bytes_that_are_no_packed_state_are_refused(packed: bytes):
    """Any bytes give either a mapping or a BadInputError; nothing else escapes."""
    try:
        state = unpack_state(packed)
    except BadInputError as error:
        field = error.field
    else:
        field = "state_data" if isinstance(state, dict) else ""
    assert field == "state_data"

"""`StateEncoder`: the same vectors in every process and release, whatever the states."""

from __future__ import annotations

import gc
import json
import math
import os
import pickle
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memory_core import BadInputError, Encoder, StateEncoder
from memory_core.payload import pack_state

GOLDEN = Path(__file__).parent.parent / "data" / "encoder_vectors.json"


def encode(*states: dict[str, Any], dimension: int = 32) -> npt.NDArray[np.float32]:
    """By an encoder that has met nothing before."""
    return StateEncoder(dimension).encode(states)


def cosine(one: dict[str, Any], other: dict[str, Any], dimension: int = 1024) -> float:
    a, b = encode(one, other, dimension=dimension)
    return float(a @ b)


def golden() -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = json.loads(GOLDEN.read_text(encoding="utf-8"))["vectors"]
    return content


def test_vectors_are_those_of_the_first_release():
    """Databases keep vectors: a change to any of these needs a new StateEncoder.version."""
    assert (StateEncoder.name, StateEncoder.version) == ("hashed-leaves", 1)
    assert len(golden()) >= 10
    for entry in golden():
        encoder = StateEncoder(len(entry["vector"]))
        for _ in range(2):  # a shape that is known is read another way
            [plain] = encoder.encode([entry["state"]])
            [packed] = encoder.encode_packed([pack_state(entry["state"])])
            np.testing.assert_allclose(plain, entry["vector"], rtol=0, atol=1e-6)
            np.testing.assert_allclose(packed, entry["vector"], rtol=0, atol=1e-6)


def test_another_process_with_another_hash_seed_gives_the_same_vectors():
    """Nothing depends on Python's hashing, which differs from process to process."""
    script = """
import json, sys
from memory_core import StateEncoder
states = [entry["state"] for entry in json.load(open(sys.argv[1], encoding="utf-8"))["vectors"]]
print(StateEncoder(64).encode(states).tobytes().hex())
"""
    printed = {
        subprocess.run(
            [sys.executable, "-c", script, GOLDEN],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout.strip()
        for seed in ("1", "2")
    }
    states = [entry["state"] for entry in golden()]
    assert printed == {StateEncoder(64).encode(states).tobytes().hex()}


keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | st.sampled_from(
    ["", "a.b", "[0]", 'quote"', "back\\slash", "line\nfeed", "nul\0", "f0", "\U0001f600"]
)
leaves = (
    st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.booleans()
    | st.none()
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
states = st.dictionaries(keys, values, max_size=5)


@given(st.lists(states, min_size=1, max_size=8), st.integers(1, 70), st.data())
@example([{'a"b': 1}, {"a\\b": 1.5}, {"a\0": True}], 8, None)
@example([{"x": []}, {"x": {}}, {"x": [1]}, {}, {"x": [1, True]}, {"x": [1.0, 2]}], 8, None)
def test_a_state_has_one_vector_however_it_is_encoded(
    several: list[dict[str, Any]], dimension: int, data: st.DataObject | None
):
    """Alone, in a batch, packed, of a shape met before or not: the vector is the same."""
    expected = [StateEncoder(dimension).encode([state])[0] for state in several]
    together = StateEncoder(dimension).encode(several)
    assert together.shape == (len(several), dimension)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
    experienced = StateEncoder(dimension)
    packed = [pack_state(state) for state in several]
    for _ in range(3):
        np.testing.assert_allclose(experienced.encode_packed(packed), expected, rtol=0, atol=1e-6)
        for payload, vector in zip(packed, expected, strict=True):
            [again] = experienced.encode_packed([payload])
            np.testing.assert_allclose(again, vector, rtol=0, atol=1e-6)
        order = range(len(several))
        if data is not None:
            order = data.draw(st.permutations(order))
        shuffled = experienced.encode([several[position] for position in order])
        np.testing.assert_allclose(
            shuffled, [expected[position] for position in order], rtol=0, atol=1e-6
        )


varied = st.fixed_dictionaries(
    {
        "x": st.integers(-(2**63), 2**64 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.sampled_from([1e300, -1.7e308, 0, -0.0]),
        "kind": st.sampled_from(["a", "b", ""]) | st.none(),
        "inside": st.fixed_dictionaries({"alive": st.booleans(), "y": st.floats(-10, 10)}),
        "near": st.lists(st.integers(0, 9), max_size=2) | st.just([1, 2, 3]),
    }
)


@given(st.lists(varied, min_size=4, max_size=12), st.booleans())
def test_states_of_one_shape_have_together_the_vectors_that_they_have_alone(
    several: list[dict[str, Any]], equal_lists: bool
):
    """A batch of one shape is computed at once, with the vectors that each state has alone."""
    if equal_lists:
        several = [{**state, "kind": "a", "near": [1, 2]} for state in several]
    expected = [StateEncoder(16).encode([state])[0] for state in several]
    encoder = StateEncoder(16)
    for state in several[:3]:  # shapes met before
        encoder.encode_packed([pack_state(state)])
    together = encoder.encode_packed([pack_state(state) for state in several])
    np.testing.assert_allclose(together, expected, rtol=0, atol=1e-6)


def test_a_batch_of_one_shape_is_refused_for_what_is_wrong_in_one_state():
    """Infinity, NaN and bytes that are no state are found in a batch of one shape too."""
    good = [pack_state({"x": float(number), "y": [1]}) for number in range(6)]
    encoder = StateEncoder(16)
    encoder.encode_packed(good)
    for wrong in (math.inf, -math.inf, math.nan):
        payload = msgspec.msgpack.encode({"x": wrong, "y": [1]})
        with pytest.raises(BadInputError, match="state_data"):
            encoder.encode_packed([*good, payload])
    for broken in (good[0] + good[1], b"", good[0][:-1]):
        with pytest.raises(BadInputError, match="state_data"):
            encoder.encode_packed([*good, broken])


def test_nothing_to_encode_gives_no_vectors():
    """An empty batch has the shape (0, dimension)."""
    assert StateEncoder(8).encode([]).shape == (0, 8)
    assert StateEncoder(8).encode_packed([]).shape == (0, 8)


FORAGER = {
    "position": [3, 4],
    "health": 0.75,
    "energy": 12.5,
    "inventory": {"food": 2, "wood": 0},
    "action": "gather",
    "alive": True,
    "target": None,
}


@pytest.mark.parametrize("number", [0.0, 1e-3, -1e-3, 0.5, 1.0, -20.0, 1e3, 1e6, -1e6, 1e12])
def test_no_number_drowns_the_rest(number: float):
    """A leaf weighs the same whatever its magnitude, so that the others are still seen."""
    calm, wild = dict(FORAGER, step=1.0), dict(FORAGER, step=number)
    assert cosine(calm, wild) > 0.8, "one number of ten leaves changed the whole vector"
    effect = 1 - cosine(wild, dict(wild, action="flee"))
    assert effect == pytest.approx(1 - cosine(calm, dict(calm, action="flee")), rel=0.2)
    assert effect > 0.02, "another leaf is not seen any more"


@pytest.mark.parametrize(
    ("one", "other"), [(1e-3, 2e-3), (0.0, 1e-3), (0.1, 0.2), (10, 11), (-5, 5), (1e6, 2e6)]
)
def test_neighbouring_numbers_are_told_apart(one: float, other: float):
    """Small numbers and large ones are both told from their neighbours."""
    assert cosine(dict(FORAGER, step=one), dict(FORAGER, step=other)) < 1 - 1e-4


def test_nearer_states_are_more_similar():
    """Similarity falls as numbers move apart, and with each category that differs."""
    steps = [cosine(FORAGER, dict(FORAGER, energy=12.5 * factor)) for factor in (1, 1.1, 1.5, 2.5)]
    assert steps == sorted(steps, reverse=True)
    assert steps[0] == pytest.approx(1.0, abs=1e-6)
    changed = dict(FORAGER, action="flee")
    assert 1 > cosine(FORAGER, changed) > cosine(FORAGER, dict(changed, alive=False))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": "1"}),
        ({"a": 1}, {"a": True}),
        ({"a": "True"}, {"a": True}),
        ({"a": "None"}, {"a": None}),
        ({"a": 0}, {"a": False}),
        ({"a": []}, {"a": {}}),
        ({"a": []}, {}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": 1, "b": 2}, {"a": 2, "b": 1}),
        ({"a": {"b": 1}}, {"b": {"a": 1}}),
        ({"a": 10**400}, {"a": -(10**400)}),
    ],
)
def test_different_states_have_different_vectors(one: dict[str, Any], other: dict[str, Any]):
    """Types, order, places and emptiness all count."""
    assert cosine(one, other) < 0.99


def nested(depth: int, leaf: Any) -> dict[str, Any]:
    state: dict[str, Any] = {"leaf": leaf}
    for _ in range(depth):
        state = {"d": state}
    return state


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"": {"": {"": []}}},
        {"x": [[[[]]]]},
        {"x": 1.7976931348623157e308, "y": -1.7976931348623157e308, "z": 5e-324},
        {"x": 10**5000},
        {"x": -(2**63), "y": 2**64},
        {"text": "x" * 1_000_000},
        {"k" * 100_000: 1},
        {f"k{number}": number for number in range(3000)},
        {"x": list(range(30_000))},
        {"x": [{"y": [number]} for number in range(1000)]},
        nested(120, 1.0),
        nested(120, {"a": [1, "b", None]}),
    ],
    ids=lambda state: f"{len(state)} keys, {len(repr(state)) if state.get('x') != 10**5000 else 1}",
)
def test_hostile_states_have_unit_vectors(state: dict[str, Any]):
    """Deep, long, empty or extreme: every state has a finite vector of unit length."""
    for dimension in (1, 2, 64):
        [vector] = encode(state, dimension=dimension)
        assert np.isfinite(vector).all()
        assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)
        [packed] = StateEncoder(dimension).encode_packed([pack_state(state)])
        np.testing.assert_allclose(packed, vector, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("state", "field"),
    [
        ({"a": {"b": (1, 2)}}, "state_data.a.b"),
        ({"a": [np.float32(1)]}, "state_data.a[0]"),
        ({"a": b"x"}, "state_data.a"),
        ({"a": math.nan}, "state_data"),
        ({"a": 1.0, "b": [math.inf, 2]}, "state_data"),
        ({"a": -math.inf}, "state_data"),
    ],
)
def test_what_no_packed_state_holds_is_refused(state: dict[str, Any], field: str):
    """Alone and among others, what `pack_state` would refuse is refused here."""
    for several in ([state], [{"x": 1}, state, {"y": [1, 2]}]):
        with pytest.raises(BadInputError) as caught:
            StateEncoder(8).encode(several)
        assert caught.value.field == field


def held_bytes(use: Callable[[StateEncoder], object]) -> int:
    """What an encoder holds after some use."""
    encoder = StateEncoder(8)
    encoder.encode_packed([b"\x80"])
    tracemalloc.start()
    try:
        use(encoder)
        gc.collect()  # another test may have had the collector freeze, or wait for more
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


HOSTILE: dict[str, Callable[[int], dict[str, Any]]] = {
    "new keys": lambda number: {f"k{number}-{leaf}": leaf for leaf in range(40)},
    "new text": lambda number: {f"t{leaf}": f"{number}-{leaf}" * 20 for leaf in range(40)},
    "long keys": lambda number: {"k" * 20_000 + str(number): 1},
    "long paths": lambda number: {"k" * 4_000 + str(number): {"l" * 4_000: {"m" * 4_000: 1}}},
    "lists of new lengths": lambda number: {"x": [1.5] * (1_000 + number)},
    "two lists of new lengths": lambda number: {"x": [1] * (number % 37), "y": [1] * number},
    "places of numbers": lambda number: {
        f"n{leaf}": 1 if number >> leaf & 1 else "text" for leaf in range(12)
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("how", HOSTILE)
def test_what_it_remembers_is_bounded(monkeypatch: pytest.MonkeyPatch, how: str):
    """States that are never alike cost time and not memory, however many there are."""
    monkeypatch.setattr("memory_core.paths._MAX_KNOWN", 2_000)

    def use(encoder: StateEncoder) -> None:
        for number in range(600):
            encoder.encode_packed([pack_state(HOSTILE[how](number))])

    assert held_bytes(use) < 12_000_000


@pytest.mark.slow
def test_a_batch_and_a_state_of_very_many_leaves_are_bounded_too(monkeypatch: pytest.MonkeyPatch):
    """The bound holds within a batch; of a huge state only the first leaves are taken."""
    monkeypatch.setattr("memory_core.paths._MAX_KNOWN", 2_000)
    monkeypatch.setattr("memory_core.paths._MAX_LEAVES", 3_000)
    several = [HOSTILE["new keys"](number) for number in range(600)]
    packed = [pack_state(state) for state in several]
    assert held_bytes(lambda encoder: encoder.encode_packed(packed)) < 8_000_000
    np.testing.assert_allclose(
        StateEncoder(8).encode_packed(packed),
        [StateEncoder(8).encode([state])[0] for state in several],
        rtol=0,
        atol=1e-6,
    )
    huge = {"x": list(range(60_000)), "y": 1}
    assert held_bytes(lambda encoder: encoder.encode([huge])) < 8_000_000
    [vector] = StateEncoder(8).encode([huge])
    [cut] = StateEncoder(8).encode([{"x": list(range(3_000))}])
    np.testing.assert_allclose(vector, cut, rtol=0, atol=1e-6)


def test_it_is_an_encoder_that_travels():
    """It satisfies the protocol, equals one of the same dimension, and survives pickling."""
    encoder = StateEncoder(8)
    encoder.encode([FORAGER])
    assert isinstance(encoder, Encoder)
    assert encoder == StateEncoder(8)
    assert hash(encoder) == hash(StateEncoder(8))
    assert encoder != StateEncoder(9)
    copy = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(copy.encode([FORAGER]), StateEncoder(8).encode([FORAGER]))


@pytest.mark.parametrize("dimension", [0, -1, True, 8.0, "8", None])
def test_a_dimension_is_a_whole_number_of_at_least_one(dimension: Any):
    """A dimension that cannot be is refused by name."""
    with pytest.raises(BadInputError) as caught:
        StateEncoder(dimension)
    assert caught.value.field == "dimension"

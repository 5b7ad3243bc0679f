"""`TextEncoder`: texts by what they mean, other leaves as `StateEncoder` hashes them."""

from __future__ import annotations

import math
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memory_core import (
    AgentMemorySystem,
    BadInputError,
    Encoder,
    IncompatibleError,
    MemoryConfig,
    StateEncoder,
)
from memory_core.text_encoder import TextEncoder
from tests.memory_core.static_model import write_model

INSTALL = 'pip install "agent-memory-harness[text]"'
needs_packages = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("model2vec", "safetensors", "tokenizers")),
    reason=f"needs model2vec: {INSTALL}",
)
needs_shipped_model = pytest.mark.skipif(
    find_spec("wordllama") is None, reason=f"needs wordllama: {INSTALL}"
)

DIRECTIONS = {
    "water": [1.0, 0.2, 0.0, 0.0],
    "river": [0.9, 0.3, 0.0, 0.0],
    "market": [0.0, 0.1, 1.0, 0.2],
    "prices": [0.0, 0.0, 0.9, 0.3],
    "above": [0.0, 0.5, 0.5, 0.5],
    "below": [0.0, -0.5, -0.5, -0.5],
}


class WordModel:
    """A static model of six words, which takes a text as its words."""

    dimension = 4

    def __init__(self, folder: str | None) -> None:
        self.fingerprint = f"of {folder and Path(folder).resolve()}"

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        vectors = np.zeros((len(texts), 4), np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            rows = [DIRECTIONS[word] for word in text.lower().split() if word in DIRECTIONS]
            if rows:
                vector[:] = np.mean(rows, axis=0)
        return vectors


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model is the one of six words."""
    monkeypatch.setattr("memory_core.text_encoder.load_text_model", WordModel)


def made(dimension: int = 1028, **arguments: Any) -> TextEncoder:
    return TextEncoder(dimension, **arguments)


def cosine(one: dict[str, Any], other: dict[str, Any], encoder: TextEncoder | None = None) -> float:
    a, b = (encoder or made()).encode([one, other])
    return float(a @ b)


@pytest.mark.usefixtures("words")
def test_like_texts_are_nearer_than_unlike_ones():
    """States are as near as what their texts mean, whatever their words and places."""
    near = cosine({"note": "find water"}, {"note": "the river there"})
    far = cosine({"note": "find water"}, {"note": "the market there"})
    assert near > 0.9
    assert far < 0.2
    assert cosine({"note": "find water"}, {"log": [{"x": "find water"}]}) == pytest.approx(1.0)


@pytest.mark.usefixtures("words")
def test_two_states_are_as_near_as_their_weighted_parts():
    """The similarity is the texts' times the weight, plus the other leaves' times the rest."""
    one = {"note": "water here", "x": 1.0, "tags": ["a", "b"]}
    other = {"note": "market here", "x": 3.0, "tags": ["a", "c"]}
    texts = cosine({"note": one["note"]}, {"note": other["note"]})
    for weight in (0.1, 0.5, 0.9):
        encoder = made(text_weight=weight)
        a, b = StateEncoder(1024).encode([{"x": s["x"], "tags": s["tags"]} for s in (one, other)])
        expected = weight * texts + (1 - weight) * float(a @ b)
        assert cosine(one, other, encoder) == pytest.approx(expected, abs=1e-5)


@pytest.mark.usefixtures("words")
def test_a_query_of_text_alone_ranks_states_by_their_texts():
    """Leaves that a query lacks weigh on every state alike."""
    encoder = made()
    [query] = encoder.encode([{"q": "water please"}])
    states = [
        {"note": "a river bend", "x": 5, "y": "n"},
        {"note": "market prices", "x": 5, "y": "n"},
        {"note": "above water", "z": [1, 2, 3]},
    ]
    assert np.argsort(-(encoder.encode(states) @ query)).tolist() == [0, 2, 1]


@pytest.mark.usefixtures("words")
@pytest.mark.parametrize(
    "state",
    [
        {"x": 1.5, "name": "water", "id": "agent_7", "none": None, "flags": [True, "river"]},
        {"at": "2026-11-22 10:00:00", "code": "12 34", "empty": ["", " ", {}, []]},
        {"unknown": "words that it never met", "x": [1, "nor these ones"]},
        {},
    ],
)
def test_what_is_no_text_is_hashed(state: dict[str, Any]):
    """A state without a text that the model knows has the vector of `StateEncoder` beside zeros."""
    [vector] = made().encode([state])
    [hashed] = StateEncoder(1024).encode([state])
    assert not vector[:4].any()
    np.testing.assert_allclose(vector[4:], hashed, atol=1e-6)


@pytest.mark.usefixtures("words")
@pytest.mark.parametrize(
    ("state", "rest"),
    [
        ({"a": "by water", "x": 1}, {"x": 1}),
        ({"a": {"b": "by water"}, "x": 1}, {"x": 1}),
        ({"a": ["by water"], "x": 1}, {"x": 1}),
        ({"a": [[{"b": ["by water"]}], 2]}, {"a": {1: 2}}),
        ({"a": ["by water", 7, "river", "by water"]}, {"a": {1: 7, 2: "river"}}),
    ],
)
def test_other_leaves_keep_their_places(state: dict[str, Any], rest: dict[str, Any]):
    """Taking texts out leaves no empty containers, and moves nothing in a list."""
    [vector] = made().encode([state])
    [hashed] = StateEncoder(1024).encode([rest])
    np.testing.assert_allclose(vector[4:] * math.sqrt(2), hashed, atol=1e-6)
    without = {"a": ["x", 7, "river", "y"]}
    with_text = {"a": ["by water", 7, "river", "by water"]}
    assert cosine(without, with_text) > 0.4


@pytest.mark.usefixtures("words")
def test_scripts_without_spaces_are_text(monkeypatch: pytest.MonkeyPatch):
    """Four characters on end of a script that puts no spaces between words are a text."""
    monkeypatch.setitem(DIRECTIONS, "川で水を探す", [1.0, 0.0, 0.0, 0.0])
    monkeypatch.setitem(DIRECTIONS, "東京都", [1.0, 0.0, 0.0, 0.0])
    assert cosine({"a": "川で水を探す"}, {"a": "find water"}) > 0.9
    assert abs(cosine({"a": "東京都"}, {"a": "find water"})) < 1e-6


@pytest.mark.usefixtures("words")
def test_texts_that_cancel_out_still_have_a_direction():
    """Opposite texts, which sum to nothing, do not make a vector zero."""
    [vector] = made().encode([{"a": "up above", "b": "down below"}])
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.usefixtures("words")
def test_hostile_texts_are_bounded(monkeypatch: pytest.MonkeyPatch):
    """Of a state's texts the first 256 count, and the first 8,192 characters of each."""
    seen: list[str] = []
    embed = WordModel.embed
    monkeypatch.setattr(
        WordModel, "embed", lambda self, texts: seen.extend(texts) or embed(self, texts)
    )
    encoder = made()
    long = "water " * 1_000_000
    many = {f"k{i}": f"water number {i}" for i in range(300)}
    unknown = {f"k{i}": f"nothing known {i}" for i in range(256)} | {"last": "by water"}
    vectors = encoder.encode([{"a": long}, many, unknown])
    assert len(seen) == 1 + 256 + 256
    assert max(map(len, seen)) == 8_192
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
    deep: Any = "by water"
    for _ in range(100):
        deep = {"d": deep}
    np.testing.assert_allclose(
        encoder.encode([deep])[0][4:], StateEncoder(1024).encode([deep])[0], atol=1e-6
    )


texts_and_more = st.recursive(
    st.sampled_from(["by water", "market prices", "above below", "unknown words here", "river"])
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.none()
    | st.booleans(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("ab.[0]"), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.usefixtures("words")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.dictionaries(st.text("abc"), texts_and_more, max_size=4), max_size=6))
def test_any_state_has_a_unit_vector_of_its_own(states: list[dict[str, Any]]):
    """Every vector is of unit length, and the same whatever states are encoded along with it."""
    together = made(16).encode(states)
    assert together.shape == (len(states), 16)
    assert together.dtype == np.float32
    for state, vector in zip(states, together, strict=True):
        assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)
        np.testing.assert_allclose(made(16).encode([state])[0], vector, rtol=0, atol=1e-6)


@pytest.mark.usefixtures("words")
def test_what_no_state_may_hold_is_refused_by_its_place():
    """A leaf of a wrong type beside a text is named with its path in the state."""
    with pytest.raises(BadInputError) as caught:
        made().encode([{"note": "by water", "a": ["by water", {"b": (1, 2)}]}])
    assert caught.value.field == "state_data.a[1].b"


@pytest.mark.usefixtures("words")
def test_its_name_tells_encoders_apart():
    """The name and dimension differ with the model, the weight and the text's share."""
    encoders = [
        made(16),
        made(16, model="other"),
        made(16, text_weight=0.25),
        made(16, text_dimension=3),
        made(32),
    ]
    assert len({(e.name, e.version, e.dimension) for e in encoders}) == len(encoders)
    assert len(set(encoders)) == len(encoders)
    assert made(16) == made(16, text_dimension=4, text_weight=0.5)
    assert isinstance(encoders[0], Encoder)
    assert encoders[0] != StateEncoder(16)


@pytest.mark.usefixtures("words")
@pytest.mark.parametrize(
    ("dimension", "text_dimension"), [(2, 1), (3, 2), (4, 2), (6, 4), (384, 4)]
)
def test_the_texts_have_two_thirds_of_few_numbers(dimension: int, text_dimension: int):
    """Without a text_dimension it is two thirds of the vector, or the model's if that is less."""
    assert TextEncoder(dimension).text_dimension == text_dimension


@pytest.mark.usefixtures("words")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("dimension", value) for value in (0, 1, True, 8.0, "8", None)),
        *(("text_dimension", value) for value in (0, 5, True, 2.0, "2")),
        *(
            ("text_weight", value)
            for value in (0, 1, 1e-300, -0.5, 1.5, math.nan, True, "0.5", None)
        ),
        *(("model", value) for value in ("", b"m", 7, "a\0b")),
    ],
)
def test_a_wrong_argument_is_refused_by_name(field: str, value: Any):
    """What cannot be is refused where the encoder is made."""
    with pytest.raises(BadInputError) as caught:
        TextEncoder(**{"dimension": 64, field: value})
    assert caught.value.field == field


@pytest.mark.usefixtures("words")
def test_it_travels_without_its_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Pickled, it takes its model's place along; where another model lies it is refused."""
    monkeypatch.chdir(tmp_path)
    encoder = made(16, model="m", text_weight=0.25, text_dimension=2)
    pickled = pickle.dumps(encoder)
    assert len(pickled) < 1_000
    monkeypatch.chdir("/")
    copy = pickle.loads(pickled)
    assert copy == encoder
    state = {"note": "by water", "x": 1}
    np.testing.assert_array_equal(copy.encode([state]), encoder.encode([state]))
    monkeypatch.setattr(
        "memory_core.text_encoder.load_text_model", lambda _: WordModel("elsewhere")
    )
    with pytest.raises(BadInputError, match="put the same model at the same place"):
        pickle.loads(pickled)


@pytest.mark.usefixtures("words")
def test_a_store_opens_with_the_same_model_only(tmp_path: Path):
    """Memories are found by what they say, also after reopening; another model is refused."""

    def opened(**arguments: Any) -> AgentMemorySystem:
        encoder = made(64, **arguments)
        return AgentMemorySystem(MemoryConfig(path=tmp_path / "db", dimension=64, encoder=encoder))

    with opened() as memory:
        for number, note in enumerate(["a river bend", "market prices", "above it all"]):
            memory.store_agent_state(
                agent_id="a", state_id=f"s{number}", state_data={"note": note, "step": number}
            )
    with opened() as memory:
        [found] = memory.retrieve_similar_states(
            agent_id="a", query_state={"note": "where is water"}, k=1
        )
        assert found.state == {"note": "a river bend", "step": 0}
    for other in ({"model": "other"}, {"text_weight": 0.25}, {"text_dimension": 3}):
        with pytest.raises(IncompatibleError, match="was made with encoder"):
            opened(**other)


@needs_packages
def test_every_process_makes_the_same_vectors(tmp_path: Path):
    """Nothing depends on Python's hashing, which differs from process to process."""
    script = """
import pickle, sys
encoder = pickle.loads(bytes.fromhex(sys.argv[1]))
states = [{"note": "find water", "log": ["the market", 3, "prices fell", "n"], "x": 1.5}, {"y": 2}]
print(encoder.encode(states).tobytes().hex())
"""
    encoder = TextEncoder(96, model=write_model(tmp_path / "model", DIRECTIONS))
    printed = {
        subprocess.run(
            [sys.executable, "-c", script, pickle.dumps(encoder).hex()],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout.strip()
        for seed in ("1", "2")
    }
    states = [
        {"note": "find water", "log": ["the market", 3, "prices fell", "n"], "x": 1.5},
        {"y": 2},
    ]
    assert printed == {encoder.encode(states).tobytes().hex()}


@needs_packages
def test_a_model_that_was_changed_in_its_place_is_refused(tmp_path: Path):
    """A database opens after the model has moved, and not after its weights have changed."""

    def opened(folder: str) -> AgentMemorySystem:
        encoder = TextEncoder(64, model=tmp_path / folder)
        return AgentMemorySystem(MemoryConfig(path=tmp_path / "db", dimension=64, encoder=encoder))

    write_model(tmp_path / "model", DIRECTIONS)
    with opened("model") as memory:
        memory.store_agent_state(agent_id="a", state_id="s", state_data={"note": "by water"})
    (tmp_path / "model").rename(tmp_path / "moved")
    with opened("moved") as memory:
        assert memory.retrieve_state(agent_id="a", state_id="s") == {"note": "by water"}
    write_model(tmp_path / "model", DIRECTIONS | {"water": [1.0, 0.0, 0.0, 0.5]})
    with pytest.raises(IncompatibleError, match="was made with encoder"):
        opened("model")


@needs_packages
@needs_shipped_model
def test_the_shipped_model_finds_memories_by_their_meaning(tmp_path: Path):
    """With the package's own model, a store finds notes of like meaning in other words."""
    config = MemoryConfig(path=tmp_path, dimension=384, encoder=TextEncoder())
    assert config.encoder is not None
    assert TextEncoder().text_dimension == 256
    notes = [
        "look for a stream to drink from",
        "stock prices fell sharply today",
        "a kitten rests on a rug",
        "the bridge over the valley is closed for repair",
    ]
    with AgentMemorySystem(config) as memory:
        for number, note in enumerate(notes):
            memory.store_agent_state(
                agent_id="a", state_id=str(number), state_data={"note": note, "step": number}
            )
        for query, expected in [
            ("search for water near the river", "0"),
            ("shares lost value on the market", "1"),
            ("the cat sat on the mat", "2"),
        ]:
            [found] = memory.retrieve_similar_states(agent_id="a", query_state={"note": query}, k=1)
            assert found.state_id == expected

"""`load_text_model`: a model by path or as a package ships it, and nothing from a network."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memory_core import BadInputError
from memory_core.text_model import load_text_model
from tests.memory_core.static_model import write_model

INSTALL = 'pip install "agent-memory-harness[text]"'

needs_packages = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("model2vec", "safetensors", "tokenizers")),
    reason=f"needs model2vec: {INSTALL}",
)
needs_shipped_model = pytest.mark.skipif(
    find_spec("wordllama") is None, reason=f"needs wordllama: {INSTALL}"
)


ROWS = {"water": [4.0, 0.0, 2048.0], "river": [2.0, 2.0, 1.0], "price": [0.0, -1.0, 0.0]}


@needs_packages
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_text_is_the_mean_of_its_known_words(tmp_path: Path, dtype: Any):
    """A text's vector is the mean of its tokens' rows; a text of unknown tokens only is zero."""
    model = load_text_model(str(write_model(tmp_path / "m", ROWS, dtype)))
    vectors = model.embed(["Water river", "water somewhere", "nothing known", ""])
    assert model.dimension == 3
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, [[3, 1, 1024.5], [4, 0, 2048], [0, 0, 0], [0, 0, 0]])
    assert model.embed([]).shape == (0, 3)


@needs_packages
def test_many_and_long_texts_are_as_each_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Texts are taken in parts of bounded length, which changes no vector."""
    from model2vec import StaticModel

    monkeypatch.setattr("memory_core.text_model._HELD_TOGETHER_CHARACTERS", 40)
    model = load_text_model(str(write_model(tmp_path / "m", ROWS)))
    texts = ["water", "water river " * 20, "price", "river price", "price " * 6, "river"] * 3
    alone = [model.embed([text])[0] for text in texts]
    parts: list[list[str]] = []
    encode = StaticModel.encode

    def noted(self: Any, part: list[str], **arguments: Any) -> Any:
        parts.append(part)
        return encode(self, part, **arguments)

    monkeypatch.setattr(StaticModel, "encode", noted)
    np.testing.assert_allclose(model.embed(texts), alone, rtol=1e-6)
    assert [text for part in parts for text in part] == texts
    assert all(len(part) == 1 or sum(map(len, part)) <= 40 for part in parts)
    assert len(parts) < len(texts)


@needs_packages
def test_the_fingerprint_is_of_the_model_and_not_of_its_place(tmp_path: Path):
    """The same weights have the same fingerprint in any folder; other weights have another."""
    one = write_model(tmp_path / "one", ROWS)
    same = write_model(tmp_path / "same", ROWS)
    tokenizer = same / "tokenizer.json"
    tokenizer.write_text(json.dumps(json.loads(tokenizer.read_text()), indent=2) + "\n")
    weights = write_model(tmp_path / "weights", ROWS | {"price": [0.0, -1.0, 1e-3]})
    words = write_model(tmp_path / "words", dict(zip("abc", ROWS.values(), strict=True)))
    prints = [load_text_model(str(folder)).fingerprint for folder in (one, same, weights, words)]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


@pytest.mark.parametrize("missing", ["model.safetensors", "tokenizer.json", "both"])
def test_a_folder_without_the_files_is_refused(tmp_path: Path, missing: str):
    """A folder that lacks a file, or is none, is refused in a sentence and never downloaded."""
    for name in {"model.safetensors", "tokenizer.json"} - {missing}:
        (tmp_path / name).touch()
    folder = tmp_path / "absent" if missing == "both" else tmp_path
    with pytest.raises(BadInputError) as caught:
        load_text_model(str(folder))
    assert caught.value.field == "model"
    problem = "is no folder here" if missing == "both" else f"has no {missing}"
    assert f"{str(folder)!r} {problem}; name a folder with" in caught.value.problem


@needs_packages
@pytest.mark.parametrize("damaged", ["model.safetensors", "tokenizer.json", "matrix", "rows"])
def test_a_damaged_model_is_refused(tmp_path: Path, damaged: str):
    """Files that cannot be read, or do not fit one another, are refused in a sentence."""
    from safetensors.numpy import save_file

    folder = write_model(tmp_path / "m", ROWS)
    if damaged == "matrix":
        save_file({"other": np.ones((4, 3))}, folder / "model.safetensors")
    elif damaged == "rows":
        save_file({"embeddings": np.ones((2, 3))}, folder / "model.safetensors")
    else:
        (folder / damaged).write_bytes(b"\xff not a model")
    with pytest.raises(BadInputError, match="holds no model that can be read: ") as caught:
        load_text_model(str(folder))
    assert caught.value.field == "model"


@pytest.mark.parametrize("package", ["model2vec", "safetensors.numpy", "tokenizers"])
def test_a_missing_package_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
):
    """Without the packages, one sentence says what to install."""
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / name).touch()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(BadInputError) as caught:
        load_text_model(str(tmp_path))
    assert caught.value.field == "encoder"
    assert caught.value.problem.startswith("needs the package ")
    assert caught.value.problem.endswith(f"; install it with {INSTALL}")


def test_a_missing_shipped_model_names_the_extra_and_the_other_way(
    monkeypatch: pytest.MonkeyPatch,
):
    """Without wordllama, the sentence names the extra and the model by path."""
    monkeypatch.setitem(sys.modules, "wordllama", None)
    with pytest.raises(BadInputError, match="needs the package wordllama") as caught:
        load_text_model()
    assert INSTALL in caught.value.problem
    assert "model=" in caught.value.problem


def test_a_package_that_ships_no_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A release of wordllama without the files is refused, and not made to download them."""
    (tmp_path / "wordllama").mkdir()
    (tmp_path / "wordllama" / "__init__.py").write_text("raise RuntimeError")
    monkeypatch.delitem(sys.modules, "wordllama", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BadInputError, match="finds no model in the package wordllama"):
        load_text_model()


@needs_packages
@needs_shipped_model
def test_the_shipped_model_knows_what_texts_are_about():
    """With wordllama's model, a sentence is nearer to one of like meaning in other words."""
    model = load_text_model()
    assert model.dimension == 256
    vectors = model.embed(
        [
            "search for water near the river",
            "look for a stream to drink from",
            "the cat sat on the mat",
            "a kitten rests on a rug",
            "stock prices fell sharply today",
        ]
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    alike = vectors @ vectors.T
    assert min(alike[0, 1], alike[2, 3]) > 0.2
    assert np.abs(np.concatenate((alike[:2, 2:].ravel(), alike[2:4, 4]))).max() < 0.15


@needs_packages
@needs_shipped_model
def test_the_shipped_model_is_read_without_its_packages_code_or_a_network():
    """No code of wordllama runs, which would set up logging, and no socket is opened."""
    script = """
import logging, socket, sys
def refuse(*_, **__):
    raise AssertionError("a socket is opened")
socket.socket.connect = socket.getaddrinfo = refuse
from memory_core.text_model import load_text_model
from tests.memory_core.static_model import write_model
load_text_model().embed(["some words"])
print("wordllama" in sys.modules, "torch" in sys.modules, logging.getLogger().handlers)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split("\n")[0] == "False False []"


def test_memory_core_loads_none_of_the_packages():
    """Importing memory_core and its encoder of text loads neither the packages nor a model."""
    script = """
import sys
import memory_core, memory_core.text_encoder
from memory_core import MemoryConfig, MemoryStore
print([n for n in ("model2vec", "safetensors", "tokenizers", "wordllama") if n in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[]"

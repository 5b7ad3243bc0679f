"""States with text to vectors: a model's vectors of the texts beside the hashed other leaves.

A string in a state is text if it holds two or more words with a letter in them, or four letters on
end of a script that puts no spaces between words (Thai, Lao, Burmese, Khmer, Japanese, Chinese).
Every other leaf, and a text of which the model knows no token, is hashed as `StateEncoder` does.

A state's vector is two blocks, ``[sqrt(w) t, sqrt(1 - w) h]`` scaled to unit length:

- ``t``, of ``text_dimension`` numbers, is the direction of the sum of the texts' unit vectors; zero
  if there is no text. Where in the state a text stands makes no difference.
- ``h``, of the rest, is what `StateEncoder` makes of the other leaves; zero if there are none.

So two states that have both are ``w`` times as similar as their texts plus ``1 - w`` times as
similar as their other leaves, and a query of text alone ranks states by their texts.

A model's vector is cut to its first ``text_dimension`` numbers: models made by Matryoshka learning
(Kusupati et al., NeurIPS 2022), as wordllama's, or by principal components, as model2vec's, carry
most of the meaning there. A change to any of this is a new `TextEncoder.version`.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from memory_core.encoder import StateEncoder
from memory_core.errors import BadInputError
from memory_core.text_model import MAX_TEXT_CHARACTERS, load_text_model

__all__ = ["TextEncoder"]

_MAX_DEPTH = 32  # below it `StateEncoder` does not look into a leaf either
_MAX_TEXTS = 256
_CANCELLED = 1e-6
_GONE = object()

_Vector = npt.NDArray[np.float64]

_WORD = re.compile(r"[^\W\d_]\S*")
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]{4}"
)


class TextEncoder:
    """An `Encoder` for states with text; see the module's head for the method.

    Args:
        dimension: length of the vectors, at least 2; that of the store's configuration.
        model: folder of a static model as model2vec saves one (``model.safetensors`` and
            ``tokenizer.json``); None is the model of the package wordllama, 256 numbers of
            English. Nothing is downloaded.
        text_dimension: how many of the vector's numbers are the text's, at most the model's own
            and less than ``dimension``; None is two thirds of ``dimension``, or the model's own
            if that is less.
        text_weight: what part of a similarity the texts have, from 0.01 to 0.99.

    The first 256 texts of a state count, and the first 8,192 characters of each. ``name`` has a
    digest of the model's files, so that a database opens with the same model only, wherever it
    lies. Pickling takes the model's place along, not its weights: every machine that hosts a
    shard needs the same model there. Not thread-safe.

    Raises:
        BadInputError: an argument is wrong, a package is not installed, or there is no model.
    """

    version = 1

    def __init__(
        self,
        dimension: int = 384,
        *,
        model: str | os.PathLike[str] | None = None,
        text_dimension: int | None = None,
        text_weight: float = 0.5,
    ) -> None:
        _require_whole("dimension", dimension, 2)
        if isinstance(text_weight, bool) or not isinstance(text_weight, int | float):
            raise BadInputError("text_weight", f"must be a number, not {text_weight!r}")
        if not 0.01 <= text_weight <= 0.99:
            raise BadInputError("text_weight", f"must be from 0.01 to 0.99, not {text_weight!r}")
        self.dimension = dimension
        self._folder = None if model is None else _checked_folder(model)
        self._model = load_text_model(self._folder)
        if text_dimension is None:
            text_dimension = min(self._model.dimension, max(1, 2 * dimension // 3))
        _require_whole(
            "text_dimension", text_dimension, 1, min(self._model.dimension, dimension - 1)
        )
        self.text_dimension = text_dimension
        self.text_weight = float(text_weight)
        self._leaves = StateEncoder(dimension - text_dimension)

    @property
    def name(self) -> str:
        """Identifies the method, the model's files, and how their vectors are used."""
        return (
            f"text-and-{self._leaves.name}-{self._leaves.version}"
            f"/{self._model.fingerprint}/{self.text_dimension}/{self.text_weight!r}"
        )

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, TextEncoder)
            and other.name == self.name
            and other.dimension == self.dimension
        )

    def __hash__(self) -> int:
        return hash((self.name, self.version, self.dimension))

    def __reduce__(self) -> tuple[Any, ...]:
        arguments = (self.dimension, self._folder, self.text_dimension, self.text_weight)
        return _made_again, (*arguments, self.name)

    def encode(self, states: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.float32]:
        """Unit vectors of shape (len(states), dimension), float32.

        Raises:
            BadInputError: a state holds something that `pack_state` would refuse.
        """
        splits = [_split(state) for state in states]
        known = self._embed({text for texts, _ in splits for text in texts})
        splits = [
            split if known.keys() >= set(split[0]) else _split(state, known)
            for state, split in zip(states, splits, strict=True)
        ]
        vectors = np.zeros((len(states), self.dimension))
        for vector, (texts, _) in zip(vectors, splits, strict=True):
            if texts:
                vector[: self.text_dimension] = _direction([known[text] for text in texts])
        vectors[:, : self.text_dimension] *= math.sqrt(self.text_weight)
        rows = [row for row, (_, rest) in enumerate(splits) if rest is not _GONE]
        if rows:
            hashed = self._leaves.encode([splits[row][1] for row in rows])
            vectors[rows, self.text_dimension :] = hashed * math.sqrt(1 - self.text_weight)
        norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        return np.asarray(vectors / norms[:, None], np.float32)

    def _embed(self, texts: set[str]) -> dict[str, _Vector]:
        """Unit vectors of the texts of which the model knows something."""
        ordered = sorted(texts)
        matrix = self._model.embed(ordered)[:, : self.text_dimension].astype(np.float64)
        norms = np.sqrt(np.einsum("ij,ij->i", matrix, matrix))
        return {
            text: row / norm
            for text, row, norm in zip(ordered, matrix, norms.tolist(), strict=True)
            if _CANCELLED < norm < math.inf
        }


def _made_again(
    dimension: int, folder: str | None, text_dimension: int, text_weight: float, name: str
) -> TextEncoder:
    """An encoder that travelled, if the model here is the one that it was made with."""
    encoder = TextEncoder(
        dimension, model=folder, text_dimension=text_dimension, text_weight=text_weight
    )
    if encoder.name != name:
        raise BadInputError(
            "encoder",
            f"was made with {name!r}, but the model here makes {encoder.name!r}; "
            "put the same model at the same place on every machine",
        )
    return encoder


def _direction(vectors: list[_Vector]) -> _Vector:
    """The direction of unit vectors' sum; of the first where they cancel out."""
    total: _Vector = np.sum(vectors, axis=0)
    norm = math.sqrt(total @ total)
    return total / norm if norm > _CANCELLED else vectors[0]


def _split(state: Mapping[str, Any], known: Container[str] | None = None) -> tuple[list[str], Any]:
    """The texts of a state, and the state without them, or `_GONE` if nothing is left.

    Where ``known`` is given, no text but one of those is taken.
    """
    texts: list[str] = []
    return texts, _without_texts(state if type(state) is dict else dict(state), known, texts, 0)


def _without_texts(value: Any, known: Container[str] | None, texts: list[str], depth: int) -> Any:
    """What is left of a value when its texts are taken out and appended to ``texts``."""
    kind = type(value)
    if kind is str:
        text = value[:MAX_TEXT_CHARACTERS]
        if len(texts) == _MAX_TEXTS or not (_is_text(text) if known is None else text in known):
            return value
        texts.append(text)
        return _GONE
    if (kind is not dict and kind is not list) or depth > _MAX_DEPTH:
        return value
    before = len(texts)
    # What is left of a list keeps its positions: `StateEncoder` reads a whole number as one.
    left = {
        key: rest
        for key, item in (value.items() if kind is dict else enumerate(value))
        if (rest := _without_texts(item, known, texts, depth + 1)) is not _GONE
    }
    if len(texts) == before:
        return value
    return left or _GONE


def _is_text(value: str) -> bool:
    words = _WORD.finditer(value)
    return (next(words, None) and next(words, None)) is not None or bool(_UNSPACED.search(value))


def _checked_folder(model: object) -> str:
    if not isinstance(model, str | os.PathLike):
        raise BadInputError("model", f"must be a folder's path, not a {type(model).__name__}")
    folder = os.fspath(model)
    if not isinstance(folder, str) or not folder or "\0" in folder:
        raise BadInputError("model", f"must be a folder's path, not {folder!r}")
    # a process elsewhere may have another working directory
    return os.path.abspath(folder)


def _require_whole(field: str, value: object, low: int, high: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadInputError(field, f"must be a whole number, not {value!r}")
    if value < low or (high is not None and value > high):
        bounds = f"at least {low:,}" if high is None else f"from {low:,} to {high:,}"
        raise BadInputError(field, f"must be {bounds}, not {value!r}")

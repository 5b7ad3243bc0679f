"""Text to vectors by a static-embedding model: the edge to model2vec, and to the models' files.

A static model is a matrix with a row for each token of a tokenizer; a text's vector is the mean of
its tokens' rows. Two files hold it: the matrix (safetensors) and the tokenizer (JSON). They are
those of a folder that the user names, as model2vec saves one, or those that the package wordllama
ships; its own code is not run: it sets up logging for the whole process, and loads through the
network. Nothing here ever reaches for a network.

The packages are loaded with the first model, never when this module is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from memory_core.errors import BadInputError

__all__ = ["MAX_TEXT_CHARACTERS", "TextModel", "load_text_model"]

MAX_TEXT_CHARACTERS = 8_192

_INSTALL = 'pip install "agent-memory-harness[text]"'
_SHIPPED = (
    ("weights", "l2_supercat_256.safetensors"),
    ("tokenizers", "l2_supercat_tokenizer_config.json"),
)
_FILES = ("model.safetensors", "tokenizer.json")
_MATRICES = ("embeddings", "embedding.weight")
_HELD_TOGETHER_CHARACTERS = 32_768


class TextModel(Protocol):
    """What turns texts into vectors. Not thread-safe.

    Attributes:
        dimension: length of the vectors.
        fingerprint: identifies the weights and the tokenizer, wherever their files are.
    """

    @property
    def dimension(self) -> int:
        """Length of the vectors."""

    @property
    def fingerprint(self) -> str:
        """Identifies the weights and the tokenizer, wherever their files are."""

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Vectors of shape (len(texts), dimension), float32; zero where it knows no token."""


def load_text_model(folder: str | None = None) -> TextModel:
    """The model in a folder, or without one that of the package wordllama.

    Args:
        folder: holds ``model.safetensors`` and ``tokenizer.json``, as model2vec saves them.

    Raises:
        BadInputError: a package is not installed, or the folder holds no such model.
    """
    weights, tokenizer = _files_in(folder) if folder is not None else _shipped_files()
    try:
        load_file = import_module("safetensors.numpy").load_file
        tokenizers = import_module("tokenizers")
        model2vec = import_module("model2vec")
    except ImportError as error:
        raise BadInputError(
            "encoder", f"needs the package {error.name or error}; install it with {_INSTALL}"
        ) from None
    try:
        tensors = load_file(weights)
        matrix = next((tensors[name] for name in _MATRICES if name in tensors), None)
        if matrix is None:
            raise ValueError(f"it has no tensor named {' or '.join(_MATRICES)}")
        if matrix.dtype in (np.float16, np.float64):
            matrix = matrix.astype(np.float32)
        model = model2vec.StaticModel(
            matrix,
            tokenizers.Tokenizer.from_file(tokenizer),
            weights=tensors.get("weights"),
            token_mapping=tensors.get("mapping"),
        )
        return _StaticModel(model, _fingerprint(weights, tokenizer))
    except Exception as error:  # noqa: BLE001 - the packages raise what they like
        raise BadInputError(
            "model", f"{os.path.dirname(weights)!r} holds no model that can be read: {error}"
        ) from None


class _StaticModel:
    def __init__(self, model: Any, fingerprint: str) -> None:
        self.dimension = int(model.dim)
        self.fingerprint = fingerprint
        self._model = model

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        parts = [
            np.asarray(
                self._model.encode(part, max_length=None, use_multiprocessing=False), np.float32
            )
            for part in _parts(texts)
        ]
        if not parts:
            return np.zeros((0, self.dimension), np.float32)
        return np.concatenate(parts)


def _parts(texts: Sequence[str]) -> Iterator[list[str]]:
    """Texts in parts of bounded length: a part's rows are all in memory at once."""
    part: list[str] = []
    room = _HELD_TOGETHER_CHARACTERS
    for text in texts:
        if part and len(text) > room:
            yield part
            part, room = [], _HELD_TOGETHER_CHARACTERS
        part.append(text)
        room -= len(text)
    if part:
        yield part


def _files_in(folder: str) -> tuple[str, str]:
    weights, tokenizer = (os.path.join(folder, name) for name in _FILES)
    for name, file in zip(_FILES, (weights, tokenizer), strict=True):
        if not os.path.isfile(file):
            problem = f"has no {name}" if os.path.isdir(folder) else "is no folder here"
            raise BadInputError(
                "model",
                f"{folder!r} {problem}; name a folder with {' and '.join(_FILES)}, "
                "as model2vec saves them",
            )
    return weights, tokenizer


def _shipped_files() -> tuple[str, str]:
    """The files of the package wordllama, found without running its code."""
    spec = find_spec("wordllama")
    if spec is None:
        raise BadInputError(
            "encoder",
            f"needs the package wordllama; install it with {_INSTALL}, "
            "or name the folder of a model of your own with model=",
        )
    for package in spec.submodule_search_locations or ():
        weights, tokenizer = (os.path.join(package, *names) for names in _SHIPPED)
        if os.path.isfile(weights) and os.path.isfile(tokenizer):
            return weights, tokenizer
    raise BadInputError(
        "encoder",
        f"finds no model in the package wordllama; install the release that fits with {_INSTALL}",
    )


def _fingerprint(weights: str, tokenizer: str) -> str:
    digest = blake2b(digest_size=16)
    with open(weights, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    with open(tokenizer, encoding="utf-8") as file:
        # white space, in which releases of one model differ, does not count
        digest.update(json.dumps(json.load(file), sort_keys=True).encode())
    return digest.hexdigest()

"""A static-embedding model of a few words, made on the spot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["write_model"]


def write_model(folder: Path, rows: dict[str, Sequence[float]], dtype: Any = np.float32) -> Path:
    """A static model of whole words in a folder, as model2vec saves one."""
    from safetensors.numpy import save_file  # of the extra, which may not be installed

    folder.mkdir()
    words = ["<unk>", *rows]
    matrix = np.array([np.zeros(len(next(iter(rows.values())))), *rows.values()], dtype)
    save_file({"embeddings": matrix}, folder / "model.safetensors")
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {word: number for number, word in enumerate(words)},
            "unk_token": "<unk>",
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    return folder

"""Embeddings for tests: the same text has the same vector everywhere, and means nothing."""

import hashlib

import numpy as np

DIMENSION = 16


def embed(texts: list[str]) -> list[list[float]]:
    """A vector for each text, of its digest."""
    return [_vector(text) for text in texts]


def _vector(text: str) -> list[float]:
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    vector: list[float] = (
        np.random.default_rng(int.from_bytes(digest)).normal(size=DIMENSION).tolist()
    )
    return vector

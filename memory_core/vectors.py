"""Vectors of packed states, of records and ready ones, checked and of unit length."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from memory_core.encoder import Encoder, StateEncoder
from memory_core.errors import BadInputError
from memory_core.payload import check_packed
from memory_core.record import Parts

__all__ = ["Vectorizer", "vectors_of"]

_Matrix = npt.NDArray[np.float32]


class Vectorizer:
    """Makes a store's vectors with its encoder. Not thread-safe.

    Attributes:
        dimension: length of the vectors.
        is_reproducible: whether a state alone gives its vector, so that the vector need not be
            written down. An encoder of the user's is not taken at its word.
        encode: packed states to unit vectors of shape (n, dimension). Raises BadInputError, and
            whatever an encoder of the user's raises.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.dimension = encoder.dimension
        self.is_reproducible = type(encoder) is StateEncoder
        self._encoder = encoder
        # The default encoder reads packed states; one of the user's is given mappings.
        self.encode: Callable[[Sequence[bytes]], _Matrix] = (
            encoder.encode_packed if type(encoder) is StateEncoder else self._check_and_encode
        )

    def ready(self, data: bytes) -> _Matrix:
        """A given vector, float32 bytes, scaled to unit length. Raises BadInputError."""
        if len(data) != 4 * self.dimension:
            raise BadInputError(
                "vector",
                f"has {len(data) // 4} dimensions, but this database has {self.dimension}",
            )
        # squares of any float32 are well within float64
        vector = np.frombuffer(data, np.float32).astype(np.float64)
        norm = math.sqrt(float(vector @ vector))
        if not math.isfinite(norm):
            raise BadInputError("vector", "holds NaN or infinity; its numbers must be finite")
        if norm == 0.0:
            raise BadInputError("vector", "is all zeros, which has no direction")
        return (vector / norm).astype(np.float32)

    def _check_and_encode(self, payloads: Sequence[bytes]) -> _Matrix:
        given: Any = self._encoder.encode([check_packed(payload) for payload in payloads])
        matrix: npt.NDArray[np.float64] = np.asarray(given, dtype=np.float64)
        expected = (len(payloads), self.dimension)
        if matrix.shape != expected:
            raise BadInputError("encoder", f"gave the shape {matrix.shape}; it must be {expected}")
        norms = np.sqrt(np.einsum("ij,ij->i", matrix, matrix))
        if not np.isfinite(norms).all() or norms.min() == 0.0:
            raise BadInputError("encoder", "gave a vector that is zero or not finite")
        return np.asarray(matrix / norms[:, None], np.float32)


def vectors_of(records: Sequence[Parts], encode: Callable[[Sequence[bytes]], Any]) -> _Matrix:
    """The vectors of records, (n, dim), made of the state where a record has none.

    Args:
        records: at least one.
        encode: packed states to vectors of shape (n, dim); what it raises is raised.
    """
    bare = [at for at, parts in enumerate(records) if parts.vector is None]
    if len(bare) == len(records):
        made: _Matrix = encode([parts.payload for parts in records])
        return made
    written = b"".join(parts.vector for parts in records if parts.vector is not None)
    kept = np.frombuffer(written, np.float32).reshape(len(records) - len(bare), -1)
    if not bare:
        return kept
    vectors = np.empty((len(records), kept.shape[1]), np.float32)
    is_bare = np.zeros(len(records), np.bool_)
    is_bare[bare] = True
    vectors[~is_bare] = kept
    vectors[is_bare] = encode([records[at].payload for at in bare])
    return vectors

"""The arithmetic of feature hashing: buckets, signs, phases and unit rows.

`memory_core.encoder` tells the method; here are its parts, on numbers and arrays alone.
"""

from __future__ import annotations

import math
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from memory_core.errors import BadInputError

__all__ = [
    "CATEGORY_FEATURES",
    "MAX_NUMBER",
    "NUMBER_FEATURES",
    "BucketRows",
    "Projection",
    "bounded",
    "phases",
    "signed_buckets",
    "unit_rows",
]

_PER_NUMBER_SCALE = 1e3
_LOW_FREQUENCY = math.pi / 56.0  # asinh(1e9 / 0.001) is 28.3: half a turn each side
_FREQUENCIES = (_LOW_FREQUENCY, _LOW_FREQUENCY, 1.0, 1.0)
_TURNS = (0.0, math.pi / 2, 0.0, math.pi / 2)
NUMBER_FEATURES = 4
CATEGORY_FEATURES = 2
_HALF_ROOT = math.sqrt(0.5)
MAX_NUMBER = 1e300
_CANCELLED = 1e-6


class BucketRows:
    """Rows of (buckets, signs), appended one at a time and taken many at a time."""

    def __init__(self, width: int) -> None:
        self._buckets = np.zeros((64, width), dtype=np.int64)
        self._signs = np.zeros((64, width))
        self._count = 0

    def append(self, row: tuple[list[int], list[float]]) -> int:
        """Add a row, as `signed_buckets` gives it; its number."""
        count = self._count
        if count == len(self._buckets):
            self._buckets = np.concatenate((self._buckets, np.zeros_like(self._buckets)))
            self._signs = np.concatenate((self._signs, np.zeros_like(self._signs)))
        self._buckets[count], self._signs[count] = row
        self._count = count + 1
        return count

    def take(
        self, rows: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Buckets and signs of rows, each of shape (len(rows), width)."""
        return self._buckets[rows], self._signs[rows]


def signed_buckets(data: bytes, count: int, dimension: int) -> tuple[list[int], list[float]]:
    """``count`` buckets of ``data``, and signs scaled so that a leaf has the weight one."""
    digest = blake2b(data, digest_size=8 * count).digest()
    words = [int.from_bytes(digest[8 * i : 8 * i + 8], "little") for i in range(count)]
    buckets = [(word >> 1) % dimension for word in words]
    return buckets, [_HALF_ROOT if word & 1 else -_HALF_ROOT for word in words]


def phases(numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Features of shape (n, 4) of ``n`` numbers, bounded; each row has the squares' sum 2."""
    high = np.arcsinh(numbers * _PER_NUMBER_SCALE)
    low = high * _LOW_FREQUENCY
    features = np.empty((len(numbers), NUMBER_FEATURES))
    np.cos(low, out=features[:, 0])
    np.sin(low, out=features[:, 1])
    np.cos(high, out=features[:, 2])
    np.sin(high, out=features[:, 3])
    return features


class Projection:
    """`phases` of one state's numbers, summed into their buckets: two small matrix products.

    Args:
        buckets: of the features of ``p`` numbers, shape (p, 4).
        signs: of the same shape.
        dimension: how many buckets there are.
    """

    __slots__ = ("_frequencies", "_sums", "_turns")

    def __init__(
        self, buckets: npt.NDArray[np.int64], signs: npt.NDArray[np.float64], dimension: int
    ) -> None:
        p = len(buckets)
        self._frequencies = np.kron(np.eye(p), np.array(_FREQUENCIES)[:, None])
        self._turns = np.tile(_TURNS, p)
        self._sums = np.zeros((NUMBER_FEATURES * p, dimension))
        self._sums[np.arange(NUMBER_FEATURES * p), buckets.ravel()] = signs.ravel()

    def sums(self, values: list[float]) -> npt.NDArray[np.float64]:
        """The buckets of ``p`` numbers, bounded; shape (dimension,)."""
        numbers = np.array(values, np.float64)
        numbers *= _PER_NUMBER_SCALE
        features: npt.NDArray[np.float64] = self._frequencies.dot(np.arcsinh(numbers, numbers))
        features -= self._turns  # sin(x) is cos(x - pi / 2)
        np.cos(features, features)
        sums: npt.NDArray[np.float64] = features.dot(self._sums)
        return sums


def bounded(values: list[float]) -> npt.NDArray[np.float64]:
    """Numbers as an array, shape (n,); what is beyond `MAX_NUMBER` becomes that.

    Raises:
        BadInputError: one is infinite.
    """
    if values and (max(values) > MAX_NUMBER or min(values) < -MAX_NUMBER):
        if math.inf in values or -math.inf in values:
            raise BadInputError("state_data", "holds infinity; numbers in a state must be finite")
        # whole numbers may be beyond the largest float
        values = [float(max(-MAX_NUMBER, min(MAX_NUMBER, value))) for value in values]
    return np.array(values, dtype=np.float64)


def unit_rows(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Rows of shape (n, dim) scaled to unit length; one that cancelled out becomes (1, 0, ...).

    Raises:
        BadInputError: a row holds NaN.
    """
    if len(sums) == 1:
        row = sums[0]
        norm = math.sqrt(row.dot(row))
        if norm >= _CANCELLED:
            return (sums / norm).astype(np.float32)
    norms = np.sqrt((sums * sums).sum(axis=1, keepdims=True))
    if not norms.min() >= _CANCELLED:  # every feature met its opposite in its bucket
        if np.isnan(norms).any():
            raise BadInputError("state_data", "holds NaN; numbers in a state must be finite")
        rows = norms[:, 0] < _CANCELLED
        sums[rows] = 0.0
        sums[rows, 0] = norms[rows, 0] = 1.0
    return np.asarray(sums / norms, np.float32)

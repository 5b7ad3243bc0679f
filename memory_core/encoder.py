"""States to vectors: signed feature hashing of a state's leaves.

A leaf is a scalar with its path (``inventory.food``, ``position[1]``). Every leaf has the same
weight, whatever its magnitude:

- A number ``x`` becomes a phase. ``s = asinh(x / 0.001)`` is linear near zero and logarithmic
  beyond, so that 1e-3 and 1e6 are both told apart from their neighbours; two frequencies of it,
  a low one that is unambiguous from -1e9 to 1e9 and a high one that resolves 10 from 11, give
  ``cos`` and ``sin`` features: random Fourier features (Rahimi and Recht, NIPS 2007) with fixed
  frequencies. Two numbers are as similar as their phases.
- Anything else (a string, a boolean, None, an empty list or mapping) is a category: the path and
  value together are one feature, equal or not.

Features are hashed to ``dimension`` buckets with a sign (Weinberger et al., "Feature Hashing
for Large Scale Multitask Learning", ICML 2009), summed, and scaled to unit length. The hash is
BLAKE2b of the path, so a state has the same vector in every process and release; a change to
any of this is a new `StateEncoder.version`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from memory_core.errors import BadInputError

__all__ = ["Encoder", "StateEncoder"]


@runtime_checkable
class Encoder(Protocol):
    """What turns states into vectors; a store takes any.

    ``name`` and ``version`` are stored with the database, which opens with the same ones only:
    raise the version whenever a state's vector would change. `encode` is called from the
    store's threads, one call at a time.
    """

    @property
    def name(self) -> str:
        """Identifies the method."""

    @property
    def version(self) -> int:
        """Identifies its revision."""

    @property
    def dimension(self) -> int:
        """Length of the vectors."""

    def encode(self, states: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.float32]:
        """Vectors of shape (len(states), dimension), float32, none of them zero."""


_NUMBER_SCALE = 1e-3
_LOW_FREQUENCY = math.pi / 56.0  # asinh(1e9 / 0.001) is 28.3: half a turn each side
_HIGH_FREQUENCY = 1.0
_FREQUENCIES = np.array(
    [_LOW_FREQUENCY, _LOW_FREQUENCY, _HIGH_FREQUENCY, _HIGH_FREQUENCY], dtype=np.float32
)
_QUARTER_TURNS = np.array([0.0, math.pi / 2, 0.0, math.pi / 2], dtype=np.float32)
_NUMBER_FEATURES = 4
_CATEGORY_FEATURES = 2
_HALF_ROOT = math.sqrt(0.5)
_MAX_NUMBER = 1e300
_CANCELLED = 1e-6

_MAX_DEPTH = 32
_MAX_KNOWN = 100_000
_MAX_REMEMBERED_TEXT = 256
_MAX_SHAPES = 1_024


class _Path:
    """A place in a state: where its features go, what it has held, and what is below it.

    ``number`` is a row of the number buckets, or -1 before the place has held a number;
    ``categories`` has a row of the category buckets for each string, boolean or None held.
    """

    __slots__ = ("categories", "children", "name", "number")

    def __init__(self, name: str) -> None:
        self.name = name
        self.number = -1
        self.categories: dict[str | bool | None, int] = {}
        self.children: dict[str | int, _Path] = {}


class StateEncoder:
    """The default encoder; see the module's head for the method.

    Args:
        dimension: length of the vectors, at least 1.

    Remembers the paths and categories it has met, about 100,000 of them before it begins anew,
    so that hostile states cost time and never memory. Not thread-safe.
    """

    name = "hashed-leaves"
    version = 1

    def __init__(self, dimension: int = 64) -> None:
        if isinstance(dimension, bool) or not isinstance(dimension, int) or dimension < 1:
            raise BadInputError("dimension", f"must be a whole number >= 1, not {dimension!r}")
        self.dimension = dimension
        self._forget()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StateEncoder) and other.dimension == self.dimension

    def __hash__(self) -> int:
        return hash((self.name, self.version, self.dimension))

    def __reduce__(self) -> tuple[type[StateEncoder], tuple[int]]:
        return StateEncoder, (self.dimension,)

    def _forget(self) -> None:
        self._root = _Path("")
        self._number_buckets = _GrowingRows(_NUMBER_FEATURES)
        self._category_buckets = _GrowingRows(_CATEGORY_FEATURES)
        self._shapes: dict[
            tuple[int, ...], tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]
        ] = {}
        self._known = 0

    def encode(self, states: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.float32]:
        """Unit vectors of shape (len(states), dimension), float32.

        Raises:
            BadInputError: a state holds something that `pack_state` would refuse.
        """
        if self._known > _MAX_KNOWN:
            self._forget()
        # States of one shape, in which the same paths hold numbers, are computed together.
        shapes: dict[tuple[int, ...], tuple[list[int], list[float]]] = {}
        category_counts = []
        categories: list[int] = []
        for position, state in enumerate(states):
            before = len(categories)
            numbers: list[int] = []
            values: list[float] = []
            if state:
                self._walk(self._root, state.items(), numbers, values, categories, 0)
            else:
                categories.append(self._category_row(self._root, "{}"))
            category_counts.append(len(categories) - before)
            if numbers:
                members = shapes.setdefault(tuple(numbers), ([], []))
                members[0].append(position)
                members[1].extend(values)
        return self._vectors(len(states), shapes, categories, category_counts)

    def _walk(
        self,
        parent: _Path,
        items: Any,
        numbers: list[int],
        values: list[float],
        categories: list[int],
        depth: int,
    ) -> None:
        children = parent.children
        for key, value in items:
            path = children.get(key)
            if path is None:
                path = self._new_path(parent, key)
            kind = type(value)
            if kind is float or kind is int:
                number = path.number
                numbers.append(number if number >= 0 else self._number_row(path))
                values.append(value)
            elif kind is str or kind is bool or value is None:
                row = path.categories.get(value)
                categories.append(row if row is not None else self._category_row(path, value))
            elif depth >= _MAX_DEPTH:
                categories.append(self._category_row(path, repr(value)))
            elif kind is dict or kind is list:
                if value:
                    below = value.items() if kind is dict else enumerate(value)
                    self._walk(path, below, numbers, values, categories, depth + 1)
                else:
                    categories.append(self._category_row(path, "{}" if kind is dict else "[]"))
            else:
                raise BadInputError(path.name or "state_data", f"is of type {kind.__name__}")

    def _new_path(self, parent: _Path, key: str | int) -> _Path:
        self._known += 1
        name = f"{parent.name}[{key}]" if type(key) is int else f"{parent.name}.{key}"
        path = parent.children[key] = _Path(name)
        return path

    def _number_row(self, path: _Path) -> int:
        path.number = self._number_buckets.append(
            _signed_buckets(b"n" + path.name.encode(), _NUMBER_FEATURES, self.dimension)
        )
        return path.number

    def _category_row(self, path: _Path, value: str | bool | None) -> int:
        self._known += 1
        # a string is kept apart from True, None and their like of the same text
        text = f"s{value}" if type(value) is str else f"v{value}"
        hashed = b"c" + path.name.encode() + b"\0" + text.encode()
        row = self._category_buckets.append(
            _signed_buckets(hashed, _CATEGORY_FEATURES, self.dimension)
        )
        if len(text) <= _MAX_REMEMBERED_TEXT:
            path.categories[value] = row
        return row

    def _vectors(
        self,
        n: int,
        shapes: dict[tuple[int, ...], tuple[list[int], list[float]]],
        categories: list[int],
        category_counts: list[int],
    ) -> npt.NDArray[np.float32]:
        dimension = self.dimension
        flat, weights = [], []
        if categories:
            buckets, signs = self._category_buckets.take(categories)
            if n > 1:
                starts = np.repeat(np.arange(n) * dimension, category_counts)
                buckets = buckets + starts[:, None]
            flat.append(buckets.ravel())
            weights.append(signs.ravel())
        for numbers, (positions, values) in shapes.items():
            buckets, signs = self._shape_buckets(numbers)
            phases = _phases(values).reshape(len(positions), *signs.shape)
            phases *= signs
            if n > 1:
                buckets = buckets + (np.array(positions) * dimension)[:, None, None]
            flat.append(buckets.ravel())
            weights.append(phases.ravel())
        sums = np.bincount(np.concatenate(flat), np.concatenate(weights), minlength=n * dimension)
        return _unit_rows(sums.reshape(n, dimension))

    def _shape_buckets(
        self, numbers: tuple[int, ...]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        known = self._shapes.get(numbers)
        if known is None:
            if len(self._shapes) >= _MAX_SHAPES:
                self._shapes.clear()
            known = self._shapes[numbers] = self._number_buckets.take(numbers)
        return known


class _GrowingRows:
    """Rows of (buckets, signs), appended one at a time and taken many at a time."""

    def __init__(self, width: int) -> None:
        self._buckets = np.zeros((64, width), dtype=np.int64)
        self._signs = np.zeros((64, width), dtype=np.float32)
        self._count = 0

    def append(self, row: tuple[list[int], list[float]]) -> int:
        count = self._count
        if count == len(self._buckets):
            self._buckets = np.concatenate((self._buckets, np.zeros_like(self._buckets)))
            self._signs = np.concatenate((self._signs, np.zeros_like(self._signs)))
        self._buckets[count], self._signs[count] = row
        self._count = count + 1
        return count

    def take(self, rows: Sequence[int]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        index = np.array(rows, dtype=np.int64)
        return self._buckets[index], self._signs[index]


def _signed_buckets(data: bytes, count: int, dimension: int) -> tuple[list[int], list[float]]:
    """``count`` buckets of ``data``, and signs scaled so that a leaf has the weight one."""
    digest = blake2b(data, digest_size=8 * count).digest()
    words = [int.from_bytes(digest[8 * i : 8 * i + 8], "little") for i in range(count)]
    buckets = [(word >> 1) % dimension for word in words]
    return buckets, [_HALF_ROOT if word & 1 else -_HALF_ROOT for word in words]


def _phases(values: list[float]) -> npt.NDArray[np.float32]:
    """Features of shape (n, 4) of ``n`` numbers; each row has the squares' sum 2."""
    try:
        numbers = np.array(values, dtype=np.float64)
    except OverflowError:  # integers beyond the largest float
        numbers = np.array([float(max(-_MAX_NUMBER, min(_MAX_NUMBER, x))) for x in values])
    if numbers.size and max(numbers.max(), -numbers.min()) > _MAX_NUMBER:
        numbers = np.clip(numbers, -_MAX_NUMBER, _MAX_NUMBER)
    numbers /= _NUMBER_SCALE
    np.arcsinh(numbers, out=numbers)
    angles = np.multiply.outer(numbers.astype(np.float32), _FREQUENCIES)
    angles -= _QUARTER_TURNS  # sin(x) is cos(x - pi / 2)
    return np.cos(angles, out=angles)


def _unit_rows(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    norms = np.sqrt((sums * sums).sum(axis=1, keepdims=True))
    if norms.min() < _CANCELLED:  # every feature met its opposite in its bucket
        rows = norms[:, 0] < _CANCELLED
        sums[rows] = 0.0
        sums[rows, 0] = norms[rows] = 1.0
    return np.divide(sums, norms, dtype=np.float32, casting="same_kind")

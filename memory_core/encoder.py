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

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from memory_core.errors import BadInputError
from memory_core.features import (
    CATEGORY_FEATURES,
    NUMBER_FEATURES,
    BucketRows,
    add_phases,
    phases,
    signed_buckets,
    unit_rows,
)
from memory_core.payload import unpack_state
from memory_core.shapes import Shape

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


_MAX_DEPTH = 32
_MAX_LEAVES = 100_000
_MAX_KNOWN = 100_000
_LONG_NAME = 64
_MAX_TAKEN_ROWS = 512
_MAX_REMEMBERED_TEXT = 256
_MAX_TAKEN = 1_024
_MAX_PLAIN = 64
_MAX_SHAPES_ALIKE = 3
_MAX_MISSES = 64


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
    and takes the first 100,000 leaves of a state, so that hostile states cost time and never
    memory. Not thread-safe.
    """

    name = "hashed-leaves"
    version = 1

    def __init__(self, dimension: int = 64) -> None:
        if type(dimension) is not int or dimension < 1:
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
        self._number_buckets = BucketRows(NUMBER_FEATURES)
        self._category_buckets = BucketRows(CATEGORY_FEATURES)
        self._taken: dict[
            tuple[int, ...], tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]
        ] = {}
        self._layouts: dict[
            tuple[Any, ...], tuple[list[float], list[tuple[tuple[int, ...], tuple[float, ...]]]]
        ] = {}
        self._shapes: dict[bytes, list[Shape]] = {}
        self._misses = 0
        self._known = 0

    def encode(self, states: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.float32]:
        """Unit vectors of shape (len(states), dimension), float32.

        Raises:
            BadInputError: a state holds something that `pack_state` would refuse.
        """
        parts, leaves = [], self._begin()
        for state in states:
            if self._known > _MAX_KNOWN:
                parts.append(self._vectors(leaves))
                leaves = self._begin()
            self._read(state, leaves)
        return _joined(parts, self._vectors(leaves))

    def encode_packed(self, payloads: Sequence[bytes]) -> npt.NDArray[np.float32]:
        """The same of packed states, faster where many are of one shape.

        Raises:
            BadInputError: the bytes are no packed state.
        """
        parts, leaves = [], self._begin()
        for payload in payloads:
            if self._known > _MAX_KNOWN:
                parts.append(self._vectors(leaves))
                leaves = self._begin()
            if not self._read_known(payload, leaves):
                state = unpack_state(payload)
                self._read(state, leaves)
                self._learn(payload, state)
        return _joined(parts, self._vectors(leaves))

    def _begin(self) -> _Leaves:
        if self._known > _MAX_KNOWN:
            self._forget()
        return _Leaves()

    def _read(self, state: Mapping[str, Any], leaves: _Leaves) -> None:
        """Take the leaves of a state one by one."""
        rows: list[int] = []
        values: list[float] = []
        before = len(leaves.categories)
        if state:
            limit = before + _MAX_LEAVES
            self._walk(self._root, state.items(), rows, values, leaves.categories, limit, 0)
        else:
            leaves.categories.append(self.category_row(self._root, "{}"))
        leaves.add(tuple(rows), values, before)

    def _read_known(self, payload: bytes, leaves: _Leaves) -> bool:
        """Take the leaves of a packed state if it is of a known shape."""
        shapes = self._shapes.get(payload[:1])
        if shapes is None:
            return False
        before = len(leaves.categories)
        for position, shape in enumerate(shapes):
            values: list[float] = []
            rows = shape.read(payload, values, leaves.categories)
            if rows is not None:
                leaves.add(rows, values, before)
                self._misses = 0
                if position:
                    shapes.insert(0, shapes.pop(position))
                return True
        return False

    def _learn(self, payload: bytes, state: Mapping[str, Any]) -> None:
        """Know the state's shape next time, unless shapes have not helped for a while."""
        self._misses += 1
        if self._misses > _MAX_MISSES:
            self._shapes.clear()
            return
        shape = Shape.of(state, self._root, self)
        if shape is not None:
            shapes = self._shapes.setdefault(payload[:1], [])
            shapes.insert(0, shape)
            del shapes[_MAX_SHAPES_ALIKE:]

    def _walk(
        self,
        parent: _Path,
        items: Any,
        numbers: list[int],
        values: list[float],
        categories: list[int],
        limit: int,
        depth: int,
    ) -> None:
        children = parent.children
        for key, value in items:
            if len(numbers) + len(categories) >= limit:
                return
            path = children.get(key)
            if path is None:
                path = self.child(parent, key)
            kind = type(value)
            if kind is float or kind is int:
                number = path.number
                numbers.append(number if number >= 0 else self.number_row(path))
                values.append(value)
            elif kind is str or kind is bool or value is None:
                row = path.categories.get(value)
                categories.append(row if row is not None else self.category_row(path, value))
            elif depth >= _MAX_DEPTH:
                categories.append(self.category_row(path, repr(value)))
            elif kind is dict or kind is list:
                if value:
                    below = value.items() if kind is dict else enumerate(value)
                    self._walk(path, below, numbers, values, categories, limit, depth + 1)
                else:
                    categories.append(self.category_row(path, "{}" if kind is dict else "[]"))
            else:
                raise BadInputError(f"state_data{path.name}", f"is of type {kind.__name__}")

    def child(self, parent: _Path, key: str | int) -> _Path:
        """The path below ``parent``, made if need be."""
        path = parent.children.get(key)
        if path is None:
            name = f"{parent.name}[{key}]" if type(key) is int else f"{parent.name}.{key}"
            self._known += 1 + len(name) // _LONG_NAME
            path = parent.children[key] = _Path(name)
        return path

    def number_row(self, path: _Path) -> int:
        """The row of a number at ``path``, made if need be."""
        if path.number < 0:
            path.number = self._number_buckets.append(
                signed_buckets(b"n" + path.name.encode(), NUMBER_FEATURES, self.dimension)
            )
        return path.number

    def category_row(self, path: _Path, value: str | bool | None) -> int:
        """The row of a category at ``path``, made if need be."""
        row = path.categories.get(value)
        if row is not None:
            return row
        self._known += 1
        # a string is kept apart from True, None and their like of the same text
        text = f"s{value}" if type(value) is str else f"v{value}"
        hashed = b"c" + path.name.encode() + b"\0" + text.encode()
        row = self._category_buckets.append(
            signed_buckets(hashed, CATEGORY_FEATURES, self.dimension)
        )
        if len(text) <= _MAX_REMEMBERED_TEXT:
            path.categories[value] = row
        return row

    def _vectors(self, leaves: _Leaves) -> npt.NDArray[np.float32]:
        """Sum the features of all leaves into their buckets, for all states together."""
        dimension, n = self.dimension, len(leaves.category_counts)
        if n == 1 and sum(map(len, leaves.numbers)) + len(leaves.categories) <= _MAX_PLAIN:
            return self._vector(leaves)
        flat: list[npt.NDArray[np.int64]] = []
        weights: list[npt.NDArray[np.float64]] = []
        if leaves.categories:
            buckets, signs = self._category_buckets.take(leaves.categories)
            starts = np.repeat(np.arange(n) * dimension, leaves.category_counts)
            flat.append((buckets + starts[:, None]).ravel())
            weights.append(signs.ravel())
        for rows, (positions, values) in leaves.numbers.items():
            buckets, signs = self._buckets_of(rows)
            features = phases(values).reshape(len(positions), *signs.shape)
            features *= signs
            starts = np.array(positions) * dimension
            flat.append((buckets + starts[:, None, None]).ravel())
            weights.append(features.ravel())
        if not flat:
            return np.empty((0, dimension), np.float32)
        sums: npt.NDArray[np.float64] = np.bincount(  # type: ignore[assignment]
            np.concatenate(flat), np.concatenate(weights), minlength=n * dimension
        )
        return unit_rows(sums.reshape(n, dimension))

    def _vector(self, leaves: _Leaves) -> npt.NDArray[np.float32]:
        """`_vectors` of one state of few numbers: plain Python is faster than numpy there."""
        rows: tuple[int, ...] = ()
        values: list[float] = []
        if leaves.numbers:
            rows, (_, values) = next(iter(leaves.numbers.items()))
        key = (rows, *leaves.categories)
        layout = self._layouts.get(key)
        if layout is None:
            layout = self._layout(rows, leaves.categories)
            if len(self._layouts) >= _MAX_TAKEN:
                self._layouts.clear()
            self._layouts[key] = layout
        sums = layout[0].copy()
        add_phases(sums, values, layout[1])
        return unit_rows(np.array(sums).reshape(1, -1))

    def _layout(
        self, rows: tuple[int, ...], categories: list[int]
    ) -> tuple[list[float], list[tuple[tuple[int, ...], tuple[float, ...]]]]:
        """What a state's categories add up to, and its numbers' buckets and signs."""
        buckets, weights = self._category_buckets.take(categories)
        sums: list[float] = np.bincount(
            buckets.ravel(), weights.ravel(), minlength=self.dimension
        ).tolist()
        buckets, signs = self._buckets_of(rows)
        places = zip(buckets.tolist(), signs.tolist(), strict=True)
        return sums, [(tuple(where), tuple(sign)) for where, sign in places]

    def _buckets_of(
        self, rows: tuple[int, ...]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        known = self._taken.get(rows)
        if known is None:
            if len(self._taken) >= _MAX_TAKEN:
                self._taken.clear()
            known = self._number_buckets.take(rows)
            if len(rows) <= _MAX_TAKEN_ROWS:
                self._taken[rows] = known
        return known


def _joined(
    parts: list[npt.NDArray[np.float32]], last: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    return np.concatenate((*parts, last)) if parts else last


class _Leaves:
    """The leaves of a batch of states.

    States in which the same paths hold numbers are computed together: ``numbers`` has, by the
    rows of those paths, the positions of the states and their values one after another.
    """

    __slots__ = ("categories", "category_counts", "numbers")

    def __init__(self) -> None:
        self.categories: list[int] = []
        self.category_counts: list[int] = []
        self.numbers: dict[tuple[int, ...], tuple[list[int], list[float]]] = {}

    def add(self, rows: tuple[int, ...], values: list[float], categories_before: int) -> None:
        """End a state whose categories were appended since there were ``categories_before``."""
        position = len(self.category_counts)
        self.category_counts.append(len(self.categories) - categories_before)
        if rows:
            members = self.numbers.get(rows)
            if members is None:
                members = self.numbers[rows] = ([], [])
            members[0].append(position)
            members[1].extend(values)

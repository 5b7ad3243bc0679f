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
from memory_core.feature_sums import FeatureSums, Leaves
from memory_core.paths import Paths
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


_MAX_SHAPES_ALIKE = 3
_MAX_MISSES = 64
_MIN_TOGETHER = 4


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
        self._paths = Paths(self.dimension)
        self._sums = FeatureSums(self._paths.numbers, self._paths.categories, self.dimension)
        self._shapes: dict[bytes, list[Shape]] = {}
        self._misses = 0

    def encode(self, states: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.float32]:
        """Unit vectors of shape (len(states), dimension), float32.

        Raises:
            BadInputError: a state holds something that `pack_state` would refuse.
        """
        parts, leaves = [], self._begin()
        for state in states:
            if self._paths.is_full:
                parts.append(self._sums.of(leaves))
                leaves = self._begin()
            self._read(state, leaves)
        return _joined(parts, self._sums.of(leaves))

    def encode_packed(self, payloads: Sequence[bytes]) -> npt.NDArray[np.float32]:
        """The same of packed states, faster where many are of one shape.

        Raises:
            BadInputError: the bytes are no packed state.
        """
        vectors: npt.NDArray[np.float32] | None = None
        if len(payloads) == 1:
            vectors = self._encode_one(payloads[0])
        elif len(payloads) >= _MIN_TOGETHER:
            vectors = self._encode_alike(payloads)
        if vectors is not None:
            return vectors
        parts, leaves = [], self._begin()
        for payload in payloads:
            if self._paths.is_full:
                parts.append(self._sums.of(leaves))
                leaves = self._begin()
            if not self._read_known(payload, leaves):
                state = unpack_state(payload)
                self._read(state, leaves)
                self._learn(payload, state)
        return _joined(parts, self._sums.of(leaves))

    def _encode_one(self, payload: bytes) -> npt.NDArray[np.float32] | None:
        """The vector of a packed state of a known shape and few numbers, or None."""
        if self._paths.is_full:
            return None
        for shape in self._shapes.get(payload[:1], ()):
            values: list[float] = []
            categories: list[int] = []
            rows = shape.read(payload, values, categories)
            if rows is not None:
                self._misses = 0
                return self._sums.of_state(rows, values, tuple(categories))
        return None

    def _encode_alike(self, payloads: Sequence[bytes]) -> npt.NDArray[np.float32] | None:
        """Vectors of packed states that are all of one known shape, or None."""
        if self._paths.is_full:
            return None
        for shape in self._shapes.get(payloads[0][:1], ()):
            leaves = shape.read_all(payloads)
            if leaves is not None:
                return self._sums.of_shape(*leaves)
        return None

    def _begin(self) -> Leaves:
        if self._paths.is_full:
            self._forget()
        return Leaves()

    def _read(self, state: Mapping[str, Any], leaves: Leaves) -> None:
        """Take the leaves of a state one by one."""
        rows: list[int] = []
        values: list[float] = []
        before = len(leaves.categories)
        self._paths.read(state, rows, values, leaves.categories)
        leaves.add(tuple(rows), values, before)

    def _read_known(self, payload: bytes, leaves: Leaves) -> bool:
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
        shape = Shape.of(state, self._paths.root, self._paths)
        if shape is not None:
            shapes = self._shapes.setdefault(payload[:1], [])
            shapes.insert(0, shape)
            del shapes[_MAX_SHAPES_ALIKE:]


def _joined(
    parts: list[npt.NDArray[np.float32]], last: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    return np.concatenate((*parts, last)) if parts else last

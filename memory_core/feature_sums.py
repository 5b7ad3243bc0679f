"""The features of many states' leaves, summed into unit vectors.

States of one shape are computed together, as arrays: numpy's price is paid for a batch and not
for a state. A single small state is computed in plain Python, which is faster there.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from memory_core.features import BucketRows, add_phases, bounded, phases, unit_rows

__all__ = ["FeatureSums", "Leaves"]

_MAX_TAKEN_ROWS = 512
_MAX_TAKEN = 1_024
_MAX_PLAIN = 64

_Layout = tuple[list[float], list[tuple[tuple[int, ...], tuple[float, ...]]]]


class Leaves:
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


class FeatureSums:
    """Sums leaves' features into their buckets.

    Args:
        numbers: buckets of numbers, by row.
        categories: buckets of categories, by row.
        dimension: how many buckets there are.
    """

    def __init__(self, numbers: BucketRows, categories: BucketRows, dimension: int) -> None:
        self._numbers = numbers
        self._categories = categories
        self._dimension = dimension
        self._taken: dict[
            tuple[int, ...], tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]
        ] = {}
        self._layouts: dict[tuple[object, ...], _Layout] = {}

    def of_shape(
        self,
        rows: tuple[int, ...],
        values: npt.NDArray[np.float64],
        categories: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.float32]:
        """Unit vectors of ``n`` states of one shape.

        Args:
            rows: of the paths that hold numbers, p of them.
            values: the numbers, shape (n, p), at most 1e300.
            categories: rows of the categories, shape (n, c).

        Raises:
            BadInputError: a number is NaN.
        """
        n, dimension = len(values), self._dimension
        starts = np.arange(0, n * dimension, dimension)[:, None]
        flat, weights = self._categories.take(categories.ravel())
        buckets, signs = self._buckets_of(rows)
        features = phases(values.ravel()).reshape(n, *signs.shape)
        features *= signs
        sums: npt.NDArray[np.float64] = np.bincount(  # type: ignore[assignment]
            np.concatenate(
                ((flat.reshape(n, -1) + starts).ravel(), (buckets.ravel() + starts).ravel())
            ),
            np.concatenate((weights.ravel(), features.ravel())),
            minlength=n * dimension,
        )
        return unit_rows(sums.reshape(n, dimension))

    def of(self, leaves: Leaves) -> npt.NDArray[np.float32]:
        """Unit vectors of any states.

        Raises:
            BadInputError: a number is NaN or infinite.
        """
        dimension, n = self._dimension, len(leaves.category_counts)
        if n == 1 and sum(map(len, leaves.numbers)) + len(leaves.categories) <= _MAX_PLAIN:
            return self._of_one(leaves)
        flat: list[npt.NDArray[np.int64]] = []
        weights: list[npt.NDArray[np.float64]] = []
        if leaves.categories:
            buckets, signs = self._categories.take(np.array(leaves.categories))
            starts = np.repeat(np.arange(n) * dimension, leaves.category_counts)
            flat.append((buckets + starts[:, None]).ravel())
            weights.append(signs.ravel())
        for rows, (positions, values) in leaves.numbers.items():
            buckets, signs = self._buckets_of(rows)
            features = phases(bounded(values)).reshape(len(positions), *signs.shape)
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

    def _of_one(self, leaves: Leaves) -> npt.NDArray[np.float32]:
        """`of` one state of few leaves: plain Python is faster than numpy there."""
        rows: tuple[int, ...] = ()
        values: list[float] = []
        if leaves.numbers:
            rows, (_, values) = next(iter(leaves.numbers.items()))
        key: tuple[object, ...] = (rows, *leaves.categories)
        layout = self._layouts.get(key)
        if layout is None:
            layout = self._layout(rows, leaves.categories)
            if len(self._layouts) >= _MAX_TAKEN:
                self._layouts.clear()
            self._layouts[key] = layout
        sums = layout[0].copy()
        add_phases(sums, values, layout[1])
        return unit_rows(np.array(sums).reshape(1, -1))

    def _layout(self, rows: tuple[int, ...], categories: list[int]) -> _Layout:
        """What a state's categories add up to, and its numbers' buckets and signs."""
        buckets, weights = self._categories.take(np.array(categories, np.int64))
        sums: list[float] = np.bincount(
            buckets.ravel(), weights.ravel(), minlength=self._dimension
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
            known = self._numbers.take(np.array(rows, np.int64))
            if len(rows) <= _MAX_TAKEN_ROWS:
                self._taken[rows] = known
        return known

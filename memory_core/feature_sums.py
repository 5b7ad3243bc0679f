"""The features of many states' leaves, summed into unit vectors.

States of one shape are computed together, as arrays: numpy's price is paid for a batch and not
for a state.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from memory_core.features import (
    MAX_NUMBER,
    NUMBER_FEATURES,
    BucketRows,
    Projection,
    bounded,
    phases,
    unit_rows,
)

__all__ = ["FeatureSums", "Leaves"]

_MAX_TAKEN_ROWS = 512
_MAX_TAKEN = 1_024
_MAX_PROJECTIONS = 32
_MAX_PROJECTION_NUMBERS = 32_768


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
        self._projections: dict[tuple[int, ...], Projection] = {}
        self._category_sums: dict[tuple[int, ...], npt.NDArray[np.float64]] = {}

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
        if n == 1 and leaves.numbers:
            [(rows, (_, values))] = leaves.numbers.items()
            vectors = self.of_state(rows, values, tuple(leaves.categories))
            if vectors is not None:
                return vectors
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

    def of_state(
        self, rows: tuple[int, ...], values: list[float], categories: tuple[int, ...]
    ) -> npt.NDArray[np.float32] | None:
        """The unit vector of one state, shape (1, dim): one product with a matrix made before.

        Args:
            rows: of the paths that hold numbers.
            values: the numbers.
            categories: rows of the categories.

        Returns:
            None when it has no number, too many, or one that is infinite or beyond `MAX_NUMBER`.

        Raises:
            BadInputError: a number is NaN.
        """
        if not values or max(values) > MAX_NUMBER or min(values) < -MAX_NUMBER:
            return None
        projection = self._projections.get(rows)
        if projection is None:
            features = NUMBER_FEATURES * len(rows)
            if features * (len(rows) + self._dimension) > _MAX_PROJECTION_NUMBERS:
                return None
            if len(self._projections) >= _MAX_PROJECTIONS:
                self._projections.clear()
            buckets, signs = self._buckets_of(rows)
            projection = self._projections[rows] = Projection(buckets, signs, self._dimension)
        sums = projection.sums(values)
        known = self._category_sums.get(categories)
        if known is None:
            known = self._category_sum(categories)
            if len(self._category_sums) >= _MAX_TAKEN:
                self._category_sums.clear()
            self._category_sums[categories] = known
        sums += known
        return unit_rows(sums.reshape(1, -1))

    def _category_sum(self, rows: tuple[int, ...]) -> npt.NDArray[np.float64]:
        buckets, weights = self._categories.take(np.array(rows, np.int64))
        sums: npt.NDArray[np.float64] = np.bincount(  # type: ignore[assignment]
            buckets.ravel(), weights.ravel(), minlength=self._dimension
        )
        return sums

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

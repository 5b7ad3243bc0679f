"""Exact search on vectors that the store did not make: what recall is measured against."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.walk import WalkFile
from memory_core import StateEncoder

__all__ = ["Exact"]

_ENCODED_TOGETHER = 4_096
_SCORED_TOGETHER = 16
# Scores that differ by no more are equal: what float32 sums of another order differ by.
_ROUNDING = 1e-6


class Exact:
    """The vectors of a walk's states, by their numbers.

    Args:
        walk: a file of `write_walk`.
        count: of its states.
        dimension: of the vectors.

    Attributes:
        vectors: (count, dimension) float32, of unit length.
    """

    def __init__(self, walk: str | Path, count: int, dimension: int) -> None:
        self._encoder = StateEncoder(dimension)
        self.vectors = np.empty((count, dimension), dtype=np.float32)
        with WalkFile(walk) as states:
            for first in range(0, count, _ENCODED_TOGETHER):
                last = min(first + _ENCODED_TOGETHER, count)
                self.vectors[first:last] = self.encode(states.take(last - first))

    def encode(self, states: Sequence[bytes]) -> npt.NDArray[np.float32]:
        """Vectors of packed states, (n, dimension) float32."""
        return self._encoder.encode_packed(states)

    def recall(
        self,
        asked: npt.NDArray[np.float32],
        found: Sequence[Sequence[int]],
        k: int,
        members: npt.NDArray[np.bool_],
    ) -> float:
        """How much of the best k of each query was found, in [0, 1].

        Of equal scores any may be found. What is found twice, or is no member, counts for nothing.

        Args:
            asked: (n, dimension) queries.
            found: the numbers of the states that a search found, for each query, best first.
            k: how many were asked for; fewer members than that are all to be found.
            members: (m,) which of the first m states there were to be found.

        Raises:
            ValueError: there are no queries, no members, or not as many results as queries.
        """
        numbers = np.flatnonzero(members)
        k = min(k, len(numbers))
        if not k or not len(asked):
            raise ValueError("recall needs queries, and members that could be found")
        if len(found) != len(asked):
            raise ValueError(f"{len(asked)} queries, but {len(found)} results")
        vectors = self.vectors[: len(members)]
        if len(numbers) < len(members):
            vectors = vectors[numbers]
        hits = 0
        for at in range(0, len(asked), _SCORED_TOGETHER):
            scores = asked[at : at + _SCORED_TOGETHER] @ vectors.T
            least = np.partition(scores, len(numbers) - k, axis=1)[:, len(numbers) - k]
            results = found[at : at + len(scores)]
            for query, worst, ids in zip(asked[at:], least, results, strict=False):
                right = [one for one in set(ids[:k]) if one < len(members) and members[one]]
                hits += int(np.sum(self.vectors[right] @ query >= worst - _ROUNDING))
        return hits / (k * len(asked))

"""Vectors of recently stored states, so that a search with one of them need not encode it again.

An agent mostly asks for memories like the state that it is in, which it has just stored. The
encoder is deterministic, so a vector stands for its packed state until it is forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["RecentVectors"]

_GENERATION_BYTES = 2 * 1024 * 1024
_MAX_PAYLOAD_BYTES = 1_024


class RecentVectors:
    """Vectors by packed state, of batches of states of at most 1 KiB, in two generations.

    Args:
        dimension: of the vectors; a generation holds 2 MiB of them (8,192 of 64 dimensions).

    Stores go into the young one; when it is full it becomes the old one, and what was old is
    forgotten.
    """

    __slots__ = ("_generation", "_old", "_young")

    def __init__(self, dimension: int) -> None:
        self._generation = max(1, _GENERATION_BYTES // (4 * dimension))
        self._young: dict[bytes, npt.NDArray[np.float32]] = {}
        self._old: dict[bytes, npt.NDArray[np.float32]] = {}

    def get(self, payload: bytes) -> npt.NDArray[np.float32] | None:
        """The vector of a packed state, or None when it is not remembered."""
        vector = self._young.get(payload)
        return vector if vector is not None else self._old.get(payload)

    def put(self, payloads: Sequence[bytes], vectors: Sequence[npt.NDArray[np.float32]]) -> None:
        """Remember the vectors of states, one each, unless a state is large.

        A row keeps its whole matrix in memory, so a batch with a large state in it is left out:
        what is held is then about as many rows as are remembered.
        """
        if len(payloads) == 1:
            if len(payloads[0]) > _MAX_PAYLOAD_BYTES:
                return
            self._young[payloads[0]] = vectors[0]
        elif max(map(len, payloads)) > _MAX_PAYLOAD_BYTES:
            return
        else:
            self._young.update(zip(payloads, vectors, strict=True))
        if len(self._young) >= self._generation:
            self._old, self._young = self._young, {}

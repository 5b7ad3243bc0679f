"""Vectors that the benchmark keeps for itself: what exact search is made on.

They are made from the states as they were generated, not from anything that the store gave, and
are in a file that has no name, so that nothing of it stays.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.benchmarks.memories import Query, Walks
from memory_core import StateEncoder

__all__ = ["KeptVectors"]

_TOGETHER = 4_096


class KeptVectors:
    """The vectors of the first memories, and queries with theirs.

    Args:
        folder: on a disk with room for 4 bytes for each memory and dimension.
        seed: of the benchmark.
        agents: over which memories are spread.
        dimension: of the vectors.
    """

    def __init__(self, folder: Path, seed: int, agents: int, dimension: int) -> None:
        self._walks = Walks(seed, agents)
        self._agents = agents
        self._encoder = StateEncoder(dimension)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - lives as long as this

    def reach(self, volume: int) -> None:
        """Make the vectors that are missing up to a volume."""
        while self._walks.position < volume:
            count = min(_TOGETHER, volume - self._walks.position)
            taken = self._walks.take(count)
            vectors = self._encoder.encode_packed([memory.payload for memory in taken])
            self._file.write(np.ascontiguousarray(vectors, dtype=np.float32).tobytes())
        self._file.flush()

    def all(self) -> npt.NDArray[np.float32]:
        """``(volume, dimension)``, row ``i`` of memory ``i``; read from the file where used."""
        shape = (self._walks.position, self._encoder.dimension)
        if not shape[0]:
            return np.empty(shape, np.float32)
        return np.memmap(self._file, np.float32, "r", shape=shape)

    def of_agent(self, agent: int) -> npt.NDArray[np.float32]:
        """``(memories, dimension)`` of one agent, in the order of its numbers."""
        return self.all()[agent :: self._agents]

    def queries(self, count: int) -> list[Query]:
        """States that are not stored (see `Walks.queries`)."""
        return self._walks.queries(count)

    def encode(self, payloads: list[bytes]) -> npt.NDArray[np.float32]:
        """``(n, dimension)`` of packed states."""
        if not payloads:
            return np.empty((0, self._encoder.dimension), np.float32)
        return self._encoder.encode_packed(payloads)

    def close(self) -> None:
        """The file is gone."""
        self._file.close()

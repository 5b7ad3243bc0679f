"""The first half of a batch: each operation is checked, and its vector made.

Nothing here looks at what the store holds. What is wrong with an operation becomes its result;
the vectors of all states are made in one call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from memory_core.errors import BadInputError, MemoryCoreError
from memory_core.operations import Operation, Restore, Search, Store
from memory_core.payload import check_packed
from memory_core.recent_vectors import RecentVectors
from memory_core.results import Failure, Result
from memory_core.validation import validate
from memory_core.vectors import Vectorizer

__all__ = ["Preparation", "Vector"]

Vector = npt.NDArray[np.float32]


class Preparation:
    """Checks batches and makes their vectors. Not thread-safe.

    Args:
        vectorizer: makes the vectors.
        max_state_bytes: the largest packed state, or metadata, that is accepted.
    """

    def __init__(self, vectorizer: Vectorizer, max_state_bytes: int) -> None:
        self._vectorizer = vectorizer
        self._max_state_bytes = max_state_bytes
        self._recent = RecentVectors(vectorizer.dimension)

    def prepare(
        self, operations: Sequence[Operation]
    ) -> tuple[list[Result | None], list[Vector | None]]:
        """The failures of what is wrong, and the vectors of stores and searches, by position."""
        results: list[Result | None] = [None] * len(operations)
        vectors: list[Vector | None] = [None] * len(operations)
        owners: list[int] = []
        payloads: list[bytes] = []
        recent, max_bytes = self._recent.get, self._max_state_bytes
        for position, operation in enumerate(operations):
            try:
                validate(operation)
                kind = type(operation)
                if kind is not Store and kind is not Search and kind is not Restore:
                    continue
                payload: Any = operation.payload  # type: ignore[union-attr]
                if kind is not Search and operation.metadata is not None:  # type: ignore[union-attr]
                    size = len(operation.metadata)  # type: ignore[union-attr]
                    if size > max_bytes:
                        raise _too_large("metadata", size, max_bytes)
                if operation.vector is not None:  # type: ignore[union-attr]
                    vectors[position] = self._ready(operation, payload)
                    continue
                if len(payload) > max_bytes:
                    raise _too_large(_state_field(operation), len(payload), max_bytes)
                if kind is Search:
                    vector = vectors[position] = recent(payload)
                    if vector is not None:
                        continue
                owners.append(position)
                payloads.append(payload)
            except BadInputError as error:
                results[position] = Failure.of(error)
        if owners:
            self._encode(operations, owners, payloads, vectors, results)
        return results, vectors

    def _ready(self, operation: Any, payload: bytes | None) -> Vector:
        """The vector that an operation brought along."""
        if payload is not None:
            if len(payload) > self._max_state_bytes:
                raise _too_large(_state_field(operation), len(payload), self._max_state_bytes)
            check_packed(payload)  # no encoder will look at it
        return self._vectorizer.ready(operation.vector)

    def _encode(
        self,
        operations: Sequence[Operation],
        owners: list[int],
        payloads: list[bytes],
        vectors: list[Vector | None],
        results: list[Result | None],
    ) -> None:
        """Encode the states of the operations at ``owners``."""
        try:
            matrix = list(self._vectorizer.encode(payloads))
        except Exception as error:  # noqa: BLE001 - an encoder of the user's raises what it likes
            if len(owners) > 1:  # one by one, so that only what is wrong fails
                for owner, payload in zip(owners, payloads, strict=True):
                    self._encode(operations, [owner], [payload], vectors, results)
                return
            field = _state_field(operations[owners[0]])
            if isinstance(error, BadInputError):
                error = BadInputError(_placed(error.field, field), error.problem)
            elif not isinstance(error, MemoryCoreError):
                error = BadInputError(field, f"the encoder refused it: {error}")
            results[owners[0]] = Failure.of(error)
            return
        for owner, vector in zip(owners, matrix, strict=True):
            vectors[owner] = vector
        self._recent.put(payloads, matrix)


def _too_large(field: str, size: int, max_bytes: int) -> BadInputError:
    return BadInputError(field, f"is {size:,} bytes packed; at most {max_bytes:,}")


def _state_field(operation: Operation) -> str:
    """What the face calls the state of an operation."""
    return "query_state" if type(operation) is Search else "state_data"


def _placed(field: str, state_field: str) -> str:
    """The field of an encoder's error, whose path may begin inside the state."""
    if field.startswith("state_data"):
        return state_field + field.removeprefix("state_data")
    return state_field + field if field.startswith((".", "[")) else field

"""Many operations asked of a memory: their results, or the error that one of them gave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from memory_core.enumeration import Executes
from memory_core.errors import MemoryCoreError
from memory_core.operations import Operation
from memory_core.results import Failure, Result

__all__ = ["results_of"]

# Executed together; other callers' operations go on between such batches.
_TOGETHER = 1_000

_Result = TypeVar("_Result", bound=Result)


def results_of(
    memory: Executes, operations: Sequence[Operation], *expected: type[_Result]
) -> Iterator[_Result]:
    """Results of the expected kinds, in the order of the operations.

    Up to a thousand are executed together, so that many are not on the disk at one moment.

    Raises:
        MemoryCoreError: the first failure of a batch, of which all else was done; what comes after
            that batch was not begun.
    """
    for start in range(0, len(operations), _TOGETHER):
        results = memory.execute(operations[start : start + _TOGETHER])
        for result in results:
            if isinstance(result, Failure):
                raise result.exception()
        for result in results:
            if not isinstance(result, expected):
                raise MemoryCoreError(f"an operation gave {type(result).__name__}")
            yield result

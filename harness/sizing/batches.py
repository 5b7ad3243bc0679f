"""The batches that a run's operations travelled in, put together again from its rows.

Operations of one batch have the cohort, the shard and the moment of sending in common
(``started_ns + queue_ns``). A batch that a file boundary cut, or of which warm-up had a part, has
fewer rows than its size says, and is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

from harness.schema import OPERATIONS

__all__ = ["BatchRows", "Batches", "batches_of", "thinned"]

BatchRows = Mapping[str, npt.NDArray[Any]]
_NS_A_US = 1_000
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Batches(msgspec.Struct, frozen=True, kw_only=True):
    """Batches as columns of one length, in the order in which they were sent.

    Attributes:
        operations: by type, ``(n,)`` operations of that type in each batch.
        service_us: the shard's service time.
        passage_us: all the rest of the operations' time, their mean: queueing and transport.
    """

    operations: dict[str, list[_Count]]
    service_us: list[_Count]
    passage_us: list[_Count]

    def __post_init__(self) -> None:
        """Raise ValueError unless all columns are of one length."""
        columns = [*self.operations.values(), self.passage_us]
        if set(self.operations) != set(OPERATIONS):
            raise ValueError(f"operations: must be of {', '.join(OPERATIONS)}")
        if any(len(column) != self.count for column in columns):
            raise ValueError("service_us: columns of batches are not of one length")

    @property
    def count(self) -> int:
        """How many batches."""
        return len(self.service_us)


def batches_of(files: Iterable[BatchRows]) -> Batches:
    """Put batches together.

    Args:
        files: of each file the columns ``cohort``, ``shard``, ``op`` (a position in
            `harness.schema.OPERATIONS`), ``started_ns``, ``queue_ns``, ``transport_ns``,
            ``service_ns`` and ``batch_ops``, ``(rows,)`` each.
    """
    read = list(files)
    names = ("cohort", "shard", "op", "started_ns", "queue_ns", "transport_ns", "service_ns")
    row = {
        name: np.concatenate([one[name] for one in read]) if read else np.empty(0, np.int64)
        for name in (*names, "batch_ops")
    }
    keys = np.stack([row["started_ns"] + row["queue_ns"], row["cohort"], row["shard"]], axis=1)
    unique, which = np.unique(keys, axis=0, return_inverse=True)
    which = which.reshape(-1)
    found = np.bincount(which, minlength=len(unique))
    size, service_ns = (np.zeros(len(unique), np.int64) for _ in range(2))
    size[which], service_ns[which] = row["batch_ops"], row["service_ns"]
    whole = found == size
    passage_ns = np.bincount(
        which, weights=row["queue_ns"] + row["transport_ns"], minlength=len(unique)
    )
    operations = {
        name: np.bincount(which, weights=row["op"] == code, minlength=len(unique))
        for code, name in enumerate(OPERATIONS)
    }
    return Batches(
        operations={name: _integers(counts[whole]) for name, counts in operations.items()},
        service_us=_integers(service_ns[whole] / _NS_A_US),
        passage_us=_integers(passage_ns[whole] / np.maximum(found[whole], 1) / _NS_A_US),
    )


def thinned(batches: Batches, most: int) -> Batches:
    """Some of the batches, evenly over the run, at most ``most``."""
    if batches.count <= most:
        return batches
    kept = np.linspace(0, batches.count - 1, most).round().astype(int).tolist()
    return Batches(
        operations={name: [of[at] for at in kept] for name, of in batches.operations.items()},
        service_us=[batches.service_us[at] for at in kept],
        passage_us=[batches.passage_us[at] for at in kept],
    )


def _integers(values: npt.NDArray[Any]) -> list[int]:
    whole: list[int] = np.round(values).astype(np.int64).tolist()
    return whole

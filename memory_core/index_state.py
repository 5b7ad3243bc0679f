"""The state of a `memory_core.growing_index` as arrays, for a snapshot, and back. No pickle.

Pieces, little-endian as numpy holds them, in this order:

    header     (5,) int64: version, dimension, exact rows, lists, dead ids
    built      (2,) float64: skew of the lists, and rows in them, when they were built
    ids        (exact rows,) int64
    vectors    (exact rows, dimension) float32
    dead       (dead ids,) int64
    low, high  (dimension,) float32 each; none without lists, like what follows
    centroids  (lists, dimension) float32
    sizes      (lists,) int64
    listed ids (rows in lists,) int64, list by list
    codes      (rows in lists, dimension) uint8
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from memory_core.errors import BadInputError
from memory_core.inverted_lists import InvertedLists

__all__ = ["STATE_VERSION", "Restored", "ids_in", "read_state", "write_state"]

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint8]

STATE_VERSION = 1
_PIECES = 11
_NO_IDS: Ints = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Restored:
    """What pieces held."""

    ids: Ints
    vectors: Floats
    dead: Ints
    lists: InvertedLists | None
    built: tuple[float, float]


def write_state(
    ids: Ints,
    vectors: Floats,
    dead: Ints,
    lists: InvertedLists | None,
    sizes: Ints,
    parts: Iterable[tuple[Ints, Codes]],
    built: tuple[float, float],
) -> list[npt.NDArray[Any]]:
    """The pieces.

    Args:
        ids: of the exact rows, (n,).
        vectors: of the exact rows, (n, dim).
        dead: ids whose rows in the lists are dead.
        lists: where centroids and the span of codes come from, or None.
        sizes: how many rows of each list there are, (lists,).
        parts: ids and codes of each list that has rows, in order.
        built: skew of the lists, and rows in them, when they were built.
    """
    dimension = vectors.shape[1]
    total = int(sizes.sum())
    listed, codes = np.empty(total, np.int64), np.empty((total, dimension), np.uint8)
    at = 0
    for part_ids, part_codes in parts:
        listed[at : at + len(part_ids)] = part_ids
        codes[at : at + len(part_ids)] = part_codes
        at += len(part_ids)
    none = np.empty((0, dimension), np.float32)
    header = [STATE_VERSION, dimension, len(ids), len(sizes), len(dead)]
    return [
        np.array(header, np.int64),
        np.array(built, np.float64),
        ids,
        vectors,
        dead,
        none[:0] if lists is None else lists.low,
        none[:0] if lists is None else lists.high,
        none if lists is None else lists.centroids.copy(),  # which splits move
        sizes,
        listed,
        codes,
    ]


def read_state(pieces: Sequence[Any], dimension: int) -> Restored:
    """What the pieces hold.

    Raises:
        BadInputError: they are of another version or dimension, or do not fit together.
    """
    if len(pieces) != _PIECES:
        raise BadInputError("pieces", f"must be {_PIECES}, not {len(pieces)}")
    header = _array(pieces[0], np.int64, (5,))
    version, of_dimension, rows, lists, dead = header.tolist()
    if version != STATE_VERSION:
        raise BadInputError("pieces", f"are of version {version}; this is {STATE_VERSION}")
    if of_dimension != dimension:
        raise BadInputError("pieces", f"are of {of_dimension} dimensions, not {dimension}")
    built = _array(pieces[1], np.float64, (2,)).tolist()
    return Restored(
        ids=_array(pieces[2], np.int64, (rows,)),
        vectors=_array(pieces[3], np.float32, (rows, dimension)),
        dead=_array(pieces[4], np.int64, (dead,)),
        lists=_lists(pieces[5:], lists, dimension) if lists else None,
        built=(built[0], built[1]),
    )


def ids_in(pieces: Sequence[Any]) -> Ints:
    """The ids that are live in pieces that `read_state` takes, sorted."""
    exact, dead, listed = (
        np.frombuffer(memoryview(pieces[at]).cast("B"), np.int64) if len(pieces[at]) else _NO_IDS
        for at in (2, 4, 9)
    )
    if len(dead):
        places = np.minimum(np.searchsorted(dead, listed), len(dead) - 1)
        listed = listed[dead[places] != listed]
    return np.sort(np.concatenate((exact, listed)))


def _lists(pieces: Sequence[Any], lists: int, dimension: int) -> InvertedLists:
    low, high = (_array(piece, np.float32, (dimension,)) for piece in pieces[:2])
    restored = InvertedLists(_array(pieces[2], np.float32, (lists, dimension)), low, high)
    sizes = _array(pieces[3], np.int64, (lists,))
    if sizes.min() < 0:
        raise BadInputError("pieces", "have a list of less than no rows")
    total = int(sizes.sum())
    ids = _array(pieces[4], np.int64, (total,))
    codes = _array(pieces[5], np.uint8, (total, dimension))
    at = 0
    for number, size in enumerate(sizes.tolist()):
        restored.append_codes(number, ids[at : at + size], codes[at : at + size])
        at += size
    return restored


def _array(piece: Any, dtype: Any, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """A copy of a buffer as an array of this shape."""
    data = memoryview(piece).cast("B") if memoryview(piece).nbytes else b""
    expected = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if min(shape) < 0 or len(data) != expected:
        raise BadInputError("pieces", f"have one of {len(data)} bytes instead of {expected}")
    return np.frombuffer(data, dtype).reshape(shape).copy()

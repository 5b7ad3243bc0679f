"""Samples of processes as one series a role: sums over its processes at each tick of a node."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from harness.report.figures import plain
from harness.schema import ROLES

__all__ = ["carried_sum", "floats", "rows_by_role", "summed"]

Floats = npt.NDArray[np.float64]


def floats(table: pa.Table, name: str) -> Floats:
    """A column as floats, NaN where it is null."""
    return np.asarray(table[name].to_numpy(), np.float64)


def rows_by_role(processes: pa.Table) -> Iterator[tuple[str, npt.NDArray[np.intp]]]:
    """The rows of each role, in the order of `ROLES` and then as they come."""
    encoded = processes["role"].combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    names = [str(name) for name in encoded.dictionary.to_pylist()]
    order = sorted(
        range(len(names)),
        key=lambda code: ROLES.index(names[code]) if names[code] in ROLES else len(ROLES),
    )
    for code in order:
        yield plain(names[code])[:60], np.flatnonzero(codes == code)


def summed(
    processes: pa.Table,
    name: str,
    rows: npt.NDArray[np.intp],
    place: npt.NDArray[np.intp],
    ticks: int,
) -> Floats:
    """The sum of a role's processes at each tick; NaN at ticks that saw none of it."""
    values = floats(processes, name)[rows]
    seen = np.bincount(place[rows], minlength=ticks)
    sums = np.bincount(place[rows], weights=np.nan_to_num(values), minlength=ticks)
    return np.where(seen > 0, sums, np.nan)


def carried_sum(
    processes: pa.Table,
    name: str,
    rows: npt.NDArray[np.intp],
    place: npt.NDArray[np.intp],
    ticks: int,
) -> Floats:
    """As `summed`, each process with its last known value where it was not read."""
    total, seen = np.zeros(ticks), np.zeros(ticks, np.bool_)
    values, pids = floats(processes, name), processes["pid"].to_numpy()
    for pid in np.unique(pids[rows]):
        mine = rows[pids[rows] == pid]
        read = mine[~np.isnan(values[mine])]
        if not read.size:
            continue
        latest = np.searchsorted(place[read], place[mine], side="right") - 1
        total[place[mine]] += values[read][np.maximum(latest, 0)]
        seen[place[mine]] = True
    return np.where(seen, total, np.nan)

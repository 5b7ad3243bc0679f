"""Samples taken apart: one series for each process, one for each node, in the order of time.

What falls between two samples is interpolated linearly; before the first and after the last
sample a counter stands still and a process holds nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["NODE_COUNTERS", "NodeSeries", "ProcessSeries", "node_series", "process_series"]

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]

NODE_COUNTERS = (
    "disk_read_bytes",
    "disk_write_bytes",
    "network_received_bytes",
    "network_sent_bytes",
    "loopback_bytes",
)


@dataclass(frozen=True, kw_only=True)
class ProcessSeries:
    """The samples of one process; ``(n,)`` each, ``(m,)`` where the USS was read.

    Attributes:
        node_id, pid, role, number: which process.
        at_ns: when it was sampled, on the wall clock.
        cpu_seconds: from its start.
        rss_bytes: its resident memory.
        uss_at_ns: when its USS was read.
        uss_bytes: its own memory.
    """

    node_id: str
    pid: int
    role: str
    number: int
    at_ns: Times
    cpu_seconds: Floats
    rss_bytes: Floats
    uss_at_ns: Times
    uss_bytes: Floats

    def cpu_seconds_at(self, moments_ns: Times) -> Floats:
        """CPU time used until each moment."""
        return np.interp(moments_ns, self.at_ns, self.cpu_seconds)

    def rss_bytes_at(self, moments_ns: Times) -> Floats:
        """Resident memory at each moment."""
        return np.interp(moments_ns, self.at_ns, self.rss_bytes)

    def memory_bytes_at(self, moments_ns: Times) -> Floats:
        """Own memory (USS) at each moment, resident memory where that was never read.

        0 where the process was not there; half a second is allowed around its samples.
        """
        if self.uss_bytes.size:
            held = np.interp(moments_ns, self.uss_at_ns, self.uss_bytes)
        else:
            held = self.rss_bytes_at(moments_ns)
        there = (moments_ns >= self.at_ns[0] - _SLACK_NS) & (
            moments_ns <= self.at_ns[-1] + _SLACK_NS
        )
        return np.where(there, held, 0.0)


@dataclass(frozen=True, kw_only=True)
class NodeSeries:
    """The samples of one machine, ``(n,)`` each.

    Attributes:
        node_id: which one.
        at_ns: when it was sampled, on the wall clock.
        cpu_percent: of all its cores.
        memory_used_bytes: of all its programs.
        counters: bytes since its start, by the names of `NODE_COUNTERS`.
    """

    node_id: str
    at_ns: Times
    cpu_percent: Floats
    memory_used_bytes: Floats
    counters: dict[str, Floats]

    def counter_at(self, name: str, moments_ns: Times) -> Floats:
        """Bytes moved until each moment."""
        return np.interp(moments_ns, self.at_ns, self.counters[name])


_SLACK_NS = 500_000_000


def process_series(processes: pa.Table) -> list[ProcessSeries]:
    """Take the rows of `harness.schema.PROCESSES_SCHEMA` apart, by node, role and number."""
    found = []
    for rows in _groups(processes, ("node_id", "role", "number", "pid")):
        node_id, role = rows["node_id"][0].as_py(), rows["role"][0].as_py()
        at_ns, uss = rows["wall_ns"].to_numpy(), _floats(rows, "uss_bytes")
        known = ~np.isnan(uss)
        found.append(
            ProcessSeries(
                node_id=node_id,
                pid=int(rows["pid"][0].as_py()),
                role=role,
                number=int(rows["number"][0].as_py()),
                at_ns=at_ns,
                cpu_seconds=_floats(rows, "cpu_seconds"),
                rss_bytes=_floats(rows, "rss_bytes"),
                uss_at_ns=at_ns[known],
                uss_bytes=uss[known],
            )
        )
    return found


def node_series(nodes: pa.Table) -> list[NodeSeries]:
    """Take the rows of `harness.schema.NODES_SCHEMA` apart, by node."""
    return [
        NodeSeries(
            node_id=rows["node_id"][0].as_py(),
            at_ns=rows["wall_ns"].to_numpy(),
            cpu_percent=_floats(rows, "cpu_percent"),
            memory_used_bytes=_floats(rows, "memory_used_bytes"),
            counters={name: _floats(rows, name) for name in NODE_COUNTERS},
        )
        for rows in _groups(nodes, ("node_id",))
    ]


def _groups(table: pa.Table, keys: Sequence[str]) -> list[pa.Table]:
    """The rows of each combination of keys, in the order of keys and time."""
    if not table.num_rows:
        return []
    order = [(name, "ascending") for name in (*keys, "wall_ns")]
    table = table.sort_by(order).combine_chunks()
    changes = np.zeros(table.num_rows - 1, np.bool_)
    for name in keys:
        codes = table[name].combine_chunks().dictionary_encode()
        codes = codes.indices if hasattr(codes, "indices") else codes.chunk(0).indices
        values = codes.to_numpy(zero_copy_only=False)
        changes |= values[1:] != values[:-1]
    bounds = [0, *(np.flatnonzero(changes) + 1).tolist(), table.num_rows]
    return [table.slice(first, last - first) for first, last in itertools.pairwise(bounds)]


def _floats(rows: pa.Table, name: str) -> Floats:
    """A column of numbers, NaN where it is null."""
    values: Floats = rows[name].to_numpy().astype(np.float64)
    return values

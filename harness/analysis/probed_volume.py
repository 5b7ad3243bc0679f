"""What was probed at a volume of memories: the times of each kind of probe, and memory held.

Shared by the benchmark of memory and by the comparison of targets, whose steps
(`harness.benchmarks.probed_store`) look alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.analysis.latency import latency_figures
from harness.rundir_reader import RunReader
from harness.schema import OPERATIONS, SUCCESSES

__all__ = [
    "PROBED",
    "TIERS_PROBED",
    "ProbedRows",
    "memory_usage_bytes",
    "no_probes",
    "probe_latency",
    "read_probes",
]

PROBED = ("store", "retrieve", "search", "cross_tier")
TIERS_PROBED = ("all", "stm", "im", "ltm")

Times = npt.NDArray[np.int64]
Figures = dict[str, Any]


class ProbedRows:
    """Times of one kind of operation, in the order of issue.

    Attributes:
        failed: operations that did.
    """

    def __init__(self) -> None:
        self.response: list[Times] = []
        self.service: list[Times] = []
        self.failed = 0

    def times(self, name: str) -> Times:
        """The times, ``(n,)`` in nanoseconds, of ``response`` or ``service``."""
        parts: list[Times] = getattr(self, name)
        return np.concatenate(parts) if parts else np.empty(0, np.int64)


def read_probes(step: RunReader, found: Mapping[str, Any]) -> dict[str, ProbedRows]:
    """The step's rows by what was probed; cross-tier searches also by tier (``cross_tier.im``)."""
    numbers = found.get("cross_tier")
    tiers = {number: tier for tier, number in numbers.items()} if numbers else {}
    rows = no_probes()
    columns = ("op", "scheduled_ns", "finished_ns", "service_ns", "outcome")
    for metadata, table in step.operation_batches(columns):
        response = table["finished_ns"].to_numpy() - table["scheduled_ns"].to_numpy()
        service = table["service_ns"].to_numpy()
        operations = np.asarray(table["op"].to_pylist(), dtype=object)
        failed = np.array([one not in SUCCESSES for one in table["outcome"].to_pylist()], bool)
        tier = tiers.get(metadata.cohort)
        if tier is not None:
            _add(rows["cross_tier"], response, service, failed)
            _add(rows[f"cross_tier.{tier}"], response, service, failed)
            continue
        for name in OPERATIONS:
            mine = operations == name
            _add(rows[name], response[mine], service[mine], failed[mine])
    return rows


def no_probes() -> dict[str, ProbedRows]:
    """Rows of every kind of probe, without any."""
    return {
        name: ProbedRows() for name in (*PROBED, *(f"cross_tier.{tier}" for tier in TIERS_PROBED))
    }


def _add(rows: ProbedRows, response: Times, service: Times, failed: npt.NDArray[np.bool_]) -> None:
    rows.response.append(response)
    rows.service.append(service)
    rows.failed += int(failed.sum())


def probe_latency(times_ns: Times) -> Figures:
    """Figures in milliseconds, by the names that this benchmark has for them."""
    figures = latency_figures(times_ns)
    names = {"avg": "mean_ms", "min": "min_ms", "max": "max_ms"}
    names |= {name: f"{name}_ms" for name in ("p50", "p90", "p95", "p99", "p999")}
    return {**{name: figures[key] for name, key in names.items()}, "count": figures["count"]}


def memory_usage_bytes(step: RunReader) -> int | None:
    """Own memory of the store's processes while it was probed; None when it was not sampled."""
    table = step.processes()
    found = step.run.get("volume")
    role = found.get("store_role", "shard") if isinstance(found, Mapping) else "shard"
    begin_ns, end_ns = _probed(step)
    wall_ns = table["wall_ns"].to_numpy()
    of_role = np.asarray(table["role"].to_pylist(), dtype=object) == role
    inside = of_role & (wall_ns >= begin_ns) & (wall_ns <= end_ns)
    if not inside.any():  # too short for a sample: those until then will do
        inside = of_role & (wall_ns <= end_ns)
    nodes = np.asarray(table["node_id"].to_pylist(), dtype=object)
    pids = table["pid"].to_numpy()
    total = 0.0
    processes = {(nodes[at], pids[at]) for at in np.flatnonzero(inside).tolist()}
    for node, pid in processes:
        mine = of_role & (nodes == node) & (pids == pid)
        total += _held(table, mine & inside, mine)
    return round(total) if processes else None


def _held(table: Any, inside: npt.NDArray[np.bool_], whole: npt.NDArray[np.bool_]) -> float:
    """The median of a process's own memory; USS is read so seldom that any will do at need."""
    uss = table["uss_bytes"].to_numpy().astype(np.float64)
    for chosen in (inside, whole):
        known = uss[chosen][np.isfinite(uss[chosen])]
        if known.size:
            return float(np.median(known))
    return float(np.median(table["rss_bytes"].to_numpy()[inside]))


def _probed(step: RunReader) -> tuple[int, int]:
    """From when to when the last phase of measuring went on, on the wall clock."""
    begin_ns, end_ns = 0, 2**63 - 1
    for event in step.events():
        wall_ns = event.get("wall_ns")
        if event.get("kind") != "phase" or not isinstance(wall_ns, int):
            continue
        if event.get("phase") == "measuring":
            begin_ns, end_ns = wall_ns, 2**63 - 1
        elif begin_ns and end_ns == 2**63 - 1:
            end_ns = wall_ns
    return begin_ns, end_ns

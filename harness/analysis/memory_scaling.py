"""Memory-size scaling: the summary of its bench directory, from the files alone.

Times are of the rows of each volume's step, issued one at a time: response time, and beside it
service time, which is the store's own. The degradation curve is fitted on service time: a round
trip through Ray takes a millisecond, which hides a curve of microseconds.

The fit goes by the median service time of each operation and volume, which is the figure that is
shown, drawn and judged. One point a volume would leave no way to tell a bend from noise, so the
fit is given `BLOCKS` of them: medians of parts of the operations, in the order in which they were
issued, moved together by one factor so that their geometric mean is the median of all.

Memory is that of the processes in which the store works (own memory, USS, where it was sampled,
else resident): of each process its median while retrieves and searches are probed, summed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.analysis.degradation import fit_degradation
from harness.analysis.latency import latency_figures
from harness.analysis.memory_verdicts import memory_verdicts
from harness.benchmarks.bench_directory import BenchReader, open_bench
from harness.rundir_reader import RunReader
from harness.schema import OPERATIONS, SCHEMA_VERSION, SUCCESSES

__all__ = ["BLOCKS", "PROBED", "memory_template", "memory_usage_bytes", "summarise_memory_scaling"]

PROBED = ("store", "retrieve", "search", "cross_tier")
BLOCKS = 5
_FEWEST_IN_BLOCK = 5
_TIERS = ("all", "stm", "im", "ltm")
# What a volume that was not measured has no names of.
_UNKNOWN_CHECKS = {
    "load": dict.fromkeys(("memories", "duration_s", "stored", "unstored", "failed")),
    "retrieved": dict.fromkeys(("count", "missing", "altered")),
    "searched": dict.fromkeys(("count", "short")),
}
_UNKNOWN_EXPONENT = {"exponent": dict.fromkeys(("estimate", "low", "high"))}

Times = npt.NDArray[np.int64]
Figures = dict[str, Any]


class _Rows:
    """Response and service times of one kind of operation, in the order of issue."""

    def __init__(self) -> None:
        self.response: list[Times] = []
        self.service: list[Times] = []
        self.failed = 0

    def times(self, name: str) -> Times:
        parts: list[Times] = getattr(self, name)
        return np.concatenate(parts) if parts else np.empty(0, np.int64)


def summarise_memory_scaling(path: Path) -> Figures:
    """Sum up a bench directory of ``bench memory``.

    Raises:
        RunDirectoryError: it is none, or cannot be read.
    """
    reader = open_bench(path)
    baseline: Figures = {"memory_usage_bytes": None, "disk_usage_bytes": None}
    volumes: dict[str, Figures] = {}
    points: dict[str, list[tuple[int, float]]] = {name: [] for name in PROBED}
    for name in reader.step_names():
        step = reader.step(name)
        found = step.run.get("volume")
        if not isinstance(found, Mapping) or step.run.get("status") != "complete":
            continue
        if not found.get("memories"):
            baseline = {
                "memory_usage_bytes": memory_usage_bytes(step),
                "disk_usage_bytes": found.get("disk_usage_bytes"),
            }
            continue
        rows = _read(step, found)
        used = memory_usage_bytes(step)
        volumes[str(found["memories"])] = _volume(used, found, rows, f"steps/{name}")
        for operation in PROBED:
            points[operation] += _points(found["memories"], rows[operation].times("service"))
    for figures in volumes.values():
        figures["memory_bytes_per_memory"] = _per_memory(figures, baseline)
    degradation = {name: _degradation(name, points[name], volumes) for name in PROBED}
    summary: Figures = {
        "schema_version": SCHEMA_VERSION,
        "bench": "memory",
        "target": _text(reader, "target"),
        "duration_s": _duration_s(reader),
        "baseline": baseline,
        "volumes": volumes,
        "degradation": degradation,
    }
    summary["verdicts"] = memory_verdicts(summary, reader.run.get("status"))
    return summary


def memory_template(volumes: Iterable[int]) -> Figures:
    """Give a summary with every path that one of these volumes has, and no figure."""
    figures = _volume(None, {}, _no_rows(), "") | {"memory_bytes_per_memory": None}
    unknown = {**fit_degradation([], []).summary(), "points": []} | _UNKNOWN_EXPONENT
    return {
        "duration_s": None,
        "baseline": {"memory_usage_bytes": None, "disk_usage_bytes": None},
        "volumes": {
            str(volume): figures | {"tiers": dict.fromkeys(_TIERS[1:])} | _UNKNOWN_CHECKS
            for volume in volumes
        },
        "degradation": dict.fromkeys(PROBED, unknown),
    }


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


def _read(step: RunReader, found: Mapping[str, Any]) -> dict[str, _Rows]:
    """The step's rows by what was probed; cross-tier searches also by tier (``cross_tier.im``)."""
    numbers = found.get("cross_tier")
    tiers = {number: tier for tier, number in numbers.items()} if numbers else {}
    rows = _no_rows()
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


def _no_rows() -> dict[str, _Rows]:
    return {name: _Rows() for name in (*PROBED, *(f"cross_tier.{tier}" for tier in _TIERS))}


def _add(rows: _Rows, response: Times, service: Times, failed: npt.NDArray[np.bool_]) -> None:
    rows.response.append(response)
    rows.service.append(service)
    rows.failed += int(failed.sum())


def _volume(
    used_bytes: int | None, found: Mapping[str, Any], rows: Mapping[str, _Rows], place: str
) -> Figures:
    load = found.get("load") or {}
    stored, duration_s = load.get("stored") or 0, load.get("duration_s") or 0.0
    audit = found.get("audit") or {}
    figures: Figures = {
        f"{name}_latency_ms": _latency(rows[name].times("response")) for name in PROBED
    }
    figures["service"] = {name: _latency(rows[name].times("service")) for name in PROBED}
    figures["cross_tier_by_tier"] = {
        tier: {
            "response": _latency(rows[f"cross_tier.{tier}"].times("response")),
            "service": _latency(rows[f"cross_tier.{tier}"].times("service")),
        }
        for tier in _TIERS
    }
    figures |= {
        "memory_usage_bytes": used_bytes,
        "disk_usage_bytes": found.get("disk_usage_bytes"),
        "load_rate_ops_s": stored / duration_s if stored and duration_s else None,
        "load": dict(load),
        "tiers": found.get("tiers"),
        "forced": found.get("forced") or [],
        "settled": (found.get("settle") or {}).get("settled"),
        "counted": found.get("counted"),
        "retrieved": found.get("retrieved"),
        "searched": found.get("searched"),
        "audit": {name: audit.get(name) for name in ("missing", "strangers")},
        "recall": {
            **{tier: (audit.get("recall") or {}).get(tier) for tier in _TIERS},
            "k": _k(found),
            "queries": audit.get("queries", 0),
        },
        "failed": sum(rows[name].failed for name in PROBED),
        "steps": [place],
    }
    return figures


def _k(found: Mapping[str, Any]) -> int | None:
    k = found.get("k")
    return k if isinstance(k, int) else None


def _latency(times_ns: Times) -> Figures:
    """Figures in milliseconds, by the names that this benchmark has for them."""
    figures = latency_figures(times_ns)
    names = {"avg": "mean_ms", "min": "min_ms", "max": "max_ms"}
    names |= {name: f"{name}_ms" for name in ("p50", "p90", "p95", "p99", "p999")}
    return {**{name: figures[key] for name, key in names.items()}, "count": figures["count"]}


def _per_memory(figures: Figures, baseline: Figures) -> float | None:
    used, empty = figures["memory_usage_bytes"], baseline["memory_usage_bytes"]
    volume = figures["load"].get("memories")
    if used is None or empty is None or not volume:
        return None
    return float(used - empty) / float(volume)


def _points(volume: int, service_ns: Times) -> Iterable[tuple[int, float]]:
    """Medians of parts, in milliseconds, whose geometric mean is the median of all."""
    count = min(BLOCKS, service_ns.size // _FEWEST_IN_BLOCK)
    if not count:
        return []
    parts = [float(np.median(part)) / 1e6 for part in np.array_split(service_ns, count)]
    whole = float(np.median(service_ns)) / 1e6
    if min(*parts, whole) <= 0:  # a time that has no logarithm: no fit goes by it
        return [(volume, whole)]
    scale = whole / float(np.exp(np.mean(np.log(parts))))
    return [(volume, part * scale) for part in parts]


def _degradation(
    name: str, points: list[tuple[int, float]], volumes: Mapping[str, Figures]
) -> Figures:
    memories = [volume for volume, _ in points]
    fitted = fit_degradation(memories, [time for _, time in points], operation=name)
    shown = [
        {
            "memories": int(volume),
            "service_p50_ms": figures["service"][name]["p50"],
            "response_p50_ms": figures[f"{name}_latency_ms"]["p50"],
        }
        for volume, figures in volumes.items()
    ]
    return {**fitted.summary(), "points": shown}


def _text(reader: BenchReader, name: str) -> str | None:
    plan = reader.run.get("plan")
    value = plan.get(name) if isinstance(plan, Mapping) else None
    return value if isinstance(value, str) else None


def _duration_s(reader: BenchReader) -> float | None:
    """How long its steps took, together; what lay between parts of a resumed one does not count."""
    total = 0.0
    for name in reader.step_names():
        walls = [event.get("wall_ns") for event in reader.step(name).events()]
        known = [wall for wall in walls if isinstance(wall, int)]
        if known:
            total += (max(known) - min(known)) / 1e9
    return total or None

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
from harness.analysis.memory_verdicts import memory_verdicts
from harness.analysis.probed_volume import (
    PROBED,
    TIERS_PROBED,
    ProbedRows,
    memory_usage_bytes,
    no_probes,
    probe_latency,
    read_probes,
)
from harness.benchmarks.bench_directory import BenchReader, open_bench
from harness.schema import SCHEMA_VERSION

__all__ = ["BLOCKS", "memory_template", "summarise_memory_scaling"]

BLOCKS = 5
_FEWEST_IN_BLOCK = 5
# What a volume that was not measured has no names of.
_UNKNOWN_CHECKS = {
    "load": dict.fromkeys(("memories", "duration_s", "stored", "unstored", "failed")),
    "retrieved": dict.fromkeys(("count", "missing", "altered")),
    "searched": dict.fromkeys(("count", "short")),
}
_UNKNOWN_EXPONENT = {"exponent": dict.fromkeys(("estimate", "low", "high"))}

Times = npt.NDArray[np.int64]
Figures = dict[str, Any]


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
        rows = read_probes(step, found)
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
    figures = _volume(None, {}, no_probes(), "") | {"memory_bytes_per_memory": None}
    unknown = {**fit_degradation([], []).summary(), "points": []} | _UNKNOWN_EXPONENT
    return {
        "duration_s": None,
        "baseline": {"memory_usage_bytes": None, "disk_usage_bytes": None},
        "volumes": {
            str(volume): figures | {"tiers": dict.fromkeys(TIERS_PROBED[1:])} | _UNKNOWN_CHECKS
            for volume in volumes
        },
        "degradation": dict.fromkeys(PROBED, unknown),
    }


def _volume(
    used_bytes: int | None, found: Mapping[str, Any], rows: Mapping[str, ProbedRows], place: str
) -> Figures:
    load = found.get("load") or {}
    stored, duration_s = load.get("stored") or 0, load.get("duration_s") or 0.0
    audit = found.get("audit") or {}
    figures: Figures = {
        f"{name}_latency_ms": probe_latency(rows[name].times("response")) for name in PROBED
    }
    figures["service"] = {name: probe_latency(rows[name].times("service")) for name in PROBED}
    figures["cross_tier_by_tier"] = {
        tier: {
            "response": probe_latency(rows[f"cross_tier.{tier}"].times("response")),
            "service": probe_latency(rows[f"cross_tier.{tier}"].times("service")),
        }
        for tier in TIERS_PROBED
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
            **{tier: (audit.get("recall") or {}).get(tier) for tier in TIERS_PROBED},
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

"""Bench directories as the benchmarks write them, of chosen figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from harness.analysis.degradation import fit_degradation
from harness.analysis.usl import fit_usl
from harness.analysis.usl_report import usl_sentence, usl_summary
from harness.benchmarks.bench_directory import BenchDirectory
from tests.report.made_runs import MIB, make_run

COUNTS = (1, 10, 50, 100, 500)
VOLUMES = (1_000, 10_000, 100_000, 1_000_000)
_QUANTILES = {"p50": 1.0, "p90": 1.8, "p95": 2.2, "p99": 4.0, "p999": 9.0}


def _times(scale: float, count: int = 10_000, suffix: str = "_ms") -> dict[str, Any]:
    mean = "mean" if suffix else "avg"
    figures = {mean: 1.2, "min": 0.3, "max": 20.0} | _QUANTILES
    return {"count": count} | {f"{name}{suffix}": one * scale for name, one in figures.items()}


def _groups(scale: float) -> dict[str, Any]:
    return {name: _times(scale) for name in ("all", "store", "retrieve", "search")}


def _throughput(agents: float) -> float:
    return 900 * agents / (1 + 0.004 * (agents - 1) + 1.5e-6 * agents * (agents - 1))


def _count(agents: int, noise: float) -> dict[str, Any]:
    ops_s = _throughput(agents) * noise
    return {
        "total_duration_seconds": 3.2,
        "avg_agent_duration_seconds": 1.1,
        "min_agent_duration_seconds": 0.9,
        "max_agent_duration_seconds": 1.4,
        "std_deviation_duration": 0.05,
        "95th_percentile_duration": 1.3,
        "throughput_agents_per_second": ops_s / 18,
        "operations_per_second": ops_s,
        "avg_cpu_percent": 120.0,
        "max_cpu_percent": 180.0,
        "avg_memory_bytes": 300 * MIB + agents * MIB,
        "max_memory_bytes": 320 * MIB + agents * MIB,
        "disk_read_bytes": 0,
        "disk_write_bytes": 40 * MIB,
        "network_received_bytes": 0,
        "network_sent_bytes": 0,
        "loopback_bytes": 9 * MIB,
        **_groups(0.4 + agents / 100),
        "queue": _groups(0.1 + agents / 400),
        "transport": _groups(0.2 + agents / 400),
        "service": _groups(0.1 + agents / 200),
    }


def agents_summary(words: str = "", repeats: int = 3) -> dict[str, Any]:
    random = np.random.default_rng(5)
    counts = {}
    agents, ops_s, points = [], [], []
    for size in COUNTS:
        noise = random.normal(1, 0.04, repeats)
        runs = [
            {"step": f"steps/agents-{size}-{place + 1}", "status": "complete", **_count(size, one)}
            for place, one in enumerate(noise.tolist())
        ]
        rates = [run["operations_per_second"] for run in runs]
        agents += [size] * repeats
        ops_s += rates
        ideal = size * _throughput(1)
        efficiency = float(np.median(rates)) / ideal
        counts[str(size)] = _count(size, float(np.median(noise))) | {
            "efficiency": efficiency,
            "limit": {"kind": "shard", "sentence": f"The shards' CPU limited the run{words}."},
            "steady": {"settled": True, "warmup_s": 0.2, "sentence": "It settled after 0.2 s."},
            "repeats": runs,
        }
        points.append(
            {
                "agents": size,
                "ops_s": {
                    "estimate": float(np.median(rates)),
                    "low": min(rates),
                    "high": max(rates),
                },
                "ideal_ops_s": ideal,
                "efficiency": efficiency,
            }
        )
    fit = fit_usl(agents, ops_s)
    assert fit is not None
    return {
        "bench": "agents",
        "counts": counts,
        "threads": {str(size): _count(size, 0.3 / (1 + size / 50)) for size in COUNTS[:3]},
        "scaling": {"points": points, "usl": usl_summary(fit), "sentence": usl_sentence(fit)},
        "verdicts": [{"name": "scaling", "verdict": "ok", "sentence": f"It scales{words}."}],
    }


def memory_summary(words: str = "") -> dict[str, Any]:
    volumes, degradation = {}, {}
    exponents = {"store": 0.04, "retrieve": 0.0, "search": 0.45, "cross_tier": 0.5}
    for size in VOLUMES:
        service = {
            name: _times(0.02 * (size / 1000) ** power, suffix="")
            for name, power in exponents.items()
        }
        volumes[str(size)] = {
            **{f"{name}_latency_ms": _times(1 + figures["p50"], suffix="")
               for name, figures in service.items()},
            "service": service,
            "memory_usage_bytes": 60 * MIB + size * 400,
            "disk_usage_bytes": 4 * MIB + size * 700,
            "memory_bytes_per_memory": 400.0,
            "load_rate_ops_s": 90_000.0,
            "tiers": {"stm": size // 2, "im": 3 * size // 10, "ltm": size // 5},
            "recall": {"all": 0.991, "stm": 1.0, "im": 0.987 if size > 1_000 else None,
                       "ltm": 0.979 if size > 10_000 else None, "k": 10, "queries": 1_000},
            "steps": [f"steps/volume-{size}"],
        }  # fmt: skip
    for name in exponents:
        service_ms = [volumes[str(size)]["service"][name]["p50"] for size in VOLUMES]
        found = fit_degradation(VOLUMES, service_ms)
        degradation[name] = {
            "exponent": found.exponent,
            "bend_at": found.bend_at,
            "points": [
                {"memories": size, "service_p50_ms": ms, "response_p50_ms": ms + 1}
                for size, ms in zip(VOLUMES, service_ms, strict=True)
            ],
            "fit": found.fit,
            "sentence": f"{name} grows{words}.",
        }
    return {
        "bench": "memory",
        "baseline": {"memory_usage_bytes": 60 * MIB, "disk_usage_bytes": 4 * MIB},
        "volumes": volumes,
        "degradation": degradation,
        "verdicts": [{"name": "recall", "verdict": "ok", "sentence": f"Recall is high{words}."}],
    }


TARGETS = ("memory_core", "chroma:server=true", "sqlite-vec")
TARGET_COUNTS = (1, 100, 500)
TARGET_VOLUMES = (1_000, 10_000)


def _ranking(values: dict[str, float], *, more: bool) -> dict[str, Any]:
    order = sorted(values, key=lambda one: values[one], reverse=more)
    best, second = values[order[0]], values[order[1]]
    times = best / second if more else second / best
    return {
        "order": [
            {
                "target": one,
                "value": values[one],
                "low": values[one] * 0.9,
                "high": values[one] * 1.1,
            }
            for one in order
        ],
        "lead": {"estimate": times, "low": times * 0.95, "high": times * 1.05},
        "beyond_spread": True,
    }


def targets_summary(words: str = "") -> dict[str, Any]:
    """A comparison of three targets, each half as fast as the one before."""
    targets, slower = {}, {}
    for place, name in enumerate(TARGETS):
        slower[f"{name}{words}"] = 2.0**place
        counts = {
            str(size): _count(size, 0.5**place)
            | {"limit": {"kind": "cpu", "sentence": f"The CPU limited it{words}."}, "repeats": []}
            for size in TARGET_COUNTS
        }
        volumes = {
            str(size): {
                **{f"{op}_latency_ms": _times(0.2 * 2**place, suffix="")
                   for op in ("store", "retrieve", "search")},
                "service": dict.fromkeys(("store", "retrieve", "search"), _times(0.1, suffix="")),
                "load_rate_ops_s": 50_000 / 2**place, "flush_s": 0.2, "recall": 0.99, "k": 10,
                "memory_usage_bytes": 90 * MIB, "memory_bytes_per_memory": 400.0 * 2**place,
                "disk_usage_bytes": 9 * MIB, "disk_bytes_per_memory": 700.0, "failed": 0,
                "cut": {"reached": 812} if place == 2 and size == 10_000 else None, "repeats": [],
            }
            for size in TARGET_VOLUMES
        }  # fmt: skip
        points = [
            {"name": "read_your_writes", "state": "passed", "sentence": "It does."},
            {"name": "unicode", "state": "failed" if place else "passed",
             "sentence": f"It lost an accent{words}."},
            {"name": "filter", "state": "not claimed", "sentence": ""},
        ]  # fmt: skip
        targets[f"{name}{words}"] = {
            "name": name, "version": f"1.{place}", "durability": f"Each batch is synced{words}.",
            "settings": {"mode": "wal", "threads": 2}, "capabilities": ["batch", "durable"],
            "in_process": place != 1, "stores": "one a cohort", "conformance": {"points": points},
            "empty": None, "counts": counts, "volumes": volumes,
        }  # fmt: skip
    return {
        "bench": "targets",
        "targets": targets,
        "left_out": [],
        "cuts": [],
        "comparison": {
            "throughput": {
                str(size): _ranking(
                    {name: _throughput(size) / by for name, by in slower.items()}, more=True
                )
                for size in TARGET_COUNTS
            },
            "volumes": {
                str(size): {
                    op: _ranking({name: 0.2 * by for name, by in slower.items()}, more=False)
                    for op in ("store", "retrieve", "search")
                }
                for size in TARGET_VOLUMES
            },
        },
        "verdicts": [{"name": "throughput", "verdict": "ok", "sentence": f"It leads{words}."}],
    }


def _leak(process: str, slope: float, verdict: str) -> dict[str, Any]:
    at_s = np.arange(0, 600, 2.0)
    held = (
        80 * MIB + (slope + 100.0) * at_s + np.random.default_rng(7).normal(0, 0.1 * MIB, at_s.size)
    )
    return {
        "process": process,
        "role": "shard",
        "number": 0,
        "node_id": "n",
        "slope_bytes_s": {"estimate": slope, "low": slope - 900, "high": slope + 900},
        "explained_bytes_s": 100.0,
        "warmup_s": 60.0,
        "verdict": verdict,
        "sentence": f"{process}: {verdict}.",
        "trend": [{"t_s": at, "bytes": size} for at, size in zip(at_s, held, strict=True)],
    }


def _utilization(rate: float) -> dict[str, Any]:
    return {
        "offered_rate_ops_per_second": rate,
        "actual_rate_ops_per_second": rate * 0.998,
        "avg_operation_time_ms": 1.4,
        "p95_operation_time_ms": 2.6 + rate / 1000,
        "operations_per_cpu_percent": 3.1,
        "operations_per_mb": 0.4,
        "operations_per_cpu_second": 310.0,
        "late_operations": 3,
        "dropped_operations": 0,
        "lag_p99_ms": 1.9,
    }


def resources_summary(words: str = "") -> dict[str, Any]:
    random = np.random.default_rng(11)
    series = [
        {
            "t_s": float(second),
            "ops_s": float(random.poisson(100)),
            "cpu_percent": {f"shard{words}": 12.0, "cohort": 5.0 + second % 3},
            "memory_bytes": {f"shard{words}": 90 * MIB, "cohort": 60 * MIB},
            "disk_write_bytes_s": 1e5,
            "network_bytes_s": 2e4,
            "p95_ms": 2.6,
        }
        for second in range(300)
    ]
    leaks = [_leak(f"shard 0{words}", 18_000.0, "leak"), _leak("cohort 0", 10.0, "no leak")]
    interval = {"estimate": 900.0, "low": 700.0, "high": 1_100.0}
    costs = {"cpu_us": 900.0, "memory_bytes": None, "disk_bytes": 690.0}
    costs |= {"intervals": dict.fromkeys(costs, interval)}
    return {
        "bench": "resources",
        "resources": _utilization(100.0) | {
            "time_series": series,
            "costs": dict.fromkeys(("store", "retrieve", "search"), costs),
            "leaks": leaks,
            "limit": {"kind": "schedule", "sentence": "The schedule limited the run."},
            "step": "steps/rate-100",
            "nearest": {
                "sentence": "Nearest to its limit is a shard, 12% used.",
                "uses": [{"resource": "the busiest shard", "used_ratio": 0.12}],
            },
        },
        "rates": {str(rate): _utilization(rate) for rate in (0.5, 10, 100)},
        "verdicts": [
            {"name": "leaks", "verdict": "failed", "sentence": f"shard 0 leaks{words}."},
        ],
    }  # fmt: skip


def make_bench(path: Path, kind: str, *, words: str = "", summary: bool = True) -> Path:
    """Make a bench directory of ``agents``, ``memory``, ``resources``, ``targets`` or ``all``."""
    directory = BenchDirectory.create(path, f"bench-{kind}")
    names = {"agents": "agents-500-1", "memory": "volume-1000", "resources": "rate-100"}
    names["targets"] = "memory_core.agents-500-1"
    if kind in names:
        step = directory.path / "steps" / names[kind]
        directory.describe(steps=[{"name": names[kind], "path": f"steps/{names[kind]}"}])
        make_run(step, rows=2_000, rate=1000.0 if kind == "resources" else None)
    directory.describe(
        plan={"agents": 500, "target": f"memory_core{words}", "seed": 1},
        bench={"counts": list(COUNTS), "repeats": 3},
        arguments=["bench", kind],
        hosts=[{"hostname": f"host{words}", "cpu_count": 2}],
    )
    if summary:
        made = {"agents": agents_summary, "memory": memory_summary, "resources": resources_summary}
        parts = [made[one](words) for one in made if kind in (one, "all")]
        if kind == "targets":
            parts = [targets_summary(words)]
        verdicts = [one for part in parts for one in part["verdicts"]]
        joined: dict[str, Any] = {}
        for part in parts:
            joined |= part
        directory.write_summary(joined | {"bench": kind, "verdicts": verdicts, "duration_s": 60.0})
        directory.update_status("complete")
    return path

"""The summary of ``bench resources``, from the files of its directory alone.

A step ``rate-<n>`` offers n operations a second, the steps ``cost-<operation>`` and ``cost-idle``
are for the cost of an operation (`harness.analysis.costs`). ``resources`` has the figures of the
one rate, or of the highest of a sweep, and ``rates`` those of each rate of a sweep.

Definitions
- late: issued more than `LATE_MS` after it was due. It was sent, and its response time counts
  from when it was due.
- dropped: not sent at all, because its turn came after its deadline; a timeout.
- ``actual_rate_ops_per_second``: operations that succeeded over the measured phase, which lasts
  until the last answer where that came after the time was up.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.analysis.costs import BlockUse, OperationCost, block_use, operation_cost
from harness.analysis.driven_store import driven_store
from harness.analysis.headroom import nearest_sentence, resource_uses
from harness.analysis.operation_times import OperationTimes, read_operation_times
from harness.analysis.process_leaks import run_leaks
from harness.analysis.process_series import NodeSeries, ProcessSeries, node_series, process_series
from harness.analysis.resource_verdicts import resource_verdicts
from harness.analysis.stalls import find_stalls
from harness.analysis.summary import summarise
from harness.analysis.timeline import series_by_node, time_series
from harness.benchmarks.bench_directory import BenchReader, open_bench
from harness.rundir_reader import RunReader
from harness.schema import OPERATIONS, SCHEMA_VERSION

__all__ = ["COST_STEP", "IDLE_STEP", "LATE_MS", "RATE_STEP", "summarise_resources"]

RATE_STEP = "rate-"
COST_STEP = "cost-"
IDLE_STEP = "cost-idle"
LATE_MS = 10.0
_MIB_TO_MB = 2**20 / 1e6

Figures = dict[str, Any]


def summarise_resources(path: Path) -> Figures:
    """Sum up a directory of ``bench resources``.

    Steps that are not there, because the benchmark was interrupted, are left out.

    Raises:
        RunDirectoryError: it is none, or cannot be read.
    """
    bench = open_bench(path)
    names = [name for name in bench.step_names() if name.startswith(RATE_STEP)]
    rates = {}
    for name in names:
        rates[name.removeprefix(RATE_STEP)] = _figures(bench.step(name))
    costs = _costs(bench)
    for figures in rates.values():
        figures["costs"] = costs
    summary: Figures = {"schema_version": SCHEMA_VERSION, "bench": "resources"}
    summaries = {name: _summary(bench.step(name)) for name in bench.step_names()}
    summary["duration_s"] = sum(one["duration_s"] for one in summaries.values())
    highest = max(rates, key=lambda rate: _offered(rates[rate]), default=None)
    summary["resources"] = rates[highest] if highest is not None else None
    if len(_asked(bench)) > 1:
        summary["rates"] = {rate: _without_series(one) for rate, one in rates.items()}
    summary["verdicts"] = resource_verdicts(rates, summaries, bench.run)
    return summary


def _asked(bench: BenchReader) -> list[object]:
    """The rates that the benchmark was to offer."""
    settings = bench.run.get("bench")
    rates = settings.get("rates") if isinstance(settings, Mapping) else None
    return rates if isinstance(rates, list) else []


def _offered(figures: Figures) -> float:
    return float(figures["offered_rate_ops_per_second"] or 0.0)


def _without_series(figures: Figures) -> Figures:
    return {name: value for name, value in figures.items() if name not in {"time_series", "nodes"}}


def _summary(reader: RunReader) -> Figures:
    found = reader.summary
    return summarise(reader) if found is None else found


def _figures(reader: RunReader) -> Figures:
    """The figures of one rate."""
    summary, times, processes, nodes = _read(reader)
    head: Figures = {"step": f"steps/{reader.path.name}", "status": reader.run.get("status")}
    return {
        **head,
        **_load_figures(summary, times),
        "stalls": find_stalls(
            times, reader.loadgen(), in_process=driven_store(reader.run).in_process
        ),
        "sampling_core_ratio": _sampling(reader.run),
        "leaks": run_leaks(reader),
        "time_series": time_series(times, processes, nodes),
        "nodes": series_by_node(times, processes, nodes),
    }


def _load_figures(summary: Figures, times: OperationTimes) -> Figures:
    """What was offered, what came of it, and what it took."""
    efficiency, schedule = summary["efficiency"], summary["schedule"]
    per_mib = efficiency["operations_per_mib"]
    uses = resource_uses(summary, times)
    return {
        "offered_rate_ops_per_second": schedule["offered_rate_ops_s"],
        "actual_rate_ops_per_second": _actual_rate(times),
        "operations": summary["operations"],
        "failed": summary["failed"],
        "avg_operation_time_ms": summary["all"]["mean_ms"],
        "p95_operation_time_ms": summary["all"]["p95_ms"],
        **{name: summary[name] for name in ("all", *OPERATIONS)},
        "operations_per_cpu_percent": efficiency["operations_per_cpu_percent"],
        "operations_per_mb": None if per_mib is None else per_mib / _MIB_TO_MB,
        "operations_per_cpu_second": efficiency["operations_per_cpu_second"],
        "cpu_us_per_operation": summary["cpu_us_per_operation"],
        "late_operations": int(np.count_nonzero(~times.dropped & (times.lag_ns > LATE_MS * 1e6))),
        "dropped_operations": int(np.count_nonzero(times.dropped)),
        **{name: schedule[name] for name in ("lag_p50_ms", "lag_p99_ms", "lag_max_ms")},
        "steady": summary.get("steady"),
        "limit": summary["limit"],
        "nearest": {
            "sentence": nearest_sentence(uses, schedule["offered_rate_ops_s"]),
            "uses": uses,
        },
    }


def _read(
    reader: RunReader,
) -> tuple[Figures, OperationTimes, list[ProcessSeries], list[NodeSeries]]:
    return (
        _summary(reader),
        read_operation_times(reader),
        process_series(reader.processes()),
        node_series(reader.nodes()),
    )


def _actual_rate(times: OperationTimes) -> float | None:
    if times.duration_s <= 0:
        return None
    return float(np.count_nonzero(times.succeeded)) / times.duration_s


def _sampling(run: Mapping[str, Any]) -> float | None:
    """What the dearest sampler took of a core, by the CPU time of its sampling thread."""
    samplers, plan = run.get("samplers"), run.get("plan")
    interval_s = plan.get("sample_interval_s") if isinstance(plan, Mapping) else None
    costs = [
        one["cpu_s"] / (one["samples"] * interval_s)
        for one in (samplers if isinstance(samplers, list) else [])
        if one.get("samples") and interval_s
    ]
    return max(costs, default=None)


def _costs(bench: BenchReader) -> dict[str, OperationCost] | None:
    """The cost of an operation of each type; None when no step was made for it."""
    names = bench.step_names()
    used = {name: _block_use(bench.step(name)) for name in names if name.startswith(COST_STEP)}
    if not used:
        return None
    idle = used.get(IDLE_STEP)
    return {name: operation_cost(used.get(f"{COST_STEP}{name}"), idle) for name in OPERATIONS}


def _block_use(reader: RunReader) -> BlockUse | None:
    _, times, processes, nodes = _read(reader)
    return block_use(times, processes, nodes, in_process=driven_store(reader.run).in_process)

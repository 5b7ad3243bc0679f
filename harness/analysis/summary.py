"""The summary of a run: every figure of ``summary.json``, from the files of its directory.

Invariants
- Only rows of the ``measure`` phase count, and every one of them does: a failed operation has a
  response time too, and ``all.count`` is ``operations``. But for those in flight at agents
  that were lost: nobody had their answer, so they are in ``operations`` and ``failed`` alone.
- Every summary of a schema version has the same paths to figures, whatever the run: what was
  not measured is None, so a threshold can be checked before anything runs.
- Plain Python numbers, None instead of NaN: it is JSON as it stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from harness.analysis.agents import agent_figures
from harness.analysis.audited import audit_figures, audit_verdicts
from harness.analysis.backups import backup_figures, backup_verdicts
from harness.analysis.driven_store import DrivenStore, driven_store
from harness.analysis.latency import latency_figures
from harness.analysis.limits import Utilisation, what_limited
from harness.analysis.losses import (
    agents_lost,
    kept_agents,
    losses_of,
    withheld_limit,
    withheld_steady,
)
from harness.analysis.recovery import FaultRows
from harness.analysis.resources import NODE, cpu_seconds_together, resource_figures
from harness.analysis.rows import COLUMNS, TIMES, MeasuredRows, read_measured
from harness.analysis.steady import run_steady
from harness.analysis.validity import Validity, validity
from harness.analysis.verdicts import VERDICTS, verdicts
from harness.rundir_reader import RunReader
from harness.schema import OPERATIONS, OUTCOMES, ROLES, SCHEMA_VERSION, SUCCESSES

__all__ = ["Summary", "summarise", "summarise_rows"]

Summary = dict[str, Any]

_MIB = 2**20


def summarise(reader: RunReader) -> Summary:
    """Sum up a run directory; a run without a single row gives zeros and None.

    Holds about 50 bytes an operation while it works.
    """
    open_loop = _plan(reader.run).get("rate") is not None
    events = reader.events()
    faults = FaultRows(events, reader.run)
    rows = read_measured(
        faults.watch(reader.operation_batches(COLUMNS)),
        with_lag=open_loop,
        in_flight=reader.in_flight_batches(COLUMNS),
    )
    samples = (reader.nodes(), reader.processes(), reader.loadgen())
    return summarise_rows(
        rows,
        *samples,
        run=reader.run,
        events=events,
        faults=faults.figures(),
        damaged_files=reader.damaged_files,
    )


def summarise_rows(
    rows: MeasuredRows,
    nodes: pa.Table,
    processes: pa.Table,
    loadgen: pa.Table,
    *,
    run: Mapping[str, Any],
    events: Sequence[Mapping[str, Any]] = (),
    faults: Sequence[Mapping[str, Any]] = (),
    damaged_files: int = 0,
) -> Summary:
    """Sum up what was read of a run; `summarise` reads it."""
    plan = _plan(run)
    open_loop = plan.get("rate") is not None
    losses = losses_of(run)
    times = _times(rows)
    resources = resource_figures(nodes, processes, rows.window)
    believed = validity(loadgen, rows.cohort_windows, open_loop=open_loop)
    summary = _counts(rows) | times.pop("response") | times
    summary["batch_ops"] = _batch_figures(rows)
    summary["attempts_max"] = rows.attempts_max
    summary["agents"] = agent_figures(rows.spans, kept_agents(rows.spans, losses))
    summary["agents"]["lost"] = agents_lost(losses)
    summary["losses"] = losses
    summary["resources"] = resources
    summary["cpu_us_per_operation"] = _cpu_per_operation(rows.operations, resources)
    summary["efficiency"] = _efficiency(summary, resources)
    summary["schedule"] = _schedule(rows, plan.get("rate"), believed)
    used = _utilisation(rows, summary, plan, driven_store(run))
    limit = withheld_limit() if losses else what_limited(used)
    summary["limit"] = {"kind": limit.kind, "sentence": limit.sentence}
    summary["steady"] = withheld_steady() if losses else run_steady(rows)
    summary["faults"] = list(faults)
    summary["audit"] = audit_figures(run)
    summary["verdicts"] = verdicts(
        believed,
        limit,
        summary["outcomes"],
        steady=summary["steady"],
        status=run.get("status"),
        damaged_files=damaged_files,
        losses=losses,
        agents=_count(run.get("agents")),
    )
    summary["backups"] = backup_figures(events)
    summary["verdicts"] += backup_verdicts(summary["backups"])
    summary["verdicts"] += audit_verdicts(summary["audit"])
    summary["verdicts"].sort(key=lambda one: VERDICTS.index(one["verdict"]))
    return summary


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _plan(run: Mapping[str, Any]) -> Mapping[str, Any]:
    """The plan of a run; none for a run that was killed before it was written."""
    plan = run.get("plan")
    return plan if isinstance(plan, Mapping) else {}


def _counts(rows: MeasuredRows) -> Summary:
    """What was done and how fast; throughput is of operations that succeeded."""
    outcomes = {name: rows.outcomes[name] for name in OUTCOMES}
    failed = sum(count for name, count in outcomes.items() if name not in SUCCESSES)
    duration_s = rows.elapsed.duration_s
    operations = rows.operations + rows.in_flight
    succeeded = operations - failed
    return {
        "schema_version": SCHEMA_VERSION,
        "operations": operations,
        "failed": failed,
        "outcomes": outcomes,
        "duration_s": duration_s,
        "throughput_ops_s": succeeded / duration_s if duration_s else 0.0,
    }


def _times(rows: MeasuredRows) -> dict[str, dict[str, Any]]:
    """Figures of each time of `TIMES`, over all operations and by operation."""
    masks = [rows.column("op") == code for code in range(len(OPERATIONS))]
    figures = {}
    for name in TIMES:
        values = rows.column(name)  # one column in memory at a time
        figures[name] = {"all": latency_figures(values)} | {
            operation: latency_figures(values[mask])
            for operation, mask in zip(OPERATIONS, masks, strict=True)
        }
    return figures


def _batch_figures(rows: MeasuredRows) -> dict[str, float | None]:
    """The size of the batch that an operation travelled in, as operations see it."""
    sizes = rows.column("batch_ops")
    if not sizes.size:
        return {"mean": None, "p50": None, "max": None}
    return {
        "mean": float(sizes.mean()),
        "p50": float(np.median(sizes.astype(np.float64))),
        "max": int(sizes.max()),
    }


def _cpu_per_operation(operations: int, resources: Mapping[str, Any]) -> dict[str, float | None]:
    """CPU time in microseconds for each operation, by role; None where it was not measured."""
    figures: dict[str, float | None] = {}
    for role in ROLES:
        used_s = resources[role]["cpu_seconds"]
        known = used_s is not None and operations > 0
        figures[role] = used_s / operations * 1e6 if known else None
    return figures


def _efficiency(summary: Summary, resources: Mapping[str, Any]) -> dict[str, float | None]:
    """What the run got for its CPU and memory, of all its processes together.

    ``operations_per_cpu_second``: operations for a second of CPU. ``operations_per_cpu_percent``:
    operations a second for each percent of one core. ``operations_per_mib``: operations for
    each MiB held at most, of the processes' own memory (USS) where sampled, else resident.
    The first two are None where the CPU of one of them was not measured.
    """
    roles = [resources[role] for role in ROLES]
    cpu_s = cpu_seconds_together(resources) or 0.0
    held = sum(role["uss_bytes_max"] or role["rss_bytes_max"] or 0.0 for role in roles)
    operations, duration_s = summary["operations"], summary["duration_s"]
    percent = 100 * cpu_s / duration_s if duration_s else 0.0
    return {
        "operations_per_cpu_second": operations / cpu_s if cpu_s else None,
        "operations_per_cpu_percent": operations / duration_s / percent if percent else None,
        "operations_per_mib": operations / (held / _MIB) if held else None,
    }


def _schedule(
    rows: MeasuredRows, offered_rate_ops_s: float | None, believed: Validity
) -> dict[str, Any]:
    """How the schedule was kept; all but the timer lag is None in the closed loop.

    ``lag`` is how much later than due an operation was issued, for whatever reason: the agent
    may have been waiting for its operation before. ``timer_lag`` is the load generator's own.
    """
    figures: dict[str, Any] = {
        "offered_rate_ops_s": offered_rate_ops_s,
        "achieved_rate_ops_s": None,
        "lag_p50_ms": None,
        "lag_p99_ms": None,
        "lag_max_ms": None,
        "timer_lag_p99_ms": believed["timer_lag_p99_ms"],
        "timer_lag_samples": believed["timer_lag_samples"],
    }
    if offered_rate_ops_s is None or rows.window is None:
        return figures
    lag = latency_figures(rows.column("lag"))
    figures |= {f"lag_{name}": lag[name] for name in ("p50_ms", "p99_ms", "max_ms")}
    if rows.elapsed.duration_s > 0:
        figures["achieved_rate_ops_s"] = rows.operations / rows.elapsed.duration_s
    return figures


def _utilisation(
    rows: MeasuredRows, summary: Summary, plan: Mapping[str, Any], store: DrivenStore
) -> Utilisation:
    resources, duration_s = summary["resources"], summary["duration_s"]
    cores_by_role = {}
    # without all of them, what is left of a machine is not "everything else"'s
    if duration_s and cpu_seconds_together(resources) is not None:
        cores_by_role = {
            role: resources[role]["cpu_seconds"] / duration_s
            for role in ROLES
            if resources[role]["cpu_seconds"] is not None
        }
    node = resources[NODE]
    means_ms = {
        name: (summary[name]["all"] if name != "response" else summary["all"])["mean_ms"] or 0.0
        for name in ("response", "queue", "transport", "service")
    }
    agents_s = (summary["agents"]["duration_avg_s"] or 0.0) * summary["agents"]["count"]
    at_work_s = means_ms["response"] / 1e3 * rows.operations
    busy_s = max(rows.shard_busy_s.values(), default=0.0) / _calls_at_once(rows, store)
    return Utilisation(
        operations=rows.operations,
        achieved_rate_ops_s=rows.operations / duration_s if duration_s else 0.0,
        offered_rate_ops_s=plan.get("rate"),
        cohorts=resources["cohort"]["processes"],
        cohort_cores=_hundredth(resources["cohort"]["process_cpu_percent_avg"]),
        shards=resources["shard"]["processes"],
        shard_cores=_hundredth(resources["shard"]["process_cpu_percent_max"]),
        cores_by_role=cores_by_role,
        machine_busy_ratio=_hundredth(node["cpu_percent_busiest"]),
        cpu_count=node["cpu_count"],
        machines=max(node["nodes"], 1),
        think_time_s=plan.get("think_time_s") or 0.0,
        thinking_ratio=max(0.0, 1 - at_work_s / agents_s) if agents_s else 0.0,
        shard_taken_up_ratio=min(1.0, busy_s / duration_s) if duration_s else 0.0,
        response_ms=means_ms["response"],
        queue_ms=means_ms["queue"],
        transport_ms=means_ms["transport"],
        service_ms=means_ms["service"],
        refused_ratio=summary["outcomes"]["overloaded"] / max(rows.operations, 1),
        memory_limit_bytes=plan.get("memory_limit_bytes"),
        memory_left_ratio=_memory_left_ratio(node),
        fsync=plan.get("durability") == "fsync" and store.is_ours,
        in_process=store.in_process,
        other_server=store.is_other_server,
    )


def _calls_at_once(rows: MeasuredRows, store: DrivenStore) -> int:
    """How many calls may be under way at once of what rows have as one shard."""
    if store.is_ours and not store.in_process:
        return 1
    return store.calls_at_once * max(len(rows.cohort_windows), 1)


def _memory_left_ratio(node: Mapping[str, Any]) -> float | None:
    """What was free at the least, of a machine's memory; None of several, or where not sampled."""
    left, used = node["memory_available_bytes_min"], node["memory_used_bytes_max"]
    if node["nodes"] != 1 or not left or used is None:
        return None
    return float(left / (left + used))


def _hundredth(percent: float | None) -> float | None:
    return None if percent is None else percent / 100

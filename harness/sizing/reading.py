"""Evidence of run directories and bench directories.

A run is refused, in one sentence, where its figures would mislead: it is not complete or INVALID,
it drove another store than ours through shards, faults were injected, operations failed, or CPU
was not sampled.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from harness.benchmarks.bench_directory import BenchReader
from harness.errors import RunDirectoryError, UsageError
from harness.rundir_reader import RunReader, open_run
from harness.schema import OPERATIONS, PHASES
from harness.sizing.batches import BatchRows, batches_of, thinned
from harness.sizing.evidence import Evidence, MemoryEvidence, RunEvidence, read_kept

__all__ = ["read_evidence"]

_OPTION = "--from"
_BATCHES_KEPT = 1_000
_FAILED_RATIO_MAX = 0.01
_Invalid = msgspec.ValidationError
_COLUMNS = (
    *("phase", "cohort", "shard", "op", "started_ns", "queue_ns", "transport_ns", "service_ns"),
    *("batch_ops", "attempts"),
)


def read_evidence(places: Sequence[Path]) -> Evidence:
    """Read run directories, bench directories and files of kept evidence.

    Raises:
        UsageError: one of them misleads, or is of another kind.
        RunDirectoryError: one is missing or damaged.
    """
    runs: list[RunEvidence] = []
    memories: list[MemoryEvidence] = []
    for place in places:
        if place.is_file():
            kept = read_kept(place)
            runs += kept.runs
            memories += kept.memories
            continue
        with _foreign_documents(place):
            reader = open_run(place)
            if reader.run.get("command") == "bench-memory":
                memories.append(_memory_evidence(reader))
            elif "steps" in reader.run:
                runs += _steps(reader)
            else:
                runs.append(_run_evidence(reader))
            # what was made here was not checked as what is decoded is
            found = Evidence(runs=runs, memories=memories)
            msgspec.convert(msgspec.to_builtins(found), Evidence)
    return Evidence(runs=runs, memories=memories)


@contextlib.contextmanager
def _foreign_documents(place: Path) -> Iterator[None]:
    """Say of documents that are not as a run writes them that they are not."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, _Invalid):
        raise RunDirectoryError(
            f"{place} has a run.json or summary.json that is not as this release writes them"
        ) from None


def _steps(reader: RunReader) -> list[RunEvidence]:
    if reader.run.get("command") != "bench-agents":
        raise UsageError(
            _OPTION,
            f"{reader.path} is of {reader.run.get('command')}; give runs, or directories of "
            "bench agents and bench memory",
        )
    bench = BenchReader(reader)
    # the same agents as threads of one process are no cluster
    names = [name for name in bench.step_names() if name.startswith("agents-")]
    return [_run_evidence(bench.step(name)) for name in names]


def _run_evidence(reader: RunReader) -> RunEvidence:
    summary = reader.summary
    plan = reader.run.get("plan")
    if summary is None or not isinstance(plan, Mapping):
        raise _refusal(reader, "never came to a summary")
    _check(reader, plan, summary)
    resources = summary["resources"]
    topology = reader.run.get("topology") or {}
    cpu_s = {role: resources[role]["cpu_seconds"] for role in ("shard", "cohort")}
    if not cpu_s["shard"] or not cpu_s["cohort"]:
        raise _refusal(reader, "has no CPU time of shards and cohorts; it was too short")
    batches = batches_of(_files(reader))
    if not batches.count:
        raise _refusal(reader, "has no rows of operations")
    node, duration_s = resources["node"], summary["duration_s"]
    share = sum(map(sum, batches.operations.values())) / summary["operations"]
    return RunEvidence(
        name=reader.path.name,
        agents=summary["agents"]["count"],
        shards=resources["shard"]["processes"],
        cohorts=len(topology.get("cohorts") or []) or resources["cohort"]["processes"],
        think_time_s=float(plan.get("think_time_s") or 0.0),
        open_loop=plan.get("rate") is not None,
        duration_s=duration_s,
        operations={name: summary[name]["count"] for name in OPERATIONS},
        throughput_ops_s=summary["throughput_ops_s"],
        response_ms={name: summary["all"][f"{name}_ms"] for name in ("p50", "p90", "p95", "p99")},
        batches_sent=round(batches.count / share),
        batches=thinned(batches, _BATCHES_KEPT),
        shard_cpu_s=cpu_s["shard"],
        cohort_cpu_s=cpu_s["cohort"],
        wire_bytes=_wire_bytes(node),
        cores=node["cpu_count"] or 1,
        foreign_cores=_foreign_cores(resources, duration_s),
    )


def _check(reader: RunReader, plan: Mapping[str, Any], summary: Mapping[str, Any]) -> None:
    """Refuse a run whose figures would mislead."""
    status = reader.run.get("status")
    if status == "invalid":
        raise _refusal(reader, "is INVALID: its load generator did not keep the schedule")
    if status != "complete":
        raise _refusal(reader, f"is {status}, not complete")
    if plan.get("target") != "memory_core":
        raise _refusal(reader, f"drove {plan.get('target')}; only memory_core has shards to size")
    if plan.get("pipelining") is False:
        raise _refusal(reader, "had --pipelining off, which no cluster should have")
    if plan.get("faults"):
        raise _refusal(reader, "had faults injected, which no usual hour has")
    if summary.get("losses"):
        raise _refusal(reader, "lost agents on its way")
    if not summary["operations"]:
        raise _refusal(reader, "has no measured operations")
    if summary["failed"] > _FAILED_RATIO_MAX * summary["operations"]:
        raise _refusal(reader, f"had {summary['failed']:,} failed operations")


def _refusal(reader: RunReader, reason: str) -> UsageError:
    return UsageError(_OPTION, f"{reader.path} {reason}; leave it out, or measure it again")


def _files(reader: RunReader) -> Iterator[BatchRows]:
    """Each file's measured rows that reached a shard at the first attempt."""
    for _, table in reader.operation_batches(_COLUMNS):
        columns: dict[str, Any] = {}
        for name in _COLUMNS:
            column = table[name].combine_chunks()
            codes = column.indices if name in {"phase", "op"} else column
            columns[name] = codes.to_numpy(zero_copy_only=False).astype(np.int64)
        kept = columns.pop("phase") == PHASES.index("measure")
        kept &= columns["shard"] >= 0
        kept &= columns.pop("attempts") == 1
        yield {name: values[kept] for name, values in columns.items()}


def _wire_bytes(node: Mapping[str, Any]) -> float | None:
    """What crossed any interface once: received from the network, and over the loopback."""
    parts = [node["loopback_bytes"], node["network_received_bytes"]]
    known = [part for part in parts if part is not None]
    return float(sum(known)) if known and sum(known) > 0 else None


def _foreign_cores(resources: Mapping[str, Any], duration_s: float) -> float | None:
    node = resources["node"]
    if not duration_s or node["cpu_percent_avg"] is None or not node["cpu_count"]:
        return None
    ours_s = sum(
        figures["cpu_seconds"] or 0.0
        for role, figures in resources.items()
        if role != "node" and isinstance(figures, Mapping)
    )
    used = node["cpu_percent_avg"] / 100 * node["cpu_count"]
    return float(max(0.0, used - ours_s / duration_s))


def _memory_evidence(reader: RunReader) -> MemoryEvidence:
    summary = reader.summary
    if summary is None or reader.run.get("status") != "complete":
        raise _refusal(reader, "is not complete")
    if summary.get("target") != "memory_core":
        raise _refusal(reader, f"drove {summary.get('target')}; only memory_core has shards")
    bench = BenchReader(reader)
    base = summary["baseline"]
    found = sorted((int(name), one) for name, one in summary["volumes"].items())
    shards = bench.step(bench.step_names()[0]).run.get("topology", {}).get("target", {})
    plan = reader.run.get("plan") or {}
    return MemoryEvidence(
        name=reader.path.name,
        agents=int(plan.get("agents") or 1),
        shards=len(shards.get("shards") or []) or 1,
        volumes=[volume for volume, _ in found],
        memory_bytes=[
            max(0.0, one["memory_usage_bytes"] - base["memory_usage_bytes"]) for _, one in found
        ],
        disk_bytes=[
            max(0.0, one["disk_usage_bytes"] - base["disk_usage_bytes"]) for _, one in found
        ],
        exponents={
            name: (exponent["estimate"], exponent["low"], exponent["high"])
            for name, exponent in _exponents(summary).items()
        },
    )


def _exponents(summary: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    trends = summary.get("degradation") or {}
    named = {name: (trends.get(name) or {}).get("exponent") for name in OPERATIONS}
    return {name: one for name, one in named.items() if one and one["estimate"] is not None}

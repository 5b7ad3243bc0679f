"""Evidence that follows laws that are given, so that what is fitted to it is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.schema import OPERATIONS
from harness.sizing.batches import Batches
from harness.sizing.evidence import Evidence, MemoryEvidence, RunEvidence
from harness.sizing.reading import read_evidence

RECORDED = Path(__file__).parents[1] / "data" / "evidence.json"
WITH_PAUSES = RECORDED.with_name("evidence-with-pauses.json")
# Microseconds of a batch, and of each operation in it.
SERVICE_US = {"store": (900, 20), "retrieve": (30, 4), "search": (40, 16)}
PASSAGE_US = (1_400, 15)
SHARD_CPU_S = (600e-6, 12e-6)
COHORT_CPU_S = (400e-6, 8e-6)
WIRE_BYTES = (800.0, 340.0)


def recorded() -> Evidence:
    """What was measured once with 10, 25, 50, 100 and 500 agents; tests/data/README.md has how."""
    return read_evidence([RECORDED])


def recorded_with_pauses() -> Evidence:
    """Four runs of 10 to 100 agents, one with a rate, and one in which agents pause."""
    return read_evidence([WITH_PAUSES])


def made_run(agents: int, **changes: Any) -> RunEvidence:
    """A run of two shards whose batches are of half of the agents, each of one type."""
    size, batches = agents // 2, 1_800
    kinds = [name for name, many in zip(OPERATIONS, (10, 5, 3), strict=True) for _ in range(many)]
    sent = [kinds[at % len(kinds)] for at in range(batches)]
    operations = batches * size
    fields: dict[str, Any] = {
        "name": f"agents-{agents}",
        "agents": agents,
        "shards": 2,
        "cohorts": 1,
        "think_time_s": 0.0,
        "open_loop": False,
        "duration_s": 3.0,
        "operations": {name: size * sent.count(name) for name in OPERATIONS},
        "throughput_ops_s": operations / 3.0,
        "response_ms": {"p50": 3.0, "p90": 4.0, "p95": 5.0, "p99": 6.0},
        "batches_sent": batches,
        "batches": Batches(
            operations={name: [size if one == name else 0 for one in sent] for name in OPERATIONS},
            service_us=[SERVICE_US[one][0] + SERVICE_US[one][1] * size for one in sent],
            passage_us=[PASSAGE_US[0] + PASSAGE_US[1] * size] * batches,
        ),
        "shard_cpu_s": SHARD_CPU_S[0] * batches + SHARD_CPU_S[1] * operations,
        "cohort_cpu_s": COHORT_CPU_S[0] * batches + COHORT_CPU_S[1] * operations,
        "wire_bytes": WIRE_BYTES[0] * batches + WIRE_BYTES[1] * operations,
        "cores": 4,
        "foreign_cores": 0.1,
    }
    return RunEvidence(**(fields | changes))


def made_memories(**changes: Any) -> MemoryEvidence:
    """Volumes of 2,000 bytes a memory, 300 on disk, searched in the square root of their number."""
    fields: dict[str, Any] = {
        "name": "memory",
        "agents": 10,
        "shards": 2,
        "volumes": [10_000, 100_000],
        "memory_bytes": [25e6, 200e6],
        "disk_bytes": [3e6, 30e6],
        "exponents": {"store": (-0.1, None, None), "search": (0.5, 0.4, 0.6)},
    }
    return MemoryEvidence(**(fields | changes))

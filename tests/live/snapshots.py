"""Snapshots of runs that never were, for what shows runs."""

from __future__ import annotations

import numpy as np

from harness.live.counts import Counts, OperationCounts
from harness.live.progress import NodeFigures, Progress, RoleFigures
from harness.recorder import bucket_of_ns

__all__ = ["HOSTILE", "counted", "node", "snapshot"]

# What the formats of metrics have to escape, and what is merely strange.
HOSTILE = 'a"b\\c\\n\nd}e{f=g, # HELP x\r\t<script>é\u202e漢\U0001f41d'


def counted(response_us: list[float], *, failed: int = 0, operation: str = "search") -> Counts:
    """What operations with these response times came to, a tenth of each in each part."""
    response_ns = np.array([time_us * 1e3 for time_us in response_us]).astype(np.int64)
    buckets, numbers = np.unique(bucket_of_ns(response_ns), return_counts=True)
    total_ns = int(response_ns.sum())
    counts = OperationCounts(
        outcomes={"ok": len(response_us) - failed, "timeout": failed},
        response_ns=total_ns,
        queue_ns=total_ns // 10,
        transport_ns=total_ns // 5,
        shard_wait_ns=total_ns // 10,
        service_ns=total_ns // 2,
        latencies=dict(zip(buckets.tolist(), numbers.tolist(), strict=True)),
    )
    return {("measure", operation): counts}


def node(node_id: str = "n1", host: str = "alpha") -> NodeFigures:
    """A node with a shard and agents."""
    return NodeFigures(
        node_id=node_id,
        host=host,
        wall_ns=1,
        cpu_percent=75.0,
        cpu_count=4,
        memory_used_bytes=2**30,
        memory_available_bytes=2**31,
        disk_read_bytes=1_000,
        disk_write_bytes=2_000,
        net_received_bytes=3_000,
        net_sent_bytes=4_000,
        roles={
            "shard": RoleFigures(processes=2, cpu_percent=150.0, rss_bytes=2**28),
            "cohort": RoleFigures(processes=1, cpu_percent=50.0, rss_bytes=2**27),
        },
    )


def snapshot(counts: Counts, **more: object) -> Progress:
    """A run in the middle."""
    fields: dict[str, object] = {
        "elapsed_s": 12.5,
        "phase": "measuring",
        "agents_total": 10,
        "agents_started": 7,
        "agents_done": 3,
        "operations_total": 5_000,
        "ops_per_s": 250.0,
        "p50_ms": 1.5,
        "p99_ms": 30.0,
        "retries": 2,
        "in_flight": 4,
        "eta_s": 8.0,
        "counts": counts,
        "nodes": [node()],
    }
    return Progress(**{**fields, **more})

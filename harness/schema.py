"""The columns of every file in a run directory: the contract between a run and its readers.

Readers (analysis, reports, comparisons) import names and schemas from here and open files
through `harness.rundir`; they never see a live object. A change that a reader could notice
raises `SCHEMA_VERSION`.

Clocks: ``*_ns`` columns of operation rows count from the cohort's own start on its monotonic
clock. The file's metadata (`OPS_METADATA_KEYS`) says when that was on the wall clock, so rows
of several cohorts fall on one time line as ``start_wall_ns + scheduled_ns``.
"""

from __future__ import annotations

import pyarrow as pa

__all__ = [
    "AGENTS_SCHEMA",
    "LOADGEN_SCHEMA",
    "NODES_SCHEMA",
    "OPERATIONS",
    "OPS_METADATA_KEYS",
    "OPS_SCHEMA",
    "OUTCOMES",
    "PHASES",
    "PROCESSES_SCHEMA",
    "ROLES",
    "SCHEMA_VERSION",
    "SUCCESSES",
]

SCHEMA_VERSION = 1

OPERATIONS = ("store", "retrieve", "search")
PHASES = ("warmup", "measure")
OUTCOMES = ("ok", "not_found", "bad_input", "overloaded", "unavailable", "timeout", "error")
SUCCESSES = frozenset({"ok", "not_found"})
ROLES = ("shard", "cohort", "sampler", "control", "driver", "raylet", "gcs")

_VERSION_METADATA = {"schema_version": str(SCHEMA_VERSION)}
_LABEL = pa.dictionary(pa.int8(), pa.string())

# One row an operation. Response time is finished_ns - scheduled_ns, and
# queue_ns + transport_ns + service_ns == finished_ns - started_ns in every row.
OPS_SCHEMA = pa.schema(
    [
        ("phase", _LABEL),
        ("cohort", pa.int32()),
        ("agent", pa.int32()),
        ("op", _LABEL),
        ("shard", pa.int16()),
        ("scheduled_ns", pa.int64()),
        ("started_ns", pa.int64()),
        ("finished_ns", pa.int64()),
        ("queue_ns", pa.int64()),
        ("transport_ns", pa.int64()),
        ("service_ns", pa.int64()),
        ("shard_wait_ns", pa.int64()),
        ("batch_ops", pa.int32()),
        ("attempts", pa.int16()),
        ("outcome", _LABEL),
    ],
    metadata=_VERSION_METADATA,
)
OPS_METADATA_KEYS = ("cohort", "node_id", "start_wall_ns", "start_monotonic_ns", "schema_version")

# One row a node every 200 ms. Byte and packet counters count from the machine's start; the
# loopback interface has columns of its own, for what processes of one machine say to each other.
NODES_SCHEMA = pa.schema(
    [
        ("node_id", pa.string()),
        ("wall_ns", pa.int64()),
        ("monotonic_ns", pa.int64()),
        ("cpu_percent", pa.float32()),
        ("memory_used_bytes", pa.int64()),
        ("memory_available_bytes", pa.int64()),
        ("disk_read_bytes", pa.int64()),
        ("disk_write_bytes", pa.int64()),
        ("network_received_bytes", pa.int64()),
        ("network_sent_bytes", pa.int64()),
        ("loopback_bytes", pa.int64()),
        ("load_average_1m", pa.float32()),
        ("cpu_count", pa.int16()),
    ],
    metadata=_VERSION_METADATA,
)

# One row a process every 200 ms. cpu_percent is of one core (250.0 is two and a half cores);
# cpu_seconds counts from the process's start; uss_bytes is null but every 2 s.
PROCESSES_SCHEMA = pa.schema(
    [
        ("node_id", pa.string()),
        ("wall_ns", pa.int64()),
        ("monotonic_ns", pa.int64()),
        ("pid", pa.int32()),
        ("role", pa.string()),
        ("number", pa.int32()),
        ("cpu_percent", pa.float32()),
        ("cpu_seconds", pa.float64()),
        ("rss_bytes", pa.int64()),
        ("uss_bytes", pa.int64()),
        ("threads", pa.int32()),
        ("open_files", pa.int32()),
    ],
    metadata=_VERSION_METADATA,
)

# The load generator's watch on itself: one row each time a cohort's event loop woke from a
# fixed sleep, with how much later than asked (timer lag) that was. Files: loadgen/*.parquet.
LOADGEN_SCHEMA = pa.schema(
    [
        ("cohort", pa.int32()),
        ("at_ns", pa.int64()),
        ("lag_ns", pa.int64()),
    ],
    metadata=_VERSION_METADATA,
)

AGENTS_SCHEMA = pa.schema(
    [("agent", pa.int32()), ("agent_id", pa.string()), ("cohort", pa.int32())],
    metadata=_VERSION_METADATA,
)

"""Run directories made of chosen rows and samples, written by the writers that a run has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from harness.analysis.summary import summarise
from harness.plan import RunPlan
from harness.rundir import RunDirectory
from harness.rundir_reader import open_run
from harness.schema import NODES_SCHEMA, OPERATIONS, PROCESSES_SCHEMA
from harness.sinks import LoadgenWriter, LocalSink, OpsWriter
from harness.streams import StreamWriter

WALL_NS = 1_795_000_000_000_000_000
SECOND_NS = 1_000_000_000
MIB = 2**20

# What a file may say to whoever shows it: markup, the end of a script, an escape of JSON, a
# character that ends a text in C, and one that turns the direction of what follows.
HOSTILE = "</script><img src=x onerror=alert(1)>\"'&\x00\u202egnp\u2028"
SHOWN = "</script><img src=x onerror=alert(1)>\"'&\ufffd\ufffdgnp\ufffd"


def operation_columns(rows: int, seed: int = 1, span_s: float = 4.0) -> dict[str, Any]:
    """Rows over a span of time, the first tenth of them warm-up; times are log-normal."""
    random = np.random.default_rng(seed)
    scheduled = np.sort(random.integers(0, int(span_s * SECOND_NS), rows))
    parts = {
        name: (random.lognormal(0, 0.5, rows) * scale).astype(np.int64)
        for name, scale in (("queue_ns", 2e5), ("transport_ns", 2e6), ("service_ns", 1e6))
    }
    total = parts["queue_ns"] + parts["transport_ns"] + parts["service_ns"]
    return {
        "phase": (np.arange(rows) >= rows // 10).astype(np.int8),
        "agent": random.integers(0, 8, rows),
        "op": random.choice(len(OPERATIONS), rows, p=[0.5, 0.3, 0.2]).astype(np.int8),
        "shard": random.integers(0, 2, rows),
        "scheduled_ns": scheduled,
        "started_ns": scheduled,
        "finished_ns": scheduled + total,
        **parts,
        "shard_wait_ns": parts["transport_ns"] // 10,
        "batch_ops": np.full(rows, 4),
        "attempts": np.ones(rows, np.int64),
        "outcome": np.zeros(rows, np.int8),
    }


def make_run(
    path: Path,
    *,
    rows: int = 4_000,
    span_s: float = 4.0,
    words: str = "agent",
    status: Any = "complete",
    summary: bool = True,
    nodes: int = 1,
    files: int = 2,
    **plan: Any,
) -> Path:
    """Make a run directory in which every text that is not ours has `words` in it."""
    directory = RunDirectory.create(path, "run")
    sink = LocalSink(path)
    if rows:
        for cohort in range(files):
            writer = OpsWriter(sink, cohort, "node-0", WALL_NS, 0)
            writer.write(operation_columns(rows // files, seed=cohort + 1, span_s=span_s))
            _write_lag(sink, cohort, span_s)
    for node in range(nodes):
        name = f"node-{node}" if nodes > 1 or words == "agent" else f"{words}"
        _write_samples(sink, node, name, words, span_s)
    directory.write_agents(
        {
            "agent": list(range(8)),
            "agent_id": [f"{words}_{number}" for number in range(8)],
            "cohort": [0] * 8,
        }
    )
    _append_events(directory, words, span_s)
    directory.write_run(
        {
            "status": status,
            "plan": RunPlan(agents=8, **plan).as_dict(),
            "arguments": ["run", "--agents", "8", "--target", words, "--out", "somewhere"],
            "versions": {"harness": "0.1.0", words: words},
            "commit": {"commit": "abc", "modified": True},
            "hosts": [{"hostname": words, "cpu_model": words, "cpu_count": 2}],
            "topology": {"nodes": [{"node_id": "node-0", "address": words, "cpus": 2.0}]},
            "problems": [f"state {words} was refused"] if words != "agent" else [],
            "seed": 1,
        }
    )
    if summary:
        directory.write_summary(summarise(open_run(path)))
    return path


def _write_lag(sink: LocalSink, cohort: int, span_s: float) -> None:
    at_ns = np.arange(0, int(span_s * SECOND_NS), 10_000_000)
    LoadgenWriter(sink, cohort, "node-0", WALL_NS, 0).write(
        {"at_ns": at_ns, "lag_ns": np.full(at_ns.size, 1_000_000)}
    )


def _write_samples(sink: LocalSink, node: int, name: str, words: str, span_s: float) -> None:
    nodes = StreamWriter(sink, f"resources/nodes-{node}.arrows", NODES_SCHEMA)
    processes = StreamWriter(sink, f"resources/processes-{node}.arrows", PROCESSES_SCHEMA)
    roles = ["shard", "cohort", *([words] if words != "agent" else [])]
    for tick in range(int((span_s + 1) * 5)):
        at_ns = WALL_NS + tick * SECOND_NS // 5 - SECOND_NS // 2
        moved = [tick * MIB] * 5
        nodes.add((name, at_ns, tick, 50.0 + tick % 7, 4 * MIB, 8 * MIB, *moved, 1.0, 2))
        for number, role in enumerate(roles):
            uss = (50 + tick + number) * MIB if tick % 10 == 0 else None
            cpu, rss = 40.0 + (tick + number) % 9, (100 + tick) * MIB
            row = (name, at_ns, tick, 100 + number, role, 0, cpu, tick * 0.08, rss, uss, 4, 9)
            processes.add(row)
    for stream in (nodes, processes):
        stream.flush()
        stream.end()


def _append_events(directory: RunDirectory, words: str, span_s: float) -> None:
    """Phases, and an event of another kind, at moments of the rows' own time."""
    moments = [(-0.4, "phase", "starting"), (0.0, "phase", "warm-up"), (0.4, "phase", "measuring")]
    events = [
        {"schema_version": 1, "wall_ns": WALL_NS + int(at_s * 1e9), "kind": kind, "phase": phase}
        for at_s, kind, phase in moments
    ]
    last = {"wall_ns": WALL_NS + int(span_s / 2 * 1e9), "kind": "retries", "total": 3, "of": words}
    events.append({"schema_version": 1, **last})
    lines = [msgspec.json.encode(event) + b"\n" for event in events]
    (directory.path / "events.jsonl").write_bytes(b"".join(lines))

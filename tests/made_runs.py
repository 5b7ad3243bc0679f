"""Run and bench directories made from drawn times, and the golden ones unpacked."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harness.analysis import summarise
from harness.benchmarks.bench_directory import BenchDirectory
from harness.rundir import RunDirectory
from harness.rundir_reader import open_run
from harness.schema import OPERATIONS, OPS_SCHEMA, OUTCOMES, PHASES, PROCESSES_SCHEMA

GOLDEN = Path(__file__).parent / "data" / "golden"
GOLDEN_NAMES = sorted(
    file.name.removesuffix(".tar.gz").split("-", 2)[2] for file in GOLDEN.glob("schema-1-*.tar.gz")
)
WALL_NS = 1_700_000_000_000_000_000
DURATION_S = 20.0
PLAN: dict[str, Any] = {"agents": 4, "rounds": 20, "seed": 1, "durability": "fsync", "rate": None}
HOST = {"hostname": "one", "cpu_model": "A", "cpu_count_usable": 2, "memory_bytes": 2**30}


def golden_run(name: str, folder: Path, schema: int = 1) -> Path:
    """Unpack a golden directory into a folder; its path."""
    with tarfile.open(GOLDEN / f"schema-{schema}-{name}.tar.gz") as archive:
        for member in archive:  # plain files, since not every Python 3.11 has extraction filters
            content = archive.extractfile(member)
            assert content is not None, member.name
            place = folder.joinpath(*Path(member.name).parts)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content.read())
    return folder / name


def made_run(
    path: Path,
    *,
    seed: int = 1,
    slower: float = 1.0,
    operations: int = 3000,
    failed: int = 0,
    shard_cpu_ratio: float = 0.5,
    status: str = "complete",
    summed_up: bool = True,
    **described: Any,
) -> Path:
    """A run of 20 s whose times are drawn, `slower` times as long as they would be otherwise."""
    directory = RunDirectory.create(path, "run")
    described = {"plan": PLAN, "hosts": [HOST], "versions": {"harness": "0.1.0"}} | described
    directory.write_run({"commit": {"commit": "a" * 40, "modified": False}} | described)
    pq.write_table(
        _rows(seed, slower, operations, failed), path / "ops/cohort-00000-000000.parquet"
    )
    _write_processes(path / "resources/processes-n.arrows", shard_cpu_ratio)
    directory.update_status(status)  # type: ignore[arg-type]
    if summed_up:
        directory.write_summary(summarise(open_run(path)))
    return path


def _rows(seed: int, slower: float, operations: int, failed: int) -> pa.Table:
    random = np.random.default_rng(seed)
    scheduled = np.sort(random.uniform(0, DURATION_S * 1e9, operations)).astype(np.int64)
    service = (random.lognormal(13, 0.3, operations) * slower).astype(np.int64)
    transport = (random.lognormal(14, 0.3, operations) * slower).astype(np.int64)
    nothing = np.zeros(operations, np.int64)
    outcome = np.where(np.arange(operations) < failed, OUTCOMES.index("error"), 0)
    labels = {
        "phase": (np.full(operations, PHASES.index("measure")), PHASES),
        "op": (random.integers(0, 3, operations), OPERATIONS),
        "outcome": (outcome, OUTCOMES),
    }
    columns = {
        "agent": np.arange(operations) % 4,
        "scheduled_ns": scheduled,
        "started_ns": scheduled,
        "finished_ns": scheduled + service + transport,
        "transport_ns": transport,
        "service_ns": service,
        "batch_ops": nothing + 1,
        "attempts": nothing + 1,
    }
    arrays = []
    for field in OPS_SCHEMA:
        if field.name in labels:
            codes, names = labels[field.name]
            arrays.append(pa.DictionaryArray.from_arrays(pa.array(codes, pa.int8()), list(names)))
        else:
            arrays.append(pa.array(columns.get(field.name, nothing)).cast(field.type))
    metadata = {"cohort": "0", "node_id": "n", "start_wall_ns": str(WALL_NS)}
    metadata |= {"start_monotonic_ns": "0", "schema_version": "1"}
    return pa.table(arrays, schema=OPS_SCHEMA.with_metadata(metadata))


def _write_processes(path: Path, cpu_ratio: float) -> None:
    ticks = np.arange(-1, DURATION_S + 2, 0.2)
    rows = {
        "node_id": ["n"] * ticks.size,
        "wall_ns": (WALL_NS + ticks * 1e9).astype(np.int64),
        "role": ["shard"] * ticks.size,
        "cpu_seconds": (ticks + 1) * cpu_ratio,
        "rss_bytes": np.full(ticks.size, 2**28),
    }
    arrays = [
        pa.array(rows[field.name] if field.name in rows else np.zeros(ticks.size)).cast(field.type)
        for field in PROCESSES_SCHEMA
    ]
    table = pa.table(arrays, schema=PROCESSES_SCHEMA)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)


def made_agents_bench(
    path: Path,
    *,
    repeats: int = 3,
    slower: float = 1.0,
    seed: int = 1,
    counts: tuple[int, ...] = (1, 10),
) -> Path:
    """A benchmark of agents whose steps are made runs."""
    directory = BenchDirectory.create(path, "bench-agents")
    directory.describe(plan=PLAN, hosts=[HOST], bench={"counts": list(counts)})
    found: dict[str, Any] = {}
    for count in counts:
        entries = []
        for repeat in range(1, repeats + 1):
            name = f"agents-{count}-{repeat}"
            # the folder is the step's, and the rows are put into it
            step = directory.step(name).path
            for file in sorted(step.rglob("*"), reverse=True):
                file.rmdir() if file.is_dir() else file.unlink()
            made_run(step, seed=seed * 1000 + count * 10 + repeat, slower=slower)
            entries.append(
                {"step": f"steps/{name}", "operations_per_second": 500 / slower + repeat}
            )
        found[str(count)] = {"operations_per_second": 500 / slower + 2, "repeats": entries}
    directory.write_summary({"bench": "agents", "counts": found, "verdicts": []})
    directory.update_status("complete")
    return path


def made_bench(path: Path, command: str, summary: Mapping[str, Any]) -> Path:
    """A bench directory without steps."""
    directory = BenchDirectory.create(path, command)
    directory.write_summary({"bench": command.removeprefix("bench-"), **summary})
    directory.update_status("complete")
    return path


def rewrite(path: Path, **changes: Any) -> None:
    """Put other values into a JSON document."""
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | changes))

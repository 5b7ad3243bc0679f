"""A peer's figures through the harness against a bare script's of the same operations.

The peer is usearch, which is plain calls in one process: what a run of it shows beyond the script
is the harness's, and its adapter's, whose methods are called by themselves, too. The script
(`bench.bare_usearch`) has the operations of the same agents from the same seed in a file, and
carries them out in loops: all agents' first, all agents' second, and so on, each lot as one batch,
as they come to the target when agents wait for their answers. Making the operations, which it has
not to do, is taken off the harness's CPU.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from bench.child import in_child
from bench.errors import MeasurementError
from bench.figures import FigureSpec, Goal, Value, number, ratio
from bench.harness_runs import run_harness
from bench.sizes import Sizes
from harness.targets.adapters.usearch import UsearchStore
from harness.targets.base import Memory, Query
from harness.workload import (
    RETRIEVES,
    ROUND_OPERATIONS,
    SEARCH_K,
    SEARCHES,
    STATES,
    StandardAgent,
)
from memory_core import StateEncoder
from memory_core.operations import Retrieve, Search, Store

__all__ = [
    "adapter_in_child",
    "bare_figures",
    "batches_of",
    "peer_check",
    "peer_check_specs",
    "skipped_rows",
]

_PEER = "usearch"
# The most that the harness may add, by what it says of itself (`--only target-cost`).
_COST = Goal(most=15)
# As in the harness's own processes.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_SEED = 1
_DIMENSION = 64  # of a run, unless it says otherwise
_SCRIPT_S_MAX = 900.0
_SCRIPT = Path(__file__).with_name("bare_usearch.py")
_KINDS = {Store: "store", Retrieve: "retrieve", Search: "search"}
_Line = tuple[str, str, Value, Goal | None]
_SHARES = {"store": STATES, "retrieve": RETRIEVES, "search": SEARCHES}


def peer_check(sizes: Sizes, folder: Path) -> dict[str, float]:
    """Script, harness and script again, with one agent and with many."""
    one = _checked(1, sizes.peer_rounds_alone, folder)
    many = _checked(sizes.agents, sizes.peer_rounds, folder)
    return {f"one_{name}": value for name, value in one.items()} | {
        f"many_{name}": value for name, value in many.items()
    }


def _checked(agents: int, rounds: int, folder: Path) -> dict[str, float]:
    file = folder / "operations"
    begun_s = time.process_time()
    batches = list(batches_of(agents, rounds))
    making_us = 1e6 * (time.process_time() - begun_s) / (agents * rounds * ROUND_OPERATIONS)
    file.write_bytes(msgspec.msgpack.encode(batches))
    del batches
    before = bare_figures(file)
    arguments = ["--agents", f"{agents}", "--rounds", f"{rounds}", "--seed", f"{_SEED}"]
    run = run_harness([*arguments, "--agents-per-task", f"{agents}", "--target", _PEER], folder)
    adapter = in_child("peer_check.adapter_in_child", environment=_ONE_THREAD, file=str(file))
    after = bare_figures(file)
    file.unlink()
    bare = {name: (value + after[name]) / 2 for name, value in before.items()}
    found = {f"bare_{name}": value for name, value in bare.items()}
    found["adapter_us"] = adapter["cpu_us"] - bare["cpu_us"]
    found["ops_s"] = run.measured["throughput_ops_s"]
    if "cpu_us_cohort" in run.measured:  # the run was long enough for a sample
        found["own_us"] = run.measured["cpu_us_cohort"] - making_us - adapter["cpu_us"]
    if agents == 1:  # of many agents, it is a batch's
        service = {kind: 1e3 * run.summary["service"][kind]["p50_ms"] for kind in _SHARES}
        found["beyond_service_us"] = _of_a_round(service) - bare["service_us"]
    return found


def _of_a_round(by_kind: Mapping[str, float]) -> float:
    """The mean of a round's operations, of what one of each kind takes."""
    return sum(_SHARES[kind] * value for kind, value in by_kind.items()) / ROUND_OPERATIONS


def batches_of(agents: int, rounds: int) -> Iterator[tuple[str, list[tuple[str, str, bytes]]]]:
    """Each lot of operations, of one of each agent."""
    workloads = [StandardAgent(_SEED, number) for number in range(agents)]
    for turn in range(rounds):
        for lot in zip(*(workload.round(turn) for workload in workloads), strict=True):
            yield _KINDS[type(lot[0])], [_triple(operation) for operation in lot]


def _triple(operation: Any) -> tuple[str, str, bytes]:
    state_id = "" if type(operation) is Search else operation.state_id
    return operation.agent_id, state_id, getattr(operation, "payload", b"")


def bare_figures(file: Path) -> dict[str, float]:
    """What the script took: CPU and throughput over all, and an operation's median time.

    Raises:
        MeasurementError: it failed, or did not find what it stored.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(_SCRIPT), str(file)],
            check=True,
            capture_output=True,
            env=os.environ | _ONE_THREAD,
            timeout=_SCRIPT_S_MAX,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise MeasurementError(f"the bare script failed: {error.stderr or error}") from error
    told: dict[str, float] = json.loads(done.stdout)
    if not told["found"] or not told["hits"]:
        raise MeasurementError("the bare script did not find what it stored")
    return {
        "ops_s": told["operations"] / told["elapsed_s"],
        "cpu_us": 1e6 * told["cpu_s"] / told["operations"],
        "service_us": _of_a_round({kind: 1e6 * told[f"{kind}_p50_s"] for kind in _SHARES}),
    }


def skipped_rows() -> dict[str, str]:
    """Rows that cannot be measured here, and why in a sentence."""
    if importlib.util.find_spec(_PEER) is None:
        return {"peer-check": f"{_PEER} is not installed; the extra of that name brings it"}
    return {}


def adapter_in_child(file: str) -> dict[str, float]:
    """CPU an operation, in µs, of the same batches by calls of the adapter's methods."""
    batches = msgspec.msgpack.decode(Path(file).read_bytes())
    encode = StateEncoder(_DIMENSION).encode_packed
    encode([batches[0][1][0][2]])
    store: Any = UsearchStore(_DIMENSION)
    operations_done = 0
    begun_s = time.process_time()
    for kind, operations in batches:
        operations_done += len(operations)
        if kind == "retrieve":
            store.retrieve_many([(agent, state) for agent, state, _ in operations])
            continue
        vectors = encode([packed for _, _, packed in operations])
        pairs = zip(operations, vectors, strict=True)
        if kind == "store":
            store.store_many([Memory(*operation, vector) for operation, vector in pairs])
        else:
            store.search_many([Query(agent, vector, SEARCH_K) for (agent, _, _), vector in pairs])
    return {"cpu_us": 1e6 * (time.process_time() - begun_s) / operations_done}


def peer_check_specs(sizes: Sizes) -> list[FigureSpec]:
    """The lines of the table."""
    many, alone = f"{_PEER}, {sizes.agents:,} agents", f"{_PEER}, 1 agent"
    throughput = ratio(_of("many_ops_s"), _of("many_bare_ops_s"))
    found = [
        *_lines("many", many, _COST),
        (f"{many}: throughput against the script's", "times", throughput, None),
        *_lines("one", alone, None),
        (f"{alone}: median service beyond the script's", "µs", _of("one_beyond_service_us"), None),
        (f"{alone}: the script's median", "µs", _of("one_bare_service_us"), None),
    ]
    return [
        FigureSpec(row="peer-check", title=title, unit=unit, value=value, goal=goal)
        for title, unit, value, goal in found
    ]


def _lines(name: str, who: str, goal: Goal | None) -> Iterator[_Line]:
    yield f"{who}: CPU beyond a bare script's, the harness's", "µs", _of(f"{name}_own_us"), goal
    yield f"{who}: the same, its adapter's", "µs", _of(f"{name}_adapter_us"), None
    yield f"{who}: the script's CPU an operation", "µs", _of(f"{name}_bare_cpu_us"), None


def _of(name: str) -> Value:
    return number("peer-check", name)

"""Leak detection over a run: every process that was sampled, each with what it stored.

What a process stored is counted from the operation rows, warm-up's too: those memories are held as
well. A memory is expected to hold `held_bytes` of its shard; `harness.analysis.leaks` allows for
half of that and for half as much again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from harness.analysis.driven_store import DrivenStore, driven_store
from harness.analysis.leaks import LeakFinding, leak_verdict
from harness.analysis.losses import losses_of
from harness.analysis.own_memory import own_bytes
from harness.analysis.rows import Window
from harness.rundir_reader import FileMetadata, RunReader
from harness.schema import OPERATIONS, OUTCOMES, PHASES, ROLES, SUCCESSES

__all__ = ["ProcessLeak", "held_bytes", "process_leaks", "run_leaks"]

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]


class ProcessLeak(LeakFinding):
    """A finding, and whose it is; ``process`` is the name for people (``shard 0``)."""

    process: str
    role: str
    number: int
    node_id: str


_COLUMNS = ("phase", "cohort", "op", "shard", "started_ns", "finished_ns", "outcome")
_STORING = {False: "shard", True: "cohort"}
_ALONE = frozenset({"control", "driver", "raylet", "gcs", "sampler"})
_BIN_NS = 1_000_000_000
_BINS_MAX = 7 * 86_400

# A memory of our store: its row in tables and its key, its vector in a matrix that doubles and in
# a memtable, and its packed state where it is held, in a memtable and in the allocator's rounding.
# With 64 dimensions and states of 162 bytes that is 1,830 bytes; shards grew by 1,890 for each of
# 5,000 memories and by 1,880 for each of 75,000 (`harness run --agents 10 --rate 100 --duration
# 90`, `--agents 40 --rate 1500 --shards 1`; 2-core AMD EPYC virtual machine, 2026-11-23).
_ROW_BYTES = 750.0
_VECTOR_BYTES = 8.0
_STATE_COPIES = 3.5
_GENERATED_STATE_BYTES = 162.0
_RECORDED_STATE_BYTES = 600.0


def held_bytes(run: Mapping[str, Any]) -> float:
    """What a memory is expected to hold of our store's; 0 of a store that keeps nothing.

    Args:
        run: its ``run.json``.
    """
    if driven_store(run).holds == "nothing":
        return 0.0
    plan = run.get("plan")
    plan = plan if isinstance(plan, Mapping) else {}
    state_bytes = _RECORDED_STATE_BYTES if plan.get("trace") else _GENERATED_STATE_BYTES
    dimension = plan.get("dimension") or 64
    return _ROW_BYTES + _VECTOR_BYTES * dimension + _STATE_COPIES * state_bytes


def run_leaks(reader: RunReader) -> list[ProcessLeak]:
    """Judge every process of a run directory; reads its operation files once."""
    store = driven_store(reader.run)
    role = _STORING[store.in_process]
    stores, window = _stores(reader.operation_batches(_COLUMNS), by_cohort=store.in_process)
    found = process_leaks(
        reader.processes(),
        window,
        {(role, number): at_ns for number, at_ns in stores.items()},
        held_bytes(reader.run),
    )
    if store.holds == "unknown" and stores:
        found = [_not_known(one, store) if one["role"] == role else one for one in found]
    lost = {loss["cohort"] for loss in losses_of(reader.run)}
    return [_withheld(one) if _is_of(one, lost) else one for one in found]


def _is_of(one: ProcessLeak, cohorts: Collection[int]) -> bool:
    return one["role"] == "cohort" and one["number"] in cohorts


def _withheld(one: ProcessLeak) -> ProcessLeak:
    """The finding of a process that was lost: what it held at its end says nothing of a leak."""
    sentence = "Whether it leaks is not judged: it was lost before the end of the run."
    return {**one, "verdict": "too little data", "sentence": sentence}


def _not_known(one: ProcessLeak, store: DrivenStore) -> ProcessLeak:
    """The finding of a process that holds memories of another store than ours."""
    sentence = (
        f"Whether it leaks is not judged: memories were stored in it, and what each of them takes "
        f"of {store.name or 'this store'} is not known."
    )
    return {**one, "verdict": "too little data", "sentence": sentence}


def process_leaks(
    processes: pa.Table,
    window: Window | None,
    stores: Mapping[tuple[str, int], tuple[int, Times]],
    held_bytes_each: float,
) -> list[ProcessLeak]:
    """Judge every process that was sampled within a window.

    Args:
        processes: rows of `harness.schema.PROCESSES_SCHEMA`.
        window: the measured phase on the wall clock; None when nothing was measured.
        stores: by role and number of a process, the first second on the wall clock (in seconds)
            and how many memories it had stored by the end of that second and of each one after.
        held_bytes_each: what a memory is expected to hold.

    Returns:
        Leaks first, then in the order of `harness.schema.ROLES` and of numbers.
    """
    if window is None:
        return []
    rows = _arrays(processes, window)
    found = []
    for pid, node_id in sorted(
        set(zip(rows["pid"].tolist(), rows["node_id"].tolist(), strict=True))
    ):
        mine = (rows["pid"] == pid) & (rows["node_id"] == node_id)
        found.append(
            _judged({name: column[mine] for name, column in rows.items()}, stores, held_bytes_each)
        )
    return sorted(found, key=_order)


def _judged(
    rows: Mapping[str, npt.NDArray[Any]],
    stores: Mapping[tuple[str, int], tuple[int, Times]],
    held_bytes_each: float,
) -> ProcessLeak:
    order = np.argsort(rows["wall_ns"], kind="stable")
    wall_ns = rows["wall_ns"][order]
    times_s = (wall_ns - wall_ns[0]) / 1e9
    role, number = str(rows["role"][0]), int(rows["number"][0])
    stored = _held_at(wall_ns, stores.get((role, number)), held_bytes_each)
    own = own_bytes(times_s, rows["rss_bytes"][order], rows["uss_bytes"][order])
    finding = leak_verdict(times_s, own, stored_bytes=stored)
    return ProcessLeak(
        **finding,
        process=role if role in _ALONE else f"{role} {number}",
        role=role,
        number=number,
        node_id=str(rows["node_id"][0]),
    )


def _held_at(
    wall_ns: Times, stores: tuple[int, Times] | None, held_bytes_each: float
) -> Floats | None:
    if stores is None or not held_bytes_each:
        return None
    first_s, counts = stores
    ends_s = np.arange(counts.size + 1, dtype=np.float64)
    at_s = (wall_ns - first_s * _BIN_NS) / _BIN_NS
    held: Floats = held_bytes_each * np.interp(at_s, ends_s, np.concatenate([[0], counts]))
    return held


def _stores(
    batches: Iterable[tuple[FileMetadata, pa.Table]], *, by_cohort: bool
) -> tuple[dict[int, tuple[int, Times]], Window | None]:
    """Memories stored until each second by shard or cohort, and the measured phase."""
    counts: dict[int, Counter[int]] = {}
    window: Window | None = None
    for metadata, table in batches:
        window = _with_measured(window, table, metadata.start_wall_ns)
        stored = _is(table, "op", OPERATIONS, {"store"}) & _is(
            table, "outcome", OUTCOMES, SUCCESSES
        )
        owner = table["cohort" if by_cohort else "shard"].to_numpy()[stored]
        second = (metadata.start_wall_ns + table["finished_ns"].to_numpy()[stored]) // _BIN_NS
        for number in np.unique(owner).tolist():
            of_owner = counts.setdefault(number, Counter())
            at_s, times = np.unique(second[owner == number], return_counts=True)
            of_owner.update(dict(zip(at_s.tolist(), times.tolist(), strict=True)))
    return {number: _cumulative(by_second) for number, by_second in counts.items()}, window


def _cumulative(by_second: Mapping[int, int]) -> tuple[int, Times]:
    first, last = min(by_second), max(by_second)
    # A row with a bent time must not make a table of centuries.
    table = np.zeros(min(last - first, _BINS_MAX) + 1, np.int64)
    for second, count in by_second.items():
        table[min(second - first, table.size - 1)] += count
    return first, np.cumsum(table)


def _with_measured(window: Window | None, table: pa.Table, start_wall_ns: int) -> Window | None:
    measured = _is(table, "phase", PHASES, {"measure"})
    if not measured.any():
        return window
    own = Window(
        start_wall_ns + int(table["started_ns"].to_numpy()[measured].min()),
        start_wall_ns + int(table["finished_ns"].to_numpy()[measured].max()),
    )
    return own if window is None else window.joined(own)


def _is(
    table: pa.Table, name: str, labels: Sequence[str], wanted: Iterable[str]
) -> npt.NDArray[np.bool_]:
    chunks = [chunk.indices.to_numpy(zero_copy_only=False) for chunk in table[name].chunks]
    codes = np.concatenate([np.empty(0, np.int8), *chunks])
    return np.isin(codes, [labels.index(label) for label in wanted])


def _arrays(processes: pa.Table, window: Window) -> dict[str, npt.NDArray[Any]]:
    wall_ns = processes["wall_ns"].to_numpy()
    inside = (wall_ns >= window.begin_ns) & (wall_ns <= window.end_ns)
    columns: dict[str, npt.NDArray[Any]] = {}
    for name in ("wall_ns", "pid", "number", "role", "node_id", "rss_bytes", "uss_bytes"):
        values = processes[name].to_numpy()
        columns[name] = (values.astype(np.float64) if name.endswith("_bytes") else values)[inside]
    return columns


def _order(one: ProcessLeak) -> tuple[bool, int, int, str]:
    place = ROLES.index(one["role"]) if one["role"] in ROLES else len(ROLES)
    return one["verdict"] != "leak", place, one["number"], one["node_id"]

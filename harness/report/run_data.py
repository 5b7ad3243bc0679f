"""What a report needs of one run, read from its directory: figures, rows, samples, events.

The rows are read once, column-wise and file by file, as `harness.analysis.rows` reads them, with
two columns more: when each operation finished on the wall clock, and its phase. About 60 bytes an
operation are held. A summary that is missing or damaged is made anew from the same rows.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from harness.analysis.recovery import FaultRows
from harness.analysis.rows import COLUMNS, MeasuredRows, read_measured
from harness.analysis.summary import summarise_rows
from harness.errors import RunDirectoryError
from harness.report.fields import group, number
from harness.rundir_reader import FileMetadata, RunReader, open_run
from harness.schema import PHASES

__all__ = ["AgentTotals", "RunData", "read_run"]

Times = npt.NDArray[np.int64]
_MEASURE = PHASES.index("measure")


@dataclass(kw_only=True)
class AgentTotals:
    """Sums over the measured operations of each agent, by its number.

    Attributes:
        operations: how many.
        response_ns: their summed response times.
        longest_ns: the longest response time.
    """

    operations: Times = field(default_factory=lambda: np.zeros(0, np.int64))
    response_ns: Times = field(default_factory=lambda: np.zeros(0, np.int64))
    longest_ns: Times = field(default_factory=lambda: np.zeros(0, np.int64))

    def add(self, agent: npt.NDArray[np.int32], response_ns: Times) -> None:
        """Count operations in: whose each was, and how long it took."""
        known = agent >= 0
        agent, response_ns = agent[known], response_ns[known]
        if not agent.size:
            return
        order = np.argsort(agent, kind="stable")
        numbers, begins = np.unique(agent[order], return_index=True)
        if int(numbers[-1]) >= AGENTS_MAX:
            return
        self._grow(int(numbers[-1]) + 1)
        ordered = response_ns[order]
        self.operations[numbers] += np.diff(np.append(begins, agent.size))
        self.response_ns[numbers] += np.add.reduceat(ordered, begins)
        longest = np.maximum.reduceat(ordered, begins)
        self.longest_ns[numbers] = np.maximum(self.longest_ns[numbers], longest)

    def _grow(self, size: int) -> None:
        missing = size - self.operations.size
        if missing > 0:
            for name in ("operations", "response_ns", "longest_ns"):
                setattr(self, name, np.pad(getattr(self, name), (0, missing)))


# Beyond any run's number of agents; it bounds what a file's number can make this hold.
AGENTS_MAX = 10_000_000


@dataclass(kw_only=True)
class RunData:
    """One run, read.

    Attributes:
        path: its directory.
        run: ``run.json``.
        summary: ``summary.json``, or the same made anew.
        events: the lines of ``events.jsonl``.
        rows: the measured operations.
        finished_ns: ``(operations,)`` when each of `rows` finished, on the wall clock.
        warmup_finished_ns: the same of operations of the warm-up.
        agents: sums by agent.
        agent_ids: number and id of the agents.
        nodes, processes: the samples.
        damaged: names of files that could not be read whole.
    """

    path: Path
    run: Mapping[str, Any]
    summary: Mapping[str, Any]
    events: list[dict[str, Any]]
    rows: MeasuredRows
    finished_ns: Times
    warmup_finished_ns: Times
    agents: AgentTotals
    agent_ids: pa.Table
    nodes: pa.Table
    processes: pa.Table
    damaged: tuple[str, ...]

    @property
    def origin_ns(self) -> int | None:
        """The zero of the report's time axis: the first measured operation, or first sample."""
        if self.rows.window is not None:
            return self.rows.window.begin_ns
        for samples in (self.processes, self.nodes):
            if samples.num_rows:
                return int(samples["wall_ns"].to_numpy().min())
        return None

    @property
    def is_invalid(self) -> bool:
        """The run was judged INVALID: its times are withheld."""
        found = self.summary.get("verdicts")
        return self.run.get("status") == "invalid" or (
            isinstance(found, list)
            and any(isinstance(one, Mapping) and one.get("verdict") == "invalid" for one in found)
        )


def read_run(path: Path) -> RunData:
    """Read a run directory; one that was killed, or has damaged files, as far as it goes.

    Raises:
        RunDirectoryError: it is none that we can read.
    """
    reader = open_run(path)
    finished = _Finished()
    open_loop = number(group(reader.run, "plan"), "rate") is not None
    events = _events(reader)
    faults = FaultRows(events, reader.run)
    rows = read_measured(
        finished.watch(faults.watch(reader.operation_batches(COLUMNS))),
        with_lag=open_loop,
        in_flight=reader.in_flight_batches(COLUMNS),
    )
    nodes, processes = reader.nodes(), reader.processes()
    agent_ids = reader.agents()
    summary = _summary(reader)
    if summary is None:
        summary = summarise_rows(
            rows,
            nodes,
            processes,
            reader.loadgen(),
            run=_safe_run(reader.run),
            events=events,
            faults=faults.figures(),
            damaged_files=reader.damaged_files,
        )
    return RunData(
        path=path,
        run=reader.run,
        summary=summary,
        events=events,
        rows=rows,
        finished_ns=_joined(finished.measured),
        warmup_finished_ns=_joined(finished.warmup),
        agents=finished.agents,
        agent_ids=agent_ids,
        nodes=nodes,
        processes=processes,
        damaged=reader.damaged_file_names,
    )


class _Finished:
    """Notes of each file what `read_measured` does not keep, as it passes by."""

    def __init__(self) -> None:
        self.measured: list[Times] = []
        self.warmup: list[Times] = []
        self.agents = AgentTotals()

    def watch(
        self, batches: Iterable[tuple[FileMetadata, pa.Table]]
    ) -> Iterator[tuple[FileMetadata, pa.Table]]:
        for metadata, table in batches:
            finished_ns = table["finished_ns"].to_numpy() + metadata.start_wall_ns
            measured = _codes(table["phase"]) == _MEASURE
            self.measured.append(finished_ns[measured])
            self.warmup.append(finished_ns[~measured])
            response_ns = table["finished_ns"].to_numpy() - table["scheduled_ns"].to_numpy()
            self.agents.add(table["agent"].to_numpy()[measured], response_ns[measured])
            yield metadata, table


def _codes(column: pa.ChunkedArray) -> npt.NDArray[np.int8]:
    chunks = [chunk.indices.to_numpy(zero_copy_only=False) for chunk in column.chunks]
    return np.concatenate([np.empty(0, np.int8), *chunks])


def _joined(parts: list[Times]) -> Times:
    return np.concatenate([np.empty(0, np.int64), *parts])


def _events(reader: RunReader) -> list[dict[str, Any]]:
    try:
        return reader.events()
    except (RunDirectoryError, OSError):
        return []


def _summary(reader: RunReader) -> Mapping[str, Any] | None:
    """The summary as it was written; None where it is missing, damaged, or of no run."""
    try:
        summary = reader.summary
    except RunDirectoryError:
        return None
    if summary is None or number(summary, "operations") is None:
        return None
    return summary


def _safe_run(run: Mapping[str, Any]) -> dict[str, Any]:
    """The run with those fields of its plan that a summary computes with, if they are numbers."""
    plan = dict(group(run, "plan"))
    for name in ("rate", "think_time_s"):
        plan[name] = number(plan, name)
    status = run.get("status")
    safe: dict[str, Any] = {"plan": plan, "status": status if isinstance(status, str) else None}
    return safe | {name: run[name] for name in ("losses", "agents", "audit") if name in run}


def is_run(path: Path) -> bool:
    """Whether a directory has rows of its own, as a run has and a benchmark has not."""
    return os.path.isdir(path / "ops")  # noqa: PTH112 - Path.is_dir raises for some names

"""Rounds of agents: how long each agent took for each round, from operation rows.

An agent's measured operations, in the order in which it issued them, are its rounds one after
the other: the first 18 are round 0 of the standard workload, and so on. A round that was cut is
no round. Of round r that every agent has finished

    total    until its last agent would have ended, had all begun it at one moment
    avg, min, max, std, p95    of the agents' own durations of it

so that min <= avg, p95 <= max <= total. The agents of a round are all there are, not a sample of
more: its standard deviation and 95th percentile are the population's, of however few. A figure
of a run is its median over rounds, which keeps that order.

Agents do not wait for each other between rounds, so that one that is a little faster is ahead of
the others by more in each round. From the first begin to the last end would therefore measure how
long the run was: begins are laid on one moment instead, and the total is the longest duration.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from harness.rundir_reader import FileMetadata

__all__ = ["COLUMNS", "ROUND_FIGURES", "AgentRows", "Rounds", "find_rounds", "read_agent_rows"]

Times = npt.NDArray[np.int64]

# What `read_agent_rows` needs of an operations file.
COLUMNS = ("phase", "agent", "started_ns", "finished_ns")
ROUND_FIGURES = ("total_s", "avg_s", "min_s", "max_s", "std_s", "p95_s")


@dataclass(frozen=True, kw_only=True)
class AgentRows:
    """Measured operations: whose, and from when to when on the wall clock, ``(n,)`` each."""

    agent: npt.NDArray[np.int32]
    begin_ns: Times
    end_ns: Times


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """The rounds that every agent has finished.

    Attributes:
        begin_ns: ``(agents, rounds)``, on the wall clock.
        end_ns: ``(agents, rounds)``.
    """

    begin_ns: Times
    end_ns: Times

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.begin_ns.shape[1])

    def figures(self) -> dict[str, float | None]:
        """Give `ROUND_FIGURES` in seconds, medians over rounds; None when there is no round."""
        if not self.begin_ns.size:
            return dict.fromkeys(ROUND_FIGURES)
        durations_s = (self.end_ns - self.begin_ns) / 1e9
        by_round = (
            durations_s.max(axis=0),
            durations_s.mean(axis=0),
            durations_s.min(axis=0),
            durations_s.max(axis=0),
            durations_s.std(axis=0),
            np.quantile(durations_s, 0.95, axis=0),
        )
        medians = (float(np.median(values)) for values in by_round)
        return dict(zip(ROUND_FIGURES, medians, strict=True))


def read_agent_rows(batches: Iterable[tuple[FileMetadata, pa.Table]]) -> AgentRows:
    """Read operation files into memory, 20 bytes a row, leaving warm-up out.

    Args:
        batches: `harness.rundir_reader.RunReader.operation_batches` of `COLUMNS`.
    """
    agents: list[npt.NDArray[np.int32]] = [np.empty(0, np.int32)]
    begins: list[Times] = [np.empty(0, np.int64)]
    ends: list[Times] = [np.empty(0, np.int64)]
    for metadata, rows in batches:
        measured = rows.filter(pc.equal(rows["phase"].cast(pa.string()), "measure"))
        agents.append(measured["agent"].to_numpy())
        begins.append(measured["started_ns"].to_numpy() + metadata.start_wall_ns)
        ends.append(measured["finished_ns"].to_numpy() + metadata.start_wall_ns)
    return AgentRows(
        agent=np.concatenate(agents),
        begin_ns=np.concatenate(begins),
        end_ns=np.concatenate(ends),
    )


def find_rounds(rows: AgentRows, agents: int, operations: int) -> Rounds:
    """Find the rounds that all agents have finished.

    Args:
        rows: in any order.
        agents: of the run; when one of them has no row, no round was finished by all.
        operations: of one agent in one round.

    Raises:
        ValueError: a round has no operations.
    """
    if operations < 1:
        raise ValueError(f"operations: {operations} is less than 1")
    order = np.lexsort((rows.begin_ns, rows.agent))
    present, first, count = np.unique(rows.agent[order], return_index=True, return_counts=True)
    common = int((count // operations).min()) if present.size == max(agents, 1) else 0
    if common == 0:
        none = np.empty((0, 0), np.int64)
        return Rounds(begin_ns=none, end_ns=none)
    # by agent (down) and round (across): where its first operation is among the sorted rows
    begins = first[:, None] + operations * np.arange(common)[None, :]
    return Rounds(
        begin_ns=rows.begin_ns[order][begins],
        end_ns=rows.end_ns[order][begins + operations - 1],
    )

"""A recorded trace: the states that real agents were in, for a run's agents to replay.

`load_trace` reads and checks the whole file once, in the driver. The states stay packed, so a
trace costs about the size of its states in memory, and at most `MAX_TRACE_BYTES`. Cohorts run in
other processes, perhaps on other hosts: each gets a `ReplaySlice` of its own agents' states as
Arrow IPC bytes, and decodes a state when its agent comes to it.

A run numbers its agents from 0. With A agents in the trace, agent n replays the states of source
agent ``n % A``; while n < A under that agent's own id, and from there on as its copy number
``n // A``, under ``<id>#<copy>``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from harness.errors import UsageError
from harness.trace_columns import MAX_ID_BYTES, TraceRows, unpacked
from harness.trace_reader import bad_trace, read_rows

__all__ = ["MAX_TRACE_BYTES", "ReplaySlice", "Trace", "load_trace"]

MAX_TRACE_BYTES = 2 * 2**30
"""The most that the packed states of a trace may take in the driver's memory."""

_ROW_OVERHEAD_BYTES = 64  # of a row besides its state: offsets, id, order
_COPY = re.compile("[1-9][0-9]*")
_COPY_DIGITS = 19  # no run has a copy number of more
_SOURCES = "trace_agents"  # the slice's metadata: how many agents the trace has
_SLICE_SCHEMA = pa.schema(
    [
        ("source", pa.int64()),
        ("agent_id", pa.large_string()),
        ("state", pa.large_list(pa.large_binary())),
        ("state_id", pa.large_list(pa.large_string())),
    ]
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """The states of a trace's agents, in the order in which each agent was in them.

    Attributes:
        agent_ids: in order of first appearance in the file; no id twice.
        fingerprint: SHA-256 of the file, in hexadecimal.

    Immutable; safe to share between threads.
    """

    agent_ids: list[str] = field(repr=False)
    fingerprint: str
    _starts: npt.NDArray[np.int64] = field(repr=False)  # (agents + 1,): rows of agent i
    _states: pa.LargeBinaryArray = field(repr=False)
    _state_ids: pa.LargeStringArray = field(repr=False)

    @property
    def agents(self) -> int:
        """How many agents the trace has: at least 1."""
        return len(self.agent_ids)

    @property
    def states(self) -> int:
        """How many states the trace has, of all agents together: at least 1."""
        return len(self._states)

    def agent_id(self, number: int) -> str:
        """The id under which agent ``number`` (from 0) of a run replays."""
        source, copy = _source_of(number, self.agents)
        return _replay_id(self.agent_ids[source], copy)

    def check_agents(self, agents: int) -> None:
        """See to it that a run of ``agents`` agents gives each an id of its own that fits.

        Raises:
            UsageError: a copy would be called as another agent of the trace is, or have an id
                that is too long; names the most agents that can run.
        """
        numbers = {agent_id: number for number, agent_id in enumerate(self.agent_ids)}
        most = agents
        for number, agent_id in enumerate(self.agent_ids):
            base, mark, copy = agent_id.rpartition("#")
            if mark and base in numbers and _COPY.fullmatch(copy):
                most = min(most, numbers[base] + int(copy) * self.agents)
            digits = MAX_ID_BYTES - len(agent_id.encode()) - len("#")
            if digits < _COPY_DIGITS:
                most = min(most, number + 10 ** max(digits, 0) * self.agents)
        if most < agents:
            raise UsageError(
                "--agents",
                f"at most {most} with this trace, not {agents}: the next would replay under "
                "an id that another agent of the trace has or that is too long",
            )

    def slice_for(self, agent_numbers: Sequence[int]) -> bytes:
        """What a cohort of these agents of a run replays, for `ReplaySlice.from_bytes`.

        The states of a source agent are in it once, however many copies the cohort has.
        """
        sources = np.unique([_source_of(number, self.agents)[0] for number in agent_numbers])
        sources = sources.astype(np.int64)
        starts, ends = self._starts[sources], self._starts[sources + 1]
        spans = [np.arange(start, end) for start, end in zip(starts, ends, strict=True)]
        rows = pa.array(np.concatenate([np.empty(0, np.int64), *spans]))
        offsets = pa.array(np.concatenate([[0], np.cumsum(ends - starts)]).astype(np.int64))
        batch = pa.record_batch(
            [
                pa.array(sources),
                pa.array([self.agent_ids[source] for source in sources], pa.large_string()),
                pa.LargeListArray.from_arrays(offsets, self._states.take(rows)),
                pa.LargeListArray.from_arrays(offsets, self._state_ids.take(rows)),
            ],
            schema=_SLICE_SCHEMA.with_metadata({_SOURCES: str(self.agents)}),
        )
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


class ReplaySlice:
    """The part of a trace that one cohort replays. Immutable; safe to share between threads."""

    def __init__(self, batch: pa.RecordBatch, trace_agents: int) -> None:
        self._trace_agents = trace_agents
        self._places = {source: row for row, source in enumerate(batch.column(0).to_pylist())}
        self._agent_ids = batch.column(1)
        self._states = batch.column(2)
        self._state_ids = batch.column(3)

    @classmethod
    def from_bytes(cls, data: bytes) -> ReplaySlice:
        """What `Trace.slice_for` made. Nothing is decoded yet.

        Raises:
            ValueError: the bytes are something else, or damaged.
        """
        with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
            metadata = reader.schema.metadata or {}
            if not reader.schema.equals(_SLICE_SCHEMA) or _SOURCES.encode() not in metadata:
                raise ValueError("the bytes are no slice of a trace")
            trace_agents = int(metadata[_SOURCES.encode()])
            batch = reader.read_next_batch()
        batch.validate(full=True)
        return cls(batch, trace_agents)

    def agent_id(self, number: int) -> str:
        """The id under which agent ``number`` of the run replays. Raises KeyError."""
        place, copy = self._place_of(number)
        return _replay_id(self._agent_ids[place].as_py(), copy)

    def state_count(self, number: int) -> int:
        """How many states agent ``number`` of the run has. Raises KeyError."""
        return len(self._states[self._place_of(number)[0]])

    def iter_states(self, number: int) -> Iterator[tuple[str | None, dict[str, Any]]]:
        """The (state id or None, state) of agent ``number``, each decoded as it is asked for.

        Raises:
            KeyError: the agent is not in the slice.
        """
        place, _ = self._place_of(number)
        states, state_ids = self._states[place].values, self._state_ids[place].values
        return (
            (state_id.as_py(), unpacked(state.as_py()))
            for state_id, state in zip(state_ids, states, strict=True)
        )

    def states_of(self, number: int) -> list[tuple[str | None, dict[str, Any]]]:
        """All that `iter_states` gives. Raises KeyError."""
        return list(self.iter_states(number))

    def _place_of(self, number: int) -> tuple[int, int]:
        source, copy = _source_of(number, self._trace_agents)
        if source not in self._places:
            raise KeyError(f"agent {number} is not in this slice of the trace")
        return self._places[source], copy


def load_trace(path: Path) -> Trace:
    """Read a trace: Parquet, Arrow IPC (file or stream) or JSON Lines.

    Raises:
        UsageError: names ``--trace`` and what is wrong: the file, a column, or a row or line.
    """
    numbers: dict[str, int] = {}
    parts: list[TraceRows] = []
    agents: list[npt.NDArray[np.int64]] = []
    held_bytes = 0
    for rows in read_rows(path):
        parts.append(rows)
        agents.append(_agent_numbers(rows.agent_id, numbers))
        held_bytes += rows.state.nbytes + len(rows.state) * _ROW_OVERHEAD_BYTES
        if held_bytes > MAX_TRACE_BYTES:
            limit = MAX_TRACE_BYTES // 2**20
            raise bad_trace(path, f"takes over {limit:,} MiB; record fewer agents or steps")
    if not parts:
        raise bad_trace(path, "has no rows; record at least one state")
    agent = np.concatenate(agents)
    order = _replay_order(agent, [part.step for part in parts])
    return Trace(
        agent_ids=list(numbers),
        fingerprint=_fingerprint(path),
        _starts=np.concatenate([[0], np.cumsum(np.bincount(agent))]).astype(np.int64),
        _states=_in_order([part.state for part in parts], order),
        _state_ids=_in_order([part.state_id for part in parts], order),
    )


def _source_of(number: int, trace_agents: int) -> tuple[int, int]:
    if number < 0:
        raise KeyError(f"agents are numbered from 0, and {number} is less")
    copy, source = divmod(number, trace_agents)
    return source, copy


def _replay_id(agent_id: str, copy: int) -> str:
    return f"{agent_id}#{copy}" if copy else agent_id


def _agent_numbers(agent_id: pa.LargeStringArray, numbers: dict[str, int]) -> npt.NDArray[np.int64]:
    """(n,) the number of each row's agent; ids that are new get the next numbers."""
    encoded = agent_id.dictionary_encode()
    known = [numbers.setdefault(name, len(numbers)) for name in encoded.dictionary.to_pylist()]
    result: npt.NDArray[np.int64] = np.array(known, np.int64)[encoded.indices.to_numpy()]
    return result


def _replay_order(
    agent: npt.NDArray[np.int64], steps: Sequence[npt.NDArray[Any] | None]
) -> npt.NDArray[np.int64]:
    """(rows,) the rows by agent, then step, then as they stand in the file; lexsort is stable."""
    known = [step for step in steps if step is not None]
    return np.lexsort((np.concatenate(known), agent) if known else (agent,))


def _in_order(parts: Sequence[pa.Array], order: npt.NDArray[np.int64]) -> pa.Array:
    rows = pa.concat_arrays(parts)
    is_in_order = bool((order[1:] > order[:-1]).all())
    return rows if is_in_order else rows.take(pa.array(order))


def _fingerprint(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise bad_trace(path, f"cannot be read: {error.strerror}") from None

"""The audit: whether what a run was told is stored is there, as it was, and nothing else.

A run's rows do not name states: its seed does. An agent's k-th row of a store says what became of
the k-th state that its workload stores, so what was acknowledged follows from the rows and the
seed, also of agents that were lost with their host, as far as their rows were written. Each state
that was acknowledged is read back and compared byte for byte with the one that is made again.
Then the agent's memories are enumerated: none may be there twice, and none that it did not store.

A write that was not acknowledged may be there or not; if it is, it must be what was stored.

`Auditor` audits agents through a session; `harness.audit_run` audits all of a run.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from harness.answer_checks import EXAMPLES_MAX
from harness.rundir_reader import RunReader
from harness.schema import OPERATIONS, OUTCOMES, PHASES
from harness.workload import WorkloadAgent
from memory_core.client import Answer, shard_of
from memory_core.operations import Describe, Export, Operation, Retrieve, Store
from memory_core.results import Described, Exported, Failure, Missing, Record, Result

__all__ = ["AuditCounts", "AuditSession", "Auditor", "StoreOutcomes", "writes_of"]

Codes = npt.NDArray[np.int8]

_TOGETHER = 1_000
_PAGE = 1_000
# Writes that failed among those of a lost agent that left no row: what is looked for has its place
# among its next writes, as many as there are of it and so many more.
_AHEAD = 256
_ROUNDS_AHEAD = 10_000
_OK = OUTCOMES.index("ok")
_STORE = OPERATIONS.index("store")
_PHASE_STRIDE = 16
_UNREACHABLE = frozenset({"UnavailableError", "DeadlineError", "OverloadedError"})
_EXAMPLE_CHARACTERS_MAX = 200


class AuditCounts(msgspec.Struct):
    """What an audit found.

    Attributes:
        acknowledged: memories that were acknowledged: of several writes of one id, the last.
        verified: of these, read back byte for byte.
        missing: of these, not found.
        wrong: memories that are not as they were stored.
        doubled: memories that are there more than once.
        foreign: memories, or agents, that nobody of this run stored.
        unknown: writes that were not acknowledged, so that they may be there or not.
        unreachable: acknowledged memories that could not be asked for.
        examples: sentences of the first violations.
    """

    acknowledged: int = 0
    verified: int = 0
    missing: int = 0
    wrong: int = 0
    doubled: int = 0
    foreign: int = 0
    unknown: int = 0
    unreachable: int = 0
    examples: list[str] = []

    def violation(self, kind: str, sentence: str, times: int = 1) -> None:
        """Count ``missing``, ``wrong``, ``doubled`` or ``foreign``, with a sentence."""
        setattr(self, kind, getattr(self, kind) + times)
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(sentence[:_EXAMPLE_CHARACTERS_MAX])

    def add(self, other: AuditCounts) -> None:
        """Take another's counts in."""
        for name in self.__struct_fields__[:-1]:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.examples = [*self.examples, *other.examples][:EXAMPLES_MAX]


class AuditSession(Protocol):
    """What an audit asks a store through."""

    def submit(self, operation: Operation) -> Awaitable[Answer]:
        """See `harness.targets.driven.Session`."""

    async def call(self, operation: Operation) -> Result:
        """Put an operation that is of no agent to the whole store."""

    async def close(self) -> None:
        """Let go of the store."""


class StoreOutcomes:
    """What became of each agent's stores, in the order in which it issued them.

    Attributes:
        gaps: cohorts of which a file is missing or damaged: what came after it is not known.
    """

    def __init__(self, agents: npt.NDArray[np.int32], codes: Codes, gaps: set[int]) -> None:
        order = np.argsort(agents, kind="stable")
        self._agents, self._codes = agents[order], codes[order]
        self.gaps = gaps

    @classmethod
    def read(cls, reader: RunReader) -> StoreOutcomes:
        """Those of a run directory; 5 bytes a store are held."""
        agents, codes = [np.empty(0, np.int32)], [np.empty(0, np.int8)]
        expected: dict[int, int] = {}
        gaps: set[int] = set()
        for metadata, table in reader.operation_batches(("phase", "agent", "op", "outcome")):
            cohort = metadata.cohort
            place = expected.get(cohort, 0)
            # what was in flight at a lost cohort (``lost-...``) comes last
            if metadata.name.startswith("cohort-"):
                if not metadata.name.endswith(f"-{place:06d}.parquet"):
                    gaps.add(cohort)
                expected[cohort] = place + 1
            if cohort in gaps:
                continue
            stores = _codes(table, "op") == _STORE
            agents.append(table["agent"].to_numpy()[stores])
            packed = _PHASE_STRIDE * _codes(table, "phase") + _codes(table, "outcome")
            codes.append(packed[stores].astype(np.int8))
        return cls(np.concatenate(agents), np.concatenate(codes), gaps)

    def of(self, agent: int) -> Codes:
        """Of one agent: 16 times the place of the phase in PHASES, and that of the outcome."""
        begin, end = np.searchsorted(self._agents, [agent, agent + 1])
        return self._codes[begin:end]


def _codes(table: Any, name: str) -> Codes:
    chunks = [chunk.indices.to_numpy(zero_copy_only=False) for chunk in table[name].chunks]
    return np.concatenate([np.empty(0, np.int8), *chunks])


def writes_of(
    workload: WorkloadAgent, preloaded: int, codes: Codes
) -> tuple[Iterator[tuple[Store, bool]], Callable[[int], Iterator[Store]]]:
    """An agent's writes with whether each was acknowledged, and what gives those that come next.

    The second is of the state in which the first is, so it is for when that is at its end: it
    gives so many writes of each phase.

    Args:
        workload: of the agent; new, since it is asked for its rounds in their order.
        preloaded: how many states it stored before the start; all were acknowledged.
        codes: of its stores (`StoreOutcomes.of`).
    """
    streams = {
        phase: _stores(workload, warmup=name == "warmup") for phase, name in enumerate(PHASES)
    }

    def known() -> Iterator[tuple[Store, bool]]:
        for store in workload.preload(preloaded):
            yield store, True
        for phase, stores in streams.items():
            for code in codes[codes // _PHASE_STRIDE == phase].tolist():
                for store in islice(stores, 1):
                    yield store, code % _PHASE_STRIDE == _OK

    def ahead(most: int) -> Iterator[Store]:
        for stores in streams.values():
            yield from islice(stores, most)

    return known(), ahead


def _stores(workload: WorkloadAgent, *, warmup: bool) -> Iterator[Store]:
    without = 0
    for number in count():
        operations = workload.round(number, warmup=warmup)
        stores = [one for one in operations if type(one) is Store]
        without = 0 if stores else without + 1
        if not operations or without > _ROUNDS_AHEAD:
            return
        yield from stores


@dataclass(kw_only=True)
class Auditor:
    """Audits agents through one session, several at once if asked to.

    Attributes:
        session: to the store; a fresh one, of no cohort.
        shards: how many the store has, by which an agent's memories are spread.
        unique_ids: each write has an id of its own, as those of generated workloads have.
        deadline_s: on the monotonic clock; what was not asked for by then is unreachable.
        counts: what was found.
        unreachable: shards that did not answer: they are not asked again.
    """

    session: AuditSession
    shards: int
    unique_ids: bool
    deadline_s: float = math.inf
    counts: AuditCounts = field(default_factory=AuditCounts)
    unreachable: set[int] = field(default_factory=set)

    async def audit(
        self,
        agent_id: str,
        writes: Iterator[tuple[Store, bool]],
        ahead: Callable[[int], Iterator[Store]],
        *,
        whole: bool,
    ) -> None:
        """Audit one agent.

        Args:
            agent_id: the agent's.
            writes: what it stored (`writes_of`).
            ahead: gives what it would have stored next.
            whole: every store of it has a row; otherwise the last may have none, since the agent
                was lost.
        """
        known: set[str] = set()
        certain: set[str] = set()
        while some := list(islice(writes, _TOGETHER) if self.unique_ids else writes):
            expected = _expected(some)
            known.update(expected)
            certain.update(one for one, states in expected.items() if len(states) == 1)
            certain -= await self._read_back(agent_id, expected)
        there = None if self._is_lost(agent_id) else await self._enumerate(agent_id)
        if there is None:
            return
        for state_id in certain - there.keys():
            self._say("missing", agent_id, f"{state_id!r} is not listed among its memories")
        strangers = {one: there[one] for one in there.keys() - known}
        if strangers and not whole:
            for store in ahead(len(strangers) + _AHEAD):
                payload = strangers.pop(store.state_id, None)
                if payload is not None and payload != store.payload:
                    self._say("wrong", agent_id, f"{store.state_id!r} is not as it was stored")
        for state_id in strangers:
            self._say("foreign", agent_id, f"{state_id!r} was never stored")

    def _is_lost(self, agent_id: str) -> bool:
        """Whether an agent's memories cannot be asked for, or not any more."""
        is_late = time.monotonic() > self.deadline_s
        return is_late or shard_of(agent_id, self.shards) in self.unreachable

    async def _read_back(
        self, agent_id: str, expected: dict[str, tuple[bytes | None, ...]]
    ) -> set[str]:
        """Read memories back; the ids of those that were not found, which are counted so."""
        counts = self.counts
        missing: set[str] = set()
        certain = sum(len(states) == 1 for states in expected.values())
        counts.acknowledged += certain
        counts.unknown += len(expected) - certain
        if self._is_lost(agent_id):
            counts.unreachable += certain
            return missing
        waiting = [self.session.submit(Retrieve(agent_id, state_id)) for state_id in expected]
        for (state_id, states), answer in zip(
            expected.items(), await asyncio.gather(*waiting), strict=True
        ):
            result = answer.result
            found = result.payload if isinstance(result, Record) else None
            if isinstance(result, Failure) and result.error in _UNREACHABLE:
                counts.unreachable += len(states) == 1
                if result.error != "OverloadedError":
                    self.unreachable.add(shard_of(agent_id, self.shards))
            elif isinstance(result, Failure):
                self._say("wrong", agent_id, f"{state_id!r} cannot be read: {result.exception()}")
            elif not isinstance(result, Record | Missing):
                kind = type(result).__name__
                self._say("wrong", agent_id, f"{state_id!r} was answered with a {kind}")
            elif found in states:
                counts.verified += len(states) == 1
            elif found is None:
                missing.add(state_id)
                self._say("missing", agent_id, f"{state_id!r} was acknowledged and is not there")
            else:
                self._say("wrong", agent_id, f"{state_id!r} is not as it was stored")
        return missing

    async def _enumerate(self, agent_id: str) -> dict[str, bytes] | None:
        """An agent's memories by their ids; None when the store does not answer."""
        there: dict[str, bytes] = {}
        after = 0
        while True:
            page = (await self.session.submit(Export(agent_id, after, limit=_PAGE))).result
            if not isinstance(page, Exported):
                return None
            for memory in page.memories:
                if memory.state_id in there:
                    self._say("doubled", agent_id, f"{memory.state_id!r} is there twice")
                there[memory.state_id] = memory.payload
            if not page.more or page.last <= after:
                break
            after = page.last
        described = (await self.session.submit(Describe(agent_id))).result
        if isinstance(described, Described) and described.counts.total > len(there):
            more = described.counts.total - len(there)
            sentence = f"the store counts {described.counts.total:,} and lists {len(there):,}"
            self.counts.violation("doubled", f"agent {agent_id!r}: {sentence}", more)
        return there

    def _say(self, kind: str, agent_id: str, what: str) -> None:
        self.counts.violation(kind, f"agent {agent_id!r}: {what}")


def _expected(writes: Iterable[tuple[Store, bool]]) -> dict[str, tuple[bytes | None, ...]]:
    """By id what may be there; of an id whose last write was acknowledged that one state."""
    states: dict[str, tuple[bytes | None, ...]] = {}
    for store, acknowledged in writes:
        if acknowledged:
            states[store.state_id] = (store.payload,)
        else:
            states[store.state_id] = (*states.get(store.state_id, (None,)), store.payload)
    return states

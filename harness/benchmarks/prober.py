"""The prober: the process that loads a store, probes it, and knows what it must have.

It lives as long as the benchmark, for a store that works in the prober's own process
(``embedded``) lives with it, and so do the vectors that it keeps. The driver has it do one thing
after another (`harness.benchmarks.prober_actor`); each ends early when the control actor of the
step says stop.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from harness.benchmarks.auditing import (
    Tiers,
    compared,
    counted,
    inventory,
    recall,
    said,
)
from harness.benchmarks.kept_vectors import KeptVectors
from harness.benchmarks.loading import Load, load
from harness.benchmarks.memories import Query, Walks, drawn
from harness.benchmarks.probing import probe
from harness.control import CohortReport
from harness.operation_tally import Tally, add_tally
from harness.plan import RunPlan
from harness.recorder import RowRecorder
from harness.sinks import LoadgenWriter, OpsWriter, Sink
from harness.targets import load_target
from harness.targets.driven import Session
from harness.workload import agent_id
from memory_core.operations import TIERS, Retrieve, Search, Store, Transition
from memory_core.results import Hits, Moved, Result

__all__ = ["Audit", "Counted", "Forced", "Prober", "Searched", "cohort_of"]

REPORT_INTERVAL_S = 1.0
_GC_THRESHOLDS = (100_000, 50, 100)
_DRAW_STORES, _DRAW_RETRIEVES = 1, 2


class Counted(msgspec.Struct, frozen=True):
    """What the store says that it has; None when it does not say."""

    tiers: Tiers | None


class Forced(msgspec.Struct, frozen=True):
    """What came of a transition; ``moved`` is None when the target knows none."""

    moved: int | None


class Searched(msgspec.Struct, frozen=True):
    """Of searches: how many were answered, and how many with fewer hits than there had to be."""

    count: int
    short: int


class Audit(msgspec.Struct, frozen=True):
    """What going through all memories and comparing searches found; None where it is not known.

    ``recall`` is of each tier, and of ``all``.
    """

    missing: int | None
    strangers: int | None
    recall: dict[str, float | None]
    queries: int


def cohort_of(tier: str | None) -> int:
    """The cohort number under which rows are recorded: 0, or one for searches of each tier."""
    return 0 if tier is None else ("all", *TIERS).index(tier) + 1


class Prober:
    """See the module's head. All methods run on one event loop, one at a time.

    Args:
        plan: of the benchmark.
        folder: for the kept vectors.
    """

    def __init__(self, plan: dict[str, Any], folder: str) -> None:
        self._plan = RunPlan(**plan)
        self._agents = self._plan.agents or 1
        self._walks = Walks(self._plan.seed, self._agents)
        self._kept = KeptVectors(Path(folder), self._plan.seed, self._agents, self._plan.dimension)
        self._session: Session | None = None
        self._control: Any = None
        self._sink: Sink | None = None
        self._node_id = ""
        self._stopped = False
        self._done = self._failures = 0
        self._retries_before = 0
        self._recorders: dict[int, RowRecorder] = {}
        self._origin = (0, 0)
        self._searched: dict[str, tuple[list[Query], list[Result]]] = {}

    async def connect(self, connection: bytes, node_id: str) -> int:
        """Open the session; this process's id."""
        self._node_id = node_id
        self._session = await load_target(self._plan.target).connect(self._plan, connection, 0)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)
        return os.getpid()

    async def begin(self, control: Any, sink: Sink) -> None:
        """A step begins: rows go to its files, and its control says when to stop."""
        self._control, self._sink = control, sink
        self._stopped = False
        self._retries_before = self._open().retries
        self._origin = (time.time_ns(), time.perf_counter_ns())
        self._searched = {}

    async def end(self) -> None:
        """A step has ended: write what is left of its rows."""
        recorders, self._recorders = self._recorders, {}
        for recorder in recorders.values():
            recorder.close()

    async def count(self) -> bytes:
        """A packed `Counted`."""
        parts = await counted(self._open(), self._agents)
        tiers = None if parts is None else _summed(parts)
        return msgspec.msgpack.encode(Counted(tiers))

    async def load(self, volume: int, again: bool) -> bytes:
        """Store what is missing of a volume, or with ``again`` all of it; a packed `Load`."""
        session = self._open()
        present = [0] * self._agents
        if again:
            self._walks = Walks(self._plan.seed, self._agents)
        elif not self._walks.position:
            parts = await counted(session, self._agents)
            present = [_total(part) for part in parts] if parts is not None else present
        async with self._reporting():
            done: Load = await load(session, self._walks, volume, present, self._note, self.is_over)
        return msgspec.msgpack.encode(done)

    async def keep(self, volume: int) -> None:
        """Make the vectors of a volume."""
        self._kept.reach(volume)

    async def force(self, to: str, percentage: float) -> bytes:
        """Move a percentage of each agent's memories one tier down; a packed `Forced`."""
        moved = 0
        for agent in range(self._agents):
            answer = await said(self._open(), Transition(to, percentage, agent_id(agent)))
            if not isinstance(answer, Moved):
                return msgspec.msgpack.encode(Forced(None))
            moved += answer.count
        return msgspec.msgpack.encode(Forced(moved))

    async def store(self, volume: int, count: int) -> int:
        """Probe by storing memories of the volume again; how many were stored."""
        asked = self._drawn(volume, count, _DRAW_STORES)
        operations = [
            (one.agent, Store(one.agent_id, one.state_id, one.payload, step=one.number))
            for one in asked
        ]
        return len(await self._probe(operations))

    async def retrieve(self, volume: int, count: int) -> bytes:
        """Probe by retrieving; a packed `Retrieved`."""
        asked = self._drawn(volume, count, _DRAW_RETRIEVES)
        operations = [(one.agent, Retrieve(one.agent_id, one.state_id)) for one in asked]
        results = await self._probe(operations)
        return msgspec.msgpack.encode(compared(asked, results, self._kept))

    async def search(self, count: int, k: int, least: int) -> bytes:
        """Probe by searching without naming a tier; a packed `Searched`.

        ``least`` hits have to be found, each.
        """
        queries = self._kept.queries(count)
        operations = [(one.agent, Search(agent_id(one.agent), one.payload, k=k)) for one in queries]
        results = await self._probe(operations)
        hits = [len(result.hits) for result in results if isinstance(result, Hits)]
        return msgspec.msgpack.encode(Searched(len(results), sum(one < least for one in hits)))

    async def search_tiers(self, count: int, k: int, tiers: list[str]) -> int:
        """Probe by searching each of the tiers by turns, with the same queries; how many."""
        queries = self._kept.queries(-(-count // len(tiers)))
        results: dict[str, list[Result]] = {tier: [] for tier in tiers}
        recorders = {tier: self._recorder(cohort_of(tier)) for tier in tiers}
        async with self._reporting():
            for query in queries:
                for tier in tiers:
                    search = Search(agent_id(query.agent), query.payload, k=k, tier=tier)
                    one = [(query.agent, search)]
                    results[tier] += await probe(self._open(), one, recorders[tier], self.is_over)
        self._searched = {tier: (queries, found) for tier, found in results.items()}
        return sum(map(len, results.values()))

    async def audit(self, volume: int, k: int) -> bytes:
        """Go through all memories, and compare the last searches of tiers; a packed `Audit`."""
        async with self._reporting():
            stored = await inventory(self._open(), self._agents, volume, self.is_over)
        found: dict[str, float | None] = dict.fromkeys(("all", *TIERS))
        queries = 0
        for tier, (asked, results) in self._searched.items():
            one = recall(tier, asked, results, self._kept, stored, k)
            found[tier] = None if one is None else one.recall
            queries = max(queries, 0 if one is None else one.queries)
        return msgspec.msgpack.encode(
            Audit(
                None if stored is None else stored.missing,
                None if stored is None else stored.strangers,
                found,
                queries,
            )
        )

    async def close(self) -> None:
        """Let go of the store and of the vectors."""
        if self._session is not None:
            await self._session.close()
        self._kept.close()

    def is_over(self) -> bool:
        """Whether what goes on is to end early."""
        return self._stopped

    def _open(self) -> Session:
        if self._session is None:
            raise RuntimeError("the prober is not connected")
        return self._session

    def _drawn(self, volume: int, count: int, purpose: int) -> list[Any]:
        walks = Walks(self._plan.seed, self._agents)
        return walks.payloads(drawn(self._plan.seed, volume, purpose, count))

    async def _probe(
        self,
        operations: Iterable[tuple[int, Store | Retrieve | Search]],
    ) -> list[Result]:
        recorder = self._recorder(cohort_of(None))
        async with self._reporting():
            results = await probe(self._open(), operations, recorder, self.is_over)
        recorder.flush()
        return results

    def _recorder(self, cohort: int) -> RowRecorder:
        recorder = self._recorders.get(cohort)
        if recorder is None:
            if self._sink is None:
                raise RuntimeError("no step has begun")
            place = (self._sink, cohort, self._node_id, *self._origin)
            recorder = RowRecorder(OpsWriter(*place), LoadgenWriter(*place), self._origin[1])
            self._recorders[cohort] = recorder
        return recorder

    def _note(self, operations: int, failures: int) -> None:
        self._done += operations
        self._failures += failures

    @asynccontextmanager
    async def _reporting(self) -> AsyncIterator[None]:
        """Report how far it is, and learn of a stop, while something goes on and at its end."""
        reports = asyncio.create_task(self._keep_reporting())
        try:
            yield
        finally:
            reports.cancel()
            with suppress(asyncio.CancelledError):
                await reports
            await self._report()

    async def _keep_reporting(self) -> None:
        while not self._stopped:
            await self._report()
            await asyncio.sleep(REPORT_INTERVAL_S)

    async def _report(self) -> None:
        """Say what was done since the last report; loaded memories have no rows and no tally."""
        done, failures, self._done, self._failures = self._done, self._failures, 0, 0
        tally: Tally = {}
        for recorder in self._recorders.values():
            progress = recorder.progress()
            done += progress.operations
            failures += progress.failures
            add_tally(tally, progress.tally)
        report = CohortReport(
            cohort=0,
            agents_started=self._agents,
            agents_done=0,
            operations=done,
            failures=failures,
            retries=self._open().retries - self._retries_before,
            tally=tally,
        )
        go_on: bool = await self._control.report.remote(msgspec.msgpack.encode(report))
        self._stopped = not go_on


def _total(tiers: Tiers) -> int:
    return tiers.stm + tiers.im + tiers.ltm


def _summed(parts: list[Tiers]) -> Tiers:
    return Tiers(
        sum(part.stm for part in parts),
        sum(part.im for part in parts),
        sum(part.ltm for part in parts),
    )

"""The audit of agents: what is as it was stored passes, and each kind of harm is told."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.audit import AuditCounts, Auditor, StoreOutcomes, writes_of
from harness.rundir import RunDirectory
from harness.rundir_reader import open_run
from harness.schema import OPERATIONS, OUTCOMES, PHASES
from harness.sinks import LocalSink, OpsWriter
from harness.targets.sharded import ClientSession
from harness.workload import MixedAgent, StandardAgent
from memory_core import MemoryConfig, MemoryStore
from memory_core.client import Answer, MemoryClient
from memory_core.errors import CorruptionError, UnavailableError
from memory_core.local_transport import LocalTransport
from memory_core.operations import Delete, Operation, Retrieve, Store
from memory_core.results import Exported, Failure, Result

OK, TIMEOUT = (OUTCOMES.index(name) for name in ("ok", "timeout"))
MEASURE = 16 * PHASES.index("measure")
SEED = 5


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MemoryStore]:
    with MemoryStore(MemoryConfig(path=tmp_path / "store", durability="os")) as opened:
        yield opened


def stores(rounds: int, *, warmup: bool = False) -> list[Store]:
    """What agent 3 stores in so many rounds."""
    agent = StandardAgent(SEED, 3)
    made = [one for number in range(rounds) for one in agent.round(number, warmup=warmup)]
    return [one for one in made if isinstance(one, Store)]


def audited(
    store: MemoryStore,
    codes: list[int],
    *,
    whole: bool = True,
    preloaded: int = 0,
    wrap: Callable[[Any], Any] = lambda session: session,
    deadline_s: float = math.inf,
) -> AuditCounts:
    """What the audit of agent 3 finds, whose stores had these outcomes."""

    async def audit() -> AuditCounts:
        session = ClientSession(MemoryClient(LocalTransport([store]), 1))
        auditor = Auditor(session=wrap(session), shards=1, unique_ids=True, deadline_s=deadline_s)
        workload = StandardAgent(SEED, 3)
        writes, ahead = writes_of(workload, preloaded, np.array(codes, np.int8))
        await auditor.audit("agent_3", writes, ahead, whole=whole)
        return auditor.counts

    return asyncio.run(audit())


def found(counts: AuditCounts) -> dict[str, int]:
    names = counts.__struct_fields__[:-1]
    return {name: getattr(counts, name) for name in names if getattr(counts, name)}


def test_what_is_as_it_was_stored_passes(store: MemoryStore):
    """Every acknowledged write, of the preload, the warm-up and the measured rounds."""
    preloaded = StandardAgent(SEED, 3).preload(7)
    store.execute([*preloaded, *stores(1, warmup=True), *stores(3)])
    counts = audited(store, [OK] * 10 + [MEASURE + OK] * 30, preloaded=7)
    assert found(counts) == {"acknowledged": 47, "verified": 47}
    assert counts.examples == []


def test_a_write_without_an_answer_may_be_there_or_not(store: MemoryStore):
    """Either is right; with another state than was stored it is wrong."""
    made = stores(1)
    store.execute(made[:9])
    codes = [MEASURE + OK] * 8 + [MEASURE + TIMEOUT] * 2
    assert found(audited(store, codes)) == {"acknowledged": 8, "verified": 8, "unknown": 2}
    store.execute([Store("agent_3", made[9].state_id, made[0].payload)])
    assert found(audited(store, codes))["wrong"] == 1


def test_a_memory_that_is_gone_is_missing(store: MemoryStore):
    """It is counted once, though neither a retrieval nor the enumeration finds it."""
    made = stores(1)
    store.execute(made)
    store.execute([Delete("agent_3", made[4].state_id)])
    counts = audited(store, [MEASURE + OK] * 10)
    assert found(counts) == {"acknowledged": 10, "verified": 9, "missing": 1}
    assert counts.examples == ["agent 'agent_3': 'state_3_4' was acknowledged and is not there"]


def test_a_memory_that_is_another_is_wrong(store: MemoryStore):
    """Byte for byte: a state that is only much like the one that was stored is not it."""
    made = stores(1)
    store.execute(made)
    store.execute([Store("agent_3", made[4].state_id, made[5].payload)])
    counts = audited(store, [MEASURE + OK] * 10)
    assert found(counts) == {"acknowledged": 10, "verified": 9, "wrong": 1}


def test_a_memory_that_nobody_stored_is_foreign(store: MemoryStore):
    """So is one of the agent's own of which there is no row, unless the agent was lost."""
    made = stores(2)
    store.execute(made[:11])
    codes = [MEASURE + OK] * 10
    assert found(audited(store, codes))["foreign"] == 1
    assert found(audited(store, codes, whole=False)) == {"acknowledged": 10, "verified": 10}
    store.execute([Store("agent_3", made[12].state_id, made[0].payload)])
    assert found(audited(store, codes, whole=False))["wrong"] == 1
    store.execute([Store("agent_3", "state_4_0", made[0].payload)])
    assert found(audited(store, codes, whole=False))["foreign"] == 1


def test_a_lost_agent_may_have_stored_much_that_no_row_tells(store: MemoryStore):
    """The rows of its last seconds went with it: what it stored then is its own all the same."""
    made = stores(60)
    store.execute([*made[:300], *made[301:599]])
    codes = [MEASURE + OK] * 10
    assert found(audited(store, codes, whole=False)) == {"acknowledged": 10, "verified": 10}


class Altered:
    """A session some of whose answers are altered."""

    def __init__(self, session: ClientSession, alter: Callable[[Operation, Result], Result]):
        self._session = session
        self._alter = alter

    def submit(self, operation: Operation) -> Awaitable[Answer]:
        async def answer() -> Answer:
            given = await self._session.submit(operation)
            return Answer(self._alter(operation, given.result), given.timing)

        return answer()


def test_a_memory_that_is_listed_twice_is_doubled(store: MemoryStore):
    """The same id twice in an enumeration."""

    def twice(operation: Operation, result: Result) -> Result:
        if not isinstance(result, Exported):
            return result
        memories, vectors = result.memories, result.vectors
        return Exported([*memories, memories[0]], [*vectors, None], result.last, result.more)

    store.execute(stores(1))
    counts = audited(store, [MEASURE + OK] * 10, wrap=lambda session: Altered(session, twice))
    assert found(counts) == {"acknowledged": 10, "verified": 10, "doubled": 1}


def test_a_memory_that_an_enumeration_leaves_out_is_missing(store: MemoryStore):
    """A retrieval finds it: that alone is not enough."""

    def short(operation: Operation, result: Result) -> Result:
        if not isinstance(result, Exported):
            return result
        return Exported(result.memories[1:], result.vectors[1:], result.last, result.more)

    store.execute(stores(1))
    counts = audited(store, [MEASURE + OK] * 10, wrap=lambda session: Altered(session, short))
    # what the store counts is one more than it lists
    assert found(counts) == {"acknowledged": 10, "verified": 10, "missing": 1, "doubled": 1}


def test_a_store_that_does_not_answer_leaves_writes_unreachable(store: MemoryStore):
    """Nothing is concluded from that; it is asked once and not again for each agent."""
    asked = []

    def gone(operation: Operation, result: Result) -> Result:
        asked.append(operation)
        return Failure.of(UnavailableError("no node"))

    store.execute(stores(1))
    counts = audited(store, [MEASURE + OK] * 10, wrap=lambda session: Altered(session, gone))
    assert found(counts) == {"acknowledged": 10, "unreachable": 10}
    assert len(asked) == 10


def test_a_memory_that_cannot_be_read_is_wrong(store: MemoryStore):
    """Damage is an answer, and not the right one."""

    def damaged(operation: Operation, result: Result) -> Result:
        if isinstance(operation, Retrieve) and operation.state_id == "state_3_1":
            return Failure.of(CorruptionError("000012.sst", "bad checksum"))
        return result

    store.execute(stores(1))
    counts = audited(store, [MEASURE + OK] * 10, wrap=lambda session: Altered(session, damaged))
    assert found(counts) == {"acknowledged": 10, "verified": 9, "wrong": 1}


def test_what_is_asked_for_too_late_is_unreachable(store: MemoryStore):
    """An audit has a bound; beyond it nothing is asked."""
    counts = audited(store, [MEASURE + OK] * 10, deadline_s=0.0)
    assert found(counts) == {"acknowledged": 10, "unreachable": 10}


def test_writes_follow_from_the_rows_of_any_workload():
    """A mixed agent's k-th row of a store is of its k-th stored state, preloaded ones aside."""
    agent = MixedAgent(SEED, 3, {"store": 0.3, "retrieve": 0.6, "search": 0.1})
    preloaded = agent.preload(4)
    issued = [one for number in range(9) for one in agent.round(number) if isinstance(one, Store)]
    again = MixedAgent(SEED, 3, {"store": 0.3, "retrieve": 0.6, "search": 0.1})
    codes = np.full(len(issued) - 2, MEASURE + OK, np.int8)
    codes[1] = MEASURE + TIMEOUT
    writes, ahead = writes_of(again, 4, codes)
    known = list(writes)
    assert [one for one, _ in known] == [*preloaded, *issued[:-2]]
    assert [ok for _, ok in known].count(False) == 1
    assert not known[5][1]
    assert [next(one for one in ahead(9) if one == issued[-2])] == [issued[-2]]


def test_an_agent_that_stores_no_more_ends(store: MemoryStore):
    """What it would have stored next is looked for within a bound."""
    agent = MixedAgent(SEED, 3, {"store": 0.0, "retrieve": 1.0, "search": 0.0})
    writes, ahead = writes_of(agent, 0, np.array([MEASURE + OK], np.int8))
    assert len(list(writes)) == 1
    assert len(list(ahead(9))) <= 2


def ops(agents: list[int], kinds: list[str], outcomes: list[str]) -> dict[str, Any]:
    rows = len(agents)
    zeros = {
        name: np.zeros(rows, np.int64)
        for name in ("scheduled_ns", "started_ns", "finished_ns", "queue_ns", "transport_ns")
    }
    zeros |= {name: np.zeros(rows, np.int64) for name in ("service_ns", "shard_wait_ns")}
    return {
        **zeros,
        "phase": np.full(rows, PHASES.index("measure"), np.int8),
        "agent": np.array(agents, np.int32),
        "op": np.array([OPERATIONS.index(kind) for kind in kinds], np.int8),
        "shard": np.zeros(rows, np.int16),
        "batch_ops": np.ones(rows, np.int32),
        "attempts": np.ones(rows, np.int16),
        "outcome": np.array([OUTCOMES.index(outcome) for outcome in outcomes], np.int8),
    }


def test_outcomes_of_stores_are_read_by_agent_in_their_order(tmp_path: Path):
    """Of several files; what comes after a damaged one of a cohort is not taken for what it is."""
    directory = RunDirectory.create(tmp_path / "run", "run")
    sink = LocalSink(directory.path)
    for cohort, first in ((0, 0), (1, 10)):
        writer = OpsWriter(sink, cohort, "n", 0, 0)
        for outcome in ("ok", "timeout", "error"):
            writer.write(
                ops([first, first + 1, first], ["store", "store", "search"], [outcome] * 3)
            )
    (directory.path / "ops" / "cohort-00001-000001.parquet").write_bytes(b"torn")
    outcomes = StoreOutcomes.read(open_run(directory.path))
    names = [OUTCOMES[code - MEASURE] for code in outcomes.of(0).tolist()]
    assert names == ["ok", "timeout", "error"]
    assert [OUTCOMES[code - MEASURE] for code in outcomes.of(11).tolist()] == ["ok"]
    assert outcomes.of(2).tolist() == []
    assert outcomes.gaps == {1}


def test_counts_add_up():
    """Those of several tasks are one audit's."""
    one = AuditCounts(acknowledged=3, verified=2, missing=1, examples=["a"])
    one.add(AuditCounts(acknowledged=2, verified=2, examples=["b"]))
    assert (one.acknowledged, one.verified, one.missing) == (5, 4, 1)
    assert one.examples == ["a", "b"]

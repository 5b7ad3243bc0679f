"""Auditing: whether what was stored is there, where it is, and whether searches find it.

Everything is asked of the store with operations that any target may lack; what a target does not
answer is None, and nothing is concluded from it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import numpy as np
import numpy.typing as npt

from harness.analysis.recall import RecallCount, recall_count
from harness.benchmarks.kept_vectors import KeptVectors
from harness.benchmarks.memories import Memory, Query, held_by, number_of
from harness.targets.driven import Session
from harness.workload import agent_id
from memory_core.errors import BadInputError
from memory_core.operations import TIERS, Describe, Export, Operation
from memory_core.results import Described, Exported, Hits, Missing, Record, Result

__all__ = ["Inventory", "Retrieved", "Tiers", "compared", "counted", "inventory", "recall", "said"]

_PAGE = 10_000
_MAX_PAGES_MORE = 10
_SAME = 1e-5
_ABSENT = -1


class Tiers(msgspec.Struct, frozen=True):
    """Memories by tier."""

    stm: int
    im: int
    ltm: int


class Retrieved(msgspec.Struct, frozen=True):
    """Of retrieves of memories that were acknowledged: how many were not answered as stored.

    ``altered`` is None when the target does not give states.
    """

    count: int
    missing: int
    altered: int | None


class Inventory(msgspec.Struct):
    """What a store has, one by one.

    Attributes:
        missing: memories that were acknowledged and are not there.
        strangers: memories that nobody stored, or that are there twice.
        tiers: of each agent ``(memories,)`` int8: the place in `TIERS` of each, -1 if missing.
    """

    missing: int
    strangers: int
    tiers: list[npt.NDArray[np.int8]]


async def said(session: Session, operation: Operation) -> Result | None:
    """What a store answers; None when it does not know the operation."""
    try:
        waiting: Awaitable[object] = session.submit(operation)  # type: ignore[arg-type]
        return (await waiting).result  # type: ignore[attr-defined,no-any-return]
    except BadInputError:
        return None


async def counted(session: Session, agents: int) -> list[Tiers] | None:
    """Of each agent how many memories the store says it has; None when it does not say."""
    waiting = [said(session, Describe(agent_id(agent))) for agent in range(agents)]
    found = []
    for one in [await each for each in waiting]:
        if not isinstance(one, Described):
            return None
        found.append(Tiers(one.counts.stm, one.counts.im, one.counts.ltm))
    return found


async def inventory(
    session: Session, agents: int, volume: int, stopping: Callable[[], bool]
) -> Inventory | None:
    """Go through all memories; None when the target does not list them, or at a stop."""
    found = Inventory(missing=0, strangers=0, tiers=[])
    for agent in range(agents):
        tiers = np.full(held_by(agent, agents, volume), _ABSENT, np.int8)
        after = 0
        for _ in range(len(tiers) // _PAGE + _MAX_PAGES_MORE):
            page = await said(session, Export(agent_id(agent), after, limit=_PAGE))
            if not isinstance(page, Exported) or stopping():
                return None
            for memory in page.memories:
                number = number_of(memory.state_id, agent)
                known = number is not None and number < len(tiers) and tiers[number] == _ABSENT
                if known and memory.tier in TIERS:
                    tiers[number] = TIERS.index(memory.tier)
                else:
                    found.strangers += 1
            after = page.last
            if not page.more:
                break
        found.missing += int((tiers == _ABSENT).sum())
        found.tiers.append(tiers)
    return found


def compared(asked: list[Memory], results: list[Result], kept: KeptVectors) -> Retrieved:
    """Whether retrieves gave what was stored, by its vector: states may be packed otherwise."""
    pairs = list(zip(asked, results, strict=False))
    missing = sum(isinstance(result, Missing) for _, result in pairs)
    states = [(one.payload, got.payload) for one, got in pairs if isinstance(got, Record)]
    if not states:
        return Retrieved(len(pairs), missing, None)
    stored, given = (list(each) for each in zip(*states, strict=True))
    differ = [at for at, (one, got) in enumerate(states) if one != got]
    altered = 0
    if differ:
        wanted = kept.encode([stored[at] for at in differ])
        found = _vectors(kept, [given[at] for at in differ])
        altered = int((np.abs(wanted - found).max(axis=1) > _SAME).sum())
    return Retrieved(len(pairs), missing, altered)


def _vectors(kept: KeptVectors, payloads: list[bytes]) -> npt.NDArray[np.float32]:
    """Vectors of what a store gave; of what is no state, one that is like none."""
    vectors = []
    for payload in payloads:
        try:
            vectors.append(kept.encode([payload])[0])
        except BadInputError:
            vectors.append(np.full(kept.encode([]).shape[1], 2.0, np.float32))
    return np.stack(vectors)


def recall(
    tier: str,
    queries: list[Query],
    results: list[Result],
    kept: KeptVectors,
    stored: Inventory | None,
    k: int,
) -> RecallCount | None:
    """Hits and places of searches of one tier, or of ``all``, against exact search.

    None where it cannot be known: searches gave no hits, or which memories are in the tier is
    not known.
    """
    if tier != "all" and stored is None:
        return None
    total: RecallCount | None = None
    for agent in sorted({query.agent for query in queries}):
        own = [at for at, query in enumerate(queries[: len(results)]) if query.agent == agent]
        found = []
        for at in own:
            result = results[at]
            if not isinstance(result, Hits):
                return None
            numbers = [number_of(hit.state_id, agent) for hit in result.hits]
            found.append([-1 if number is None else number for number in numbers])
        if not found:
            continue
        vectors = kept.of_agent(agent)
        ids = np.arange(len(vectors))
        if tier != "all" and stored is not None:
            ids = np.flatnonzero(stored.tiers[agent] == TIERS.index(tier))
            vectors = vectors[ids]
        asked = kept.encode([queries[at].payload for at in own])
        one = recall_count(found, vectors, ids.tolist(), asked, k)
        total = one if total is None else total + one
    return total

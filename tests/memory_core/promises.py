"""What a store promised to somebody who wrote down every operation, and whether it keeps it.

A writer notes each batch before it is executed and once it is acknowledged; a `Ledger` makes of
these notes what may be found afterwards, and `audit` looks whether it is.
"""

from __future__ import annotations

import os
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from memory_core import (
    Counts,
    Delete,
    Describe,
    Described,
    Failure,
    Hits,
    MemoryConfig,
    MemoryStore,
    Operation,
    Record,
    Result,
    Retrieve,
    Search,
    Store,
    Transition,
)
from memory_core.encoder import StateEncoder
from memory_core.enumeration import all_pages
from memory_core.operations import KINDS, TIERS, Query
from memory_core.results import Memories
from memory_core.vectors import Vectorizer

__all__ = ["Ledger", "audit", "operation_of", "rounds", "store_of"]

Key = tuple[str, str]
_DIMENSION = 16
_SEARCHED = 120


def rounds(usual: int) -> int:
    """How many times something is tried: more in a thorough run, or MEMORY_FAULT_ROUNDS times."""
    from hypothesis import settings  # which a child that is killed soon need not read

    thorough = 20 if settings.get_current_profile_name() == "thorough" else 1
    return int(os.environ.get("MEMORY_FAULT_ROUNDS", usual * thorough))


def store_of(agent: str, state_id: str, version: int) -> Store:
    """The memory that a version stands for: every part of it follows from the number."""
    chance = random.Random(version)
    state = {
        "version": version,
        "name": f"{agent}/{state_id}",
        "at": [chance.uniform(-50, 50), chance.uniform(-50, 50)],
        "deep": {"big": 2**70 + version, "text": "\0\U0001f525" + str(version) * 40, "none": None},
    }
    return Store.of(
        agent,
        state_id,
        state,
        importance=chance.random(),
        vector=[chance.gauss(0, 1) for _ in range(_DIMENSION)] if version % 7 == 0 else None,
        kind=chance.choice(KINDS),
        step=version if version % 3 else None,
        metadata={"of": version} if version % 5 == 0 else None,
    )


def operation_of(note: Sequence[Any]) -> Operation:
    """The operation that a note is of: ``store``, ``delete``, ``clear`` or ``move``."""
    what, *rest = note
    if what == "store":
        return store_of(*rest)
    if what == "move":
        return Transition(rest[0], rest[1], rest[2])
    return Delete(*rest)


class Ledger:
    """Notes of what was asked for and what was acknowledged, in the order of their writing.

    Notes are lists: ``["ask", worker, batch]`` and ``["done", worker]``, in turn, for each worker,
    who has its agents for itself; anything else is somebody else's.
    """

    def __init__(self) -> None:
        self.version = 0
        self.agents: set[str] = set()
        self.acknowledged = 0
        # of each key, in order: when it was acknowledged, or None, and the version, None: deleted
        self._outcomes: dict[Key, list[list[Any]]] = defaultdict(list)
        self._open: dict[int, list[list[Any]]] = {}
        self._together: dict[int, list[tuple[Key, int | None]]] = {}
        self._at = 0

    def take(self, notes: Iterable[Sequence[Any]]) -> None:
        """Read on."""
        for note in notes:
            self._at += 1
            if note[0] == "ask":
                self._ask(note[1], note[2])
            elif note[0] == "done":
                self.acknowledged += 1
                for outcome in self._open.pop(note[1]):
                    outcome[0] = self._at
                self._together.pop(note[1])

    @property
    def moment(self) -> int:
        """Now, for `allowed`."""
        return self._at

    def allowed(self, moment: int | None = None) -> dict[Key, list[int | None]]:
        """What each key may hold in what was there at a moment, or later, and was not undone."""
        allowed = {}
        moment = self._at if moment is None else moment
        for key, outcomes in self._outcomes.items():
            settled = [one[1] for one in outcomes if one[0] is not None and one[0] <= moment]
            later = [one[1] for one in outcomes if one[0] is None or one[0] > moment]
            allowed[key] = [settled[-1] if settled else None, *later]
        return allowed

    def batches_in_doubt(self) -> list[dict[Key, int | None]]:
        """What batches that were not acknowledged would have done, if whole."""
        return [dict(batch) for batch in self._together.values()]

    def settle(self, found: Mapping[Key, int]) -> None:
        """What was in doubt is as it was found."""
        for key, outcomes in self._outcomes.items():
            outcomes[:] = [[0, found.get(key)]]
        self._open.clear()
        self._together.clear()

    def _ask(self, worker: int, batch: Sequence[Sequence[Any]]) -> None:
        opened: list[list[Any]] = []
        together: list[tuple[Key, int | None]] = []
        for what, *rest in batch:
            outcomes: list[tuple[Key, int | None]] = []
            if what == "store":
                agent, state_id, version = rest
                self.version = max(self.version, version)
                self.agents.add(agent)
                outcomes = [((agent, state_id), version)]
            elif what == "delete":
                outcomes = [((rest[0], rest[1]), None)]
            elif what == "clear":
                outcomes = [(key, None) for key in self._outcomes if key[0] == rest[0]]
            for key, version in outcomes:
                entry = [None, version]
                self._outcomes[key].append(entry)
                opened.append(entry)
                together.append((key, version))
        self._open[worker] = opened
        # a transition is executed in parts, and what is around it by itself
        is_whole = all(one[0] != "move" for one in batch)
        self._together[worker] = together if is_whole else []


def audit(
    folder: Path,
    made_with: Mapping[str, Any],
    ledger: Ledger,
    *,
    moment: int | None = None,
    seed: int = 0,
) -> tuple[list[str], dict[Key, int]]:
    """What is wrong with a database by the ledger, and the version that each key has.

    Raises MemoryCoreError where the store says by itself that something is damaged.
    """
    wrong: list[str] = []
    found: dict[Key, int] = {}
    with MemoryStore(MemoryConfig(path=folder, **made_with)) as store:
        _look_at_memories(store, ledger, wrong, found)
        _look_at_counts(store, ledger, wrong, found)
        _look_at_searches(store, found, seed, wrong)
    for key, versions in ledger.allowed(moment).items():
        if found.get(key) not in versions:
            wrong.append(f"{key} is of version {found.get(key)}, not one of {versions}")
    if moment is None:
        allowed = ledger.allowed()
        for batch in ledger.batches_in_doubt():
            changes = {key: version for key, version in batch.items() if allowed[key][0] != version}
            if len({found.get(key) == version for key, version in changes.items()}) > 1:
                wrong.append(f"a batch is there in part: {batch}")
    return wrong, found


def _results(store: MemoryStore, batch: Sequence[Operation]) -> list[Result]:
    """Results without failures."""
    results = store.execute(batch)
    for result in results:
        if isinstance(result, Failure):
            raise result.exception()
    return results


def _look_at_memories(
    store: MemoryStore, ledger: Ledger, wrong: list[str], found: dict[Key, int]
) -> None:
    """Each memory is whole, to the bit."""
    ready = Vectorizer(StateEncoder(_DIMENSION)).ready
    for agent, page in all_pages(store, None):
        for memory, vector in zip(page.memories, page.vectors, strict=True):
            key = (agent, memory.state_id)
            version = memory.state["version"]
            if key in found:
                wrong.append(f"{key} is there twice")
            found[key] = version
            stored = store_of(*key, version)
            expected = (
                *(stored.payload, stored.kind, stored.step, stored.metadata),
                float(np.float32(stored.importance)),
                None if stored.vector is None else ready(stored.vector).tobytes(),
            )
            given = (
                *(memory.payload, memory.kind, memory.step, memory.metadata),
                *(memory.importance, vector),
            )
            if given != expected:
                wrong.append(f"{key} of version {version} in {memory.tier} is {given}")
    keys = sorted({*ledger.allowed(), *found})
    results = _results(store, [Retrieve(*key) for key in keys])
    for key, result in zip(keys, results, strict=True):
        expected_payload = store_of(*key, found[key]).payload if key in found else None
        if (result.payload if isinstance(result, Record) else None) != expected_payload:
            wrong.append(f"{key} is retrieved as {result}, but {found.get(key)} is exported")
    unknown = {agent for agent, _ in found} - ledger.agents
    wrong += [f"nobody stored anything of {agent!r}" for agent in unknown]


def _look_at_counts(
    store: MemoryStore, ledger: Ledger, wrong: list[str], found: Mapping[Key, int]
) -> None:
    """Each memory is in exactly one tier, and no tier counts others."""
    for agent in sorted(ledger.agents):
        described, *queries = _results(
            store, [Describe(agent), *(Query(agent, tier=tier) for tier in TIERS)]
        )
        assert isinstance(described, Described)
        names: list[str] = []
        sizes = []
        for query in queries:
            assert isinstance(query, Memories), query
            names += [memory.state_id for memory in query.memories]
            sizes.append(len(query.memories))
        if described.counts != Counts(*sizes):
            wrong.append(f"{agent} is counted {described.counts}, but has {sizes}")
        if sorted(names) != sorted(state_id for owner, state_id in found if owner == agent):
            wrong.append(f"the tiers of {agent} have {len(names)} memories: not those exported")


def _look_at_searches(
    store: MemoryStore, found: Mapping[Key, int], seed: int, wrong: list[str]
) -> None:
    """Memories, some by chance, are their own nearest."""
    keys = sorted(found)
    chosen = random.Random(seed).sample(keys, min(len(keys), _SEARCHED))
    searches = []
    for key in chosen:
        stored = store_of(*key, found[key])
        payload = stored.payload if stored.vector is None else None
        searches.append(Search(key[0], payload, stored.vector, 3))
    for key, result in zip(chosen, _results(store, searches), strict=True):
        hits = result.hits if isinstance(result, Hits) else []
        scores = {hit.state_id: hit.score for hit in hits}
        own = scores.get(key[1], 0.0)
        if own < 1 - 1e-5 or max(scores.values()) > own + 1e-5:
            wrong.append(f"{key} is not its own nearest: {scores or result}")

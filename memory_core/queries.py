"""Memories chosen by what they are: by time, step, kind, importance, what their state holds.

What is in memory beside the vectors (time, step, kind, importance) is compared as arrays; only
states that are left are looked into. A filtered search takes the memories in the order of their
similarity and goes on until k of them fit, so it finds k when there are k; a hybrid search goes
on until no memory that is left can come among the best.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from memory_core.conditions import Filter, fraction_held, has_words, holds_all
from memory_core.memories import AgentMemories, LowerTier
from memory_core.operations import KINDS, TIERS, Query, RetrieveMany, Search
from memory_core.payload import unpack_state
from memory_core.reading import Applied, Place, Reader
from memory_core.record import NO_STEP
from memory_core.results import Hit, Hits, Memories
from memory_core.searching import Candidate, by_similarity
from memory_core.short_term import KIND_MASK, TierTable

__all__ = ["Queries", "tiers_of"]

_STM = 0
_TIER_NUMBERS = {**{tier: (number,) for number, tier in enumerate(TIERS)}, "all": (0, 1, 2)}
_READ_TOGETHER = 64
_Fits = Callable[[Any], bool]


def tiers_of(memories: AgentMemories, tier: str) -> list[tuple[int, TierTable | LowerTier]]:
    """The tiers that a tier's name stands for and that hold something, uppermost first."""
    return [
        (number, table)
        for number in _TIER_NUMBERS[tier]
        if (table := memories.tier(number)) is not None and table.held
    ]


class Queries:
    """Answers queries about the memories of one agent. Not thread-safe."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def many(
        self, operation: RetrieveMany, memories: AgentMemories | None, applied: Applied
    ) -> Memories:
        """Those of the ids that there are."""
        places: list[Place] = []
        wanted: list[str] = []
        if memories is None:
            return Memories([])
        if memories.lower is not None:
            keys = [memories.prefix + state_id.encode() for state_id in operation.state_ids]
            self._reader.look_up(keys, applied)
        for state_id in operation.state_ids:
            place = self._reader.find(memories, state_id, applied)
            if place is not None and operation.tier in {"all", TIERS[place[0]]}:
                places.append(place)
                wanted.append(state_id)
        found = self._reader.memories(memories, places, applied)
        for memory, state_id in zip(found, wanted, strict=True):
            self._reader.require_id(memory.state_id, state_id)
        self._reader.accesses.note(memories, places)
        return Memories(found)

    def query(self, operation: Query, memories: AgentMemories | None, applied: Applied) -> Memories:
        """What the filter lets through, in the order of storing."""
        if memories is None:
            return Memories([])
        places = _in_order(memories, operation)
        fits = _fits(operation.filter)
        if fits is None:
            chosen = list(islice(places, operation.limit))
            return self._given(memories, chosen, applied)
        fitting: list[Place] = []
        while some := list(islice(places, _READ_TOGETHER)):
            for place, (_, payload) in zip(
                some, self._reader.states(memories, some, applied), strict=True
            ):
                if fits(unpack_state(payload)):
                    fitting.append(place)
                    if len(fitting) == operation.limit:
                        return self._given(memories, fitting, applied)
        return self._given(memories, fitting, applied)

    def search(
        self,
        operation: Search,
        query: npt.NDArray[np.float32],
        memories: AgentMemories,
        applied: Applied,
    ) -> Hits:
        """The k best of those that a filter lets through, by similarity or by a mixed score."""
        best: list[tuple[float, int, Candidate]] = []
        weight, bonus = operation.vector_weight, operation.attribute_weight
        mixed = bool(operation.prefer)
        if not mixed:
            weight, bonus = 1.0, 0.0
        floor = operation.min_score
        fits = None if operation.filter is None else _fits(operation.filter)
        chosen = _within_ranges(memories, operation)
        candidates = by_similarity(self._reader, memories, chosen, query, operation.k, applied)
        for at, candidate in enumerate(candidates):
            # what comes later is no more similar than this says
            highest = weight * candidate.bound + bonus
            if (floor is not None and highest < floor) or (
                len(best) == operation.k and highest <= best[0][0]
            ):
                break
            state = unpack_state(candidate.payload) if mixed or fits is not None else None
            if fits is not None and not fits(state):
                continue
            score = weight * candidate.score
            if mixed:
                score += bonus * fraction_held(state, operation.prefer)
            if floor is not None and score < floor:
                continue
            entry = (score, -at, candidate)
            if len(best) < operation.k:
                heapq.heappush(best, entry)
            elif entry[:2] > best[0][:2]:
                heapq.heapreplace(best, entry)
        best.sort(key=lambda one: one[:2], reverse=True)
        self._reader.accesses.note(memories, [one.place for _, _, one in best])
        return Hits(
            [Hit(one.state_id, score, TIERS[one.place[0]], one.payload) for score, _, one in best]
        )

    def _given(self, memories: AgentMemories, places: list[Place], applied: Applied) -> Memories:
        """The answer that these memories are."""
        given = Memories(self._reader.memories(memories, places, applied))
        self._reader.accesses.note(memories, places)
        return given


def _in_order(memories: AgentMemories, operation: Query) -> Iterator[Place]:
    """Places within the filter's ranges, in the order of storing."""
    sequences, tiers, places = [], [], []
    for tier, table in tiers_of(memories, operation.tier):
        own = table.all_sequences()
        rows = _rows_within(table, operation.filter)
        sequences.append(own[rows])
        tiers.append(np.full(len(rows), tier))
        places.append(rows if tier == _STM else own[rows])
    if not sequences:
        return iter(())
    order = np.argsort(np.concatenate(sequences), kind="stable")
    if operation.newest_first:
        order = order[::-1]
    return zip(
        np.concatenate(tiers)[order].tolist(),
        np.concatenate(places)[order].tolist(),
        strict=True,
    )


def _within_ranges(
    memories: AgentMemories, operation: Search
) -> list[tuple[int, npt.NDArray[np.int64] | None]]:
    """Of each tier, rows or sequences within the filter's ranges; None for all of it."""
    chosen: list[tuple[int, npt.NDArray[np.int64] | None]] = []
    for tier, table in tiers_of(memories, operation.tier):
        if operation.filter is None or not operation.filter.has_ranges:
            chosen.append((tier, None))
            continue
        rows = _rows_within(table, operation.filter)
        chosen.append((tier, rows if tier == _STM else table.all_sequences()[rows]))
    return chosen


def _rows_within(table: TierTable | LowerTier, wanted: Filter) -> npt.NDArray[np.int64]:
    """Positions in a tier, ascending, that are within a filter's ranges and of its kinds."""
    mask = np.ones(table.held, bool)
    if wanted.kinds is not None:
        kinds = [KINDS.index(kind) for kind in wanted.kinds]
        mask &= np.isin(table.column("mark") & KIND_MASK, kinds)
    if wanted.time_ns is not None:
        mask &= _within(table.column("stored_ns"), wanted.time_ns)
    if wanted.steps is not None:
        steps = table.column("step")
        mask &= _within(steps, wanted.steps) & (steps != NO_STEP)
    if wanted.importance is not None:
        mask &= _within(table.column("importance"), wanted.importance)
    return np.flatnonzero(mask)


def _within(values: npt.NDArray[Any], bounds: tuple[Any, Any]) -> npt.NDArray[np.bool_]:
    low, high = (None if bound is None else values.dtype.type(bound) for bound in bounds)
    mask = np.ones(len(values), bool)
    if low is not None:
        mask &= values >= low
    if high is not None:
        mask &= values <= high
    return mask


def _fits(wanted: Filter) -> _Fits | None:
    """Whether a state is what a filter wants of states; None when it wants nothing of them."""
    if not wanted.reads_states:
        return None
    words = [word.casefold() for word in wanted.words or ()]

    def fits(state: Any) -> bool:
        return holds_all(state, wanted.conditions) and (not words or has_words(state, words))

    return fits

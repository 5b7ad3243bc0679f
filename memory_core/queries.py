"""Memories chosen by what they are: by time, step, kind, importance, what their state holds.

What the tables have beside the vectors (time, step, kind, importance) is compared as arrays; only
states that are left are looked into. A filtered search takes the memories in the order of their
similarity and goes on until k of them fit, so it finds k when there are k; a hybrid search goes
on until no memory that is left can come among the best.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from memory_core.conditions import Filter, fraction_held, has_words, holds_all
from memory_core.memories import HAS_METADATA, AgentMemories, TierTable
from memory_core.ops import KINDS, TIERS, Hit, Hits, Memories, Query, RetrieveMany, Search
from memory_core.payload import unpack_state
from memory_core.reading import Applied, Place, Reader
from memory_core.record import NO_STEP

__all__ = ["Queries", "tiers_of"]

_TIER_NUMBERS = {**{tier: (number,) for number, tier in enumerate(TIERS)}, "all": (0, 1, 2)}
_READ_TOGETHER = 64
_Rows = npt.NDArray[np.int64]
# similarity, tier, table, row
_Candidate = tuple[float, int, TierTable, int]


def tiers_of(memories: AgentMemories, tier: str) -> list[tuple[int, TierTable]]:
    """The tables that a tier's name stands for and that hold something, uppermost first."""
    return [
        (number, table)
        for number in _TIER_NUMBERS[tier]
        if (table := memories.tables[number]) is not None and table.ids
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
        if memories is not None:
            for state_id in operation.state_ids:
                place = memories.find(state_id)
                if place is not None and operation.tier in {"all", TIERS[place[0]]}:
                    places.append(place)
            return Memories(self._reader.memories(memories, places, applied))
        return Memories([])

    def query(self, operation: Query, memories: AgentMemories | None, applied: Applied) -> Memories:
        """What the filter lets through, in the order of storing."""
        if memories is None:
            return Memories([])
        chosen = []
        for tier, table in tiers_of(memories, operation.tier):
            rows = _rows_within(table, operation.filter)
            order = np.array(table.sequences, np.int64)[rows]
            chosen += [
                (sequence, tier, table, row)
                for sequence, row in zip(order.tolist(), rows.tolist(), strict=True)
            ]
        chosen.sort(key=_first, reverse=operation.newest_first)
        places = [(tier, table, row) for _, tier, table, row in chosen]
        fitting = self._fitting(memories, places, operation.filter, operation.limit, applied)
        return Memories(self._reader.memories(memories, fitting, applied))

    def search(
        self,
        operation: Search,
        query: npt.NDArray[np.float32],
        memories: AgentMemories,
        applied: Applied,
    ) -> Hits:
        """The k best of those that a filter lets through, by similarity or by a mixed score."""
        best: list[tuple[float, int, _Candidate, bytes]] = []
        weight, bonus = operation.vector_weight, operation.attribute_weight
        mixed = bool(operation.prefer)
        if not mixed:
            weight, bonus = 1.0, 0.0
        floor = operation.min_score
        candidates = self._by_similarity(operation, query, memories)
        for at, (candidate, payload) in enumerate(
            self._with_states(memories, candidates, operation, applied)
        ):
            highest = weight * candidate[0] + bonus
            if (floor is not None and highest < floor) or (
                len(best) == operation.k and highest <= best[0][0]
            ):
                break  # as all that follow
            state = unpack_state(payload) if mixed or _reads(operation.filter) else None
            if operation.filter is not None and not _fits(state, operation.filter):
                continue
            score = highest
            if mixed:
                score = weight * candidate[0] + bonus * fraction_held(state, operation.prefer)
            if floor is not None and score < floor:
                continue
            entry = (score, -at, candidate, payload)
            if len(best) < operation.k:
                heapq.heappush(best, entry)
            elif entry[:2] > best[0][:2]:
                heapq.heapreplace(best, entry)
        best.sort(key=lambda one: one[:2], reverse=True)
        return Hits(
            [
                Hit(table.ids[row], score, TIERS[tier], payload)
                for score, _, (_, tier, table, row), payload in best
            ]
        )

    def _by_similarity(
        self, operation: Search, query: npt.NDArray[np.float32], memories: AgentMemories
    ) -> list[_Candidate]:
        """Memories within the filter's ranges, the most similar first."""
        candidates: list[_Candidate] = []
        for tier, table in tiers_of(memories, operation.tier):
            rows = _rows_within(table, operation.filter)
            scores = table.index.vectors[rows] @ query
            candidates += [
                (score, tier, table, row)
                for score, row in zip(scores.tolist(), rows.tolist(), strict=True)
            ]
        candidates.sort(key=_first, reverse=True)
        return candidates

    def _with_states(
        self,
        memories: AgentMemories,
        candidates: list[_Candidate],
        operation: Search,
        applied: Applied,
    ) -> Iterator[tuple[_Candidate, bytes]]:
        """Candidates with their packed states, read some at a time."""
        together = min(_READ_TOGETHER, operation.k)
        for start in range(0, len(candidates), together):
            some = candidates[start : start + together]
            places = [candidate[1:] for candidate in some]
            yield from zip(some, self._payloads(memories, places, applied), strict=True)

    def _fitting(
        self,
        memories: AgentMemories,
        places: list[Place],
        wanted: Filter,
        limit: int | None,
        applied: Applied,
    ) -> list[Place]:
        """The first of the places whose states a filter lets through."""
        if not wanted.reads_states:
            return places[:limit]
        fitting: list[Place] = []
        for start in range(0, len(places), _READ_TOGETHER):
            some = places[start : start + _READ_TOGETHER]
            for place, payload in zip(some, self._payloads(memories, some, applied), strict=True):
                if _fits(unpack_state(payload), wanted):
                    fitting.append(place)
                    if len(fitting) == limit:
                        return fitting
        return fitting

    def _payloads(
        self, memories: AgentMemories, places: list[Place], applied: Applied
    ) -> list[bytes]:
        found: dict[int, bytes] = {}
        for tier in range(len(TIERS)):
            at = [position for position, place in enumerate(places) if place[0] == tier]
            if at:
                rows = [places[position][2] for position in at]
                table = places[at[0]][1]
                read = self._reader.payloads(memories, tier, table, rows, applied)
                found.update(zip(at, read, strict=True))
        return [found[position] for position in range(len(places))]


def _rows_within(table: TierTable, wanted: Filter | None) -> _Rows:
    """Rows of a table that are within a filter's ranges and of its kinds."""
    mask = np.ones(len(table), bool)
    if wanted is not None:
        if wanted.kinds is not None:
            kinds = [KINDS.index(kind) for kind in wanted.kinds]
            marks = np.array(table.marks, np.uint8) & ~np.uint8(HAS_METADATA)
            mask &= np.isin(marks, kinds)
        if wanted.time_ns is not None:
            mask &= _within(np.array(table.stored_ns, np.int64), wanted.time_ns)
        if wanted.steps is not None:
            steps = np.array(table.steps, np.int64)
            mask &= _within(steps, wanted.steps) & (steps != NO_STEP)
        if wanted.importance is not None:
            mask &= _within(np.array(table.importances, np.float32), wanted.importance)
    return np.flatnonzero(mask)


def _within(values: npt.NDArray[Any], bounds: tuple[Any, Any]) -> npt.NDArray[np.bool_]:
    low, high = (None if bound is None else values.dtype.type(bound) for bound in bounds)
    mask = np.ones(len(values), bool)
    if low is not None:
        mask &= values >= low
    if high is not None:
        mask &= values <= high
    return mask


def _reads(wanted: Filter | None) -> bool:
    return wanted is not None and wanted.reads_states


def _fits(state: Any, wanted: Filter) -> bool:
    """Whether a state is what a filter wants of states."""
    if not wanted.reads_states:
        return True
    return holds_all(state, wanted.conditions) and (
        not wanted.words or has_words(state, [word.casefold() for word in wanted.words])
    )


def _first(candidate: tuple[Any, ...]) -> Any:
    return candidate[0]

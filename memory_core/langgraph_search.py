"""Searches of LangGraph's: the items of a namespace and of all below it.

Without a query they come newest first, as LangGraph's stores on databases give them. With one they
come by the best of their vectors; after all of these come, newest first, the items without vectors.

What is asked of the memory is the best of each namespace, more of it while too little of that is
wanted; of many namespaces first the very best, to leave out those that cannot have any of what is
needed. An item that is found by one vector may have a better one that no list has come to, as long
as that list goes on with scores above; so an item counts as found once its score is at least that
with which every list goes on. The same holds of how new an item is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from langgraph.store.base import SearchItem, SearchOp

from memory_core.asking import results_of
from memory_core.conditions import Filter
from memory_core.errors import BadInputError
from memory_core.face import MemoryFace
from memory_core.langgraph_filter import check_filter, conditions_within, lets_through
from memory_core.langgraph_items import found_item_of, further_vector, kept_of
from memory_core.langgraph_namespaces import (
    Namespace,
    agents_within,
    further_of,
    namespace_of,
)
from memory_core.operations import Query, RetrieveMany, Search
from memory_core.results import Hit, Hits, Memories, Memory

__all__ = ["found_by", "memories_by_key"]

# How many times as much is asked for when what came is not enough.
_MORE = 4

_Key = tuple[str, str]
_Order = tuple[int, int]
# The vectors of a namespace's items: the first ones, or all others.
_List = tuple["_Place", bool]


class _Place(NamedTuple):
    """A namespace, the agent that it is, and whether further vectors of its items are there."""

    agent_id: str
    namespace: Namespace
    has_further: bool


class _Scored(NamedTuple):
    """A vector's score, and the item that it is of; ``number`` is the vector's."""

    score: float
    agent_id: str
    key: str
    number: int


def memories_by_key(memory: MemoryFace, keys: Iterable[_Key]) -> dict[_Key, Memory]:
    """Those memories that there are, by agent and id."""
    asked: dict[str, dict[str, None]] = {}
    for agent_id, key in keys:
        asked.setdefault(agent_id, {})[key] = None
    operations = [RetrieveMany(agent_id, list(some)) for agent_id, some in asked.items()]
    found = results_of(memory, operations, Memories)
    return {
        (agent_id, one.state_id): one
        for agent_id, some in zip(asked, found, strict=True)
        for one in some.memories
    }


def found_by(
    memory: MemoryFace, search: SearchOp, query: npt.NDArray[np.float32] | None
) -> list[SearchItem]:
    """The items that a search is for; ``query`` is its query's vector, None for none."""
    for field in ("limit", "offset"):
        value = getattr(search, field)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise BadInputError(field, f"must be a whole number from 0 on, not {value!r}")
    if search.filter is not None:
        check_filter(search.filter)
    if not search.limit:
        return []
    looking = _Looking(memory, search)
    needed = search.offset + search.limit
    scored = [] if query is None else looking.nearest(query, needed)
    found = scored
    if len(scored) < needed:
        found = scored + looking.newest(
            needed - len(scored), only_without_vectors=query is not None
        )
    return found[search.offset :]


class _Looking:
    """One search, as it goes on."""

    def __init__(self, memory: MemoryFace, search: SearchOp) -> None:
        self._memory = memory
        self._wanted = search.filter
        conditions, self._asks_all = conditions_within(search.filter)
        self._filter = Filter(conditions=conditions)
        ids = dict.fromkeys(agents_within(memory, search.namespace_prefix))
        self._places = {
            agent_id: _Place(agent_id, namespace, further_of(agent_id) in ids)
            for agent_id in ids
            if (namespace := namespace_of(agent_id)) is not None
        }

    def nearest(self, query: npt.NDArray[np.float32], needed: int) -> list[SearchItem]:
        """The items with the best vectors, best first, of those that the filter lets through."""

        def ask(count: int) -> tuple[list[SearchItem], bool]:
            scored, is_all = self._scored(query, count)
            found: dict[_Key, SearchItem] = {}
            # of many namespaces there may be many more than are needed
            for start in range(0, len(scored), needed):
                some = scored[start : start + needed]
                keys = [(one.agent_id, one.key) for one in some]
                memories = memories_by_key(self._memory, keys)
                for one, key in zip(some, keys, strict=True):
                    if key in found or (memory := memories.get(key)) is None:
                        continue
                    kept = kept_of(memory)
                    if one.number < kept.vectors and self._is_wanted(memory):
                        namespace = self._places[one.agent_id].namespace
                        found[key] = found_item_of(namespace, memory, kept, one.score)
                if len(found) >= needed:
                    break
            return list(found.values()), is_all

        return _enough(needed, ask)

    def newest(self, needed: int, *, only_without_vectors: bool) -> list[SearchItem]:
        """The items that were stored last, newest first, of those that the filter lets through."""

        def ask(count: int) -> tuple[list[SearchItem], bool]:
            memories, is_all = self._last_stored(count)
            found: list[SearchItem] = []
            for place, memory in memories:
                kept = kept_of(memory)
                if only_without_vectors and kept.vectors:
                    continue
                if self._asks_all or self._is_wanted(memory):
                    found.append(found_item_of(place.namespace, memory, kept, None))
                    if len(found) == needed:
                        break
            return found, is_all

        return _enough(needed, ask)

    def _is_wanted(self, memory: Memory) -> bool:
        return not self._wanted or lets_through(self._wanted, memory.state)

    def _last_stored(self, count: int) -> tuple[list[tuple[_Place, Memory]], bool]:
        """Memories that the memory's filter lets through, and whether these are all."""
        places = list(enumerate(self._places.values()))
        # what comes first: the newer, and of two that are as new that of the first namespace
        found: list[tuple[_Order, _Place, Memory]] = []
        # with which each list goes on that is not here to its end
        missing: list[_Order] = []
        if len(places) > count:
            firsts = [
                (_order(at, one), (at, place)) for (at, place), [one, *_] in self._asked(places, 1)
            ]
            firsts.sort(key=lambda one: one[0])
            places = [place for _, place in firsts[:count]]
            missing += [order for order, _ in firsts[count : count + 1]]
        for (at, place), memories in self._asked(places, count):
            found += [(_order(at, one), place, one) for one in memories]
            if len(memories) == count:
                missing.append(_order(at, memories[-1]))
        found.sort(key=lambda one: one[0])
        bound = min(missing, default=None)
        return [
            (place, memory) for order, place, memory in found if bound is None or order <= bound
        ], bound is None

    def _asked(
        self, places: Sequence[tuple[int, _Place]], count: int
    ) -> Iterator[tuple[tuple[int, _Place], list[Memory]]]:
        """The newest of each place that has any, by which the filter lets through."""
        queries = [Query(place.agent_id, self._filter, limit=count) for _, place in places]
        for place, result in zip(places, results_of(self._memory, queries, Memories), strict=True):
            if result.memories:
                yield place, result.memories

    def _scored(self, query: npt.NDArray[np.float32], count: int) -> tuple[list[_Scored], bool]:
        """Vectors of items, the most similar first, and whether these are all that there are."""
        lists = [(place, False) for place in self._places.values()]
        lists += [(place, True) for place in self._places.values() if place.has_further]
        scored: list[_Scored] = []
        missing = -np.inf  # the score with which the best list goes on that is not here to its end
        if len(lists) > count:
            firsts = [(hits[0].score, one) for one, hits in self._nearest(query, lists, 1)]
            firsts.sort(key=lambda one: -one[0])
            lists = [one for _, one in firsts[:count]]
            missing = max((score for score, _ in firsts[count:]), default=missing)
        for (place, is_further), hits in self._nearest(query, lists, count):
            if len(hits) == count:
                missing = max(missing, hits[-1].score)
            for hit in hits:
                key, number = further_vector(hit.state_id) if is_further else (hit.state_id, 0)
                scored.append(_Scored(hit.score, place.agent_id, key, number))
        scored.sort(key=lambda one: (-one.score, one.agent_id, one.key))
        return [one for one in scored if one.score >= missing], missing == -np.inf

    def _nearest(
        self, query: npt.NDArray[np.float32], lists: Sequence[_List], count: int
    ) -> Iterator[tuple[_List, list[Hit]]]:
        """The nearest of each list that has any; the filter is looked at where values are."""
        vector = query.tobytes()
        own_filter = self._filter if self._filter.conditions else None
        searches = [
            Search(further_of(place.agent_id), vector=vector, k=count)
            if is_further
            else Search(place.agent_id, vector=vector, k=count, filter=own_filter)
            for place, is_further in lists
        ]
        for one, result in zip(lists, results_of(self._memory, searches, Hits), strict=True):
            if result.hits:
                yield one, result.hits


def _order(at: int, memory: Memory) -> _Order:
    return -memory.stored_ns, at


def _enough(needed: int, ask: Callable[[int], tuple[list[Any], bool]]) -> list[Any]:
    """So many, or all that there are; asked for more and more while some are not wanted."""
    count = needed
    while True:
        found, is_all = ask(count)
        if len(found) >= needed or is_all:
            return found[:needed]
        count *= _MORE

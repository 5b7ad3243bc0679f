"""The part of the call-by-call face that finds memories: by similarity, and by what they are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy.typing as npt

from memory_core.conditions import Filter, conditions_of
from memory_core.errors import BadInputError, MemoryCoreError
from memory_core.field_checks import is_finite, shown
from memory_core.operations import Operation, Query, RetrieveMany, Search
from memory_core.payload import pack_state
from memory_core.results import Hits, Memories, Result
from memory_core.views import SimilarState, StoredMemory

__all__ = ["Moment", "RetrievalFace"]

# A moment: seconds since the epoch, or a datetime (one without a zone is local time).
Moment = float | datetime
# What an operation's fields are called here, where all calls agree.
_CALLED = {
    "importance[0]": "min_importance",
    "importance[1]": "max_importance",
    "kind": "memory_type",
    "kinds": "memory_type",
    "min_score": "threshold",
    "step": "step_number",
    "steps": "start_step",
    "steps[0]": "start_step",
    "steps[1]": "end_step",
    "time_ns": "time_range",
}


# A float of seconds today is some 200 ns from the next.
_ROUNDING_NS = 4_096
_MAX_S = 9e9


class RetrievalFace(ABC):
    """Calls that find memories of one agent; none for an agent that is not known.

    Common arguments: ``tier`` is ``stm``, ``im``, ``ltm`` or ``all``; ``memory_type`` is
    ``state``, ``action`` or ``interaction``, or None for all; ``attributes`` are conditions on what
    a state holds, in the notation of `memory_core.conditions`; a range includes both ends, and
    None is no bound. All raise BadInputError, which names the field that is wrong.
    """

    @abstractmethod
    def _one(self, operation: Operation) -> Result:
        """Execute one operation; raises its failure."""

    def retrieve_similar_states(
        self,
        *,
        agent_id: str,
        query_state: Mapping[str, Any] | None = None,
        k: int = 5,
        tier: str = "all",
        vector: npt.ArrayLike | None = None,
        threshold: float | None = None,
        memory_type: str | None = None,
        time_range: tuple[Moment | None, Moment | None] | None = None,
        attributes: Mapping[Any, Any] | None = None,
    ) -> list[SimilarState]:
        """The ``k`` memories most similar to a state or a vector, best first.

        What the threshold (the least score), type, time and attributes leave out is left out
        before the k are chosen: there are k results when k memories fit.
        """
        wanted = _filter(memory_type, time_range, None, attributes)
        return self._hits(
            Search.of(
                agent_id,
                query_state,
                vector=vector,
                k=k,
                tier=tier,
                min_score=threshold,
                filter=None if wanted == Filter() else wanted,
            )
        )

    def search_by_embedding(
        self,
        *,
        agent_id: str,
        embedding: npt.ArrayLike,
        k: int = 5,
        tier: str = "all",
        threshold: float | None = None,
        memory_type: str | None = None,
    ) -> list[SimilarState]:
        """`retrieve_similar_states` for a ready vector of shape (dim,)."""
        try:
            return self.retrieve_similar_states(
                agent_id=agent_id,
                vector=embedding,
                k=k,
                tier=tier,
                threshold=threshold,
                memory_type=memory_type,
            )
        except BadInputError as error:
            if error.field == "query_state":
                raise BadInputError("embedding", "is missing; give a vector") from None
            field = "embedding" if error.field == "vector" else error.field
            raise BadInputError(field, error.problem) from None

    def hybrid_retrieve(
        self,
        *,
        agent_id: str,
        query_state: Mapping[str, Any],
        attributes: Mapping[Any, Any],
        k: int = 5,
        vector_weight: float = 0.7,
        attribute_weight: float = 0.3,
        tier: str = "all",
        threshold: float | None = None,
        memory_type: str | None = None,
        time_range: tuple[Moment | None, Moment | None] | None = None,
    ) -> list[SimilarState]:
        """The ``k`` memories with the best mixed score, best first.

        The score is ``vector_weight`` times the similarity plus ``attribute_weight`` times the
        fraction of the attributes' conditions that hold. Exact: no memory with a better score is
        left out.
        """
        prefer = conditions_of(attributes)
        if not prefer:
            raise BadInputError("attributes", "is empty; name what is wanted")
        wanted = _filter(memory_type, time_range, None, None)
        return self._hits(
            Search(
                agent_id,
                pack_state(query_state, "query_state"),
                k=k,
                tier=tier,
                min_score=threshold,
                filter=None if wanted == Filter() else wanted,
                prefer=prefer,
                vector_weight=vector_weight,
                attribute_weight=attribute_weight,
            )
        )

    def retrieve_states(
        self, *, agent_id: str, state_ids: Sequence[str], tier: str = "all"
    ) -> list[StoredMemory]:
        """Those of the ids that there are, in the order of the ids."""
        if isinstance(state_ids, str | bytes) or not isinstance(state_ids, Sequence):
            raise BadInputError("state_ids", f"must be ids, not {type(state_ids).__name__}")
        return self._memories(RetrieveMany(agent_id, list(state_ids), tier))

    def retrieve_by_time_range(
        self,
        *,
        agent_id: str,
        start_time: Moment | None = None,
        end_time: Moment | None = None,
        memory_type: str | None = None,
        tier: str = "all",
        limit: int | None = None,
        newest_first: bool = True,
    ) -> list[StoredMemory]:
        """Memories by when they were stored, in that order."""
        wanted = Filter(
            kinds=None if memory_type is None else [memory_type],
            time_ns=_time_range("start_time", start_time, "end_time", end_time),
        )
        asked = Query(agent_id, wanted, tier, limit, newest_first)
        return self._memories(asked, {"time_ns": "start_time"})

    def retrieve_by_step_range(
        self,
        *,
        agent_id: str,
        start_step: int | None = None,
        end_step: int | None = None,
        memory_type: str | None = None,
        tier: str = "all",
        limit: int | None = None,
        newest_first: bool = True,
    ) -> list[StoredMemory]:
        """Memories by the step they were stored with, in the order of storing."""
        wanted = _filter(memory_type, None, (start_step, end_step), None)
        return self._memories(Query(agent_id, wanted, tier, limit, newest_first))

    def retrieve_by_attributes(
        self,
        *,
        agent_id: str,
        attributes: Mapping[Any, Any],
        memory_type: str | None = None,
        time_range: tuple[Moment | None, Moment | None] | None = None,
        tier: str = "all",
        limit: int | None = None,
        newest_first: bool = True,
    ) -> list[StoredMemory]:
        """Memories whose states fulfil all conditions, in the order of storing."""
        if attributes is None:
            raise BadInputError("attributes", "is missing; name conditions")
        wanted = _filter(memory_type, time_range, None, attributes)
        return self._memories(Query(agent_id, wanted, tier, limit, newest_first))

    def retrieve_by_importance(
        self,
        *,
        agent_id: str,
        min_importance: float | None = None,
        max_importance: float | None = None,
        memory_type: str | None = None,
        tier: str = "all",
        limit: int | None = None,
        newest_first: bool = True,
    ) -> list[StoredMemory]:
        """Memories by the importance they were stored with, in the order of storing."""
        wanted = Filter(
            kinds=None if memory_type is None else [memory_type],
            importance=(min_importance, max_importance),
        )
        asked = Query(agent_id, wanted, tier, limit, newest_first)
        return self._memories(asked, {"importance": "min_importance"})

    def search_by_content(
        self,
        *,
        agent_id: str,
        content: str | Mapping[Any, Any],
        k: int = 5,
        tier: str = "all",
        memory_type: str | None = None,
    ) -> list[StoredMemory]:
        """The newest ``k`` memories that have a content.

        Args:
            agent_id: whose.
            content: words that all occur, whatever their case, in a state's keys and texts; or a
                mapping of attributes.
            k: how many at most.
            tier: where.
            memory_type: of which type.
        """
        if type(k) is not int or k < 1:
            raise BadInputError("k", f"must be a whole number >= 1, not {k!r}")
        if content is None:
            raise BadInputError("content", "is missing; name words, or attributes")
        kinds = None if memory_type is None else [memory_type]
        if isinstance(content, str):
            words = content.split()
            if not words:
                raise BadInputError("content", "is empty; name words, or attributes")
            wanted = Filter(kinds=kinds, words=words)
        else:
            wanted = Filter(kinds=kinds, conditions=conditions_of(content, "content"))
        asked = Query(agent_id, wanted, tier, k)
        return self._memories(asked, {"attributes": "content", "words": "content"})

    def _asked(self, operation: Operation, called: Mapping[str, str] = _CALLED) -> Result:
        """Execute one operation; what is wrong is named as the caller knows it."""
        try:
            return self._one(operation)
        except BadInputError as error:
            field = called.get(error.field) or _CALLED.get(error.field, error.field)
            raise BadInputError(field, error.problem) from None

    def _hits(self, search: Search) -> list[SimilarState]:
        found = self._asked(search)
        if not isinstance(found, Hits):
            raise MemoryCoreError(f"a search gave {found!r}")
        return [SimilarState.of(hit) for hit in found.hits]

    def _memories(
        self, operation: Operation, called: Mapping[str, str] = _CALLED
    ) -> list[StoredMemory]:
        found = self._asked(operation, called)
        if not isinstance(found, Memories):
            raise MemoryCoreError(f"a query gave {found!r}")
        return [StoredMemory.of(memory) for memory in found.memories]


def _filter(
    memory_type: str | None, times: Any, steps: Any, attributes: Mapping[Any, Any] | None
) -> Filter:
    time_ns = None
    if times is not None:
        if not isinstance(times, tuple | list) or len(times) != 2:
            raise BadInputError("time_range", "must be a start and an end, either may be None")
        time_ns = _time_range("time_range", times[0], "time_range", times[1])
    return Filter(
        kinds=None if memory_type is None else [memory_type],
        time_ns=time_ns,
        steps=steps,
        conditions=conditions_of(attributes),
    )


def _time_range(
    start_field: str, start: Any, end_field: str, end: Any
) -> tuple[int | None, int | None]:
    """Both bounds in nanoseconds since 1970.

    A moment in seconds stands for every nanosecond that it is the float of, so that a memory is
    within a range that begins or ends with its own ``stored_at_s``.
    """
    first_ns = last_ns = None
    if start is not None:
        seconds, around = _near(start_field, start)
        first_ns = around[bisect_left(around, seconds, key=_seconds)]
    if end is not None:
        seconds, around = _near(end_field, end)
        last_ns = around[bisect_right(around, seconds, key=_seconds) - 1]
    return first_ns, last_ns


def _near(field: str, moment: Any) -> tuple[float, range]:
    """A moment in seconds since 1970, and the nanoseconds around it."""
    if isinstance(moment, datetime):
        try:
            moment = moment.timestamp()
        except (ValueError, OverflowError):
            raise BadInputError(field, "is no moment that this machine can tell") from None
    if isinstance(moment, bool) or not isinstance(moment, int | float):
        kind = type(moment).__name__
        raise BadInputError(field, f"must be seconds since 1970 or a datetime, not {kind}")
    if not is_finite(moment) or abs(moment) > _MAX_S:
        raise BadInputError(field, f"must be seconds since 1970, not {shown(moment)}")
    nearest_ns = round(moment * 1e9)
    return moment, range(nearest_ns - _ROUNDING_NS, nearest_ns + _ROUNDING_NS)


def _seconds(nanoseconds: int) -> float:
    return nanoseconds / 1e9

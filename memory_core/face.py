"""The call-by-call face of a memory, the same in process and over Ray."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from memory_core.errors import MemoryCoreError
from memory_core.ops import (
    Counts,
    Describe,
    Described,
    Failure,
    Hits,
    Moved,
    Operation,
    Record,
    Result,
    Retrieve,
    Search,
    Store,
    Transition,
)

__all__ = ["MemoryFace", "SimilarState"]


@dataclass(frozen=True, slots=True)
class SimilarState:
    """One result of a search; ``score`` is the cosine similarity, in [-1, 1]."""

    state_id: str
    score: float
    tier: str
    state: dict[str, Any]


class MemoryFace(ABC):
    """What a program with agents in it calls; a subclass says how an operation is executed."""

    @abstractmethod
    def _execute_one(self, operation: Operation) -> Result:
        """Execute one operation, by itself or together with others' at the same moment."""

    def store_agent_state(
        self,
        *,
        agent_id: str,
        state_id: str,
        state_data: Mapping[str, Any],
        importance: float = 0.5,
        vector: npt.ArrayLike | None = None,
    ) -> None:
        """Store a state, replacing the one of that id; durable when this returns.

        Args:
            agent_id: whose memory it is; 1 to 1,024 bytes of text.
            state_id: its name among the agent's memories.
            state_data: a nested mapping of strings, numbers, booleans, None, lists, and numpy
                scalars and arrays.
            importance: from 0 to 1; the important stay longer in a tier.
            vector: (dim,) takes the place of the encoder's; it is scaled to unit length.

        Raises:
            BadInputError: names the field that is wrong.
            UnavailableError: the system is closed, or refuses writes after one that failed.
            StorageFullError: the disk has no room; the state was not stored.
        """
        self._one(Store.of(agent_id, state_id, state_data, importance=importance, vector=vector))

    def retrieve_state(
        self, *, state_id: str, agent_id: str, tier: str = "all"
    ) -> dict[str, Any] | None:
        """The state of that id, equal to what was stored (arrays as lists), or None.

        Raises:
            BadInputError: names the field that is wrong.
        """
        found = self._one(Retrieve(agent_id, state_id, tier))
        return found.state if isinstance(found, Record) else None

    def retrieve_similar_states(
        self,
        *,
        agent_id: str,
        query_state: Mapping[str, Any] | None = None,
        k: int = 5,
        tier: str = "all",
        vector: npt.ArrayLike | None = None,
    ) -> list[SimilarState]:
        """The ``k`` memories of the agent most similar to a state or a vector, best first.

        Fewer when the tier holds fewer; none for an unknown agent (see `has_agent`).

        Raises:
            BadInputError: names the field that is wrong.
        """
        found = self._one(Search.of(agent_id, query_state, vector=vector, k=k, tier=tier))
        if not isinstance(found, Hits):
            raise MemoryCoreError(f"a search gave {found!r}")
        return [SimilarState(hit.state_id, hit.score, hit.tier, hit.state) for hit in found.hits]

    def force_transition_to_im(self, *, percentage: float, agent_id: str | None = None) -> int:
        """Move ``percentage`` of the short-term memories to the intermediate tier.

        The least important and oldest first; over all agents, or of one. How many moved.
        """
        return self._transition("im", percentage, agent_id)

    def force_transition_to_ltm(self, *, percentage: float, agent_id: str | None = None) -> int:
        """Move ``percentage`` of the intermediate memories to the long-term tier."""
        return self._transition("ltm", percentage, agent_id)

    def has_agent(self, agent_id: str) -> bool:
        """Whether the agent has ever stored anything that is still here."""
        return self._describe(agent_id).agents > 0

    def count_memories(self, agent_id: str | None = None) -> Counts:
        """Memories by tier, of one agent or of all."""
        return self._describe(agent_id).counts

    def _transition(self, to: str, percentage: float, agent_id: str | None) -> int:
        moved = self._one(Transition(to, percentage, agent_id))
        if not isinstance(moved, Moved):
            raise MemoryCoreError(f"a transition gave {moved!r}")
        return moved.count

    def _describe(self, agent_id: str | None) -> Described:
        described = self._one(Describe(agent_id))
        if not isinstance(described, Described):
            raise MemoryCoreError(f"a count gave {described!r}")
        return described

    def _one(self, operation: Operation) -> Result:
        result = self._execute_one(operation)
        if type(result) is Failure:
            raise result.exception()
        return result

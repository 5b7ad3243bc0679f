"""What the call-by-call face gives back: memories as a program reads them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from memory_core.payload import unpack_state
from memory_core.results import Counts, Described, Hit, Memory, Statistics

__all__ = ["MemoryStatistics", "SimilarState", "StoredMemory"]


@dataclass(frozen=True, slots=True)
class SimilarState:
    """One result of a search; ``score`` is the cosine similarity, in [-1, 1], or a mixed score."""

    state_id: str
    score: float
    tier: str
    state: dict[str, Any]

    @classmethod
    def of(cls, hit: Hit) -> SimilarState:
        """A search's hit."""
        return cls(hit.state_id, hit.score, hit.tier, hit.state)


@dataclass(frozen=True, slots=True)
class StoredMemory:
    """A memory with what is kept beside its state.

    ``stored_at_s`` is seconds since the epoch; ``memory_type`` state, action or interaction;
    ``step_number`` and ``metadata`` are None when none was given.
    """

    state_id: str
    state: dict[str, Any]
    tier: str
    memory_type: str
    importance: float
    stored_at_s: float
    step_number: int | None
    metadata: dict[str, Any] | None

    @classmethod
    def of(cls, memory: Memory) -> StoredMemory:
        """A query's memory."""
        return cls(
            memory.state_id,
            memory.state,
            memory.tier,
            memory.kind,
            memory.importance,
            memory.stored_ns / 1e9,
            memory.step,
            None if memory.metadata is None else unpack_state(memory.metadata),
        )


@dataclass(frozen=True, slots=True)
class MemoryStatistics:
    """What is held, of one agent or of all.

    ``counts`` and ``payload_bytes`` (of the packed states) have ``stm``, ``im``, ``ltm`` and
    ``total``. ``store`` is what the store says of itself, None when one agent was asked for; it
    has no part in comparisons.
    """

    agents: int
    counts: Counts
    payload_bytes: Counts = field(default_factory=Counts)
    store: Statistics | None = field(default=None, compare=False)

    @classmethod
    def of(cls, described: Described) -> MemoryStatistics:
        """What a store said of itself."""
        return cls(described.agents, described.counts, described.payload_bytes)

    @classmethod
    def of_store(cls, said: Statistics) -> MemoryStatistics:
        """What a store, or all shards together, said of themselves."""
        return cls(said.agents, said.counts, said.payload_bytes, said)

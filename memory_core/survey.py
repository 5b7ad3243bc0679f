"""What a store says of itself, found out some agents at a time.

The store has a `Survey` go on between other batches, as it does a transition, so that nobody waits
until 100,000 agents have been asked. What it says is therefore not of one moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memory_core.operations import TIERS, Inspect

if TYPE_CHECKING:
    from memory_core.memories import AgentMemories

__all__ = ["Survey"]

_MAX_ERRORS = 10


class Survey:
    """An `Inspect` that goes on a part at a time.

    Attributes:
        operation: what was asked for.
        is_done: whether all agents have been asked.
        unseen: agents that have not been; None before it has begun.
    """

    __slots__ = (
        *("agent_bytes", "agents", "approximate", "building", "counts", "errors", "failed"),
        *("index_bytes", "indexes", "is_done", "lower_bytes", "operation", "short_bytes"),
        *("sizes", "unseen"),
    )

    def __init__(self, operation: Inspect) -> None:
        self.operation = operation
        self.is_done = False
        self.unseen: list[str] | None = None
        self.agents = self.indexes = self.approximate = self.building = self.failed = 0
        self.agent_bytes = self.short_bytes = self.lower_bytes = self.index_bytes = 0
        self.counts, self.sizes = [0] * len(TIERS), [0] * len(TIERS)
        self.errors: list[str] = []

    def look_at(self, agent_id: str, memories: AgentMemories) -> None:
        """Add an agent."""
        self.agents += 1
        for tier in range(len(TIERS)):
            self.counts[tier] += memories.held(tier)
            self.sizes[tier] += memories.held_bytes(tier)
        whole = memories.memory_bytes
        short = 0 if memories.short is None else memories.short.memory_bytes
        self.short_bytes += short
        if memories.lower is None:
            self.agent_bytes += whole - short
            return
        index, lower = memories.lower.index, memories.lower.memory_bytes
        self.agent_bytes += whole - short - lower
        self.index_bytes += index.memory_bytes
        self.lower_bytes += lower - index.memory_bytes
        self.indexes += 1
        self.approximate += not index.is_exact
        self.building += index.is_building
        if index.build_error is not None:
            self.failed += 1
            if len(self.errors) < _MAX_ERRORS:
                self.errors.append(f"{agent_id}: {index.build_error}")

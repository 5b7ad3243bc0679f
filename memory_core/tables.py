"""What a store keeps in memory of all agents; all of it can be made again (`loading`)."""

from __future__ import annotations

from memory_core.agent_ids import AgentIds
from memory_core.memories import AgentMemories, IndexSettings, LowerMemories
from memory_core.operations import TIERS
from memory_core.results import Counts

__all__ = ["Tables"]


class Tables:
    """Agents' memories by agent id, and the number of the last store."""

    def __init__(self, settings: IndexSettings) -> None:
        self.settings = settings
        self.agents: dict[str, AgentMemories] = {}
        self.ids = AgentIds(self.agents)
        self.sequence = 0
        # whether any agent may have a lower tier
        self.have_lower = False
        # agents whose lower tiers have changed since somebody looked
        self.changed: set[str] = set()

    def agent(self, agent_id: str) -> AgentMemories:
        """The memories of an agent, made if need be."""
        memories = self.agents.get(agent_id)
        if memories is None:
            memories = self.agents[agent_id] = AgentMemories(agent_id, self.settings)
            self.ids.note(agent_id)
        return memories

    def make_lower(self, memories: AgentMemories) -> LowerMemories:
        """What an agent has below the short-term tier, made if need be."""
        self.have_lower = True
        return memories.make_lower()

    def clear(self) -> None:
        """Forget all agents; the number of the last store stays."""
        self.close()
        self.agents.clear()

    def close(self) -> None:
        """End what goes on in the background."""
        for memories in self.agents.values():
            memories.close()

    def counts(self, agent_id: str | None) -> Counts:
        """Memories by tier, of one agent or of all."""
        chosen = self._chosen(agent_id)
        return Counts(*(sum(one.held(tier) for one in chosen) for tier in range(len(TIERS))))

    def sizes(self, agent_id: str | None) -> Counts:
        """Bytes of the packed states by tier, of one agent or of all."""
        chosen = self._chosen(agent_id)
        return Counts(*(sum(one.held_bytes(tier) for one in chosen) for tier in range(len(TIERS))))

    def _chosen(self, agent_id: str | None) -> list[AgentMemories]:
        if agent_id is None:
            return list(self.agents.values())
        return [self.agents[agent_id]] if agent_id in self.agents else []

"""The ids of a store's agents in their order, so that a page of them costs what is in it.

Nothing is kept until somebody asks. From then on new agents are noted as they come, and put in
their place with the next page. Those that are gone stay in the list and are passed over, until they
are as many as those that are there: then the list is made again.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection

__all__ = ["AgentIds"]

# Where so many are new, sorting all costs less than finding each one's place.
_SORTED_TOGETHER = 64
_FEW = 1_000


class AgentIds:
    """Pages of ids. Not thread-safe.

    Args:
        agents: those that there are, by id; looked at whenever a page is asked for.
    """

    def __init__(self, agents: Collection[str]) -> None:
        self._agents = agents
        self._ordered: list[str] | None = None
        self._new: list[str] = []

    def note(self, agent_id: str) -> None:
        """Note an agent that was not there."""
        if self._ordered is None:
            return
        self._new.append(agent_id)
        if len(self._new) > len(self._ordered) + _FEW:  # nobody has asked for long
            self._ordered, self._new = None, []

    def page(self, limit: int, *, after: str | None = None, prefix: str | None = None) -> list[str]:
        """The first ``limit`` after an id that begin with a prefix, in their order."""
        ordered = self._up_to_date()
        at = 0 if prefix is None else bisect_left(ordered, prefix)
        if after is not None:
            at = max(at, bisect_right(ordered, after))
        found: list[str] = []
        while at < len(ordered) and len(found) < limit:
            agent_id = ordered[at]
            at += 1
            if prefix is not None and not agent_id.startswith(prefix):
                break
            # one that was gone and came back is there twice
            if agent_id in self._agents and (not found or found[-1] != agent_id):
                found.append(agent_id)
        return found

    def _up_to_date(self) -> list[str]:
        ordered, new = self._ordered, self._new
        if ordered is None or len(ordered) + len(new) > 2 * len(self._agents) + _FEW:
            ordered = self._ordered = sorted(self._agents)
        elif len(new) > _SORTED_TOGETHER:
            ordered += new
            ordered.sort()
        else:
            for agent_id in new:
                insort(ordered, agent_id)
        self._new = []
        return ordered

"""A target that does next to nothing, to see what the harness itself costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from harness.targets.base import Hit, Memory, NoOptions, OpenStore, Query, Setup, Target

__all__ = ["PlainStore", "PlainTarget"]


class PlainStore(OpenStore):
    """Keeps payloads in dicts; a search gives an agent's first memories, unlooked at."""

    def __init__(self) -> None:
        self._payloads: dict[str, dict[str, bytes]] = {}

    def store(self, memory: Memory) -> None:
        """Keep the payload."""
        mine = self._payloads.get(memory.agent_id)
        if mine is None:
            mine = self._payloads[memory.agent_id] = {}
        mine[memory.state_id] = memory.payload

    def retrieve(self, agent_id: str, state_id: str) -> bytes | None:
        """The payload."""
        return self._payloads.get(agent_id, {}).get(state_id)

    def search(self, query: Query) -> Sequence[Hit]:
        """Any ``k``."""
        mine = self._payloads.get(query.agent_id, {})
        return [Hit(state_id, 1.0, payload) for state_id, payload in islice(mine.items(), query.k)]


class PlainTarget(Target[NoOptions]):
    """Plain calls, one at a time."""

    name = "plain"
    description = "dicts, to see what the harness costs"

    def open(self, setup: Setup, connection: Mapping[str, Any]) -> OpenStore:
        """A new store."""
        del setup, connection
        return PlainStore()

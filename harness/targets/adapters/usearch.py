"""The target ``usearch``: an HNSW index for each agent, and a dict for the states beside it.

usearch is an index: vectors under integer keys. What else a memory is made of, its user keeps; here
that is a dict in memory. Driven as its documentation has it:

- Its Python index takes no condition on a search, so one index of all agents would have to be asked
  for many more than k, in the hope that enough are the agent's. An index for each is exact about
  whose memories it finds, and faster. Each costs some 50 kB, mostly room for vectors to come.
- The default graph (connectivity 16, expansions 128 and 64), cosine distance. Vectors are kept as
  float32, as they come, so that scores are those of other stores; usearch's own choice, where the
  processor suits it, is bfloat16 (``dtype``).
- ``threads=1`` for each call, which is what it recommends where there are workers around it: there
  is one process for each cohort.
- What waits is added agent by agent, as matrices. A key is used once: what is stored again is
  removed (marked, and its place used again by a later vector) and added under a new key.

Nothing is on disk. usearch can save an index, as a whole, when it is told to: that keeps what was
there at that moment and nothing since, so it is no part of an acknowledgement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from harness.targets.base import (
    Capabilities,
    Hit,
    Memory,
    OpenStore,
    Query,
    Ready,
    Scalar,
    Setup,
    Target,
)

if TYPE_CHECKING:
    from usearch.index import Index

__all__ = ["UsearchOptions", "UsearchStore", "UsearchTarget"]


class UsearchOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``usearch``.

    ``dtype``: what a vector's numbers are kept as.
    """

    dtype: Literal["f32", "bf16", "f16", "i8"] = "f32"


class UsearchTarget(Target[UsearchOptions]):
    """Indexes and dicts in each process of agents."""

    name = "usearch"
    description = "usearch: an HNSW index for each agent, with a dict for the states; in memory"
    options_type = UsearchOptions
    modules = ("usearch",)
    extra = "usearch"
    capabilities = Capabilities(batch=frozenset({"store", "retrieve", "search"}), delete=True)

    def prepare(self, setup: Setup) -> Ready:
        """Nothing to start."""
        index = _index(setup.dimension, self.options.dtype)
        return Ready(
            version=version("usearch"),
            durability="in memory only: what was acknowledged is gone with the process",
            settings={
                "index": "HNSW, one for each agent",
                "metric": "cos",
                "dtype": self.options.dtype,
                "connectivity": index.connectivity,
                "expansion_add": index.expansion_add,
                "expansion_search": index.expansion_search,
                "threads": 1,
            },
        )

    def open(self, setup: Setup, connection: Mapping[str, Any]) -> UsearchStore:
        """An empty store."""
        del connection
        return UsearchStore(setup.dimension, self.options.dtype)


class UsearchStore(OpenStore):
    """The agents of a process."""

    def __init__(self, dimension: int, dtype: str = "f32") -> None:
        self._dimension = dimension
        self._dtype = dtype
        self._agents: dict[str, _Agent] = {}
        # Its import is no matter of the first operation's.
        _index(dimension, dtype)

    def store_many(self, memories: Sequence[Memory]) -> None:
        """A matrix for each agent."""
        by_agent: dict[str, list[Memory]] = {}
        for memory in memories:
            by_agent.setdefault(memory.agent_id, []).append(memory)
        for agent_id, of_agent in by_agent.items():
            agent = self._agents.get(agent_id)
            if agent is None:
                agent = self._agents[agent_id] = _Agent(_index(self._dimension, self._dtype))
            agent.store(of_agent)

    def retrieve_many(self, keys: Sequence[tuple[str, str]]) -> list[bytes | None]:
        """From the dicts."""
        found: list[bytes | None] = []
        for agent_id, state_id in keys:
            agent = self._agents.get(agent_id)
            found.append(agent.payload(state_id) if agent else None)
        return found

    def search_many(self, queries: Sequence[Query]) -> list[list[Hit]]:
        """One after another: each is of an index of its own."""
        found: list[list[Hit]] = []
        for query in queries:
            agent = self._agents.get(query.agent_id)
            found.append(agent.search(query) if agent else [])
        return found

    def delete(self, agent_id: str, state_id: str) -> bool:
        """From the index and the dict."""
        agent = self._agents.get(agent_id)
        return agent is not None and agent.delete(state_id)

    def statistics(self) -> dict[str, Scalar]:
        """How many memories there are."""
        return {
            "memories": sum(len(agent.index) for agent in self._agents.values()),
            "indexes": len(self._agents),
            "index": "HNSW",
        }

    def close(self) -> None:
        """Forget everything."""
        self._agents.clear()


class _Agent:
    """An agent's memories: keys of the index stand for what the dicts have."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self._next_key = 0
        self._keys: dict[str, int] = {}
        self._states: dict[int, tuple[str, bytes]] = {}

    def store(self, memories: Sequence[Memory]) -> None:
        for memory in memories:
            self.delete(memory.state_id)
        first, self._next_key = self._next_key, self._next_key + len(memories)
        keys = np.arange(first, self._next_key, dtype=np.uint64)
        self.index.add(keys, np.stack([memory.vector for memory in memories]), threads=1)
        for key, memory in enumerate(memories, first):
            self._keys[memory.state_id] = key
            self._states[key] = (memory.state_id, memory.payload)

    def payload(self, state_id: str) -> bytes | None:
        key = self._keys.get(state_id)
        return None if key is None else self._states[key][1]

    def search(self, query: Query) -> list[Hit]:
        count = min(query.k, len(self.index))
        if not count:
            return []
        matches = self.index.search(query.vector, count, threads=1)
        hits = []
        for key, distance in zip(matches.keys.tolist(), matches.distances.tolist(), strict=True):
            state_id, payload = self._states[key]
            hits.append(Hit(state_id, min(1.0, max(-1.0, 1.0 - distance)), payload))
        return hits

    def delete(self, state_id: str) -> bool:
        key = self._keys.pop(state_id, None)
        if key is None:
            return False
        self.index.remove(key, threads=1)
        del self._states[key]
        return True


def _index(dimension: int, dtype: str) -> Index:
    from usearch.index import Index

    return Index(ndim=dimension, metric="cos", dtype=dtype)

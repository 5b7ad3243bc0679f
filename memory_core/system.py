"""`AgentMemorySystem`: the store's call-by-call face, for a program with agents in it."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy.typing as npt

from memory_core.config import MemoryConfig
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
from memory_core.store import MemoryStore

__all__ = ["AgentMemorySystem", "SimilarState"]


@dataclass(frozen=True, slots=True)
class SimilarState:
    """One result of a search; ``score`` is the cosine similarity, in [-1, 1]."""

    state_id: str
    score: float
    tier: str
    state: dict[str, Any]


class AgentMemorySystem:
    """An agent-memory store in this process. Thread-safe.

    It may be left without `close`: whatever was acknowledged is on the disk already. Without a
    ``path`` in the configuration the files lie in a private temporary folder, which goes when
    the system is closed, collected or the process ends.

    Args:
        config: by default ``MemoryConfig()``.

    Raises:
        LockedError, IncompatibleError, CorruptionError, BadInputError: see `MemoryStore`.
    """

    _instances: ClassVar[list[AgentMemorySystem]] = []
    _instances_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, config: MemoryConfig | None = None) -> None:
        self.config = config or MemoryConfig()
        folder = None
        path = self.config.path
        if path is None:
            folder = tempfile.mkdtemp(prefix="agent-memory-")
            path = folder
        try:
            self._store = MemoryStore(replace(self.config, path=os.fspath(path)))
        except BaseException:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        self._finalizer = weakref.finalize(self, _leave, self._store, folder)

    @classmethod
    def get_instance(cls, config: MemoryConfig | None = None) -> AgentMemorySystem:
        """The system that is shared by all who ask with an equal configuration.

        One that was closed is opened anew.
        """
        config = config or MemoryConfig()
        with cls._instances_lock:
            cls._instances[:] = [one for one in cls._instances if not one.closed]
            for instance in cls._instances:
                if instance.config == config:
                    return instance
            instance = cls(config)
            cls._instances.append(instance)
            return instance

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
        self._one(
            Store.of(agent_id, state_id, state_data, importance=importance, vector=vector)
        )

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

    def execute(self, batch: list[Operation]) -> list[Result]:
        """Many operations at once, as `MemoryStore.execute`."""
        return self._store.execute(batch)

    @property
    def path(self) -> str:
        """The folder of the database."""
        return self._store.path

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return not self._finalizer.alive

    def close(self) -> None:
        """Close the files, and remove them when the folder is a private one."""
        self._finalizer()

    def __enter__(self) -> AgentMemorySystem:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
        result = self._store.execute((operation,))[0]
        if type(result) is Failure:
            raise result.exception()
        return result


def _leave(store: MemoryStore, folder: str | None) -> None:
    store.close()
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)

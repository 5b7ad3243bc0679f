"""The call-by-call face of a memory, the same in process and over Ray."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy.typing as npt

from memory_core import exchange
from memory_core.errors import MemoryCoreError
from memory_core.field_checks import check_id
from memory_core.hooks import Hooks, MemoryHook
from memory_core.operations import (
    Agents,
    Delete,
    Describe,
    Inspect,
    Maintain,
    Operation,
    Retrieve,
    Store,
    Transition,
)
from memory_core.results import (
    AgentSize,
    Counts,
    Deleted,
    Described,
    Failure,
    Listed,
    Maintained,
    Moved,
    Record,
    Result,
    Statistics,
)
from memory_core.retrieval import RetrievalFace
from memory_core.views import MemoryStatistics

__all__ = ["MemoryFace"]


class MemoryFace(RetrievalFace):
    """What a program with agents in it calls; a subclass says how an operation is executed."""

    _hooks: Hooks

    @abstractmethod
    def execute(self, batch: Sequence[Operation]) -> list[Result]:
        """Execute many operations at once; one result for each, in order."""

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
        step_number: int | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Store a state, replacing the memory of that id; durable when this returns.

        Args:
            agent_id: whose memory it is; 1 to 1,024 bytes of text.
            state_id: its name among the agent's memories, of whatever type.
            state_data: a nested mapping of strings, numbers, booleans, None, lists, and numpy
                scalars and arrays.
            importance: from 0 to 1; the important stay longer in a tier.
            vector: (dim,) takes the place of the encoder's; it is scaled to unit length.
            step_number: of the agent's life, a whole number of 64 bits.
            metadata: a mapping that is kept beside the state; it has no part in similarity.

        Raises:
            BadInputError: names the field that is wrong.
            UnavailableError: the system is closed, or refuses writes after one that failed.
            StorageFullError: the disk has no room; the state was not stored.
        """
        self._store_memory(
            "state", agent_id, state_id, state_data, importance, vector, step_number, metadata
        )

    def store_agent_action(
        self,
        *,
        agent_id: str,
        state_id: str,
        state_data: Mapping[str, Any],
        importance: float = 0.5,
        vector: npt.ArrayLike | None = None,
        step_number: int | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """`store_agent_state` for what the agent did: a memory of type ``action``."""
        self._store_memory(
            "action", agent_id, state_id, state_data, importance, vector, step_number, metadata
        )

    def store_agent_interaction(
        self,
        *,
        agent_id: str,
        state_id: str,
        state_data: Mapping[str, Any],
        importance: float = 0.5,
        vector: npt.ArrayLike | None = None,
        step_number: int | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """`store_agent_state` for a meeting with others: a memory of type ``interaction``."""
        self._store_memory(
            "interaction", agent_id, state_id, state_data, importance, vector, step_number, metadata
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

    def force_transition_to_im(self, *, percentage: float, agent_id: str | None = None) -> int:
        """Move ``percentage`` of the short-term memories to the intermediate tier.

        The least important and oldest first; over all agents, or of one. How many moved.
        """
        return self._transition("im", percentage, agent_id)

    def force_transition_to_ltm(self, *, percentage: float, agent_id: str | None = None) -> int:
        """Move ``percentage`` of the intermediate memories to the long-term tier."""
        return self._transition("ltm", percentage, agent_id)

    def force_memory_maintenance(self, *, agent_id: str | None = None) -> Maintained:
        """Do now what otherwise happens with later stores, of one agent or of all.

        Memories that a tier has too much move down, those that are retrieved often move up one
        tier, and those past a tier's time-to-live are deleted. It goes on between other
        operations, which do not wait for all of it. How many of each there were.
        """
        maintained = self._one(Maintain(agent_id))
        if not isinstance(maintained, Maintained):
            raise MemoryCoreError(f"maintenance gave {maintained!r}")
        return maintained

    def has_agent(self, agent_id: str) -> bool:
        """Whether the agent has ever stored anything that is still here."""
        check_id("agent_id", agent_id)
        return self._describe(agent_id).agents > 0

    def list_agents(
        self, *, prefix: str | None = None, after: str | None = None, limit: int = 1_000
    ) -> list[AgentSize]:
        """Agents that have memories, by agent id, with how many and how large these are.

        Args:
            prefix: only those whose ids begin with it.
            after: only those whose ids come after it: the last of the page before.
            limit: how many at most, up to 100,000.
        """
        listed = self._one(Agents(after, limit, prefix))
        if not isinstance(listed, Listed):
            raise MemoryCoreError(f"a list of agents gave {listed!r}")
        return listed.agents

    def count_memories(self, agent_id: str | None = None) -> Counts:
        """Memories by tier, of one agent or of all."""
        return self._describe(agent_id).counts

    def get_memory_statistics(self, *, agent_id: str | None = None) -> MemoryStatistics:
        """Counts and bytes by tier, of one agent or of all; of all with what the store says.

        That is RocksDB's own statistics and those of indexes, memory, demotions and snapshots
        (`Statistics`): those of a store in this process, or of all shards with each by itself.
        With many agents they are not of one moment, since others' calls go on meanwhile.
        """
        if agent_id is not None:
            return MemoryStatistics.of(self._describe(agent_id))
        said = self._one(Inspect())
        if not isinstance(said, Statistics):
            raise MemoryCoreError(f"an inspection gave {said!r}")
        return MemoryStatistics.of_store(said)

    def delete_memory(self, *, agent_id: str, state_id: str) -> bool:
        """Delete a memory, for good when this returns; whether there was one."""
        check_id("agent_id", agent_id)
        check_id("state_id", state_id)
        return self._delete(Delete(agent_id, state_id)) > 0

    def clear_agent(self, *, agent_id: str) -> int:
        """Delete all memories of an agent, who is then unknown; how many there were."""
        check_id("agent_id", agent_id)
        return self._delete(Delete(agent_id))

    def clear_all_memories(self) -> int:
        """Delete all memories of all agents; how many there were."""
        return self._delete(Delete(None))

    def export_memories(self, *, path: str | os.PathLike[str], agent_id: str | None = None) -> int:
        """Write the memories of one agent, or of all, to a new Parquet file; how many there were.

        `memory_core.exchange` says what is in the file. Of what is stored or deleted meanwhile,
        some may be in it.

        Raises:
            BadInputError: there is such a file already, or none can be written there.
            StorageFullError: the disk has no room.
        """
        return exchange.export_memories(self, path, agent_id)

    def import_memories(self, *, path: str | os.PathLike[str]) -> int:
        """Store the memories of a file that `export_memories` made; how many there were.

        Each is as it was, with its tier and the time when it was stored, and takes the place of
        one of that id. Where a tier is too full for all of them, the usual ones move down.

        Raises:
            BadInputError: the file is missing, damaged or no export, and nothing was imported;
                or this memory refuses what is in it.
        """
        return exchange.import_memories(self, path)

    def register_memory_hook(self, *, event: str, hook: Callable[[Any], object]) -> MemoryHook:
        """Have a function called after each event of a kind.

        Kinds are ``store``, ``demotion``, ``promotion`` (up a tier) and ``retrieval``.

        It is called in the thread that called this memory, once the operation is acknowledged,
        with a `StoreEvent`, `DemotionEvent`, `PromotionEvent` or `RetrievalEvent`;
        `memory_core.hooks` says more.
        What it raises harms nothing: it is counted, and logged once. Over Ray it is called for
        the operations of this client; memories move in the shards, where nobody is called.

        Returns:
            What ``remove()`` ends, and what knows ``failures`` and ``last_error``.

        Raises:
            BadInputError: no such event here, or no function.
        """
        return self._hooks.add(event, hook)

    def _store_memory(
        self,
        kind: str,
        agent_id: str,
        state_id: str,
        state_data: Mapping[str, Any],
        importance: float,
        vector: npt.ArrayLike | None,
        step: int | None,
        metadata: Mapping[str, Any] | None,
    ) -> None:
        self._asked(
            Store.of(
                agent_id,
                state_id,
                state_data,
                importance=importance,
                vector=vector,
                kind=kind,
                step=step,
                metadata=metadata,
            )
        )

    def _delete(self, operation: Delete) -> int:
        deleted = self._one(operation)
        if not isinstance(deleted, Deleted):
            raise MemoryCoreError(f"a deletion gave {deleted!r}")
        return deleted.count

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

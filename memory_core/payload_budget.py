"""How many packed states are held in memory, so that reading them costs no database look-up.

Agents' tables hold the states of short-term memories themselves, and of intermediate ones the
values with their vectors (`memory_core.memories`). When they have reached the
bound, agents forget theirs in turn until a quarter of it is free; what is read from the
database meanwhile is held again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from memory_core.memories import AgentMemories

__all__ = ["PayloadBudget"]

_ENTRY_OVERHEAD_BYTES = 64
_KEPT_RATIO = 0.75


class PayloadBudget:
    """Bounds the packed states that agents hold.

    Args:
        max_bytes: of all of them; 0 holds none.

    Attributes:
        is_open: whether any may be held.
    """

    def __init__(self, max_bytes: int) -> None:
        self._widest_bytes = self._max_bytes = max_bytes
        self._held_bytes = 0  # at most: what was overwritten counts until its agent's turn
        self._turn: Iterator[AgentMemories] = iter(())
        self.is_open = max_bytes > 0

    def add(self, entries: int, payload_bytes: int, agents: Mapping[str, AgentMemories]) -> None:
        """Note that more are held, or fewer; have agents forget when that is too many."""
        self._held_bytes += payload_bytes + entries * _ENTRY_OVERHEAD_BYTES
        if self._held_bytes > self._max_bytes:
            self._forget(agents, self._max_bytes * _KEPT_RATIO)

    @property
    def held_bytes(self) -> int:
        """Bytes held, at most, with what holding them takes."""
        return self._held_bytes

    def shrink(self, by_bytes: int, agents: Mapping[str, AgentMemories]) -> None:
        """Have agents forget so much, and hold no more than is left, until `widen`."""
        self._max_bytes = max(0, min(self._max_bytes, self._held_bytes) - by_bytes)
        self.is_open = self._max_bytes > 0
        self._forget(agents, self._max_bytes)

    def widen(self) -> None:
        """Let agents hold as much as at the beginning again."""
        self._max_bytes = self._widest_bytes
        self.is_open = self._max_bytes > 0

    def clear(self) -> None:
        """Begin anew: no agent holds any."""
        self._held_bytes = 0
        self._turn = iter(())

    def _forget(self, agents: Mapping[str, AgentMemories], goal: float) -> None:
        rounds = 0
        while self._held_bytes > goal:
            memories = next(self._turn, None)
            if memories is None:
                if rounds == 2:  # everybody was asked
                    self._held_bytes = 0
                    return
                rounds += 1
                self._turn = iter(list(agents.values()))
                continue
            if memories.short is not None:
                self._release(*memories.short.forget_payloads())
            if memories.lower is not None:
                self._release(*memories.lower.forget_held())

    def _release(self, entries: int, payload_bytes: int) -> None:
        self._held_bytes -= payload_bytes + entries * _ENTRY_OVERHEAD_BYTES

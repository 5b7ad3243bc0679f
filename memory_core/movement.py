"""A transition between tiers that goes on a part at a time, and memories on their way.

The store has a `Movement` go on between other batches, so that nobody waits for all of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from memory_core.operations import Transition

__all__ = ["Chosen", "Movement", "split"]


class Chosen(NamedTuple):
    """Memories of one agent that are to leave a tier."""

    agent_id: str
    tier: int
    sequences: npt.NDArray[np.int64]
    state_ids: Sequence[str]  # those of short-term memories


class Movement:
    """A `Transition` that goes on a part at a time.

    Attributes:
        operation: what was asked for.
        moved: memories that it has moved so far.
        is_done: whether that is all.
        unseen: agents that have not been looked at; None before it has begun.
        found: all memories that the tier has, of agents that have been looked at.
        scores: retention of each of them.
        parts: what is to move.
    """

    __slots__ = ("found", "is_done", "moved", "operation", "parts", "scores", "unseen")

    def __init__(self, operation: Transition) -> None:
        self.operation = operation
        self.moved = 0
        self.is_done = False
        self.unseen: list[str] | None = None
        self.found: list[Chosen] = []
        self.scores: list[npt.NDArray[np.float64]] = []
        self.parts: deque[Chosen] = deque()


def split(chosen: Chosen, count: int) -> tuple[Chosen, Chosen | None]:
    """The first ``count`` memories, and the others if there are any."""
    if len(chosen.sequences) <= count:
        return chosen, None
    agent_id, tier, sequences, state_ids = chosen
    return (
        Chosen(agent_id, tier, sequences[:count], state_ids[:count]),
        Chosen(agent_id, tier, sequences[count:], state_ids[count:]),
    )

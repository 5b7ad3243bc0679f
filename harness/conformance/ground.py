"""What a point is checked on: a session, random numbers, and agents that live at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.agent_threads import AgentThreads
from harness.conformance.asking import Asker, Vector, around, unit_vectors

__all__ = ["Check", "Ground", "Life"]

Life = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What a point is checked on.

    Attributes:
        asker: of the store, with one session.
        random: of this point alone.
        dimension: of the vectors.
        agents_are_threads: see `harness.targets.driven.DrivenTarget`.
        second: opens another session of the store, as another process of agents would; None for a
            store that each process has for itself.
    """

    asker: Asker
    random: np.random.Generator
    dimension: int
    agents_are_threads: bool = False
    second: Callable[[], AbstractAsyncContextManager[Asker]] | None = None

    def vectors(self, count: int) -> Vector:
        """Vectors of length 1 in random directions, (count, dimension) float32."""
        return unit_vectors(self.random, count, self.dimension)

    def near(self, vector: Vector) -> Vector:
        """A vector of length 1 whose cosine with another of length 1 is 0.9, (dimension,)."""
        one: Vector = around(vector, self.random, np.array([0.9], np.float32))[0]
        return one

    async def at_once(self, lives: Sequence[Life]) -> None:
        """Let agents live at one moment; the first exception of one is raised when all ended."""
        ends: Sequence[Awaitable[None]]
        if self.agents_are_threads:
            ends = AgentThreads(len(lives)).live(lives)
        else:
            ends = [asyncio.create_task(life()) for life in lives]
        for result in await asyncio.gather(*ends, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result


Check = Callable[[Ground], Awaitable[str]]
"""A point: gives a sentence of what was seen, or raises `asking.BrokenError`."""

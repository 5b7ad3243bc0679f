"""The memories that are stored to reach a volume, and the queries that are put to them.

Both follow from the seed alone. Memory ``i`` of the benchmark, from 0, belongs to agent
``i % agents`` and is its memory ``i // agents``: so a volume is a prefix of the next, and what is
missing of a volume that was half loaded is known from how many memories each agent has.

States are of foragers on random walks, one an agent. Of each `HELD_OUT_EACH` states of a walk the
last is never stored: queries are drawn from these, so that they are like what is stored and no
search has an answer that is the query itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harness.forager import Forager, pack
from harness.workload import agent_id

__all__ = ["HELD_OUT_EACH", "Memory", "Query", "Walks", "drawn", "held_by", "number_of", "state_id"]

HELD_OUT_EACH = 8
_CHUNK = 64
_MOST_QUERIES = 8_192
_PREFIX = "state_"


class Memory(NamedTuple):
    """A memory: its agent, which of the agent's it is, and its packed state."""

    agent: int
    number: int
    payload: bytes

    @property
    def agent_id(self) -> str:
        """The id under which it is stored."""
        return agent_id(self.agent)

    @property
    def state_id(self) -> str:
        """Its own id."""
        return state_id(self.agent, self.number)


class Query(NamedTuple):
    """A state that an agent has not stored, packed."""

    agent: int
    payload: bytes


def state_id(agent: int, number: int) -> str:
    """The id of an agent's memory."""
    return f"{_PREFIX}{agent}_{number}"


def number_of(found: str, agent: int) -> int | None:
    """Which of an agent's memories an id is of; None for an id that is none of ours."""
    digits = found.removeprefix(f"{_PREFIX}{agent}_")
    if digits == found or not (digits.isascii() and digits.isdigit()):
        return None
    return int(digits)


def held_by(agent: int, agents: int, volume: int) -> int:
    """How many memories an agent has at a volume."""
    return (volume - agent + agents - 1) // agents


def drawn(seed: int, volume: int, purpose: int, count: int) -> npt.NDArray[np.int64]:
    """``(count,)`` memories of a volume, each once before any comes again.

    Args:
        seed: of the benchmark.
        volume: from 1.
        purpose: what they are drawn for; any two draw apart.
        count: how many.
    """
    generator = np.random.default_rng((seed, volume, purpose))
    passes = [generator.permutation(volume) for _ in range(-(-count // volume))]
    return np.concatenate([np.empty(0, np.int64), *passes])[:count]


class Walks:
    """The memories in their order, and the held-out states met on the way.

    Args:
        seed: of the benchmark.
        agents: over which memories are spread.

    Attributes:
        position: how many memories were taken.
    """

    def __init__(self, seed: int, agents: int) -> None:
        self.position = 0
        self._agents = agents
        self._held_out: list[Query] = []
        self._met = 0
        self._stride = 1
        self._walks = [self._walk(seed, agent) for agent in range(agents)]

    def take(self, count: int) -> list[Memory]:
        """The next ``count`` memories."""
        agents, walks = self._agents, self._walks
        taken = []
        for position in range(self.position, self.position + count):
            number, agent = divmod(position, agents)
            taken.append(Memory(agent, number, next(walks[agent])))
        self.position += count
        return taken

    def payloads(self, wanted: npt.NDArray[np.int64]) -> list[Memory]:
        """The memories at these positions, each at least `position`, in the order asked for."""
        found: dict[int, Memory] = {}
        needed = set(wanted.tolist())
        last = max(needed, default=-1)
        while self.position <= last:
            first = self.position
            some = enumerate(self.take(min(4_096, last + 1 - first)), first)
            found.update((place, memory) for place, memory in some if place in needed)
        return [found[place] for place in wanted.tolist()]

    def queries(self, count: int) -> list[Query]:
        """``count`` held-out states, evenly from those met so far, in turn where they are few."""
        held = self._held_out
        if not held:
            return []
        if len(held) >= count:
            places = np.linspace(0, len(held) - 1, count).round().astype(int).tolist()
            return [held[place] for place in places]
        return list(itertools.islice(itertools.cycle(held), count))

    def _walk(self, seed: int, agent: int) -> Iterator[bytes]:
        forager = Forager(seed, agent)
        for chunk in itertools.count():
            for place, state in enumerate(forager.walk(chunk, _CHUNK), 1):
                payload = pack(state)
                if place % HELD_OUT_EACH:
                    yield payload
                else:
                    self._hold_out(Query(agent, payload))

    def _hold_out(self, query: Query) -> None:
        """Keep it, or every second, fourth and so on once there are many."""
        if self._met % self._stride == 0:
            self._held_out.append(query)
            if len(self._held_out) > _MOST_QUERIES:
                del self._held_out[1::2]
                self._stride *= 2
        self._met += 1

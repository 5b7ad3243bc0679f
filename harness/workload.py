"""What agents do: operations as a pure function of the plan's seed, the agent and the round.

The ``standard`` workload, one round of one agent: store 10 states, retrieve the first 5 of them
by id, search with the first 3 as queries, k = 5. States are of a forager on a random walk.
``--mix`` draws operations by weight instead; ``--trace`` takes recorded states.

Warm-up rounds draw from a stream of their own and store under ids of their own, so that what is
measured is the same however many of them there were.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Protocol

from harness.random_numbers import uniforms
from harness.trace import ReplaySlice
from memory_core.ops import Retrieve, Search, Store

__all__ = [
    "RETRIEVES",
    "SEARCHES",
    "SEARCH_K",
    "STATES",
    "MixedAgent",
    "ReplayAgent",
    "StandardAgent",
    "WorkloadAgent",
    "agent_id",
]

STATES = 10
RETRIEVES = 5
SEARCHES = 3
SEARCH_K = 5
_MIX_OPERATIONS = STATES + RETRIEVES + SEARCHES
_WARMUP_STREAM = 1 << 62
_MIX_STREAM = 1 << 61
_MIX_MEMORY = 1_000  # states of its own that an agent remembers the ids of

_Operation = Store | Retrieve | Search

_ACTIONS = ("forage", "move", "rest", "drink", "trade", "flee", "explore", "build")
_TERRAINS = ("grass", "forest", "river", "rock", "sand")
_WORLD = 1_000.0
_TURN = 2.0 * math.pi


class WorkloadAgent(Protocol):
    """One agent's part of a workload."""

    @property
    def agent_id(self) -> str:
        """The id under which it stores."""

    def round(self, number: int, *, warmup: bool = False) -> Iterator[_Operation]:
        """The operations of a round; none when the agent has no more to do."""


def agent_id(agent: int) -> str:
    """The id of agent ``agent`` of a generated workload."""
    return f"agent_{agent}"


class Forager:
    """A forager on a random walk through a world that wraps around: the source of states."""

    __slots__ = ("_seed", "_stream", "energy", "food", "health", "step", "water", "wood", "x", "y")

    def __init__(self, seed: int, stream: int) -> None:
        self._seed = seed
        self._stream = stream
        self.x, self.y, health, energy = uniforms(seed, stream, 0, 4).tolist()
        self.x *= _WORLD
        self.y *= _WORLD
        self.health = 50.0 + 50.0 * health
        self.energy = 50.0 + 50.0 * energy
        self.food = self.water = self.wood = 0
        self.step = 0

    def walk(self, chunk: int, states: int) -> list[dict[str, Any]]:
        """The next states, drawn from chunk ``chunk`` (from 0) of the agent's numbers."""
        draws = uniforms(self._seed, self._stream, chunk + 1, 6 * states).tolist()
        walked = []
        for first in range(0, 6 * states, 6):
            turn, pace, act, ground, luck, crowd = draws[first : first + 6]
            self.x = (self.x + 10.0 * pace * math.cos(_TURN * turn)) % _WORLD
            self.y = (self.y + 10.0 * pace * math.sin(_TURN * turn)) % _WORLD
            action = int(8.0 * act)
            self.energy = min(100.0, max(0.0, self.energy - pace + 2.0 * (action == 2)))
            self.health = min(100.0, max(1.0, self.health + luck - 0.5))
            self.food = (self.food + (action == 0)) % 50
            self.water = (self.water + (action == 3)) % 50
            self.wood = (self.wood + (action == 7)) % 50
            self.step += 1
            near = int(1000.0 * crowd)
            walked.append(
                {
                    "position": [self.x, self.y],
                    "health": self.health,
                    "energy": self.energy,
                    "inventory": {"food": self.food, "water": self.water, "wood": self.wood},
                    "action": _ACTIONS[action],
                    "terrain": _TERRAINS[int(5.0 * ground)],
                    "neighbours": [near % 10, near // 10 % 10, near // 100],
                    "alive": True,
                    "heading": turn,
                    "step": self.step,
                }
            )
        return walked


class StandardAgent:
    """An agent of the ``standard`` workload."""

    def __init__(self, seed: int, agent: int) -> None:
        self.agent_id = agent_id(agent)
        self._agent = agent
        self._forager = Forager(seed, agent)
        self._warmup_forager = Forager(seed, agent + _WARMUP_STREAM)

    def round(self, number: int, *, warmup: bool = False) -> Iterator[_Operation]:
        """Round ``number``, from 0; rounds are asked for in their order."""
        forager = self._warmup_forager if warmup else self._forager
        prefix = f"{'warmup' if warmup else 'state'}_{self._agent}_"
        first = number * STATES
        states = forager.walk(number, STATES)
        own = self.agent_id
        packed = []
        for position, state in enumerate(states):
            store = Store.of(own, f"{prefix}{first + position}", state)
            packed.append(store.payload)
            yield store
        for position in range(RETRIEVES):
            yield Retrieve(own, f"{prefix}{first + position}")
        for payload in packed[:SEARCHES]:
            yield Search(own, payload, k=SEARCH_K)


class MixedAgent:
    """An agent that draws its operations by weight, 18 a round.

    It retrieves one of its last 1,000 states, and searches with the last one; its first
    operation stores.
    """

    def __init__(self, seed: int, agent: int, mix: Mapping[str, float]) -> None:
        self.agent_id = agent_id(agent)
        self._agent = agent
        self._seed = seed
        total = sum(mix.values())
        self._store_below = mix["store"] / total
        self._retrieve_below = (mix["store"] + mix["retrieve"]) / total
        self._walks = {
            False: (Forager(seed, agent), agent + _MIX_STREAM),
            True: (Forager(seed, agent + _WARMUP_STREAM), agent + _MIX_STREAM + _WARMUP_STREAM),
        }
        self._stored = {False: 0, True: 0}

    def round(self, number: int, *, warmup: bool = False) -> Iterator[_Operation]:
        """Round ``number``, from 0; rounds are asked for in their order."""
        forager, stream = self._walks[warmup]
        prefix = f"{'warmup' if warmup else 'state'}_{self._agent}_"
        states = forager.walk(number, _MIX_OPERATIONS)
        draws = uniforms(self._seed, stream, number, 2 * _MIX_OPERATIONS).tolist()
        for state, kind, choice in zip(states, draws[::2], draws[1::2], strict=True):
            stored = self._stored[warmup]
            if kind < self._store_below or not stored:
                self._stored[warmup] = stored + 1
                yield Store.of(self.agent_id, f"{prefix}{stored}", state)
            elif kind < self._retrieve_below:
                back = 1 + int(choice * min(stored, _MIX_MEMORY))
                yield Retrieve(self.agent_id, f"{prefix}{stored - back}")
            else:
                yield Search.of(self.agent_id, state, k=SEARCH_K)


class ReplayAgent:
    """An agent that replays a trace in rounds of the standard workload's shape.

    The last round is as long as the states that are left. Warm-up rounds replay the same states
    under ids of their own.
    """

    def __init__(self, replay: ReplaySlice, agent: int) -> None:
        self.agent_id = replay.agent_id(agent)
        self._agent = agent
        self._replay = replay
        self._states = {False: replay.iter_states(agent), True: replay.iter_states(agent)}

    def round(self, number: int, *, warmup: bool = False) -> Iterator[_Operation]:
        """Round ``number``, from 0, asked for in order; empty once the states have run out."""
        taken = list(islice(self._states[warmup], STATES))
        own = self.agent_id
        first = number * STATES
        ids, packed = [], []
        for position, (recorded, state) in enumerate(taken):
            name = recorded if recorded is not None else f"state_{self._agent}_{first + position}"
            ids.append(f"warmup_{name}" if warmup else name)
            store = Store.of(own, ids[-1], state)
            packed.append(store.payload)
            yield store
        for state_id in ids[:RETRIEVES]:
            yield Retrieve(own, state_id)
        for payload in packed[:SEARCHES]:
            yield Search(own, payload, k=SEARCH_K)

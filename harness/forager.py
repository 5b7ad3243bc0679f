"""A forager on a random walk: the source of the states of generated workloads.

States are structs rather than mappings, so that making one costs the load generator little; what
is stored is the same mapping, byte for byte (`pack`).
"""

from __future__ import annotations

import math

import msgspec

from harness.random_numbers import draws, uniforms

__all__ = ["Forager", "ForagerState", "pack"]

_ACTIONS = ("forage", "move", "rest", "drink", "trade", "flee", "explore", "build")
_TERRAINS = ("grass", "forest", "river", "rock", "sand")
_WORLD = 1_000.0
_PACE = 10.0
_UNIT = 2.0**-32
_ANGLE = 2.0 * math.pi * _UNIT


class Inventory(msgspec.Struct, gc=False):
    """What a forager carries."""

    food: int
    water: int
    wood: int


class ForagerState(msgspec.Struct, gc=False):
    """What a forager remembers of a step: 15 leaves."""

    position: list[float]
    health: float
    energy: float
    inventory: Inventory
    action: str
    terrain: str
    neighbours: list[int]
    alive: bool
    heading: float
    step: int


# A state as bytes, the same that `memory_core.payload.pack_state` makes of its mapping.
pack = msgspec.msgpack.Encoder().encode


class Forager:
    """A forager in a world that wraps around.

    Args:
        seed: of the run.
        stream: an agent's number.
    """

    __slots__ = ("_seed", "_stream", "energy", "food", "health", "step", "water", "wood", "x", "y")

    def __init__(self, seed: int, stream: int) -> None:
        self._seed = seed
        self._stream = stream
        x, y, health, energy = uniforms(seed, stream, 0, 4).tolist()
        self.x = _WORLD * x
        self.y = _WORLD * y
        self.health = 50.0 + 50.0 * health
        self.energy = 50.0 + 50.0 * energy
        self.food = self.water = self.wood = 0
        self.step = 0

    def walk(self, chunk: int, states: int) -> list[ForagerState]:
        """The next states, drawn from chunk ``chunk`` (from 0) of the agent's numbers."""
        x, y, health, energy, step = self.x, self.y, self.health, self.energy, self.step
        cos, sin = math.cos, math.sin
        walked = []
        for turn, stride, luck, act, ground, near in draws(self._seed, self._stream, chunk, states):
            heading, pace = _ANGLE * turn, _UNIT * stride
            x = (x + _PACE * pace * cos(heading)) % _WORLD
            y = (y + _PACE * pace * sin(heading)) % _WORLD
            action = _ACTIONS[act & 7]
            energy -= pace
            if action == "rest":
                energy = min(energy + 2.0, 100.0)
            elif action == "forage":
                self.food = (self.food + 1) % 50
            elif action == "drink":
                self.water = (self.water + 1) % 50
            elif action == "build":
                self.wood = (self.wood + 1) % 50
            energy = max(energy, 0.0)
            health += _UNIT * luck - 0.5
            if not 1.0 <= health <= 100.0:
                health = min(100.0, max(1.0, health))
            step += 1
            walked.append(
                ForagerState(
                    [x, y],
                    health,
                    energy,
                    Inventory(self.food, self.water, self.wood),
                    action,
                    _TERRAINS[ground % 5],
                    [near % 10, near // 10 % 10, near // 100 % 10],
                    True,
                    heading,
                    step,
                )
            )
        self.x, self.y, self.health, self.energy, self.step = x, y, health, energy, step
        return walked

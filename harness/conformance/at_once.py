"""The point about concurrency: what many agents do at one moment.

Each agent stores, overwrites, reads and searches its own memories, one operation at a time, while
the others do; and once each lets many stores go without waiting for one after the other, as a load
does. Of a store that several processes of agents share, half of the agents have another session.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from harness.conformance.asking import Asker, State, Vector, require
from harness.conformance.ground import Ground, Life

__all__ = ["concurrency"]

_AGENTS = 16
_ROUNDS = 4
_BURST = 12


def _state(agent: str, number: int, version: int) -> State:
    return {"agent": agent, "number": number, "version": version}


async def concurrency(ground: Ground) -> str:
    """Agents that work at one moment each find their own last writes."""
    async with AsyncExitStack() as stack:
        askers = [ground.asker]
        if ground.second is not None:
            askers.append(await stack.enter_async_context(ground.second()))
        agents = [f"worker-{number:02d}" for number in range(_AGENTS)]
        shape = (_AGENTS, _ROUNDS + _BURST, ground.dimension)
        vectors = ground.vectors(_AGENTS * (_ROUNDS + _BURST)).reshape(shape)
        for live in (_rounds, _burst):
            await ground.at_once(
                [
                    live(askers[place % len(askers)], agent, vectors[place], ground)
                    for place, agent in enumerate(agents)
                ]
            )
        for place, agent in enumerate(agents):
            # asked by the other session, where there is one
            await _expect_all(askers[(place + 1) % len(askers)], agent, vectors[place])
    of = " of two sessions" if ground.second is not None else ""
    return f"{_AGENTS} agents{of} worked at one moment, and each found its own last writes"


def _rounds(asker: Asker, agent: str, vectors: Vector, ground: Ground) -> Life:
    del ground

    async def live() -> None:
        for number in range(_ROUNDS):
            state_id = f"work-{number}"
            await asker.store(agent, state_id, _state(agent, number, 0), vectors[number])
            await asker.expect(agent, state_id, _state(agent, number, 0))
            await asker.store(agent, state_id, _state(agent, number, 1), vectors[number])
            await asker.expect(agent, state_id, _state(agent, number, 1))
            await asker.expect_nearest(agent, state_id, _state(agent, number, 1), vectors[number])

    return live


def _burst(asker: Asker, agent: str, vectors: Vector, ground: Ground) -> Life:
    async def live() -> None:
        stores = [
            asker.store(
                agent, f"burst-{number}", _state(agent, number, 2), vectors[_ROUNDS + number]
            )
            for number in range(_BURST)
        ]
        if ground.agents_are_threads:  # one call after another is all that a thread can do
            for store in stores:
                await store
        else:
            await asyncio.gather(*stores)

    return live


async def _expect_all(asker: Asker, agent: str, vectors: Vector) -> None:
    for number in range(_ROUNDS):
        await asker.expect(agent, f"work-{number}", _state(agent, number, 1))
    for number in range(_BURST):
        state_id, state = f"burst-{number}", _state(agent, number, 2)
        require(
            await asker.retrieve(agent, state_id) == state,
            f"{state_id!r} of agent {agent!r}, stored while others were, is lost or another",
        )
    last = _BURST - 1
    await asker.expect_nearest(agent, f"burst-{last}", _state(agent, last, 2), vectors[-1])

"""When operations are due: pure functions of a plan and a count.

In the open loop the offered load is shared evenly: with ``agents`` agents and ``rate``
operations a second, agent ``n``'s operation ``i`` is due

- ``constant``: at ``(n + i * agents) / rate`` seconds, so that operations of all agents
  together are ``1 / rate`` apart;
- ``poisson``: after exponential gaps of mean ``agents / rate`` that follow from the seed;
  Poisson streams of the agents add up to one of rate ``rate``.

An agent issues its operations one after another. One that is due while the one before is still
under way starts late, and its response time counts from when it was due, so a store that
stalls is charged for the stall (no coordinated omission; G. Tene, wrk2).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from harness.random_numbers import uniforms

__all__ = ["due_times_ns", "start_delay_ns"]

_CHUNK = 256
_STREAM = 0x9ACE


def due_times_ns(arrival: str, rate: float, agents: int, agent: int, seed: int) -> Iterator[int]:
    """Due times of an agent's operations, from the start of the run, without end.

    Args:
        arrival: ``constant`` or ``poisson``.
        rate: operations a second of all agents together.
        agents: how many there are.
        agent: which one, from 0.
        seed: of the run.
    """
    if arrival == "constant":
        index = agent
        while True:
            yield round(index * 1e9 / rate)
            index += agents
    mean_ns = agents * 1e9 / rate
    due_ns, chunk = 0.0, 0
    while True:
        for uniform in uniforms(seed ^ _STREAM, agent, chunk, _CHUNK).tolist():
            due_ns -= math.log1p(-uniform) * mean_ns
            yield round(due_ns)
        chunk += 1


def start_delay_ns(ramp_s: float, agents: int, agent: int) -> int:
    """How long after the start an agent begins: evenly over the ramp."""
    return round(ramp_s * 1e9 * agent / agents)

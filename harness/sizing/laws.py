"""Laws of queues that sizing rests on, and that the simulation is checked against.

Operational laws: Denning and Buzen, "The Operational Analysis of Queueing Network Models",
Computing Surveys 10(3), 1978. Mean value analysis: Reiser and Lavenberg, "Mean-Value Analysis of
Closed Multichain Queuing Networks", Journal of the ACM 27(2), 1980. The rest is in Kleinrock,
"Queueing Systems", volume 1, 1975.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = [
    "closed_network",
    "gathered_batch_ops",
    "interactive_response_s",
    "mg1_wait_s",
    "utilisation",
]


def utilisation(rate_s: float, demand_s: float, servers: int = 1) -> float:
    """The utilisation law: what is asked of each server, in seconds a second."""
    return rate_s * demand_s / servers


def mg1_wait_s(rate_s: float, mean_s: float, squared_variation: float) -> float:
    """The mean wait of an M/G/1 queue (Pollaczek and Khinchine); infinite from saturation on.

    Args:
        rate_s: arrivals a second.
        mean_s: service time.
        squared_variation: its variance over its mean squared; 1 for M/M/1, 0 for M/D/1.
    """
    busy = rate_s * mean_s
    if busy >= 1:
        return math.inf
    return busy * mean_s * (1 + squared_variation) / (2 * (1 - busy))


def interactive_response_s(users: float, throughput_s: float, think_time_s: float) -> float:
    """The response time law of a closed interactive system: R = N / X - Z."""
    return users / throughput_s - think_time_s


def closed_network(
    users: int, demands_s: Sequence[float], think_time_s: float
) -> tuple[float, float]:
    """Throughput and response time of a closed network of exponential queues, exactly.

    Args:
        users: customers, 1 or more.
        demands_s: of each station that queues.
        think_time_s: of the terminals, where nobody queues.
    """
    queues = [0.0] * len(demands_s)
    throughput_s, response_s = 0.0, 0.0
    for number in range(1, users + 1):
        stays = [demand * (1 + queue) for demand, queue in zip(demands_s, queues, strict=True)]
        response_s = sum(stays)
        throughput_s = number / (response_s + think_time_s)
        queues = [throughput_s * stay for stay in stays]
    return throughput_s, response_s


def gathered_batch_ops(rate_s: float, cycle_s: float) -> float:
    """Mean size of the batches of a lane whose operations come as a Poisson stream.

    Those of one cycle leave together; where none came, the next one leaves alone: the mean of
    the larger of 1 and a Poisson number, ``x + exp(-x)`` with ``x = rate * cycle``.
    """
    gathered = rate_s * cycle_s
    return gathered + math.exp(-gathered)

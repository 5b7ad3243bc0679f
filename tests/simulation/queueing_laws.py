"""Known answers that simulations are held to.

Operational laws: Denning and Buzen, "The Operational Analysis of Queueing Network Models",
Computing Surveys 10(3), 1978. Mean value analysis: Reiser and Lavenberg, "Mean-Value Analysis of
Closed Multichain Queuing Networks", Journal of the ACM 27(2), 1980. The rest is in Kleinrock,
"Queueing Systems", volume 1, 1975.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["closed_network", "interactive_response_s", "mg1_wait_s"]


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

"""Laws that sizing rests on."""

from __future__ import annotations

import math

__all__ = ["gathered_batch_ops", "utilisation"]


def utilisation(rate_s: float, demand_s: float, servers: int = 1) -> float:
    """The utilisation law: what is asked of each server, in seconds a second.

    Denning and Buzen, "The Operational Analysis of Queueing Network Models", Computing Surveys
    10(3), 1978.
    """
    return rate_s * demand_s / servers


def gathered_batch_ops(rate_s: float, cycle_s: float) -> float:
    """Mean size of the batches of a lane whose operations come as a Poisson stream.

    Those of one cycle leave together; where none came, the next one leaves alone: the mean of
    the larger of 1 and a Poisson number, ``x + exp(-x)`` with ``x = rate * cycle``.
    """
    gathered = rate_s * cycle_s
    return gathered + math.exp(-gathered)

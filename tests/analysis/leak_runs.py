"""Runs of ten minutes with processes that grow, and operations that store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.analysis.memory_series import MIB

__all__ = ["DURATION_S", "PLAN", "WALL_NS", "S", "samples", "stores"]

S = 1_000_000_000
WALL_NS = 1_700_000_000_000_000_000
PLAN = {"target": "memory_core", "dimension": 64}
DURATION_S = 600


def samples(
    growth_bytes_s: float,
    *,
    pid: int = 1,
    role: str = "shard",
    number: int = 0,
    before_s: int = 0,
    step_s: int = 2,
) -> Iterator[dict[str, Any]]:
    """A process sampled through the measured phase and before, with own memory growing in it."""
    rng = np.random.default_rng(pid)
    for second in range(-before_s, DURATION_S, step_s):
        own = 80 * MIB + growth_bytes_s * max(second, 0) + rng.normal(0, 0.05 * MIB)
        yield {
            "wall_ns": WALL_NS + second * S,
            "pid": pid,
            "role": role,
            "number": number,
            "rss_bytes": int(own + 40 * MIB),
            "uss_bytes": int(own) if second % 4 == 0 else None,
        }


def stores(
    each_s: int,
    *,
    shard: int = 0,
    outcome: str = "ok",
    op: str = "store",
    phase: str = "measure",
) -> Iterator[dict[str, Any]]:
    """So many operations in every second of the run."""
    for second in range(DURATION_S):
        for part in range(each_s):
            at_ns = second * S + part * S // each_s
            yield {
                "phase": phase,
                "op": op,
                "shard": shard,
                "outcome": outcome,
                "scheduled_ns": at_ns,
                "service_ns": 1_000_000,
            }

"""One shard of many, simulated with a lane of every cohort: what large clusters are cut down to.

By symmetry each shard has the same load, so one tells of all. What its lanes share with those of
other shards is their cohorts' event loops; each is met as an M/D/1 queue whose other customers
are not simulated (a mean field): a batch finds it busy with the probability that it is, and then
waits for the mean of that queue's wait, exponentially spread. How busy a cohort is follows from
the batches that the slice itself sends. ``tests/simulation`` compares it with the whole.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from harness.simulation.batch_times import BatchTimes
from harness.simulation.events import Events
from harness.simulation.memory_cluster import (
    Cohort,
    Lane,
    Layout,
    Outcome,
    Population,
    Shard,
    Tally,
)

__all__ = ["simulate_slice"]

# A cohort that has more to do than it can makes its batches larger until it can.
_BUSY_RATIO_MAX = 0.98


def simulate_slice(layout: Layout, times: BatchTimes) -> Outcome:
    """Simulate one of the layout's shards, with the cohorts' other lanes as a mean field.

    Args:
        layout: of the whole cluster, in the open loop (``rate_ops_s``).
        times: as of `harness.simulation.memory_cluster.simulate`.

    Returns:
        The figures of the whole: throughput is of all shards.

    Raises:
        ValueError: the layout is of a closed loop, whose agents no slice has alone.
    """
    if layout.rate_ops_s is None:
        raise ValueError("rate_ops_s: is missing; a slice is of an open loop")
    events, tally = Events(), Tally(layout.warmup_s)
    rate_ops_s = layout.rate_ops_s / layout.shards
    population = Population(events, replace(layout, rate_ops_s=rate_ops_s), tally)
    shard = Shard(events, times)
    field = _Field(events, random.Random(layout.seed + 1), layout.rate_ops_s / layout.cohorts)
    reaching = min(layout.shards_per_cohort or layout.shards, layout.shards) / layout.shards
    lanes = max(1, round(layout.cohorts * reaching))
    cohorts = [_FieldCohort(events, times, population, field) for _ in range(lanes)]
    population.start([Lane(cohort, shard) for cohort in cohorts])
    events.run(layout.warmup_s)
    before_s = shard.busy_s
    events.run(layout.warmup_s + layout.duration_s)
    return Outcome(
        throughput_ops_s=tally.operations / layout.duration_s * layout.shards,
        response_s=np.array(tally.response_s),
        batch_ops=tally.operations / tally.batches if tally.batches else 0.0,
        shard_busy_ratio=(shard.busy_s - before_s) / layout.duration_s,
        cohort_busy_ratio=field.busy_ratio,
        events=events.count,
    )


class _Field:
    """How busy each cohort is, from what batches have asked of cohorts so far."""

    def __init__(self, events: Events, numbers: random.Random, rate_ops_s: float) -> None:
        self._events, self._random, self._rate_ops_s = events, numbers, rate_ops_s
        self._asked_s = 0.0
        self._operations = 0

    @property
    def busy_ratio(self) -> float:
        """What a cohort is asked for, in seconds a second."""
        return self._rate_ops_s * self._asked_s / max(self._operations, 1)

    def asked(self, takes_s: float, operations: int) -> None:
        """Note what a part of a batch takes; of its operations, once a batch."""
        self._asked_s += takes_s
        self._operations += operations

    def wait_s(self, takes_s: float) -> float:
        """How long a part of a batch waits for its turn."""
        busy_ratio = min(self.busy_ratio, _BUSY_RATIO_MAX)
        if self._random.random() >= busy_ratio:
            return 0.0
        return self._random.expovariate(2 * (1 - busy_ratio) / max(takes_s, 1e-12))


class _FieldServer:
    """Serves as `harness.simulation.events.FifoServer` does, with a wait that is drawn."""

    def __init__(self, events: Events, field: _Field) -> None:
        self._events, self._field = events, field

    def serve(self, begin: Callable[..., float], done: Callable[..., None], job: Any) -> None:
        """See `FifoServer`; a batch is taken when its wait is over."""
        self._events.after(self._field.wait_s(self._usual_s), self._begin, begin, done, job)

    _usual_s = 0.0

    def _begin(self, begin: Callable[..., float], done: Callable[..., None], job: Any) -> None:
        takes_s = begin(job)
        self._usual_s = takes_s
        # a lane and its batch when it is sent, the batch alone when it is answered
        operations = len(job[1][0].agents) if isinstance(job, tuple) else 0
        self._field.asked(takes_s, operations)
        self._events.after(takes_s, done, job)


class _FieldCohort(Cohort):
    """A cohort of which one lane is simulated."""

    def __init__(
        self, events: Events, times: BatchTimes, population: Population, field: _Field
    ) -> None:
        super().__init__(events, times, population)
        self.server = _FieldServer(events, field)  # type: ignore[assignment]

"""Cohorts, lanes and shards, simulated batch by batch.

What is simulated is what `memory_core.lanes` and `memory_core.group_commit` do:

- An agent's operations all go to one shard. In each cohort a lane for each shard has one batch in
  flight; operations gather meanwhile and leave together, up to `MAX_BATCH_OPS`.
- A cohort is one event loop: what it sends and answers waits for its turn.
- A shard takes up to `MAX_GROUP_BATCHES` batches at once (so many calls run in its actor; the
  rest wait); what has come while it was busy is committed together.

Agents either answer at once and issue the next (a closed loop, with or without a pause), each
walking through the rounds of the standard workload; or are so many that together they are a
Poisson stream, spread evenly over lanes. The second is the limit of the first for many agents
with long pauses, and costs the same however many agents there are.

Not simulated: failures, retries, moves between tiers, machines whose cores are fewer than the
busy processes (the measured times have in them what that cost where they were measured).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, cycle, islice

import numpy as np
import numpy.typing as npt

from harness.schema import OPERATIONS
from harness.simulation.batch_times import BatchTimes
from harness.simulation.events import Events, FifoServer

__all__ = ["MAX_BATCH_OPS", "MAX_GROUP_BATCHES", "STANDARD_ROUND", "Layout", "Outcome", "simulate"]

MAX_BATCH_OPS = 4096
MAX_GROUP_BATCHES = 16
# Store 10 states, retrieve 5, search 3: positions in `harness.schema.OPERATIONS`.
STANDARD_ROUND = (0,) * 10 + (1,) * 5 + (2,) * 3


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What is simulated.

    Attributes:
        shards: of the store.
        cohorts: processes with agents.
        agents: in the closed loop; None in the open one.
        think_time_s: an agent's pause after each operation, exponential; 0 is none.
        rate_ops_s: of the Poisson stream; None in the closed loop.
        shards_per_cohort: that the agents of a cohort need, of a slice; None is all.
        mix: by type, the weights of its operations, in the order of `OPERATIONS`.
        warmup_s: that does not count.
        duration_s: that does.
        seed: of arrivals and pauses.
    """

    shards: int
    cohorts: int
    agents: int | None = None
    think_time_s: float = 0.0
    rate_ops_s: float | None = None
    shards_per_cohort: int | None = None
    mix: Sequence[float] = (10.0, 5.0, 3.0)
    warmup_s: float = 1.0
    duration_s: float = 5.0
    seed: int = 1


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of it.

    Attributes:
        throughput_ops_s: answered in the measured time.
        response_s: ``(n,)`` of each operation.
        batch_ops: of a batch, on average.
        shard_busy_ratio: of the time, the shards' mean.
        cohort_busy_ratio: the cohorts' mean.
        events: simulated.
    """

    throughput_ops_s: float
    response_s: npt.NDArray[np.float64]
    batch_ops: float
    shard_busy_ratio: float
    cohort_busy_ratio: float
    events: int

    def percentile_ms(self, percent: float) -> float | None:
        """A percentile of the response time; None when nothing was answered."""
        if not self.response_s.size:
            return None
        return float(np.percentile(self.response_s, percent) * 1e3)


class Tally:
    """What is counted between two moments."""

    def __init__(self, begin_s: float) -> None:
        self.begin_s = begin_s
        self.response_s: list[float] = []
        self.batches = self.operations = 0

    def add(self, now_s: float, issued_s: Sequence[float]) -> None:
        """Count a batch's operations, answered now."""
        if now_s >= self.begin_s:
            self.batches += 1
            self.operations += len(issued_s)
            self.response_s.extend([now_s - at_s for at_s in issued_s])


class Batch:
    """Operations on their way together: who issued each, when, and how many of each type."""

    __slots__ = ("agents", "counts", "issued_s", "lane")

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.agents: list[int] = []
        self.issued_s: list[float] = []
        self.counts = [0] * len(OPERATIONS)


class Lane:
    """What a cohort has for a shard; see the module's head."""

    __slots__ = ("cohort", "in_flight", "shard", "waiting")

    def __init__(self, cohort: Cohort, shard: Shard) -> None:
        self.cohort = cohort
        self.shard = shard
        self.waiting: list[tuple[int, float, int]] = []  # agent, issued, type
        self.in_flight = False

    def add(self, agent: int, issued_s: float, kind: int) -> None:
        """Let an operation leave with the next batch."""
        self.waiting.append((agent, issued_s, kind))
        if not self.in_flight:
            self.in_flight = True
            self.cohort.send(self)

    def take(self) -> Batch:
        """The next batch."""
        batch = Batch(self)
        taken, self.waiting = self.waiting[:MAX_BATCH_OPS], self.waiting[MAX_BATCH_OPS:]
        for agent, issued_s, kind in taken:
            batch.agents.append(agent)
            batch.issued_s.append(issued_s)
            batch.counts[kind] += 1
        return batch


class Cohort:
    """An event loop: half of a batch's CPU is for sending it, half for its answers."""

    def __init__(self, events: Events, times: BatchTimes, population: Population) -> None:
        self._events, self._times, self._population = events, times, population
        self.server = FifoServer(events)

    def send(self, lane: Lane) -> None:
        """Send a lane's next batch when its turn comes."""
        batches: list[Batch] = []
        # whoever issues at the same moment joins
        self._events.after(0.0, self.server.serve, self._begin, self._sent, (lane, batches))

    def answer(self, batch: Batch, delay_s: float) -> None:
        """Take a shard's reply, which is on its way for so long."""
        self._events.after(delay_s, self.server.serve, self._half_s, self._answered, batch)

    def _begin(self, job: tuple[Lane, list[Batch]]) -> float:
        lane, batches = job
        batches.append(lane.take())
        return self._half_s(batches[0])

    def _half_s(self, batch: Batch) -> float:
        return self._times.cohort_s(len(batch.agents)) / 2

    def _sent(self, job: tuple[Lane, list[Batch]]) -> None:
        lane, (batch,) = job
        delay_s = self._times.delay_s(batch.counts) / 2
        self._events.after(delay_s, lane.shard.receive, batch, delay_s)

    def _answered(self, batch: Batch) -> None:
        lane = batch.lane
        self._population.answered(batch)  # who may issue the next, which then leave together
        lane.in_flight = bool(lane.waiting)
        if lane.in_flight:
            self.send(lane)


class Shard:
    """One process: what waits is committed as a group."""

    def __init__(self, events: Events, times: BatchTimes) -> None:
        self._events, self._times = events, times
        self._waiting: list[tuple[Batch, float]] = []
        self._is_busy = False
        self.busy_s = 0.0

    def receive(self, batch: Batch, delay_s: float) -> None:
        """Take a batch, whose answer will be on its way for so long."""
        self._waiting.append((batch, delay_s))
        if not self._is_busy:
            self._commit()

    def _commit(self) -> None:
        self._is_busy = True
        group = self._waiting[:MAX_GROUP_BATCHES]
        del self._waiting[:MAX_GROUP_BATCHES]
        counts = group[0][0].counts
        if len(group) > 1:
            counts = [sum(kind) for kind in zip(*(batch.counts for batch, _ in group), strict=True)]
        takes_s = len(group) * self._times.call_s() + self._times.service_s(counts)
        self.busy_s += takes_s
        self._events.after(takes_s, self._done, group)

    def _done(self, group: list[tuple[Batch, float]]) -> None:
        self._is_busy = False
        for batch, delay_s in group:
            batch.lane.cohort.answer(batch, delay_s)
        if self._waiting:
            self._commit()


class Population:
    """Who issues operations, over all lanes."""

    def __init__(self, events: Events, layout: Layout, tally: Tally) -> None:
        self._events, self._layout, self._tally = events, layout, tally
        self._random = random.Random(layout.seed)
        self._lanes: list[Lane] = []
        self._rounds: list[int] = []
        self._weights = list(accumulate(layout.mix))
        self._is_closed = layout.rate_ops_s is None
        self._round = _round_of(layout.mix)

    def start(self, lanes: Sequence[Lane]) -> None:
        """Let agents issue their first operations, or the stream begin."""
        layout = self._layout
        self._lanes = list(lanes)
        if self._is_closed:
            agents = layout.agents or 0
            self._rounds = [0] * agents
            for agent, lane in zip(range(agents), cycle(lanes), strict=False):
                self._issue_later(agent, lane)
        elif layout.rate_ops_s:
            self._next_arrival()

    def answered(self, batch: Batch) -> None:
        """Count what was answered; its agents go on."""
        self._tally.add(self._events.now_s, batch.issued_s)
        if self._is_closed:
            for agent in batch.agents:
                self._issue_later(agent, batch.lane)

    def _issue_later(self, agent: int, lane: Lane) -> None:
        think_time_s = self._layout.think_time_s
        if think_time_s:
            pause_s = self._random.expovariate(1 / think_time_s)
            self._events.after(pause_s, self._issue, agent, lane)
        else:
            self._issue(agent, lane)

    def _issue(self, agent: int, lane: Lane) -> None:
        at = self._rounds[agent]
        self._rounds[agent] = (at + 1) % len(self._round)
        lane.add(agent, self._events.now_s, self._round[at])

    def _next_arrival(self) -> None:
        rate = self._layout.rate_ops_s or 1.0
        self._events.after(self._random.expovariate(rate), self._arrive)

    def _arrive(self) -> None:
        numbers, weights = self._random, self._weights
        lane = self._lanes[int(numbers.random() * len(self._lanes))]
        drawn = numbers.random() * weights[-1]
        kind = next((at for at, most in enumerate(weights) if drawn < most), len(weights) - 1)
        lane.add(-1, self._events.now_s, kind)
        self._next_arrival()


def simulate(layout: Layout, times: BatchTimes) -> Outcome:
    """Simulate a cluster whole: every cohort, lane and shard."""
    events = Events()
    tally = Tally(layout.warmup_s)
    population = Population(events, layout, tally)
    shards = [Shard(events, times) for _ in range(layout.shards)]
    cohorts = [Cohort(events, times, population) for _ in range(layout.cohorts)]
    # agents are dealt out so that neighbours are of different cohorts, then of different shards
    lanes = [Lane(cohort, shard) for shard in shards for cohort in cohorts]
    population.start(lanes)
    events.run(layout.warmup_s)
    busy_s = sum(one.busy_s for one in shards), sum(one.server.busy_s for one in cohorts)
    events.run(layout.warmup_s + layout.duration_s)
    busy_s = (
        sum(one.busy_s for one in shards) - busy_s[0],
        sum(one.server.busy_s for one in cohorts) - busy_s[1],
    )
    return Outcome(
        throughput_ops_s=tally.operations / layout.duration_s,
        response_s=np.array(tally.response_s),
        batch_ops=tally.operations / tally.batches if tally.batches else 0.0,
        shard_busy_ratio=busy_s[0] / layout.duration_s / layout.shards,
        cohort_busy_ratio=busy_s[1] / layout.duration_s / layout.cohorts,
        events=events.count,
    )


def _round_of(mix: Sequence[float]) -> tuple[int, ...]:
    """A round of a closed loop in the proportions of a mix, each type in one go."""
    if tuple(mix) == (10.0, 5.0, 3.0):
        return STANDARD_ROUND
    total = sum(mix)
    counts = [max(round(len(STANDARD_ROUND) * part / total), int(part > 0)) for part in mix]
    return tuple(islice((kind for kind, count in enumerate(counts) for _ in range(count)), 1000))

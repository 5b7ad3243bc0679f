"""How many shards, cohorts and nodes a wish needs: the arithmetic, without a prediction of times.

Two things feed each other: batches grow with the load of a lane (a cohort's way to a shard), and
the CPU of an operation shrinks with its batch. From the fewest processes that operations alone
would need, processes are added until none is busier than it may be at the batches that then
gather (`harness.sizing.laws.gathered_batch_ops`); so the smallest such cluster is found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from harness.errors import UsageError
from harness.sizing.demands import Demands, Line
from harness.sizing.laws import gathered_batch_ops, utilisation

__all__ = [
    "AGENTS_A_COHORT_MAX",
    "Node",
    "Nodes",
    "Processes",
    "Wish",
    "nodes_for",
    "processes_at",
    "processes_for",
]

# What one Ray task takes at most (harness.capacity).
AGENTS_A_COHORT_MAX = 25_000
_MAX_BATCH_OPS = 4096.0
_ROUNDS = 200
# What a process has of its own before it holds anything, and an agent with its lane's share
# (harness/DESIGN.md has the measurements).
PROCESS_BYTES = 110 * 2**20
AGENT_BYTES = 60 * 1024


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What the cluster is to do.

    Attributes:
        agents: at once.
        rate_ops_s: of all of them together.
        core_speed_ratio: how fast its cores are, of those that were measured.
        growth: by type, what larger stores multiply service time by.
        shards_per_cohort: that the agents of a cohort need; None is all.
    """

    agents: int
    rate_ops_s: float
    core_speed_ratio: float
    growth: Mapping[str, float]
    shards_per_cohort: int | None = None


@dataclass(frozen=True, kw_only=True)
class Node:
    """A machine: cores, bytes, and bytes a second each way."""

    cores: int
    memory_bytes: float
    disk_bytes: float
    network_bytes_s: float


@dataclass(frozen=True, kw_only=True)
class Processes:
    """Shards and cohorts, and how busy they are.

    Attributes:
        shards: processes of the store.
        cohorts: processes of agents.
        batch_ops: that gather in a lane, on average.
        shard_busy_ratio: CPU of a shard's core.
        cohort_busy_ratio: CPU of a cohort's core.
    """

    shards: int
    cohorts: int
    batch_ops: float
    shard_busy_ratio: float
    cohort_busy_ratio: float


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """How many machines.

    Attributes:
        count: of machines.
        by: machines that each resource alone would need.
        binding: the resource that decides.
    """

    count: int
    by: Mapping[str, int]
    binding: str


def processes_for(
    wish: Wish,
    demands: Demands,
    busy_ratio_max: float,
    *,
    machines: int = 1,
    given_shards: int | None = None,
) -> Processes:
    """The fewest shards and cohorts of which none is busier than it may be.

    Shards are as many on each of ``machines``, which what is stored fills, so at least as many.
    With ``given_shards`` only cohorts are counted, however busy the shards are.
    """
    shard_cpu = _grown(demands, wish)
    cohort_cpu = _at_speed(demands.cohort_cpu, wish.core_speed_ratio)
    least_cohorts = max(1, math.ceil(wish.agents / AGENTS_A_COHORT_MAX))
    batch_ops = _MAX_BATCH_OPS
    shards, cohorts = given_shards or machines, 0
    for _ in range(_ROUNDS):
        before = shards, cohorts
        if given_shards is None:
            needed = _servers(wish.rate_ops_s, shard_cpu, batch_ops, busy_ratio_max)
            shards = max(shards, math.ceil(needed / machines) * machines)
        cohorts = max(cohorts, _servers(wish.rate_ops_s, cohort_cpu, batch_ops, busy_ratio_max))
        cohorts = max(cohorts, least_cohorts)
        batch_ops = lane_batch_ops(wish, demands, shards, cohorts)
        if (shards, cohorts) == before:
            break
    return processes_at(wish, demands, shards, cohorts)


def processes_at(wish: Wish, demands: Demands, shards: int, cohorts: int) -> Processes:
    """How busy so many shards and cohorts are."""
    batch_ops = lane_batch_ops(wish, demands, shards, cohorts)
    shard_s = _grown(demands, wish).of(batch_ops) / batch_ops
    cohort_s = _at_speed(demands.cohort_cpu, wish.core_speed_ratio).of(batch_ops) / batch_ops
    return Processes(
        shards=shards,
        cohorts=cohorts,
        batch_ops=batch_ops,
        shard_busy_ratio=utilisation(wish.rate_ops_s, shard_s, shards),
        cohort_busy_ratio=utilisation(wish.rate_ops_s, cohort_s, cohorts),
    )


def lane_batch_ops(wish: Wish, demands: Demands, shards: int, cohorts: int) -> float:
    """The operations that gather while a batch is under way, nobody else being in its way."""
    lanes = min(wish.shards_per_cohort or shards, shards) * cohorts
    rate_s = wish.rate_ops_s / max(lanes, shards)  # no shard is without a lane
    batch_ops = 1.0
    for _ in range(_ROUNDS):
        cycle_s = _cycle_s(demands, wish, batch_ops)
        found = min(gathered_batch_ops(rate_s, cycle_s), _MAX_BATCH_OPS)
        if abs(found - batch_ops) < 1e-6 * batch_ops:
            break
        batch_ops = found
    return batch_ops


def nodes_for(processes: int, each: Node, node: Node, *, option: str) -> Nodes:
    """How many machines hold all processes, none of which is on two.

    Args:
        processes: of one size.
        each: what one of them takes.
        node: what of a machine they may take.
        option: how the machine's options begin (``--node``), for who has to enlarge it.

    Raises:
        UsageError: one process alone takes more than a machine has.
    """
    by: dict[str, int] = {}
    for name in ("cores", "memory", "disk", "network"):
        field = {"cores": "cores", "network": "network_bytes_s"}.get(name, f"{name}_bytes")
        takes, has = getattr(each, field), getattr(node, field)
        if not takes:
            by[name] = 0
            continue
        fitting = int(has * (1 + 1e-9) // takes)  # rounding makes no machine too small
        if not fitting:
            raise UsageError(
                f"{option}-{name}",
                f"is too little for one process, which takes {takes / has:.3g} times what a "
                "machine has to spare; give a larger one",
            )
        by[name] = math.ceil(processes / fitting)
    binding = max(by, key=lambda name: by[name])
    return Nodes(count=by[binding], by=by, binding=binding)


def _servers(rate_ops_s: float, cpu: Line, batch_ops: float, busy_ratio_max: float) -> int:
    return max(1, math.ceil(rate_ops_s * cpu.of(batch_ops) / batch_ops / busy_ratio_max))


def _cycle_s(demands: Demands, wish: Wish, batch_ops: float) -> float:
    """From a batch's sending to its answer in hand, on average over the types."""
    service, passage = demands.service.lines, demands.passage.lines
    return sum(
        share
        * (
            service[name].call
            + service[name].each * wish.growth.get(name, 1.0) * batch_ops
            + passage[name].of(batch_ops)
        )
        for name, share in demands.mix.items()
        if share
    )


def _grown(demands: Demands, wish: Wish) -> Line:
    """A shard's CPU for a batch, in the store that it will have."""
    each_s = sum(
        demands.mix[name] * each_s * wish.growth.get(name, 1.0)
        for name, each_s in demands.by_type().items()
    )
    return _at_speed(Line(call=demands.shard_cpu.call, each=each_s), wish.core_speed_ratio)


def _at_speed(line: Line, ratio: float) -> Line:
    return Line(call=line.call / ratio, each=line.each / ratio)

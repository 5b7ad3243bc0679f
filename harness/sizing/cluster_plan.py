"""The plan of a cluster: sizes with their ranges, what they rest on, and what is not known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.errors import UsageError
from harness.sizing.cluster import (
    AGENT_BYTES,
    PROCESS_BYTES,
    Node,
    Nodes,
    Processes,
    Wish,
    nodes_for,
)
from harness.sizing.demands import fit_demands
from harness.sizing.evidence import Evidence, RunEvidence
from harness.sizing.prediction import fitting_size, p99_range, ranges
from harness.sizing.remarks import assumptions, dealt_out, extrapolations, unknowns
from harness.sizing.storage import Growth, Range, bytes_per_memory, growth_of

__all__ = [
    "CORES_KEPT",
    "FULL_RATIO_MAX",
    "NETWORK_RATIO_MAX",
    "ClusterPlan",
    "Question",
    "plan_cluster",
]

# Of a machine's memory and disk, what data may take: the rest is for compaction and caches.
FULL_RATIO_MAX = 0.8
# Of its bandwidth, on average: what comes in bursts needs the rest.
NETWORK_RATIO_MAX = 0.5
# Of its cores, one is left to the system, Ray and the sampler.
CORES_KEPT = 1
_DEFAULT_RATE_OPS_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked.

    Attributes:
        agents: at once.
        memories_per_agent: that each has stored.
        target_p99_s: of the response time.
        rate_per_agent_ops_s: None takes it from the runs, see `plan_cluster`.
        memory_node: a machine of shards.
        agent_node: a machine of agents.
        core_speed_ratio: how fast a core is, of those that were measured.
        shards_per_cohort: that the agents of a cohort need; None is all, as it is now.
        seed: of the simulation and of the bootstrap.
    """

    agents: int
    memories_per_agent: int
    target_p99_s: float
    rate_per_agent_ops_s: float | None
    memory_node: Node
    agent_node: Node
    core_speed_ratio: float = 1.0
    shards_per_cohort: int | None = None
    seed: int = 1


@dataclass(frozen=True, kw_only=True)
class ClusterPlan:
    """The answer.

    Attributes:
        rate_ops_s: of all agents together.
        rate_from: where the rate of an agent comes from, in words.
        processes: shards and cohorts, and how busy they are.
        shards: with the range of error.
        cohorts: likewise.
        p50_ms: predicted.
        p99_ms: predicted; from the least to the most when each run in turn is left out.
        tried: shards and predicted p99 of each size that was looked at.
        memory_bytes: of all shards.
        disk_bytes: of all shards.
        network_bytes_s: between agents and shards, both ways together.
        memory_nodes: machines of shards.
        agent_nodes: machines of agents.
        cpu_by_type_us: of a shard, for one more operation of each type in a batch.
        call_us: CPU of a batch, in the shard and in the cohort.
        growth: by type, what larger stores multiply service time by.
        assumptions: in sentences.
        extrapolations: what lies beyond what was measured, in sentences.
        unknowns: what the runs cannot tell, in sentences.
    """

    rate_ops_s: float
    rate_from: str
    processes: Processes
    shards: Range
    cohorts: Range
    p50_ms: float | None
    p99_ms: Range
    tried: Sequence[tuple[int, float | None]]
    memory_bytes: Range
    disk_bytes: Range
    network_bytes_s: float | None
    memory_nodes: Nodes
    agent_nodes: Nodes
    cpu_by_type_us: Mapping[str, float]
    call_us: tuple[float, float]
    growth: Mapping[str, float]
    assumptions: Sequence[str]
    extrapolations: Sequence[str]
    unknowns: Sequence[str]


def plan_cluster(question: Question, evidence: Evidence) -> ClusterPlan:
    """Size a cluster by measured runs.

    The rate of an agent is the one that is asked for; else that of runs in which agents paused or
    a rate was offered; else 1 operation a second, since agents of a plain closed loop ask for as
    much as there is.

    Raises:
        UsageError: the runs do not suffice, or no size keeps the target.
    """
    demands = fit_demands(evidence.runs)
    rate_per_agent, rate_from = _rate(question, evidence.runs)
    memory_each, disk_each = (_bytes(evidence, name) for name in ("memory_bytes", "disk_bytes"))
    memories = question.agents * question.memories_per_agent

    def wish(shards: int) -> Wish:
        return Wish(
            agents=question.agents,
            rate_ops_s=rate_per_agent * question.agents,
            core_speed_ratio=question.core_speed_ratio,
            growth=_growth(question, evidence, shards).factors,
            shards_per_cohort=question.shards_per_cohort,
        )

    memory_bytes, disk_bytes = memory_each.times(memories), disk_each.times(memories)
    machines = _filled_machines(question, memory_bytes, disk_bytes)
    fitting = fitting_size(
        wish, demands, question.target_p99_s, machines=machines, seed=question.seed
    )
    processes = fitting.processes
    wished = wish(processes.shards)
    shards, cohorts = ranges(evidence.runs, wished, fitting, machines=machines, seed=question.seed)
    growth = _growth(question, evidence, processes.shards)
    network_bytes_s = None
    if demands.wire is not None:
        each = demands.wire.of(processes.batch_ops) / processes.batch_ops
        network_bytes_s = each * wished.rate_ops_s
    return ClusterPlan(
        rate_ops_s=wished.rate_ops_s,
        rate_from=rate_from,
        processes=processes,
        shards=shards,
        cohorts=cohorts,
        p50_ms=fitting.outcome.percentile_ms(50),
        p99_ms=p99_range(evidence.runs, wished, fitting, seed=question.seed),
        tried=fitting.tried,
        memory_bytes=memory_bytes,
        disk_bytes=disk_bytes,
        network_bytes_s=network_bytes_s,
        memory_nodes=_memory_nodes(question, processes, memory_bytes, disk_bytes, network_bytes_s),
        agent_nodes=_agent_nodes(question, processes, network_bytes_s),
        cpu_by_type_us={name: each * 1e6 for name, each in demands.by_type().items()},
        call_us=(demands.shard_cpu.call * 1e6, demands.cohort_cpu.call * 1e6),
        growth=growth.factors,
        assumptions=[
            *assumptions(rate_from, fitting.enlarged_ratio, demands, question.core_speed_ratio),
            *dealt_out(question.shards_per_cohort),
        ],
        extrapolations=extrapolations(
            question.agents, wished.rate_ops_s, processes, demands, growth
        ),
        unknowns=unknowns(evidence.runs, processes),
    )


def _rate(question: Question, runs: Sequence[RunEvidence]) -> tuple[float, str]:
    if question.rate_per_agent_ops_s is not None:
        return question.rate_per_agent_ops_s, "--rate-per-agent"
    bounded = [run for run in runs if run.open_loop or run.think_time_s]
    if bounded:
        operations = sum(run.throughput_ops_s for run in bounded)
        return operations / sum(run.agents for run in bounded), "what agents of the runs asked for"
    return _DEFAULT_RATE_OPS_S, "an assumption: agents of these runs ask for as much as there is"


def _bytes(evidence: Evidence, column: str) -> Range:
    found = bytes_per_memory(evidence.memories, column)
    if found is None:
        raise UsageError(
            "--from",
            "has no directory of bench memory, without which nobody knows what memories take; add "
            "one",
        )
    return found


def _growth(question: Question, evidence: Evidence, shards: int) -> Growth:
    wished = (
        question.agents * question.memories_per_agent / shards,
        float(question.memories_per_agent),
    )
    # what was stored in a run, half of it on average
    stored = [(run.operations["store"] / 2, run.shards, run.agents) for run in evidence.runs]
    of_shard = sum(many / of for many, of, _ in stored) / len(stored)
    of_agent = sum(many / of for many, _, of in stored) / len(stored)
    return growth_of(evidence.memories, wished, (of_shard, of_agent))


def _filled_machines(question: Question, memory_bytes: Range, disk_bytes: Range) -> int:
    """How many machines the memories fill; no shard is on two."""
    usable = _usable(question.memory_node)
    room_bytes = usable.memory_bytes - usable.cores * PROCESS_BYTES
    if room_bytes <= 0:
        raise UsageError("--node-memory", "is too little for its shards; give a larger machine")
    by_memory = math.ceil(memory_bytes.estimate / room_bytes)
    return max(1, by_memory, math.ceil(disk_bytes.estimate / usable.disk_bytes))


def _memory_nodes(
    question: Question,
    processes: Processes,
    memory_bytes: Range,
    disk_bytes: Range,
    network_bytes_s: float | None,
) -> Nodes:
    shards = processes.shards
    each = Node(
        cores=1,
        memory_bytes=memory_bytes.estimate / shards + PROCESS_BYTES,
        disk_bytes=disk_bytes.estimate / shards,
        network_bytes_s=(network_bytes_s or 0.0) / shards,
    )
    return nodes_for(shards, each, _usable(question.memory_node), option="--node")


def _agent_nodes(question: Question, processes: Processes, network_bytes_s: float | None) -> Nodes:
    cohorts = processes.cohorts
    each = Node(
        cores=1,
        memory_bytes=PROCESS_BYTES + question.agents / cohorts * AGENT_BYTES,
        disk_bytes=0.0,
        network_bytes_s=(network_bytes_s or 0.0) / cohorts,
    )
    return nodes_for(cohorts, each, _usable(question.agent_node), option="--agent-node")


def _usable(node: Node) -> Node:
    return Node(
        cores=max(1, node.cores - CORES_KEPT),
        memory_bytes=node.memory_bytes * FULL_RATIO_MAX,
        disk_bytes=node.disk_bytes * FULL_RATIO_MAX,
        network_bytes_s=node.network_bytes_s * NETWORK_RATIO_MAX,
    )

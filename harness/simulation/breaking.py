"""Where the design breaks at a size of a cluster: the way of operations, and the rest around it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.simulation.control_plane import ControlCosts, Limit, Scale, limits
from harness.simulation.control_queue import ControlDelays, simulate_control
from harness.sizing.cluster import Processes, Wish, processes_at, processes_for
from harness.sizing.demands import fit_demands
from harness.sizing.evidence import RunEvidence
from harness.sizing.prediction import simulated

__all__ = ["Breaking", "Trial", "breaking"]

COHORT_BUSY_RATIO_MAX = 0.7
CORES_A_NODE = 15


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What is to be looked at.

    Attributes:
        agents: at once.
        shards: of the store.
        cohorts: None counts as many as are not too busy.
        rate_per_agent_ops_s: of each.
        shards_per_cohort: that the agents of a cohort need; None is all, as it is now.
        duration_s: that is measured.
        seed: of the simulations.
    """

    agents: int
    shards: int
    cohorts: int | None = None
    rate_per_agent_ops_s: float = 1.0
    shards_per_cohort: int | None = None
    duration_s: float = 60.0
    seed: int = 1


@dataclass(frozen=True, kw_only=True)
class Breaking:
    """What was found.

    Attributes:
        scale: shards, cohorts and machines.
        processes: how busy they are by the laws, and how large batches are.
        throughput_ops_s: carried in the simulation.
        rate_ops_s: asked for.
        p50_ms: of the response time.
        p99_ms: of the response time.
        call_ratio: of a shard's CPU, what goes into calls rather than operations.
        delays: what cohorts and the driver wait for the control actor.
        limits: what there is one of, the first to break first.
    """

    scale: Scale
    processes: Processes
    throughput_ops_s: float
    rate_ops_s: float
    p50_ms: float | None
    p99_ms: float | None
    call_ratio: float
    delays: ControlDelays
    limits: Sequence[Limit]


def breaking(
    trial: Trial, runs: Sequence[RunEvidence], costs: ControlCosts | None = None
) -> Breaking:
    """Simulate a cluster of this size, and weigh what there is one of.

    Raises:
        UsageError: the runs do not suffice, or the trial is out of range.
    """
    demands = fit_demands(runs)
    wish = Wish(
        agents=trial.agents,
        rate_ops_s=trial.rate_per_agent_ops_s * trial.agents,
        core_speed_ratio=1.0,
        growth={},
        shards_per_cohort=trial.shards_per_cohort,
    )
    if trial.cohorts is None:
        processes = processes_for(wish, demands, COHORT_BUSY_RATIO_MAX, given_shards=trial.shards)
    else:
        processes = processes_at(wish, demands, trial.shards, trial.cohorts)
    scale = Scale(
        agents=trial.agents,
        shards=processes.shards,
        cohorts=processes.cohorts,
        nodes=math.ceil(processes.shards / CORES_A_NODE)
        + math.ceil(processes.cohorts / CORES_A_NODE),
        rate_ops_s=wish.rate_ops_s,
        duration_s=trial.duration_s,
        shards_per_cohort=trial.shards_per_cohort,
    )
    outcome = simulated(wish, demands, processes.shards, processes.cohorts, seed=trial.seed)
    call, whole = demands.shard_cpu.call, demands.shard_cpu.of(processes.batch_ops)
    return Breaking(
        scale=scale,
        processes=processes,
        throughput_ops_s=outcome.throughput_ops_s,
        rate_ops_s=wish.rate_ops_s,
        p50_ms=outcome.percentile_ms(50),
        p99_ms=outcome.percentile_ms(99),
        call_ratio=call / whole if whole else 0.0,
        delays=simulate_control(scale, costs, seed=trial.seed),
        limits=limits(scale, costs),
    )

"""The size whose p99 is predicted to keep the target, and how sure its parts are.

The p99 of a cluster is that of a simulation of one of its shards with a lane of every cohort
(`harness.simulation.slices`), fed with the measured times of batches. Utilisation is lowered, and
processes so added, until it keeps the target and the offered rate is carried.

The range of the number of processes comes from the bootstrap over runs: as many runs are drawn
with replacement, CPU is fitted to them, and processes are counted at the same utilisation.
Deviations are widened for the few runs that there are, as in `harness.analysis.bootstrap`. What
other machines, other workloads and larger stores differ by is in no range.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.analysis.student import normal_half_width, student_half_width
from harness.errors import UsageError
from harness.schema import OPERATIONS
from harness.simulation.batch_times import MeasuredTimes
from harness.simulation.memory_cluster import Layout, Outcome, simulate
from harness.simulation.slices import simulate_slice
from harness.sizing.cluster import Processes, Wish, processes_for
from harness.sizing.demands import Demands, fit_cpu, fit_demands
from harness.sizing.evidence import RunEvidence
from harness.sizing.storage import Range

__all__ = ["Fitting", "fitting_size", "foretold_run", "ranges", "simulated"]

# From busy to idle; room for a shard that is lost, and for hours that are busier than others.
BUSY_RATIOS = (0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05)
_CARRIED_RATIO_MIN = 0.97
# So many operations of a shard are simulated: a p99 of 200 that are beyond it.
_OPERATIONS = 20_000
# More would take minutes and gigabytes.
_COHORTS_MAX = 100_000
_RESAMPLES = 200
_CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """Processes that keep a target.

    Attributes:
        processes: how many.
        rate_ops_s: that they were asked for.
        busy_ratio_max: that they were counted with.
        outcome: of the simulation.
        tried: utilisation and p99 in ms of each simulation, the last being this one.
    """

    processes: Processes
    rate_ops_s: float
    busy_ratio_max: float
    outcome: Outcome
    tried: Sequence[tuple[float, float | None]]


def fitting_size(
    wish: Callable[[int], Wish], demands: Demands, target_p99_s: float, *, seed: int = 1
) -> Fitting:
    """Find the busiest cluster whose p99 keeps the target.

    Args:
        wish: what is wished for, from the number of shards, by which stores and so times differ.
        demands: what was measured.
        target_p99_s: of the response time of all operations.
        seed: of the simulation.

    Raises:
        UsageError: not even shards that are nearly idle keep it.
    """
    tried: list[tuple[float, float | None]] = []
    usual, *others, least = BUSY_RATIOS

    def fitting_at(busy_ratio_max: float) -> Fitting:
        return _at_utilisation(wish, demands, busy_ratio_max, tried, seed)

    found = fitting_at(usual)
    if _keeps(found, target_p99_s):
        return found
    # where not even the idlest will do, the others need not be looked at
    idlest = fitting_at(least)
    if _keeps(idlest, target_p99_s):
        between = (fitting_at(busy_ratio_max) for busy_ratio_max in others)
        return next((one for one in between if _keeps(one, target_p99_s)), idlest)
    best_ms = min((p99_ms for _, p99_ms in tried if p99_ms is not None), default=math.inf)
    raise UsageError(
        "--target-p99",
        f"of {target_p99_s * 1e3:.3g} ms is below what a nearly idle shard gives by these runs, "
        f"{best_ms:.3g} ms; give a larger one, or runs of a faster machine",
    )


def _keeps(fitting: Fitting, target_p99_s: float) -> bool:
    p99_ms, outcome = fitting.outcome.percentile_ms(99), fitting.outcome
    is_carried = outcome.throughput_ops_s >= _CARRIED_RATIO_MIN * fitting.rate_ops_s
    return is_carried and p99_ms is not None and p99_ms <= target_p99_s * 1e3


def _at_utilisation(
    wish: Callable[[int], Wish],
    demands: Demands,
    busy_ratio_max: float,
    tried: list[tuple[float, float | None]],
    seed: int,
) -> Fitting:
    """The cluster at a utilisation, simulated."""
    processes = processes_for(wish(1), demands, busy_ratio_max)
    for _ in range(3):  # more shards are smaller stores, which are faster
        processes = processes_for(wish(processes.shards), demands, busy_ratio_max)
    last = wish(processes.shards)
    outcome = simulated(last, demands, processes.shards, processes.cohorts, seed=seed)
    tried.append((busy_ratio_max, outcome.percentile_ms(99)))
    return Fitting(
        processes=processes,
        rate_ops_s=last.rate_ops_s,
        busy_ratio_max=busy_ratio_max,
        outcome=outcome,
        tried=tuple(tried),
    )


def simulated(wish: Wish, demands: Demands, shards: int, cohorts: int, *, seed: int = 1) -> Outcome:
    """Simulate a cluster by one of its shards.

    Raises:
        UsageError: it has more cohorts than are simulated.
    """
    if cohorts > _COHORTS_MAX:
        raise UsageError(
            "--rate-per-agent",
            f"{wish.rate_ops_s:,.0f} operations/s need {cohorts:,} agent tasks, and at most "
            f"{_COHORTS_MAX:,} are simulated; give a lower rate or fewer agents",
        )
    duration_s = _OPERATIONS * shards / wish.rate_ops_s
    layout = Layout(
        shards=shards,
        cohorts=cohorts,
        rate_ops_s=wish.rate_ops_s,
        shards_per_cohort=wish.shards_per_cohort,
        mix=[demands.mix[name] for name in OPERATIONS],
        warmup_s=duration_s / 5,
        duration_s=duration_s,
        seed=seed,
    )
    times = MeasuredTimes(demands, seed, growth=wish.growth, core_speed_ratio=wish.core_speed_ratio)
    return simulate_slice(layout, times)


def foretold_run(demands: Demands, run: RunEvidence, *, seed: int = 1) -> Outcome:
    """What a run would come to: its shards and cohorts, with its agents and pause, or its rate.

    In the open loop its operations come as a Poisson stream, whatever their spacing was.
    """
    layout = Layout(
        shards=run.shards,
        cohorts=run.cohorts,
        agents=run.agents,
        rate_ops_s=run.throughput_ops_s if run.open_loop else None,
        think_time_s=run.think_time_s,
        mix=[run.operations[name] for name in OPERATIONS],
        warmup_s=0.5,
        duration_s=max(run.duration_s, 5.0),
        seed=seed,
    )
    return simulate(layout, MeasuredTimes(demands, seed))


def ranges(
    runs: Sequence[RunEvidence], wish: Wish, fitting: Fitting, *, seed: int = 1
) -> tuple[Range, Range]:
    """How many shards and cohorts it may be as well, by how the runs differ; see the head."""
    best = fitting.processes.shards, fitting.processes.cohorts
    if len(runs) < 3:
        return Range(estimate=best[0]), Range(estimate=best[1])
    demands, generator = fit_demands(runs), np.random.default_rng(seed)
    drawn = []
    for _ in range(_RESAMPLES):
        some = [runs[at] for at in generator.integers(len(runs), size=len(runs))]
        if len({run.name for run in some}) < 2:
            continue
        shard_cpu, cohort_cpu = fit_cpu(some)
        refitted = replace(demands, shard_cpu=shard_cpu, cohort_cpu=cohort_cpu)
        found = processes_for(wish, refitted, fitting.busy_ratio_max)
        drawn.append((found.shards, found.cohorts))
    wider = math.sqrt(len(runs) / (len(runs) - 1))
    wider *= student_half_width(len(runs) - 1, _CONFIDENCE) / normal_half_width(_CONFIDENCE)
    ends = []
    for column, estimate in enumerate(best):
        off = np.log(np.array([one[column] for one in drawn]) / estimate) * wider
        low, high = np.quantile(off, [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
        ends.append(
            Range(
                estimate=estimate,
                low=min(estimate, max(1.0, math.floor(estimate * math.exp(low)))),
                high=max(estimate, math.ceil(estimate * math.exp(high))),
            )
        )
    return ends[0], ends[1]

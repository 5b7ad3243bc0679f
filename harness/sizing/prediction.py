"""The size whose p99 is predicted to keep the target, and how sure its parts are.

The p99 of a cluster is that of a simulation of one of its shards with a lane of every cohort
(`harness.simulation.slices`), fed with the measured times of batches. From the fewest processes of
which none computes for more than `BUSY_RATIO_MAX` of its core, shards and cohorts are multiplied
until it keeps the target and the offered rate is carried.

The range of the number of processes comes from the bootstrap over runs: as many runs are drawn
with replacement, CPU is fitted to them, and processes are counted and multiplied likewise.
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
from harness.sizing.cluster import Processes, Wish, processes_at, processes_for
from harness.sizing.demands import Demands, fit_cpu, fit_demands
from harness.sizing.evidence import RunEvidence
from harness.sizing.storage import Range

__all__ = ["Fitting", "fitting_size", "foretold_run", "p99_range", "ranges", "simulated"]

# Room for a shard that is lost, and for hours that are busier than others.
BUSY_RATIO_MAX = 0.7
# Processes are as good as idle.
_IDLE_RATIO = 0.05
_STEP = 1.3
_CARRIED_RATIO_MIN = 0.97
# So many operations of a shard are simulated: a p99 of 200 that are beyond it.
_OPERATIONS = 20_000
# More would take minutes and gigabytes.
_COHORTS_MAX = 100_000
_RESAMPLES = 200
FEWEST_RUNS = 3
_CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """Processes that keep a target.

    Attributes:
        processes: how many.
        rate_ops_s: that they were asked for.
        enlarged_ratio: how many times as many they are as their utilisation needs.
        outcome: of the simulation.
        tried: shards and p99 in ms of each simulation.
    """

    processes: Processes
    rate_ops_s: float
    enlarged_ratio: float
    outcome: Outcome
    tried: Sequence[tuple[int, float | None]]


def fitting_size(
    wish: Callable[[int], Wish],
    demands: Demands,
    target_p99_s: float,
    *,
    machines: int = 1,
    seed: int = 1,
) -> Fitting:
    """Find the smallest cluster whose p99 keeps the target.

    Args:
        wish: what is wished for, from the number of shards, by which stores and so times differ.
        demands: what was measured.
        target_p99_s: of the response time of all operations.
        machines: that memories fill, however few operations there are.
        seed: of the simulation.

    Raises:
        UsageError: not even shards that are nearly idle keep it.
    """
    fewest = processes_for(wish(machines), demands, BUSY_RATIO_MAX, machines=machines)
    for _ in range(3):  # more shards are smaller stores, which are faster
        fewest = processes_for(wish(fewest.shards), demands, BUSY_RATIO_MAX, machines=machines)
    tried: list[tuple[int, float | None]] = []

    def fitting_at(enlarged_ratio: float) -> Fitting:
        return _enlarged(wish, demands, fewest, enlarged_ratio, machines, tried, seed)

    found = fitting_at(1.0)
    if _keeps(found, target_p99_s):
        return found
    # where not even the idlest will do, the others need not be looked at
    most = _idle_ratio(wish(fewest.shards), demands, fewest)
    idlest = fitting_at(most)
    if _keeps(idlest, target_p99_s):
        # more processes need not be faster: with smaller batches they have more to do
        steps = range(1, math.ceil(math.log(most, _STEP)))
        between = (fitting_at(_STEP**power) for power in steps)
        return next((one for one in between if _keeps(one, target_p99_s)), idlest)
    best_ms = min((p99_ms for _, p99_ms in tried if p99_ms is not None), default=math.inf)
    raise UsageError(
        "--target-p99",
        f"of {target_p99_s * 1e3:.3g} ms is below what a nearly idle shard gives by these runs, "
        f"{best_ms:.3g} ms; give a larger one, or runs of a faster machine",
    )


def _idle_ratio(wish: Wish, demands: Demands, fewest: Processes) -> float:
    """How many times as many processes are as good as idle, each operation being a batch."""
    ratios = [
        wish.rate_ops_s * cpu.of(1) / _IDLE_RATIO / processes
        for cpu, processes in (
            (demands.shard_cpu, fewest.shards),
            (demands.cohort_cpu, fewest.cohorts),
        )
    ]
    return max(_STEP, min(max(ratios), _COHORTS_MAX / fewest.cohorts))


def _keeps(fitting: Fitting, target_p99_s: float) -> bool:
    p99_ms, outcome = fitting.outcome.percentile_ms(99), fitting.outcome
    is_carried = outcome.throughput_ops_s >= _CARRIED_RATIO_MIN * fitting.rate_ops_s
    return is_carried and p99_ms is not None and p99_ms <= target_p99_s * 1e3


def _enlarged(
    wish: Callable[[int], Wish],
    demands: Demands,
    fewest: Processes,
    enlarged_ratio: float,
    machines: int,
    tried: list[tuple[int, float | None]],
    seed: int,
) -> Fitting:
    shards = math.ceil(fewest.shards * enlarged_ratio / machines) * machines
    cohorts = math.ceil(fewest.cohorts * enlarged_ratio)
    last = wish(shards)
    outcome = simulated(last, demands, shards, cohorts, seed=seed)
    tried.append((shards, outcome.percentile_ms(99)))
    return Fitting(
        processes=processes_at(last, demands, shards, cohorts),
        rate_ops_s=last.rate_ops_s,
        enlarged_ratio=enlarged_ratio,
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
    runs: Sequence[RunEvidence],
    wish: Wish,
    fitting: Fitting,
    *,
    machines: int = 1,
    seed: int = 1,
) -> tuple[Range, Range]:
    """How many shards and cohorts it may be as well, by how the runs differ; see the head."""
    best = fitting.processes.shards, fitting.processes.cohorts
    if len(runs) < FEWEST_RUNS:
        return Range(estimate=best[0]), Range(estimate=best[1])
    demands, generator = fit_demands(runs), np.random.default_rng(seed)
    drawn = []
    for _ in range(_RESAMPLES):
        some = [runs[at] for at in generator.integers(len(runs), size=len(runs))]
        if len({run.name for run in some}) < 2:
            continue
        shard_cpu, cohort_cpu = fit_cpu(some)
        refitted = replace(demands, shard_cpu=shard_cpu, cohort_cpu=cohort_cpu)
        found = processes_for(wish, refitted, BUSY_RATIO_MAX, machines=machines)
        drawn.append(
            (found.shards * fitting.enlarged_ratio, found.cohorts * fitting.enlarged_ratio)
        )
    wider = math.sqrt(len(runs) / (len(runs) - 1))
    wider *= student_half_width(len(runs) - 1, _CONFIDENCE) / normal_half_width(_CONFIDENCE)
    shards, cohorts = (
        _range(estimate, [one[column] for one in drawn], wider)
        for column, estimate in enumerate(best)
    )
    return replace(shards, low=max(shards.low or 1, min(machines, best[0]))), cohorts


def p99_range(runs: Sequence[RunEvidence], wish: Wish, fitting: Fitting, *, seed: int = 1) -> Range:
    """The predicted p99 in ms, from the least to the most when each run in turn is left out."""
    estimate = fitting.outcome.percentile_ms(99) or 0.0
    if len(runs) < FEWEST_RUNS:
        return Range(estimate=estimate)
    found = [estimate]
    for left_out in range(len(runs)):
        others = [run for number, run in enumerate(runs) if number != left_out]
        try:
            demands = fit_demands(others)
        except UsageError:  # the only one with such batches: nothing is known without it
            continue
        processes = fitting.processes
        outcome = simulated(wish, demands, processes.shards, processes.cohorts, seed=seed)
        found.append(outcome.percentile_ms(99) or 0.0)
    return Range(estimate=estimate, low=min(found), high=max(found))


def _range(estimate: int, drawn: Sequence[float], wider: float) -> Range:
    off = np.log(np.array(drawn) / estimate) * wider
    low, high = np.quantile(off, [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
    return Range(
        estimate=estimate,
        low=min(estimate, max(1.0, math.floor(estimate * math.exp(low)))),
        high=max(estimate, math.ceil(estimate * math.exp(high))),
    )

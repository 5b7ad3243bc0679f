"""What a plan rests on, in sentences: assumptions, what is extrapolated, what cannot be known."""

from __future__ import annotations

from collections.abc import Sequence

from harness.sizing.cluster import Processes
from harness.sizing.demands import Demands
from harness.sizing.evidence import RunEvidence
from harness.sizing.storage import Growth

__all__ = ["assumptions", "dealt_out", "extrapolations", "unknowns"]

# More of the measured machine's cores than this used by others makes measured times doubtful.
_FOREIGN_RATIO_MAX = 0.1
_LANES_MANY = 1.5


def assumptions(
    rate_from: str, enlarged_ratio: float, demands: Demands, core_speed_ratio: float
) -> list[str]:
    """What is taken as given."""
    mix = ", ".join(f"{share:.0%} {name}" for name, share in demands.mix.items() if share)
    speed = "as fast as" if core_speed_ratio == 1 else f"{core_speed_ratio:g} times as fast as"
    return [
        f"The rate of an agent is from {rate_from}."
        if rate_from.startswith(("--", "what"))
        else f"The rate of an agent is {rate_from}; --rate-per-agent sets it.",
        f"Operations are those of the runs ({mix}), of states of their size.",
        "Operations come as a Poisson stream, spread evenly over shards and cohorts.",
        "No process computes for more than 70% of its core"
        + (
            f", and there are {enlarged_ratio:.3g} times as many as that needs, for the p99's sake."
            if enlarged_ratio > 1
            else "."
        ),
        f"Cores are {speed} those measured, and each process has one to itself.",
        "A machine keeps one core, a fifth of its memory and disk, and half of its bandwidth "
        "free. Data is on one machine each: nothing is replicated.",
        "The network between machines adds no more delay than the loopback of the machine that "
        "was measured.",
    ]


def dealt_out(shards_per_cohort: int | None) -> list[str]:
    """What is taken as given of how agents are dealt out, where it is not what the client does."""
    if shards_per_cohort is None:
        return []
    return [
        "Agents are dealt out to tasks so that those of one need no more than "
        f"{shards_per_cohort:,} shards (--shards-per-task): the harness does not do that."
    ]


def extrapolations(
    agents: int, rate_ops_s: float, processes: Processes, demands: Demands, growth: Growth
) -> list[str]:
    """What lies beyond the runs."""
    found = []
    if agents > demands.agents_max:
        times = agents / demands.agents_max
        found.append(f"{agents:,} agents are {_times(times)} the most of a run.")
    rate = rate_ops_s / processes.shards
    if rate > 1.05 * demands.rate_max_ops_s:
        times = rate / demands.rate_max_ops_s
        found.append(f"{rate:,.0f} operations/s of a shard are {_times(times)} the most of a run.")
    if processes.batch_ops < 0.95 * demands.batch_ops[0]:
        found.append(
            f"Batches of {processes.batch_ops:.3g} operations are smaller than any measured "
            f"({demands.batch_ops[0]:.3g})."
        )
    if processes.batch_ops > 1.05 * demands.batch_ops[1]:
        found.append(
            f"Batches of {processes.batch_ops:.3g} operations are larger than any measured "
            f"({demands.batch_ops[1]:.3g})."
        )
    if growth.beyond_ratio > 1:
        found.append(
            f"A shard, or an agent, has {_times(growth.beyond_ratio)} the memories of the largest "
            "volume of bench memory."
        )
    return found


def unknowns(runs: Sequence[RunEvidence], processes: Processes) -> list[str]:
    """What the runs cannot tell."""
    found = [
        "Failures, backups, moves between tiers and compaction of large stores are in no figure.",
        "The range is of how the runs differ from one another: not of how another machine, "
        "workload or disk differs from theirs.",
    ]
    if len(runs) < 3:
        found.append("Fewer than three runs do not say how far off the sizes may be.")
    foreign = [run.foreign_cores / run.cores for run in runs if run.foreign_cores is not None]
    if foreign and max(foreign) > _FOREIGN_RATIO_MAX:
        found.append(
            f"Others used up to {max(foreign):.0%} of the measured machine's cores: its times, and "
            "so the p99, are longer than on a quiet one."
        )
    lanes = processes.shards * processes.cohorts
    if processes.batch_ops < _LANES_MANY:
        found.append(
            f"With {lanes:,} lanes (shards x cohorts) batches are of {processes.batch_ops:.2f} "
            "operations, so each pays for a call: cohorts whose agents share few shards would "
            "need far fewer processes (--shards-per-task says how many), but the harness does not "
            "deal agents out like that."
        )
    return found


def _times(ratio: float) -> str:
    return f"{ratio:,.1f} times" if ratio < 100 else f"{ratio:,.0f} times"

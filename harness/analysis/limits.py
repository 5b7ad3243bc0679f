"""What limited a run: one sentence with its figures, decided from how busy each part was.

`what_limited` is a pure decision on `Utilisation`; the order of its questions is the order of
`_QUESTIONS`, and the first that has an answer gives it:

1. Was anything measured?
2. Were operations refused for lack of memory, or was hardly any of the machine's left?
3. Did the open loop carry the rate it was offered? Then the schedule set the pace.
4. Were the cohorts near a whole core each while the shards idled? Then the load generator did.
5. Was a whole machine busy? Then its CPU did, whoever took it.
6. Was a cohort, a shard or Ray's own process near a whole core?
7. Did the agents spend most of their time thinking?
8. No core was near full, so time went in waiting: were the shards taken up by batches that
   used little CPU (the disk), or did an operation's time go in transport, or in service?

Thresholds are named below. A process runs Python, so one core is the most it can use: near a
whole core is saturated (`SATURATED_CORES`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import sqrt

__all__ = [
    "MACHINE_BUSY_RATIO",
    "ONE_THREAD_CORES",
    "SATURATED_CORES",
    "Limit",
    "Utilisation",
    "what_limited",
]

SATURATED_CORES = 0.85
IDLE_CORES = 0.5
# What uses more has several threads, which our processes and some servers have not.
ONE_THREAD_CORES = 1.05
MACHINE_BUSY_RATIO = 0.9
# An arrival process of n operations strays by about sqrt(n); three of that is no shortfall.
RATE_SHORTFALL_RATIO = 0.05
RATE_DEVIATIONS = 3.0
THINKING_RATIO = 0.5
# A shard is taken up by its batches for this much of the time, and computes for less of it.
TAKEN_UP_RATIO = 0.5
COMPUTING_RATIO = 0.6
# Operations that a store with a memory bound refused; memory that was free at one moment.
REFUSED_RATIO = 0.01
MEMORY_LEFT_RATIO = 0.05

_RAY_ROLES = ("raylet", "gcs")


@dataclass(frozen=True, kw_only=True)
class Utilisation:
    """How busy each part of a run was within the measured phase; None where not sampled.

    Attributes:
        operations: how many were measured.
        achieved_rate_ops_s: operations finished a second.
        offered_rate_ops_s: operations due a second; None in the closed loop.
        cohorts: load generator processes; cohort_cores: CPU of one, in cores, on average.
        shards: shard processes; shard_cores: CPU of the busiest, in cores.
        cores_by_role: CPU of all processes of a role, in cores; empty where not all is known.
        machine_busy_ratio: of the busiest of the machines; cpu_count: cores of all of them.
        think_time_s: what agents wait on purpose between operations.
        thinking_ratio: how much of the agents' time no operation was under way.
        shard_taken_up_ratio: how much of the time the busiest shard had a batch under way.
        response_ms: mean response time; queue_ms, transport_ms, service_ms: its mean parts.
        refused_ratio: operations that failed as overloaded.
        memory_limit_bytes: what a shard may hold; None is no bound.
        memory_left_ratio: the least of a machine's memory that was free.
        fsync: it is our store, which acknowledges once on disk.
        in_process: the store runs inside the cohorts' processes.
        other_server: it is another store's processes that have the role of shards.
    """

    operations: int
    achieved_rate_ops_s: float = 0.0
    offered_rate_ops_s: float | None = None
    cohorts: int = 0
    cohort_cores: float | None = None
    shards: int = 0
    shard_cores: float | None = None
    cores_by_role: Mapping[str, float] = field(default_factory=dict)
    machine_busy_ratio: float | None = None
    cpu_count: int | None = None
    machines: int = 1
    think_time_s: float = 0.0
    thinking_ratio: float = 0.0
    shard_taken_up_ratio: float = 0.0
    response_ms: float = 0.0
    queue_ms: float = 0.0
    transport_ms: float = 0.0
    service_ms: float = 0.0
    refused_ratio: float = 0.0
    memory_limit_bytes: int | None = None
    memory_left_ratio: float | None = None
    fsync: bool = True
    in_process: bool = False
    other_server: bool = False


@dataclass(frozen=True)
class Limit:
    """What limited a run.

    ``kind`` is one of nothing, memory, schedule, load_generator, machine, process, shard, ray,
    think_time, disk, store, transport, unknown; ``sentence`` says it in words, with figures.
    """

    kind: str
    sentence: str


def what_limited(used: Utilisation) -> Limit:
    """Decide what limited a run."""
    for question in _QUESTIONS:
        limit = question(used)
        if limit is not None:
            return _with_shortfall(limit, used)
    raise AssertionError("the last question always has an answer")


def _nothing(used: Utilisation) -> Limit | None:
    if used.operations:
        return None
    return Limit("nothing", "Nothing was measured, so nothing can be said of what limited the run.")


def _memory(used: Utilisation) -> Limit | None:
    if used.memory_limit_bytes is not None and used.refused_ratio >= REFUSED_RATIO:
        return Limit(
            "memory",
            f"The memory that a shard may hold limited the run: {used.refused_ratio:.1%} of the "
            f"operations were refused (--memory-limit {used.memory_limit_bytes:,} bytes).",
        )
    if used.memory_left_ratio is None or used.memory_left_ratio >= MEMORY_LEFT_RATIO:
        return None
    return Limit(
        "memory",
        "The machine's memory limited the run: at one moment only "
        f"{used.memory_left_ratio:.1%} of it was free.",
    )


def _schedule(used: Utilisation) -> Limit | None:
    if used.offered_rate_ops_s is None or _falls_short(used):
        return None
    return Limit(
        "schedule",
        f"The schedule limited the run: the offered {_rate(used.offered_rate_ops_s)} "
        f"were carried ({_rate(used.achieved_rate_ops_s)}){_headroom(used)}.",
    )


def _load_generator(used: Utilisation) -> Limit | None:
    if used.in_process or not _saturated(used.cohort_cores):
        return None
    if used.shards and (used.shard_cores is None or used.shard_cores >= IDLE_CORES):
        return None
    return _generator_limit(used)


def _machine(used: Utilisation) -> Limit | None:
    if used.machine_busy_ratio is None or used.machine_busy_ratio < MACHINE_BUSY_RATIO:
        return None
    roles = sorted(_with_others(used).items(), key=lambda item: -item[1])
    who = ", ".join(f"{role} {cores:.2f}" for role, cores in roles[:4] if cores >= 0.01)
    taken = f"; cores by role: {who}" if who else ""
    busy = f"{used.machine_busy_ratio:.0%} busy{taken}"
    if used.machines == 1:
        were = "was" if used.cpu_count == 1 else "were"
        sentence = f"its {_cores(used.cpu_count)} {were} {busy}"
        return Limit("machine", f"The whole machine's CPU limited the run: {sentence}.")
    which = f"of {used.machines} machines the busiest was {busy}"
    return Limit("machine", f"The CPU of a whole machine limited the run: {which}.")


def _saturated_process(used: Utilisation) -> Limit | None:
    if _saturated(used.cohort_cores):
        if used.in_process:
            return Limit(
                "process",
                f"The processes that run agents and store together limited the run: "
                f"{_each(used.cohorts, used.cohort_cores)}.",
            )
        if not _saturated(used.shard_cores):
            return _generator_limit(used)
    if used.other_server:
        return _saturated_server(used)
    if _saturated(used.shard_cores):
        return Limit(
            "shard",
            f"The shards' CPU limited the run: the busiest of {used.shards} used "
            f"{used.shard_cores:.2f} of a core, a load generator process "
            f"{used.cohort_cores or 0.0:.2f}.",
        )
    ray = max((used.cores_by_role.get(role, 0.0) for role in _RAY_ROLES), default=0.0)
    if _saturated(ray):
        return Limit("ray", f"Ray's own processes limited the run: one used {ray:.2f} of a core.")
    return None


def _saturated_server(used: Utilisation) -> Limit | None:
    """Of a server of many threads, a core and more that is busy is no bound."""
    if not _saturated(used.shard_cores) or (used.shard_cores or 0.0) > ONE_THREAD_CORES:
        return None
    return Limit(
        "store",
        f"The store's server limited the run: its busiest process used {used.shard_cores:.2f} of a "
        f"core, all that one thread can, a load generator process {used.cohort_cores or 0.0:.2f}.",
    )


def _think_time(used: Utilisation) -> Limit | None:
    if used.think_time_s <= 0 or used.thinking_ratio < THINKING_RATIO:
        return None
    return Limit(
        "think_time",
        f"The agents' think time limited the run: they waited on purpose for "
        f"{used.thinking_ratio:.0%} of their time{_headroom(used)}.",
    )


def _waiting(used: Utilisation) -> Limit | None:
    if used.cohort_cores is None and used.shard_cores is None:
        return Limit(
            "unknown",
            "What limited the run cannot be told: it was too short to measure its CPU; "
            f"{_share(used)}.",
        )
    taken_up = used.shard_taken_up_ratio
    # a store in the cohorts' own processes computes with what agents do
    computing = (used.cohort_cores if used.in_process else used.shard_cores) or 0.0
    if taken_up >= TAKEN_UP_RATIO and computing < COMPUTING_RATIO * taken_up:
        what = "The disk (fsync) limited the run" if used.fsync else "The store limited the run"
        who = "the store's server" if used.other_server else "the busiest shard"
        who = "a store in its agents' process" if used.in_process else who
        return Limit(
            "disk" if used.fsync else "store",
            f"{what}: {who} had a batch under way for {taken_up:.0%} of the time "
            f"and computed for {computing:.0%}.",
        )
    # Operations queue because the batch before them is under way, so queueing is nobody's own.
    if used.service_ms >= used.transport_ms:
        kind, what = ("disk", "the disk (fsync)") if used.fsync else ("store", "the store")
        return Limit(kind, f"Waiting for {what} limited the run: {_share(used)}{_headroom(used)}.")
    return Limit(
        "transport",
        f"The round trip to the store limited the run: {_share(used)}{_headroom(used)}.",
    )


_QUESTIONS: tuple[Callable[[Utilisation], Limit | None], ...] = (
    _nothing,
    _memory,
    _schedule,
    _load_generator,
    _machine,
    _saturated_process,
    _think_time,
    _waiting,
)


def _generator_limit(used: Utilisation) -> Limit:
    shards = ""
    if used.shards and used.shard_cores is not None:
        shards = f" while the busiest shard used {used.shard_cores:.2f}"
    return Limit(
        "load_generator",
        f"The load generator limited the run: {_each(used.cohorts, used.cohort_cores)}{shards}, "
        f"so the store may carry more than this.",
    )


def _falls_short(used: Utilisation) -> bool:
    if used.offered_rate_ops_s is None:
        return False
    tolerance = max(RATE_SHORTFALL_RATIO, RATE_DEVIATIONS / sqrt(max(used.operations, 1)))
    return used.achieved_rate_ops_s < used.offered_rate_ops_s * (1 - tolerance)


def _with_shortfall(limit: Limit, used: Utilisation) -> Limit:
    if used.offered_rate_ops_s is None or not used.operations or not _falls_short(used):
        return limit
    missed = (
        f"only {_rate(used.achieved_rate_ops_s)} of the offered "
        f"{_rate(used.offered_rate_ops_s)} were carried"
    )
    return Limit(limit.kind, f"{limit.sentence.removesuffix('.')}; {missed}.")


def _with_others(used: Utilisation) -> dict[str, float]:
    """The cores of each role, and of programs that are not ours where those can be told."""
    cores = dict(used.cores_by_role)
    if cores and used.machines == 1 and used.cpu_count and used.machine_busy_ratio is not None:
        rest = used.machine_busy_ratio * used.cpu_count - sum(cores.values())
        cores["everything else"] = max(0.0, rest)
    return cores


def _saturated(cores: float | None) -> bool:
    return cores is not None and cores >= SATURATED_CORES


def _each(processes: int, cores: float | None) -> str:
    if processes == 1:
        return f"its one process used {cores or 0.0:.2f} of a core"
    return f"its {processes} processes used {cores or 0.0:.2f} of a core each"


def _headroom(used: Utilisation) -> str:
    if used.machine_busy_ratio is None:
        return ""
    return f", with the machine {used.machine_busy_ratio:.0%} busy"


def _share(used: Utilisation) -> str:
    return (
        f"of a mean response time of {used.response_ms:,.2f} ms, {used.queue_ms:,.2f} went in "
        f"queueing, {used.transport_ms:,.2f} in transport and {used.service_ms:,.2f} in service"
    )


def _rate(rate_ops_s: float) -> str:
    return (
        f"{rate_ops_s:,.0f} operations/s"
        if rate_ops_s >= 100
        else f"{rate_ops_s:,.1f} operations/s"
    )


def _cores(count: int | None) -> str:
    return "cores" if count is None else f"{count} core" if count == 1 else f"{count} cores"

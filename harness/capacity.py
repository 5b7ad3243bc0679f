"""How a run's agents are shared out to tasks, and whether these fit: pure functions."""

from __future__ import annotations

from harness.errors import UsageError

__all__ = [
    "MAX_THREADS",
    "TASKS_A_CORE",
    "TASK_BYTES",
    "agents_per_task",
    "check_fits",
    "check_threads",
    "cohort_ranges",
    "most_that_fit",
]

# A task's process: what it holds of its own when it has loaded Ray, numpy and pyarrow
# (harness/DESIGN.md has the measurement).
TASK_BYTES = 110 * 1024 * 1024
# Processes that wait cost little; beyond this many a core they mostly wait for each other.
TASKS_A_CORE = 128
_MAX_AGENTS_A_TASK = 25_000
# Thousands of threads of one process mostly wait for each other, and each takes a stack.
MAX_THREADS = 4_096
_REMEDIES = {
    "--agents": "run fewer agents",
    "--agents-per-task": "put more agents into a task, or leave the option out",
    "--shards": "one a core is plenty",
    "--shards-per-node": "one a core is plenty",
}


def agents_per_task(agents: int, cpus: int, *, alone: bool) -> int:
    """How many agents a task gets where the plan leaves it open.

    Where shards serve on the same nodes, they need as much CPU as the agents, so every second
    core gets a task; agents that are alone there, or have the store in their own process, get all.
    """
    tasks = cpus if alone else max(1, cpus // 2)
    tasks = max(min(tasks, agents), -(-agents // _MAX_AGENTS_A_TASK))
    return -(-agents // tasks)


def cohort_ranges(agents: int, per_task: int) -> list[tuple[int, int]]:
    """The agents of each cohort, as (first, last + 1), of nearly equal size."""
    tasks = max(1, -(-agents // per_task))
    return [(agents * task // tasks, agents * (task + 1) // tasks) for task in range(tasks)]


def check_threads(agents: int, agents_per_task: int | None) -> None:
    """Refuse agents that cannot all be threads of one process.

    Raises:
        UsageError: names the most that can.
    """
    if agents_per_task is not None and agents_per_task < agents:
        raise UsageError(
            "--agents-per-task",
            "contradicts --target threads: all agents are threads of one process; leave it out",
        )
    if agents > MAX_THREADS:
        raise UsageError(
            "--agents",
            f"makes {agents:,} threads of one process, which takes at most {MAX_THREADS:,}; "
            f"run fewer agents, or choose another target",
        )


def most_that_fit(cpus: int, available_bytes: float) -> int:
    """The most processes of tasks, or of shards, that can run at once on a node; at least one."""
    return max(1, min(int(available_bytes // TASK_BYTES), cpus * TASKS_A_CORE))


def check_fits(
    tasks: int,
    cpus: int,
    available_bytes: float,
    *,
    option: str = "--agents-per-task",
    most: int | None = None,
) -> None:
    """Refuse tasks, or shards, that cannot all run at once.

    Args:
        tasks: processes that the agents, or the store, need.
        cpus: cores that are there for them.
        available_bytes: memory that is free for them.
        option: what asked for so many.
        most: that can run on the nodes that have these; None where that is one node.

    Raises:
        UsageError: names the most that can run.
    """
    most = most_that_fit(cpus, available_bytes) if most is None else most
    if tasks <= most:
        return
    remedy = _REMEDIES[option]
    what = "shards" if option.startswith("--shards") else "tasks"
    raise UsageError(
        option,
        f"makes {tasks:,} {what}, but at most {most:,} can run at once here (a process each of "
        f"about {TASK_BYTES // 2**20} MiB, {available_bytes / 2**30:.1f} GiB free, {cpus} "
        f"cores); {remedy}",
    )

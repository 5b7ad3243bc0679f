"""What a run is: one frozen plan. `harness.plan_file` makes one from a file or an earlier run.

The plan alone decides which operations a run issues and where; where its results go is not part
of it. It is checked where it is made (`harness.plan_checks`), so that a wrong plan is refused
before anything starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from harness.plan_checks import (
    ARRIVALS,
    DEFAULT_ROUNDS,
    WORKLOADS,
    check_faults,
    check_ranges,
    check_together,
    check_types,
    option_name,
    parse_mix,
)

__all__ = ["ARRIVALS", "WORKLOADS", "RunPlan", "option_name", "parse_mix", "with_agents"]


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """A run, whole.

    Attributes:
        agents: concurrent agents; None is the trace's own number, else 500.
        target: name of the store that is driven.
        workload: what an agent does; see `harness.workload`.
        preload: states that the agents together store before the start, which count nowhere.
        rounds: how often each agent repeats it; None with ``duration_s`` or a trace.
        duration_s: for how long agents go on instead.
        whole_rounds: an agent finishes the round that it is in when that time is up.
        warmup_s: agents work this long before anything counts.
        seed: the operations follow from it.
        mix: weights by operation; None is the workload's own order.
        think_time_s: pause of an agent after each operation, in the closed loop.
        ramp_s: agents start evenly over this time.
        rate: operations a second offered by all agents together: the open loop; None is the
            closed loop.
        arrival: how the open loop's operations are spaced.
        trace: file of recorded states that agents replay.
        shards: of the store, all together; None is one a core of the nodes that have them.
        shards_per_node: of the store, on each of those nodes, instead.
        agents_per_task: None chooses.
        pipelining: False makes one actor call an operation.
        dimension: of the vectors.
        durability: of the store, ``fsync`` or ``os``.
        memory_limit_bytes: what a shard may hold in memory, stores past it fail as overloaded;
            None is no bound.
        data_dir: folder for the databases; None puts them into the run directory.
        keep_data: leave the databases when the run ends.
        address: of the Ray cluster; ``local`` starts one on this machine.
        record: write a row for each operation, and samples.
        sample_interval_s: between resource samples.
        deadline_s: after which an operation fails.
        audit: read every acknowledged write back at the end, and check answers meanwhile.
        faults: that are injected while it runs; see `harness.faults`.
        backup: where backups of the store go while it is measured, a folder or a URI; None takes
            none.
        backup_interval_s: from the begin of one to that of the next; None takes one.

    Raises:
        UsageError: a field is wrong, or two contradict each other.
    """

    agents: int | None = None
    target: str = "memory_core"
    workload: str = "standard"
    preload: int = 0
    rounds: int | None = None
    duration_s: float | None = None
    whole_rounds: bool = False
    warmup_s: float = 0.0
    seed: int = 1
    mix: Mapping[str, float] | None = None
    think_time_s: float = 0.0
    ramp_s: float = 0.0
    rate: float | None = None
    arrival: str = "constant"
    trace: str | None = None
    shards: int | None = None
    shards_per_node: int | None = None
    agents_per_task: int | None = None
    pipelining: bool = True
    dimension: int = 64
    durability: str = "fsync"
    memory_limit_bytes: int | None = None
    data_dir: str | None = None
    keep_data: bool = False
    address: str = "local"
    record: bool = True
    sample_interval_s: float = 0.2
    deadline_s: float = 30.0
    audit: bool = False
    faults: tuple[str, ...] = ()
    backup: str | None = None
    backup_interval_s: float | None = None

    def __post_init__(self) -> None:
        check_types(self)
        if self.agents is None and self.trace is None:
            object.__setattr__(self, "agents", 500)
        if self.rounds is None and self.duration_s is None and self.trace is None:
            object.__setattr__(self, "rounds", DEFAULT_ROUNDS)
        check_ranges(self)
        check_together(self)
        check_faults(self)

    @property
    def open_loop(self) -> bool:
        """Whether operations are due on a schedule, whatever becomes of those before."""
        return self.rate is not None

    def as_dict(self) -> dict[str, Any]:
        """The plan as JSON has it; ``RunPlan(**plan.as_dict())`` is equal."""
        return asdict(self)


def with_agents(plan: RunPlan, agents: int) -> RunPlan:
    """The plan with its number of agents known."""
    return replace(plan, agents=agents)

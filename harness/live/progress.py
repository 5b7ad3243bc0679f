"""What a run looks like at one moment: what everything live is fed with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.live.counts import Counts

__all__ = ["NODE_COUNTERS", "NodeFigures", "Progress", "RoleFigures"]

# Those fields of a node's that only grow.
NODE_COUNTERS = ("disk_read_bytes", "disk_write_bytes", "net_received_bytes", "net_sent_bytes")


@dataclass(frozen=True, kw_only=True)
class RoleFigures:
    """The newest sample of the processes of one role on one node, added up.

    Attributes:
        processes: how many there are.
        cpu_percent: of one core.
        rss_bytes: resident memory.
    """

    processes: int
    cpu_percent: float
    rss_bytes: int


@dataclass(frozen=True, kw_only=True)
class NodeFigures:
    """The newest sample of a node; bytes of disk and network since the node booted.

    Attributes:
        node_id: Ray's id of it.
        host: its name, "" where that is not known.
        cpu_percent: of all cores together; None before it is known.
        cpu_count: cores.
        memory_used_bytes, memory_available_bytes: of the node.
        disk_read_bytes, disk_write_bytes: through its disks; None where they are not known.
        net_received_bytes, net_sent_bytes: through its network interfaces, likewise.
        roles: its processes that are watched, by `harness.schema.ROLES`.
    """

    node_id: str
    host: str = ""
    wall_ns: int
    cpu_percent: float | None
    cpu_count: int
    memory_used_bytes: int
    memory_available_bytes: int
    disk_read_bytes: int | None = None
    disk_write_bytes: int | None = None
    net_received_bytes: int | None = None
    net_sent_bytes: int | None = None
    roles: Mapping[str, RoleFigures] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A snapshot of a run, about four a second.

    Attributes:
        elapsed_s: since the run began.
        phase: what it is doing, in a word or two (``starting``, ``warm-up``, ``measuring``).
        agents_total: agents of the plan.
        agents_started: agents that have begun.
        agents_done: agents that have ended.
        operations_done: finished so far.
        operations_total: what the plan amounts to; None when time ends the run.
        ops_per_s: operations a second over the last seconds.
        p50_ms: median response time of the last seconds; None when too few.
        p99_ms: the same for the 99th percentile.
        failures: operations so far that neither succeeded nor were not found.
        retries: batches of operations that were sent again so far.
        in_flight: operations under way.
        cpu_percent_by_role: of one core, summed over a role's processes.
        rss_bytes_by_role: summed over a role's processes.
        node_cpu_percent: of all cores of all machines; None before the first sample.
        eta_s: time left; None when not known.
        counts: what operations came to since the run began, by phase and kind.
        nodes: the newest sample of each node.
    """

    elapsed_s: float
    phase: str
    agents_total: int = 0
    agents_started: int = 0
    agents_done: int = 0
    operations_done: int = 0
    operations_total: int | None = None
    ops_per_s: float = 0.0
    p50_ms: float | None = None
    p99_ms: float | None = None
    failures: int = 0
    retries: int = 0
    in_flight: int = 0
    cpu_percent_by_role: Mapping[str, float] = field(default_factory=dict)
    rss_bytes_by_role: Mapping[str, int] = field(default_factory=dict)
    node_cpu_percent: float | None = None
    eta_s: float | None = None
    counts: Counts = field(default_factory=dict)
    nodes: Sequence[NodeFigures] = ()

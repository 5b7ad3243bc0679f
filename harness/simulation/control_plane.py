"""What there is one of in a run, and at what size of a cluster it is too little.

The control actor takes each cohort's reports and, from other nodes, its files and the samplers';
the GCS answers each cohort's question for each shard; the driver sums up all rows. What a message
of each kind costs was measured (``scripts/bench scale``; `ControlCosts` has the figures). A limit
is load over what can be borne; loads grow by a power of the size, so the size at which it is
reached follows.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "FILES_AT_ONCE",
    "FILE_INTERVAL_S",
    "REPORT_INTERVAL_S",
    "ControlCosts",
    "Limit",
    "Scale",
    "limits",
]

# harness.cohort, harness.recorder, harness.sampler and harness.measurement have these.
REPORT_INTERVAL_S = 0.25
FILE_INTERVAL_S = 1.0
FILES_AT_ONCE = 2
STREAMS_A_NODE = 2
OPEN_FILES_MAX = 65_536
# Nobody waits for longer until agents begin; the barrier itself would wait 3 s for each cohort.
START_S_MAX = 300.0
# Ray's own scalability envelope (release/benchmarks/README.md of ray-project/ray).
RAY_NODES, RAY_ACTORS, RAY_TASKS = 3_000, 20_000, 15_000


@dataclass(frozen=True, kw_only=True)
class ControlCosts:
    """What messages cost, as measured on a 2-core AMD EPYC virtual machine, 2026-11-23.

    Attributes:
        message_s: CPU of the control actor for a report, or for a file without its bytes.
        file_s_a_byte: CPU of the control actor for a byte of a file.
        row_bytes: of an operation's row in a file.
        lookup_s: CPU of the GCS for looking up an actor by its name.
        lookup_wait_s: from asking until the answer.
        first_call_s: the first call to an actor, which connects.
        connection_bytes: memory of a process for each actor that it has called.
        summary_s: of the driver for an operation, after the run.
        summary_bytes: of the driver's memory for an operation, after the run.
    """

    message_s: float = 500e-6
    file_s_a_byte: float = 8e-3 / 2**20
    row_bytes: float = 20.0
    lookup_s: float = 250e-6
    lookup_wait_s: float = 0.8e-3
    first_call_s: float = 7e-3
    connection_bytes: float = 52 * 1024
    summary_s: float = 2.2e-6
    summary_bytes: float = 57.0


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large a run is.

    Attributes:
        agents: at once.
        shards: of the store.
        cohorts: processes of agents.
        nodes: machines of both kinds.
        rate_ops_s: of all agents.
        duration_s: that is measured.
        shards_per_cohort: that agents of a cohort need; by default all.
    """

    agents: int
    shards: int
    cohorts: int
    nodes: int
    rate_ops_s: float
    duration_s: float = 60.0
    shards_per_cohort: int | None = None

    @property
    def lanes_per_cohort(self) -> int:
        """Shards that a cohort talks to."""
        return min(self.shards_per_cohort or self.shards, self.shards)


@dataclass(frozen=True, kw_only=True)
class Limit:
    """One of the things that there is one of.

    Attributes:
        name: in two or three words.
        unit: of load and bears.
        load: what is asked of it.
        bears: what it can bear.
        power: of the size of the cluster that the load grows by.
        then: what happens beyond, and what would have to change, in a sentence.
    """

    name: str
    unit: str
    load: float
    bears: float
    power: float
    then: str

    @property
    def ratio(self) -> float:
        """Load over what can be borne: broken above 1."""
        return self.load / self.bears

    @property
    def size_ratio(self) -> float:
        """The share of this size at which it is reached; above 1 where it is not."""
        return float(self.ratio ** (-1 / self.power)) if self.load > 0 else float("inf")


def limits(scale: Scale, costs: ControlCosts | None = None) -> list[Limit]:
    """What bears a run of this size, and what does not: the first to break comes first."""
    known = costs or ControlCosts()
    found = [*_messages(scale, known), *_connections(scale, known), *_rows(scale, known)]
    return sorted([*found, *_ray(scale)], key=lambda one: one.size_ratio)


def _messages(scale: Scale, costs: ControlCosts) -> list[Limit]:
    reports_s = scale.cohorts / REPORT_INTERVAL_S
    files_s = FILES_AT_ONCE * scale.cohorts / FILE_INTERVAL_S
    files_s += STREAMS_A_NODE * scale.nodes / FILE_INTERVAL_S
    bytes_s = scale.rate_ops_s * costs.row_bytes
    return [
        Limit(
            name="reports and files",
            unit="cores of control",
            load=(reports_s + files_s) * costs.message_s + bytes_s * costs.file_s_a_byte,
            bears=1.0,
            power=1.0,
            then="One control actor takes four reports and two files a second of each cohort: rows "
            "wait in the cohorts, and go with a host that is lost. One on each node, which sums up "
            "its cohorts and writes their rows itself, leaves one message a node.",
        ),
        Limit(
            name="barrier's opening",
            unit="s from first to last",
            load=scale.cohorts * costs.message_s,
            bears=1.0,
            power=1.0,
            then="The answers go out one after another, so cohorts begin that far apart. A moment "
            "to begin at, by clocks whose offset is known, opens it for all at once.",
        ),
    ]


def _connections(scale: Scale, costs: ControlCosts) -> list[Limit]:
    lanes = scale.cohorts * scale.lanes_per_cohort
    return [
        Limit(
            name="shard map",
            unit="s of the GCS",
            load=lanes * costs.lookup_s,
            bears=START_S_MAX,
            power=2.0,
            then="Each cohort looks up each shard's name. The driver has the handles: handed to "
            "the cohorts with the connection, they need no look-up.",
        ),
        Limit(
            name="first calls",
            unit="s of a cohort",
            load=scale.lanes_per_cohort * (costs.lookup_wait_s + costs.first_call_s),
            bears=START_S_MAX,
            power=1.0,
            then="Each cohort connects to each of its shards. Agents dealt out to cohorts by their "
            "shard need few of them.",
        ),
        Limit(
            name="connections",
            unit="open files",
            load=max(scale.lanes_per_cohort, lanes / scale.shards) + 200,
            bears=OPEN_FILES_MAX,
            power=1.0,
            then="A socket for each pair; agents dealt out by their shard need few.",
        ),
        Limit(
            name="memory for them",
            unit="GiB of a process",
            load=max(scale.lanes_per_cohort, lanes / scale.shards) * costs.connection_bytes / 2**30,
            bears=1.0,
            power=1.0,
            then="Memory of each process for whom it talks to; agents dealt out by their shard "
            "need little.",
        ),
    ]


def _rows(scale: Scale, costs: ControlCosts) -> list[Limit]:
    operations = scale.rate_ops_s * scale.duration_s
    return [
        Limit(
            name="summary",
            unit="GiB of the driver",
            load=operations * costs.summary_bytes / 2**30,
            bears=16.0,
            power=1.0,
            then="The driver holds each operation's times for exact percentiles. Histograms made "
            "on each node, and merged, take no more however many there are.",
        ),
        Limit(
            name="time of it",
            unit="s of the driver",
            load=operations * costs.summary_s,
            bears=600.0,
            power=1.0,
            then="One process reads all rows. Each node can count its own.",
        ),
        Limit(
            name="rows on disk",
            unit="MB/s of the driver",
            load=scale.rate_ops_s * costs.row_bytes / 1e6,
            bears=500.0,
            power=1.0,
            then="All rows go to the driver's disk. They can stay on their nodes, or go to an "
            "object store.",
        ),
    ]


def _ray(scale: Scale) -> list[Limit]:
    words = "Ray is tried up to this by those who make it; beyond, nobody knows."
    return [
        Limit(name=name, unit=unit, load=load, bears=bears, power=1.0, then=words)
        for name, unit, load, bears in (
            ("Ray's nodes", "nodes", scale.nodes, RAY_NODES),
            ("Ray's actors", "actors", scale.shards + scale.nodes + 1, RAY_ACTORS),
            ("Ray's tasks", "tasks at once", scale.cohorts, RAY_TASKS),
        )
    ]

"""What is measured of a run while it goes: each instrument with its name, unit, kind and labels.

Names and units are OpenTelemetry's way (dots, UCUM units). Prometheus' names follow from them by
the rules that OpenTelemetry gives for it: ``agent_harness.operation.duration`` in ``s`` is
``agent_harness_operation_duration_seconds``, and a counter ends in ``_total``. So both tell the
same, and there is one list of it. Labels have few values each: operations, phases, roles, nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "BUCKET_BOUNDS_S",
    "INSTRUMENTS",
    "Instrument",
    "Kind",
    "prometheus_family",
    "prometheus_unit",
]

PREFIX = "agent_harness"
Kind = Literal["counter", "gauge", "histogram", "info"]

# 10 us to 10 s, three to a decade, each the nearest float to its decimal.
BUCKET_BOUNDS_S = tuple(
    float(f"{step}e{exponent}")
    for exponent in range(-5, 2)
    for step in (("1", "2.5", "5") if exponent < 1 else ("1",))
)

# Of UCUM's units, those that are used here. Words in braces count things, and are no unit.
_PROMETHEUS_UNITS = {"s": "seconds", "By": "bytes", "1": "ratio", "{operation}/s": "per_second"}


@dataclass(frozen=True)
class Instrument:
    """Something that is measured.

    Attributes:
        name: its own part of the name, after `PREFIX`.
        unit: by UCUM; "" for none.
        kind: a counter only grows; an ``info`` is 1, and its labels are what it tells.
        labels: names of its labels, in the order in which readings have their values.
        description: a sentence.
    """

    name: str
    unit: str
    kind: Kind
    labels: tuple[str, ...]
    description: str

    @property
    def full_name(self) -> str:
        """As OpenTelemetry knows it."""
        return f"{PREFIX}.{self.name}"


def prometheus_unit(instrument: Instrument) -> str:
    """The unit as Prometheus' names end in it; "" for none."""
    return _PROMETHEUS_UNITS.get(instrument.unit, "")


def prometheus_family(instrument: Instrument) -> str:
    """The name of its metric family: without ``_total``, ``_info``, ``_bucket`` and the like."""
    name, unit = instrument.full_name.replace(".", "_"), prometheus_unit(instrument)
    return f"{name}_{unit}" if unit else name


_ALL = [
    # The command, and how far it is.
    Instrument(
        "run",
        "",
        "info",
        ("command", "target", "workload", "durability", "version"),
        "The command under way and, of its run or step, what the plan says; always 1.",
    ),
    Instrument("phase", "", "info", ("phase",), "What the run is doing; always 1."),
    Instrument("step", "", "info", ("step",), "The step of a benchmark under way; always 1."),
    Instrument("step.number", "{step}", "gauge", (), "Its place among the benchmark's, from 1."),
    Instrument(
        "steps.planned", "{step}", "gauge", (), "Steps of the benchmark; absent if unknown."
    ),
    Instrument("start.time", "s", "gauge", (), "When the command began, since 1970-01-01 UTC."),
    Instrument("elapsed", "s", "gauge", (), "Since the run, or the step, began."),
    Instrument("remaining", "s", "gauge", (), "Expected until it ends; absent if unknown."),
    Instrument(
        "agents",
        "{agent}",
        "gauge",
        ("state",),
        "Agents by what they are: waiting to start, running, done; together those of the plan.",
    ),
    # What operations came to. These add up over a benchmark's steps.
    Instrument(
        "operations",
        "{operation}",
        "counter",
        ("phase", "operation", "outcome"),
        "Operations that have ended.",
    ),
    Instrument(
        "operation.duration",
        "s",
        "histogram",
        ("phase", "operation"),
        "Response times: from when an operation was due or issued to its end. Sum and count are "
        "exact; buckets come from finer ones, so an operation within 2.3% of a bound may be "
        "counted on its other side.",
    ),
    Instrument(
        "operation.part",
        "s",
        "counter",
        ("phase", "operation", "part"),
        "Where operations spent their time: queue in the client, transport, shard_wait before a "
        "shard's start on their batch, service until that was durable.",
    ),
    Instrument("retries", "{batch}", "counter", (), "Batches of operations that were sent again."),
    Instrument("events", "{event}", "counter", ("kind",), "Events of the run: phases, faults, ..."),
    # As the terminal shows it.
    Instrument(
        "operations.planned",
        "{operation}",
        "gauge",
        (),
        "What the plan amounts to; absent when time ends the run.",
    ),
    Instrument(
        "recent.throughput",
        "{operation}/s",
        "gauge",
        (),
        "Operations over the last seconds, as the terminal shows it; absent once the run ended.",
    ),
    Instrument(
        "recent.response.time",
        "s",
        "gauge",
        ("percentile",),
        "Response times of the last seconds, likewise; absent with too few operations.",
    ),
    # Machines, and the processes on them.
    Instrument("node.cpus", "{cpu}", "gauge", ("node", "host"), "Cores of the node."),
    Instrument(
        "node.cpu.utilization", "1", "gauge", ("node", "host"), "Of all its cores, from 0 to 1."
    ),
    Instrument("node.memory.used", "By", "gauge", ("node", "host"), "Memory used on the node."),
    Instrument("node.memory.available", "By", "gauge", ("node", "host"), "Memory available there."),
    Instrument(
        "node.disk.read", "By", "counter", ("node", "host"), "Read from its disks since it booted."
    ),
    Instrument(
        "node.disk.written", "By", "counter", ("node", "host"), "Written to its disks since then."
    ),
    Instrument(
        "node.network.received",
        "By",
        "counter",
        ("node", "host"),
        "Received from its network since it booted.",
    ),
    Instrument(
        "node.network.sent", "By", "counter", ("node", "host"), "Sent to its network since then."
    ),
    Instrument(
        "role.processes",
        "{process}",
        "gauge",
        ("role", "node", "host"),
        "Processes of the run by their role (shard, cohort, driver, ...) and node.",
    ),
    Instrument(
        "role.cpu.cores",
        "{cpu}",
        "gauge",
        ("role", "node", "host"),
        "Cores that they use: 1 is one whole core.",
    ),
    Instrument(
        "role.memory.resident", "By", "gauge", ("role", "node", "host"), "Their resident memory."
    ),
    # The last run, or step, that was summed up, until the next is: figures of summary.json.
    Instrument(
        "result", "", "info", ("status", "step"), "How the last run or step ended; always 1."
    ),
    Instrument("result.operations", "{operation}", "gauge", (), "Operations of its summary."),
    Instrument("result.failed", "{operation}", "gauge", (), "Those of them that failed."),
    Instrument("result.duration", "s", "gauge", (), "How long it measured."),
    Instrument("result.throughput", "{operation}/s", "gauge", (), "Its throughput."),
    Instrument(
        "result.responses", "{operation}", "gauge", ("operation",), "Response times it has."
    ),
    Instrument(
        "result.response.time",
        "s",
        "gauge",
        ("operation", "percentile"),
        "Its response times; the operation all is all of them.",
    ),
    Instrument("result.response.time.mean", "s", "gauge", ("operation",), "Their means."),
    Instrument("result.response.time.max", "s", "gauge", ("operation",), "The longest of them."),
]
INSTRUMENTS = {instrument.name: instrument for instrument in _ALL}

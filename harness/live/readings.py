"""What the instruments of a run read now.

`Gauges` is a view that keeps the newest of what it is told, as immutable objects, and does
nothing with it, but for nodes' counters. Whoever asks (`Gauges.read`: a scrape, an export) has
the readings made of it in his own thread: nothing else is computed while nobody looks.

Counters never decrease: what the runs before this one came to, in a benchmark, is added to them,
and a node's go on where its last run had them, though each run takes them from the system anew.
"""

from __future__ import annotations

import math
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import harness
from harness.live.counts import PARTS, Counts, OperationCounts, summed
from harness.live.growing import Growing
from harness.live.instruments import BUCKET_BOUNDS_S, INSTRUMENTS, Instrument
from harness.live.progress import NODE_COUNTERS, NodeFigures, Progress
from harness.live.view import View
from harness.recorder import bucket_start_ns
from harness.schema import OPERATIONS, OUTCOMES, PHASES

__all__ = ["Distribution", "Gauges", "Reading"]

_PERCENTILES = {"p50_ms": "50", "p90_ms": "90", "p95_ms": "95", "p99_ms": "99", "p999_ms": "99.9"}
_KINDS_MAX = 64
_LABEL_MAX = 200


@dataclass(frozen=True)
class Distribution:
    """A histogram.

    Attributes:
        counts: by the buckets that end at `BUCKET_BOUNDS_S`, and one beyond them.
        sum_s: of all values.
    """

    counts: tuple[int, ...]
    sum_s: float


# The name of an instrument, its labels' values, its value.
_Point = tuple[str, tuple[str, ...], "float | Distribution"]


@dataclass(frozen=True)
class Reading:
    """What an instrument reads: its value for each combination of its labels' values."""

    instrument: Instrument
    points: Mapping[tuple[str, ...], float | Distribution]


@dataclass(frozen=True, kw_only=True)
class _State:
    """All that a view was told that still matters; counters of runs before this one added up."""

    plan: Mapping[str, Any] = field(default_factory=dict)
    progress: Progress | None = None
    over: bool = False
    step: tuple[str, int, int] | None = None
    result: tuple[str, str, Mapping[str, Any]] | None = None
    past_counts: Counts = field(default_factory=dict)
    past_retries: int = 0

    @property
    def counts(self) -> Counts:
        return _added(self.past_counts, self.progress.counts if self.progress else {})

    @property
    def retries(self) -> int:
        return self.past_retries + (self.progress.retries if self.progress else 0)


class Gauges(View):
    """Keeps the newest of what it is told; `read` from any thread.

    Args:
        command: as in ``run.json``.
        clock: seconds since 1970-01-01 UTC.

    Attributes:
        began_s: when it was made, by that clock.
    """

    def __init__(self, command: str, clock: Callable[[], float] = time.time) -> None:
        self._command = command
        self.began_s = clock()
        self._state = _State()
        self._nodes = Growing()
        self._events: Counter[str] = Counter()
        self._events_lock = threading.Lock()

    def step(self, name: str, number: int, planned: int) -> None:
        """See `View`."""
        self._state = replace(self._state, step=(name, number, planned))

    def begin(self, plan: Mapping[str, Any], agents: int) -> None:  # noqa: ARG002
        """See `View`; counters go on from where they are."""
        before = self._state
        self._state = replace(
            before,
            plan=plan,
            progress=None,
            over=False,
            past_counts=before.counts,
            past_retries=before.retries,
        )

    def update(self, progress: Progress) -> None:
        """See `View`."""
        nodes = [replace(node, **self._counters(node)) for node in progress.nodes]
        self._state = replace(self._state, progress=replace(progress, nodes=nodes))

    def event(self, event: Mapping[str, Any]) -> None:
        """See `View`. Of more kinds of events than there should be, the rest are one."""
        kind = str(event.get("kind", ""))
        with self._events_lock:
            known = kind in self._events or len(self._events) < _KINDS_MAX
            self._events[kind if known else "other"] += 1

    def end(self, status: str, summary: Mapping[str, Any]) -> None:
        """See `View`."""
        step = self._state.step[0] if self._state.step else ""
        self._state = replace(self._state, over=True, result=(status, step, summary))

    def read(self) -> list[Reading]:
        """What the instruments read now; those that have nothing to say are left out."""
        state = self._state
        with self._events_lock:
            events = dict(self._events)
        points: dict[str, dict[tuple[str, ...], float | Distribution]] = {}
        for name, labels, value in self._points(state, events):
            points.setdefault(name, {})[tuple(map(_label, labels))] = value
        return [
            Reading(instrument, points[name])
            for name, instrument in INSTRUMENTS.items()
            if name in points
        ]

    def _counters(self, node: NodeFigures) -> dict[str, Any]:
        read = {name: getattr(node, name) for name in NODE_COUNTERS}
        return {
            name: self._nodes.counted((node.node_id, name), value)
            for name, value in read.items()
            if value is not None
        }

    def _points(self, state: _State, events: Mapping[str, int]) -> Iterator[_Point]:
        yield "start.time", (), self.began_s
        told = ("target", "workload", "durability")
        plan = (str(state.plan.get(name, "")) for name in told)
        yield "run", (self._command, *plan, harness.__version__), 1
        if state.step is not None:
            name, number, planned = state.step
            yield "step", (name,), 1
            yield "step.number", (), number
            if planned:
                yield "steps.planned", (), planned
        yield from _counted(state.counts)
        yield "retries", (), state.retries
        for kind, count in events.items():
            yield "events", (kind,), count
        if state.progress is not None:
            yield from _now(state.progress, over=state.over)
            for node in state.progress.nodes:
                yield from _node(node)
        if state.result is not None:
            yield from _summed_up(*state.result)


def _label(value: str) -> str:
    """Text as a label: of a bounded length, and of characters that every reader takes."""
    text = value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    return text if len(text) <= _LABEL_MAX else f"{text[: _LABEL_MAX - 3]}..."


def _counted(counts: Counts) -> Iterator[_Point]:
    """Every phase, operation and outcome from the start: a rate needs the zero before the one."""
    known = {(phase, operation) for phase in PHASES for operation in OPERATIONS}
    for phase, operation in sorted(known | set(counts)):
        of = counts.get((phase, operation)) or OperationCounts()
        for outcome in dict.fromkeys([*OUTCOMES, *of.outcomes]):
            yield "operations", (phase, operation, outcome), of.outcomes.get(outcome, 0)
        for part in PARTS:
            yield "operation.part", (phase, operation, part), getattr(of, f"{part}_ns") / 1e9
        yield "operation.duration", (phase, operation), _distribution(of)


def _distribution(of: OperationCounts) -> Distribution:
    counts = [0] * (len(BUCKET_BOUNDS_S) + 1)
    for bucket, count in of.latencies.items():
        counts[_coarse(bucket)] += count
    return Distribution(tuple(counts), of.response_ns / 1e9)


@cache
def _coarse(bucket: int) -> int:
    """The bucket that a fine one is counted in: the one that has its middle."""
    return bisect_left(BUCKET_BOUNDS_S, bucket_start_ns(bucket + 0.5) / 1e9)


def _added(one: Counts, other: Counts) -> Counts:
    """Two runs' counts, added up."""
    return {
        key: summed([counts[key] for counts in (one, other) if key in counts])
        for key in {**one, **other}
    }


def _now(progress: Progress, *, over: bool) -> Iterator[_Point]:
    """What the terminal shows; of a run that ended, what is still true."""
    yield "elapsed", (), progress.elapsed_s
    yield "agents", ("waiting",), max(0, progress.agents_total - progress.agents_started)
    yield "agents", ("running",), max(0, progress.agents_started - progress.agents_done)
    yield "agents", ("done",), progress.agents_done
    if progress.operations_total is not None:
        yield "operations.planned", (), progress.operations_total
    if over:
        return
    yield "phase", (progress.phase,), 1
    yield "recent.throughput", (), progress.ops_per_s
    for percentile, time_ms in (("50", progress.p50_ms), ("99", progress.p99_ms)):
        if time_ms is not None:
            yield "recent.response.time", (percentile,), time_ms / 1e3
    if progress.eta_s is not None:
        yield "remaining", (), progress.eta_s


def _node(node: NodeFigures) -> Iterator[_Point]:
    place = (node.node_id, node.host)
    figures = {
        "node.cpus": node.cpu_count,
        "node.cpu.utilization": None if node.cpu_percent is None else node.cpu_percent / 100,
        "node.memory.used": node.memory_used_bytes,
        "node.memory.available": node.memory_available_bytes,
        "node.disk.read": node.disk_read_bytes,
        "node.disk.written": node.disk_write_bytes,
        "node.network.received": node.net_received_bytes,
        "node.network.sent": node.net_sent_bytes,
    }
    for name, value in figures.items():
        if value is not None:
            yield name, place, value
    for role, of in node.roles.items():
        yield "role.processes", (role, *place), of.processes
        yield "role.cpu.cores", (role, *place), of.cpu_percent / 100
        yield "role.memory.resident", (role, *place), of.rss_bytes


def _summed_up(status: str, step: str, summary: Mapping[str, Any]) -> Iterator[_Point]:
    """The summary's figures, of those that there are: a benchmark's steps have others, too.

    The times of a run that is INVALID are withheld, as everywhere.
    """
    yield "result", (status, step), 1
    for path, name in (
        ("operations", "result.operations"),
        ("failed", "result.failed"),
        ("duration_s", "result.duration"),
        ("throughput_ops_s", "result.throughput"),
    ):
        yield from _figure(name, (), summary.get(path))
    for operation in ("all", *OPERATIONS):
        group = summary.get(operation)
        if not isinstance(group, Mapping):
            continue
        if operation != "all":
            yield from _figure("result.responses", (operation,), group.get("count"))
        if status == "invalid":
            continue
        for path, percentile in _PERCENTILES.items():
            labels = (operation, percentile)
            yield from _figure("result.response.time", labels, group.get(path), 1e3)
        for statistic in ("mean", "max"):
            name = f"result.response.time.{statistic}"
            yield from _figure(name, (operation,), group.get(f"{statistic}_ms"), 1e3)


def _figure(
    name: str, labels: tuple[str, ...], value: object, divisor: float = 1
) -> Iterator[_Point]:
    if isinstance(value, int | float) and math.isfinite(value):
        yield name, labels, value / divisor

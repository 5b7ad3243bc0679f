"""The sampler of a node: a thread that reads node and processes, and writes Arrow streams.

One sampler runs on each node, as a Ray actor pinned there (`sampler_actor`); the class itself
knows nothing of Ray. Each ``interval_s`` it takes one sample: a row of the node and one of each
watched process. About every second the rows go to the sink as one record batch a stream,
``resources/nodes-<node_id>.arrows`` and ``resources/processes-<node_id>.arrows``.

Invariants
- Tick k is due at start + k intervals: the schedule does not drift. A tick whose time had passed
  when the sampler came round to it is left out and counted, never made up for by a burst.
- A run that is killed leaves whole record batches, up to about the last second.
- What a sample costs is measured (CPU of the thread, reported by `stop`). The dearest part, USS,
  is read every 2 s, and less often where that would take over USS_CPU_RATIO_MAX of a core.
- No sample is ever the end of a run: what could not be written is counted in the report.
"""

from __future__ import annotations

import os
import re
import threading
import time
from dataclasses import dataclass
from typing import Any

from harness.sampling import (
    NodeReader,
    NodeReading,
    ProcessEndedError,
    ProcessReader,
    ProcessReading,
    session_processes,
)
from harness.schema import NODES_SCHEMA, PROCESSES_SCHEMA, ROLES
from harness.sinks import Sink
from harness.streams import StreamWriter

__all__ = [
    "COUNTS_INTERVAL_S",
    "FLUSH_INTERVAL_S",
    "STOP_S_MAX",
    "USS_CPU_RATIO_MAX",
    "USS_INTERVAL_S",
    "Sampler",
    "SamplerReport",
    "due_tick",
    "sampler_actor",
]

FLUSH_INTERVAL_S = 1.0
COUNTS_INTERVAL_S = 1.0
USS_INTERVAL_S = 2.0
USS_CPU_RATIO_MAX = 0.0075

# How long `stop` waits for a sink that hangs.
STOP_S_MAX = 10.0


@dataclass(frozen=True, kw_only=True)
class SamplerReport:
    """What a sampler did, and what that cost.

    Attributes:
        node_id: the node it sampled.
        samples: samples taken.
        late_samples: ticks that passed by without a sample of their own.
        cpu_s: CPU time of the sampling thread.
        mean_cost_ms: CPU time of a sample, writing included.
        uss_interval_s: the longest time between two readings of USS.
        lost_rows: rows that the sink did not take.
        error: what ended the sampling early, or the sink's last refusal; None if all went well.
    """

    node_id: str
    samples: int
    late_samples: int
    cpu_s: float
    mean_cost_ms: float
    uss_interval_s: float
    lost_rows: int
    error: str | None


def due_tick(elapsed_ns: int, interval_ns: int, next_tick: int) -> tuple[int, int]:
    """The tick to take at `elapsed_ns` from the start, and how many before it were missed.

    `next_tick` is the one that was waited for; it is due at ``next_tick * interval_ns``.
    """
    tick = max(next_tick, elapsed_ns // interval_ns)
    return tick, tick - next_tick


class Sampler:
    """Samples this node from its making to `stop`. Every method may be called from any thread."""

    def __init__(self, sink: Sink, node_id: str, interval_s: float = 0.2, part: int = 0) -> None:
        """Start sampling this process and, in a Ray worker, its raylet and the head's GCS.

        Args:
            sink: takes the streams.
            node_id: Ray's name of the node, a hexadecimal number.
            interval_s: from tick to tick.
            part: how many samplers of this node there were before; its streams get names of
                their own, which come after theirs.
        """
        if not interval_s > 0:
            raise ValueError(f"interval_s: {interval_s} is not above 0")
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,128}", node_id, re.ASCII):
            raise ValueError(f"node_id: {node_id!r} has other than letters, digits, _ and -")
        self._node_id = node_id
        self._interval_ns = round(interval_s * 1e9)
        name = f"{node_id}_{part}.arrows" if part else f"{node_id}.arrows"
        self._nodes = StreamWriter(sink, f"resources/nodes-{name}", NODES_SCHEMA)
        self._processes = StreamWriter(sink, f"resources/processes-{name}", PROCESSES_SCHEMA)
        self._lock = threading.Lock()
        self._watched: dict[int, _Watched] = {}
        self._latest: dict[str, Any] = {}
        self._samples = self._late_samples = 0
        self._cpu_s = 0.0
        self._uss_due_s = self._counts_due_s = self._flush_due_s = 0.0
        self._uss_interval_s = USS_INTERVAL_S
        self._failure: str | None = None
        self._stopping = threading.Event()
        self.watch(os.getpid(), "sampler", 0)
        for pid, role in session_processes():
            self.watch(pid, role, 0)
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self._thread.start()

    def watch(self, pid: int, role: str, number: int) -> bool:
        """Sample a process of this node from now on; False if there is none.

        `role` is one of ROLES and `number` tells its processes apart. A pid that is watched
        already takes the new role and number.
        """
        if role not in ROLES:
            raise ValueError(f"role: {role!r} is none of {', '.join(ROLES)}")
        try:
            reader = ProcessReader(pid, time.monotonic_ns())
        except ProcessEndedError:
            return False
        with self._lock:
            self._forget(pid)
            self._watched[pid] = _Watched(pid, role, number, reader)
        return True

    def unwatch(self, pid: int) -> None:
        """Sample the process no more; nothing happens if it was not."""
        with self._lock:
            self._forget(pid)

    def ping(self) -> tuple[str, int]:
        """The node's id and this process's pid."""
        return self._node_id, os.getpid()

    def clock(self) -> int:
        """The wall clock of this node, in ns."""
        return time.time_ns()

    def latest(self) -> dict[str, Any]:
        """The newest sample; empty before the first.

        ``node_id``, ``wall_ns``, ``cpu_percent`` (of all cores together), ``cpu_count``,
        ``memory_used_bytes``, ``memory_available_bytes``, ``disk_read_bytes``,
        ``disk_write_bytes``, ``network_received_bytes`` and ``network_sent_bytes`` (these four
        since the machine's start), and under ``roles`` for each role ``processes``,
        ``cpu_percent`` (of one core) and ``rss_bytes``, summed up.
        """
        with self._lock:
            return dict(self._latest)

    def stop(self) -> SamplerReport:
        """End the streams and say what sampling cost; later calls report the same."""
        self._stopping.set()
        self._thread.join(STOP_S_MAX)
        with self._lock:
            for pid in list(self._watched):
                self._forget(pid)
        error = self._failure or self._nodes.error or self._processes.error
        if self._thread.is_alive():
            error = f"the sink did not answer within {STOP_S_MAX:g} s"
        return SamplerReport(
            node_id=self._node_id,
            samples=self._samples,
            late_samples=self._late_samples,
            cpu_s=self._cpu_s,
            mean_cost_ms=1e3 * self._cpu_s / max(1, self._samples),
            uss_interval_s=self._uss_interval_s,
            lost_rows=self._nodes.lost_rows + self._processes.lost_rows,
            error=error,
        )

    def _run(self) -> None:
        try:
            self._sample_until_stopped()
        except Exception as error:  # noqa: BLE001 - a node unlike any we know; the run goes on
            self._failure = f"sampling ended early: {type(error).__name__}: {error}"
        for stream in (self._nodes, self._processes):
            stream.end()
        self._cpu_s = time.thread_time()

    def _sample_until_stopped(self) -> None:
        node = NodeReader()
        start_ns = time.monotonic_ns()
        tick = 1
        while True:
            due_ns = start_ns + tick * self._interval_ns
            if self._stopping.wait(max(0, due_ns - time.monotonic_ns()) / 1e9):
                return
            tick, missed = due_tick(time.monotonic_ns() - start_ns, self._interval_ns, tick)
            self._late_samples += missed
            self._sample(node)
            tick += 1

    def _sample(self, node: NodeReader) -> None:
        wall_ns, monotonic_ns = time.time_ns(), time.monotonic_ns()
        moment = (wall_ns, monotonic_ns)
        load = node.read()
        self._nodes.add((self._node_id, *moment, *load))
        # No reader is closed while it reads: whoever watches and unwatches waits for it.
        with self._lock:
            readings = self._read_processes(monotonic_ns)
            self._latest = self._summed_up(wall_ns, load, readings)
        for watched, reading in readings:
            key = (watched.pid, watched.role, watched.number)
            self._processes.add((self._node_id, *moment, *key, *reading))
        if self._is_due(self._flush_due_s, monotonic_ns):
            self._flush_due_s = monotonic_ns / 1e9 + FLUSH_INTERVAL_S
            self._nodes.flush()
            self._processes.flush()
        self._samples += 1
        self._cpu_s = time.thread_time()

    def _read_processes(self, monotonic_ns: int) -> list[tuple[_Watched, ProcessReading]]:
        now_s = monotonic_ns / 1e9
        counts = self._is_due(self._counts_due_s, monotonic_ns)
        uss = self._is_due(self._uss_due_s, monotonic_ns)
        before_s = time.thread_time()
        readings = []
        for watched in list(self._watched.values()):
            read_ns = time.monotonic_ns()
            # The kernel counts CPU time in ticks of about 10 ms: over less than this a rate
            # would say nothing. A process watched just now has its first row at the next tick.
            if 2 * watched.reader.elapsed_ns(read_ns) < self._interval_ns:
                continue
            first = watched.rows == 0
            try:
                reading = watched.reader.read(read_ns, counts=counts or first, uss=uss or first)
            except ProcessEndedError:
                self._forget(watched.pid)
                continue
            watched.rows += 1
            readings.append((watched, reading))
        if counts:
            self._counts_due_s = now_s + COUNTS_INTERVAL_S
        if uss:
            cost_s = time.thread_time() - before_s
            interval_s = max(USS_INTERVAL_S, cost_s / USS_CPU_RATIO_MAX)
            self._uss_interval_s = max(self._uss_interval_s, interval_s)
            self._uss_due_s = now_s + interval_s
        return readings

    def _is_due(self, due_s: float, monotonic_ns: int) -> bool:
        # At the tick nearest to it: a tick some microseconds early is not put off to the next.
        return monotonic_ns / 1e9 >= due_s - self._interval_ns / 2e9

    def _forget(self, pid: int) -> None:
        watched = self._watched.pop(pid, None)
        if watched is not None:
            watched.reader.close()

    def _summed_up(
        self, wall_ns: int, load: NodeReading, readings: list[tuple[_Watched, ProcessReading]]
    ) -> dict[str, Any]:
        roles: dict[str, dict[str, float]] = {}
        for watched, reading in readings:
            total = roles.setdefault(
                watched.role, {"processes": 0, "cpu_percent": 0.0, "rss_bytes": 0}
            )
            total["processes"] += 1
            total["cpu_percent"] += reading.cpu_percent
            total["rss_bytes"] += reading.rss_bytes
        return {
            "node_id": self._node_id,
            "wall_ns": wall_ns,
            "cpu_percent": load.cpu_percent,
            "cpu_count": load.cpu_count,
            "memory_used_bytes": load.memory_used_bytes,
            "memory_available_bytes": load.memory_available_bytes,
            "disk_read_bytes": load.disk_read_bytes,
            "disk_write_bytes": load.disk_write_bytes,
            "network_received_bytes": load.network_received_bytes,
            "network_sent_bytes": load.network_sent_bytes,
            "roles": roles,
        }


@dataclass
class _Watched:
    pid: int
    role: str
    number: int
    reader: ProcessReader
    rows: int = 0


def sampler_actor() -> Any:
    """`Sampler` as a Ray actor class, for the caller to pin to a node.

    It reserves no CPU, and its death ends the samples, not the run.
    """
    import ray

    return ray.remote(num_cpus=0, max_restarts=0)(Sampler)

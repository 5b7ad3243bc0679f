"""The control actor of a run: the start barrier, the stop, progress, and files from far nodes.

Cohorts start while the store does, and wait in `connection` until it serves. Then they come to
`ready` and wait there until all are; so all agents really run at once. From then on each reports
a few times a second and learns whether to stop. It runs on the driver's node, where it also
writes what cohorts and samplers of other nodes send.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec

from harness.sinks import LocalSink

__all__ = ["CohortReady", "CohortReport", "Control", "Snapshot", "control_actor"]


class CohortReady(msgspec.Struct, frozen=True):
    """A cohort that waits at the barrier."""

    cohort: int
    pid: int
    node_id: str


class CohortReport(msgspec.Struct, frozen=True):
    """What a cohort did since it last reported; for the live view only."""

    cohort: int
    agents_started: int
    agents_done: int
    operations: int
    failures: int
    retries: int
    latencies: list[tuple[int, int]]


class Snapshot(msgspec.Struct):
    """All cohorts together, as the driver asks for it; ``latencies`` since it last did."""

    ready: list[CohortReady]
    agents_started: int
    agents_done: int
    operations: int
    failures: int
    retries: int
    latencies: dict[int, int]


class Control:
    """See the module's head. All methods run on one event loop."""

    def __init__(self, run_directory: str) -> None:
        self._sink = LocalSink(Path(run_directory))
        self._ready: list[CohortReady] = []
        self._reports: dict[int, CohortReport] = {}
        self._operations = self._failures = 0
        self._latencies: dict[int, int] = {}
        self._go = asyncio.Event()
        self._connected = asyncio.Event()
        self._connection = b""
        self._stopped = False

    async def connect(self, connection: bytes) -> None:
        """Give the cohorts what they need to reach the store, once it serves."""
        self._connection = connection
        self._connected.set()

    async def connection(self) -> bytes:
        """Wait until the store serves; what a cohort needs to reach it."""
        await self._connected.wait()
        return self._connection

    async def ready(self, data: bytes) -> bool:
        """Wait at the barrier; False when the run was stopped before it began."""
        self._ready.append(msgspec.msgpack.decode(data, type=CohortReady))
        await self._go.wait()
        return not self._stopped

    async def release(self) -> None:
        """Let every cohort start."""
        self._go.set()

    async def stop(self) -> None:
        """Have every agent stop before its next operation."""
        self._stopped = True
        self._go.set()

    async def report(self, data: bytes) -> bool:
        """Take a cohort's report; False when it is to stop."""
        report = msgspec.msgpack.decode(data, type=CohortReport)
        self._reports[report.cohort] = report
        self._operations += report.operations
        self._failures += report.failures
        for bucket, count in report.latencies:
            self._latencies[bucket] = self._latencies.get(bucket, 0) + count
        return not self._stopped

    async def snapshot(self) -> bytes:
        """A packed `Snapshot`."""
        latencies, self._latencies = self._latencies, {}
        reports = self._reports.values()
        return msgspec.msgpack.encode(
            Snapshot(
                ready=self._ready,
                agents_started=sum(report.agents_started for report in reports),
                agents_done=sum(report.agents_done for report in reports),
                operations=self._operations,
                failures=self._failures,
                retries=sum(report.retries for report in reports),
                latencies=latencies,
            )
        )

    async def put(self, mode: str, name: str, data: bytes) -> None:
        """Write or append a file of the run directory, for a node that cannot itself."""
        self._sink.put(mode, name, data)

    async def ping(self) -> int:
        """This process's id."""
        return os.getpid()


def control_actor() -> Any:
    """`Control` as a Ray actor class, for the caller to pin to the driver's node."""
    import ray

    return ray.remote(num_cpus=0, max_restarts=0)(Control)

"""The control actor of a run: the start barrier, the stop, progress, and files from far nodes.

Cohorts start while the store does, and wait in `connection` until it serves. Then they come to
`ready` and wait there until all are; so all agents really run at once. From then on each reports
a few times a second and learns whether to stop. It runs on the driver's node, where it also
writes what cohorts and samplers of other nodes send.

It knows when it last heard of each cohort, by its own clock. A cohort that the driver has given up
(`Control.lose`) is told to stop when it reports again, and what it sends is refused: none of its
rows comes after the driver has counted them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter, defaultdict
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec

from harness.answer_checks import AnswerCounts
from harness.operation_tally import Tally, add_tally
from harness.sinks import LocalSink

__all__ = [
    "CohortReady",
    "CohortReport",
    "Control",
    "LastSeen",
    "Snapshot",
    "control_actor",
]

# A cohort reports four times a second: one that is silent for less is on time.
SILENT_FROM_S = 1.0


class CohortReady(msgspec.Struct, frozen=True):
    """A cohort that waits at the barrier."""

    cohort: int
    pid: int
    node_id: str


class CohortReport(msgspec.Struct, frozen=True):
    """What a cohort did since it last reported: for the live view, and for when it is lost.

    ``operations`` and ``failures`` are measured ones, or memories that were loaded; ``tally`` has
    all that have times, by phase and operation. The last report comes when all agents have ended.
    ``at_ns`` counts from the cohort's start, which the ``start_`` fields place on both its clocks.
    """

    cohort: int
    agents_started: int
    agents_done: int
    operations: int
    failures: int
    retries: int
    tally: Tally
    at_ns: int = 0
    start_wall_ns: int = 0
    start_monotonic_ns: int = 0
    answers: AnswerCounts = msgspec.field(default_factory=AnswerCounts)


class LastSeen(msgspec.Struct, frozen=True):
    """What was known of a cohort when it was given up.

    ``report`` is its last, None if it never made one; ``operations`` are those that it reported;
    it was last heard of ``silent_s`` ago.
    """

    report: CohortReport | None
    operations: int
    silent_s: float


class Snapshot(msgspec.Struct):
    """All cohorts together since the run began, as the driver asks for it.

    ``silent_s`` is how long ago each was last heard of that is late, also because it has ended.
    """

    ready: list[CohortReady]
    agents_started: int
    agents_done: int
    operations: int
    failures: int
    retries: int
    tally: Tally
    silent_s: dict[int, float] = {}
    answers: AnswerCounts = msgspec.field(default_factory=AnswerCounts)


class Control:
    """See the module's head. All methods run on one event loop."""

    def __init__(self, run_directory: str) -> None:
        self._sink = LocalSink(Path(run_directory))
        self._ready: list[CohortReady] = []
        self._reports: dict[int, CohortReport] = {}
        self._operations = self._failures = 0
        self._tally: Tally = {}
        self._go = asyncio.Event()
        self._connected = asyncio.Event()
        self._connection = b""
        self._stopped = False
        self._heard_s: dict[int, float] = {}
        self._operations_of: Counter[int] = Counter()
        self._lost: set[int] = set()
        self._writing: defaultdict[int | None, asyncio.Lock] = defaultdict(asyncio.Lock)

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
        self._heard_s = dict.fromkeys((one.cohort for one in self._ready), monotonic())
        self._go.set()

    async def stop(self) -> None:
        """Have every agent stop before its next operation."""
        self._stopped = True
        self._go.set()

    async def report(self, data: bytes) -> bool:
        """Take a cohort's report; False when it is to stop."""
        report = msgspec.msgpack.decode(data, type=CohortReport)
        if report.cohort in self._lost:
            return False
        self._heard_s[report.cohort] = monotonic()
        self._reports[report.cohort] = report
        self._operations_of[report.cohort] += report.operations
        self._operations += report.operations
        self._failures += report.failures
        add_tally(self._tally, report.tally)
        return not self._stopped

    async def alive(self, cohort: int) -> None:
        """Take a sign of life from a cohort whose agents have ended and that is closing."""
        self._heard_s[cohort] = monotonic()

    async def lose(self, cohort: int) -> bytes:
        """Take nothing from a cohort any more, once what it is sending is there.

        Returns:
            A packed `LastSeen`.
        """
        async with self._writing[cohort]:
            self._lost.add(cohort)
        now_s = monotonic()
        return msgspec.msgpack.encode(
            LastSeen(
                report=self._reports.get(cohort),
                operations=self._operations_of[cohort],
                silent_s=now_s - self._heard_s.get(cohort, now_s),
            )
        )

    async def snapshot(self) -> bytes:
        """A packed `Snapshot`."""
        reports = self._reports.values()
        now_s = monotonic()
        answers = AnswerCounts()
        for report in reports:  # of a cohort that was lost, what it said last
            answers.add(report.answers)
        return msgspec.msgpack.encode(
            Snapshot(
                ready=self._ready,
                agents_started=sum(report.agents_started for report in reports),
                agents_done=sum(report.agents_done for report in reports),
                operations=self._operations,
                failures=self._failures,
                retries=sum(report.retries for report in reports),
                tally=self._tally,
                silent_s={
                    cohort: now_s - heard_s
                    for cohort, heard_s in self._heard_s.items()
                    if now_s - heard_s >= SILENT_FROM_S
                },
                answers=answers,
            )
        )

    async def put(self, mode: str, name: str, data: bytes, cohort: int | None = None) -> None:
        """Write or append a file of the run directory, for a node that cannot itself.

        On a thread, so that a slow disk holds up no report; one file of a cohort at a time.

        Raises:
            PermissionError: the cohort was given up.
        """
        async with self._writing[cohort] if cohort is not None else contextlib.nullcontext():
            if cohort in self._lost:
                raise PermissionError(f"cohort {cohort} was given up: its rows come too late")
            await asyncio.to_thread(self._sink.put, mode, name, data)

    async def ping(self) -> int:
        """This process's id."""
        return os.getpid()


def control_actor() -> Any:
    """`Control` as a Ray actor class, for the caller to pin to the driver's node."""
    import ray

    return ray.remote(num_cpus=0, max_restarts=0)(Control)

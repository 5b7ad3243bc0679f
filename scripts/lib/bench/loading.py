"""What the measurements of the store at depth share: its agent, its batches, answers looked at."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import psutil

from bench.errors import MeasurementError
from bench.walk import WalkFile
from memory_core import Counts, Describe, Described, Failure, Hits, MemoryStore, Result, Store

__all__ = [
    "AGENT",
    "BATCH",
    "SEARCH_K",
    "counts",
    "done",
    "load",
    "numbers",
    "peak_rss_bytes",
    "rss_bytes",
    "state_id",
    "stores",
]

AGENT = "agent_0"
BATCH = 256
SEARCH_K = 10


def state_id(number: int) -> str:
    """The id of a state of the walk."""
    return f"state_{number}"


def stores(states: Sequence[bytes], first: int) -> list[Store]:
    """Operations that store states of the walk from the ``first`` th on."""
    return [Store(AGENT, f"state_{first + place}", state) for place, state in enumerate(states)]


def load(store: MemoryStore, states: WalkFile, memories: int) -> int:
    """Store the first states of the walk in batches; the bytes of the states."""
    payload_bytes = 0
    for first in range(0, memories, BATCH):
        taken = states.take(min(BATCH, memories - first))
        done(store.execute(stores(taken, first)))
        payload_bytes += sum(map(len, taken))
    return payload_bytes


def done(results: list[Result]) -> None:
    """Require that no operation failed. Raises MeasurementError."""
    for result in results:
        if isinstance(result, Failure):
            raise MeasurementError(f"an operation failed: {result.exception()}")


def numbers(result: Result) -> list[int]:
    """Which states of the walk a search found, best first. Raises MeasurementError."""
    if not isinstance(result, Hits):
        raise MeasurementError(f"a search gave {result!r}")
    return [int(hit.state_id.rpartition("_")[2]) for hit in result.hits]


def counts(store: MemoryStore) -> Counts:
    """How many memories the agent has in each tier. Raises MeasurementError."""
    [described] = store.execute([Describe(AGENT)])
    if not isinstance(described, Described):
        raise MeasurementError(f"counting the memories gave {described!r}")
    return described.counts


def rss_bytes() -> int:
    """Resident memory of this process now."""
    resident: int = psutil.Process().memory_info().rss
    return resident


def peak_rss_bytes() -> int:
    """The most resident memory that this process has had; what it has now where Linux is not."""
    try:
        status = Path("/proc/self/status").read_text("ascii")
    except OSError:
        return rss_bytes()
    # not getrusage's, which counts what forked this process too
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else rss_bytes()

"""Stores with a fault, each on purpose, to see whether it is called by its name.

They are noop's shards, and go by ``--target tests.benchmarks.odd_targets:LeakingTarget``.
"""

from __future__ import annotations

import os
import time
from typing import Any

from harness.targets.base import OpenStore, Target
from harness.targets.noop import NoopShard, NoopTarget

__all__ = [
    "STALL_EVERY_S",
    "STALL_S",
    "CrashingTarget",
    "LackingTarget",
    "LeakingTarget",
    "SlowTarget",
    "StallingTarget",
    "leak_bytes",
]

STALL_S = 0.5
STALL_EVERY_S = 2.0


def leak_bytes(shard: int) -> int:
    """What a batch leaves behind: nothing in shard 0, twice as much in each after shard 1."""
    return 0 if shard == 0 else 2_560 * 2**shard


class LeakingShard(NoopShard):
    """Keeps something of each batch for ever."""

    def __init__(self, memory: str, shard: int, *others: Any) -> None:
        super().__init__(memory, shard, *others)
        self._bytes = leak_bytes(shard)
        self._kept: list[bytes] = []

    def execute(self, data: bytes) -> bytes:
        """Answer, and keep."""
        if self._bytes:
            self._kept.append(b"\xff" * self._bytes)
        return super().execute(data)


class LeakingTarget(NoopTarget):
    """Its shards leak at different rates, the first not at all."""

    name = "leaking"

    def actor_class(self) -> type[Any]:
        return LeakingShard


class StallingShard(NoopShard):
    """Stands still for `STALL_S` in each `STALL_EVERY_S`."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._due_s = time.monotonic() + STALL_EVERY_S

    def execute(self, data: bytes) -> bytes:
        """Answer, late where the time has come."""
        now_s = time.monotonic()
        if now_s >= self._due_s:
            time.sleep(STALL_S)
            self._due_s = now_s + STALL_EVERY_S
        return super().execute(data)


class StallingTarget(NoopTarget):
    """Its shards stall."""

    name = "stalling"

    def actor_class(self) -> type[Any]:
        return StallingShard


class SlowShard(NoopShard):
    """Takes a tenth of a second for each batch."""

    def execute(self, data: bytes) -> bytes:
        """Answer, in its own time."""
        time.sleep(0.1)
        return super().execute(data)


class SlowTarget(NoopTarget):
    """Its shards carry at most ten batches a second."""

    name = "slow"

    def actor_class(self) -> type[Any]:
        return SlowShard


class LackingTarget(Target[Any]):
    """Its library is not installed, wherever it is asked for."""

    name = "lacking"
    description = "a store that nobody has"
    modules = ("no_such_store",)

    def open(self, *_: Any) -> OpenStore:
        """Nobody comes here."""
        raise AssertionError("it was said that it is not installed")


class CrashingTarget(Target[Any]):
    """Its library ends the process that opens it."""

    name = "crashing"
    description = "a store that crashes"

    def open(self, *_: Any) -> OpenStore:
        """The process is gone."""
        os._exit(7)

"""Keeps the shards of a memory running while nodes come and go.

Ray starts the actor of a shard again whose process died, on its own node. When the node itself is
gone, Ray gives the actor up. A keeper looks every second which shards have no actor, asks the
nodes that are there what they have, and starts each shard on the node that has its folder; what
has none is named unavailable, with the reason, and looked for again. It never makes a folder.

A run's driver has a keeper in a thread. A memory that outlives its driver has one in an actor of
its own on the head (`memory_core.lasting_memory`).
"""

from __future__ import annotations

import threading
import time

from memory_core.node_survey import live_nodes, survey
from memory_core.shard_calls import running_names, shard_name
from memory_core.shard_choice import choose
from memory_core.shards import Shards

__all__ = ["Keeper"]

_INTERVAL_S = 1.0
# How long nodes are taken for having what they had, if none came or went.
_SURVEY_AGAIN_S = 30.0
_SURVEY_TIMEOUT_S = 20.0
_SETTLE_S = 0.5
_FIRST_SETTLE_S = 50.0
_STOP_TIMEOUT_S = 30.0


class Keeper:
    """Watches over the shards of a memory from a thread of this process.

    Attributes:
        error: what went wrong when it last looked, or None; it goes on.
        looked: is set when it has looked once.

    Args:
        shards: the memory's.
        interval_s: how often it looks.
    """

    def __init__(self, shards: Shards, *, interval_s: float = _INTERVAL_S) -> None:
        self.error: Exception | None = None
        self.looked = threading.Event()
        self._shards = shards
        self._interval_s = interval_s
        self._ends = threading.Event()
        self._nodes: set[str] = set()
        self._gone: list[int] = []
        self._surveyed_s = float("-inf")
        self._thread = threading.Thread(
            target=self._watch, name=f"memory-keeper-{shards.memory}", daemon=True
        )

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more; shards are as they are."""
        self._ends.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_TIMEOUT_S)

    def look(self) -> None:
        """Look once: start what can be started, and name what cannot."""
        shards = self._shards
        running = running_names()
        names = {shard: shard_name(shards.memory, shard) for shard in range(shards.record.shards)}
        gone = [shard for shard, name in names.items() if name not in running]
        shards.adopt([shard for shard in names if shard not in gone])
        if gone and self._is_due(gone):
            answers = survey(
                shards.memory,
                path=shards.path,
                root=shards.root,
                timeout_s=_SURVEY_TIMEOUT_S,
            )
            self._surveyed_s = time.monotonic()
            if not self._ends.is_set():
                shards.take(
                    {
                        n: choose(shards.record, n, answers.found, silent=answers.silent)
                        for n in gone
                    }
                )
        shards.settle(_SETTLE_S if self.looked.is_set() else _FIRST_SETTLE_S)

    def _is_due(self, gone: list[int]) -> bool:
        """Whether the nodes may have something else for these shards than when last asked."""
        nodes = set(live_nodes())
        changed = nodes != self._nodes or gone != self._gone
        self._nodes, self._gone = nodes, gone
        return changed or time.monotonic() - self._surveyed_s >= _SURVEY_AGAIN_S

    def _watch(self) -> None:
        while True:
            try:
                self.look()
                self.error = None
            except Exception as error:  # noqa: BLE001 - whatever Ray raises, the next look may do
                self.error = error
            self.looked.set()
            if self._ends.wait(self._interval_s):
                return

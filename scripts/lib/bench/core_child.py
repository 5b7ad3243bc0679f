"""One agent's memories as they grow, and many agents' few: each in a process of its own.

Times are of single operations, one after another. The clock of a load runs from its first batch
to its last, reading the states from their file included, without the single stores and the looks
at the store between them.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np

from bench.errors import MeasurementError
from bench.loading import (
    AGENT,
    BATCH,
    SEARCH_K,
    counts,
    done,
    numbers,
    peak_rss_bytes,
    rss_bytes,
    state_id,
    stores,
)
from bench.quiet import wait_until_quiet
from bench.walk import WalkFile, agents_states, queries
from memory_core import MemoryConfig, MemoryStore, Record, Retrieve, Search, Store

__all__ = ["SEARCHES", "grow", "many_agents"]

SEARCHES = 300
_WARM_UPS = 20
_FIRST_WARM_UP = 1_000_000
_SINGLE_EVERY = 4  # batches
_RETRIEVES = 1_000


def grow(walk: str, folder: str, volumes: list[int], options: dict[str, Any]) -> dict[str, Any]:
    """Load one agent's memories, looking at the store at each volume.

    Searches at the volume number n ask `queries` from the n * `SEARCHES` th on.
    """
    load = _Load()
    seen = []
    with WalkFile(walk) as states, MemoryStore(MemoryConfig(path=folder, **options)) as store:
        for place, volume in enumerate(volumes):
            load.up_to(volume, store, states)
            seen.append(_look(store, volume, place * SEARCHES))
    return {
        "store_ops_s": load.batched / load.loading_s,
        "slowest_single_s": load.slowest_single_s,
        "slowest_batch_s": load.slowest_batch_s,
        "payload_bytes": load.payload_bytes,
        "peak_rss_bytes": peak_rss_bytes(),
        "volumes": seen,
    }


class _Load:
    """A load that can be stopped at volumes; its times and counts so far."""

    def __init__(self) -> None:
        self.stored = self.batches = self.batched = self.payload_bytes = 0
        self.loading_s = self.slowest_single_s = self.slowest_batch_s = 0.0

    def up_to(self, volume: int, store: MemoryStore, states: WalkFile) -> None:
        """Store until there are ``volume`` memories."""
        while self.stored < volume:
            begun = perf_counter()
            taken = states.take(min(BATCH, volume - self.stored))
            batch = stores(taken, self.stored)
            called = perf_counter()
            done(store.execute(batch))
            ended = perf_counter()
            self.loading_s += ended - begun
            self.slowest_batch_s = max(self.slowest_batch_s, ended - called)
            self.batched += len(batch)
            self._count(taken)
            self.batches += 1
            if self.stored < volume and self.batches % _SINGLE_EVERY == 0:
                self._single(store, states)

    def _single(self, store: MemoryStore, states: WalkFile) -> None:
        taken = states.take(1)
        batch = stores(taken, self.stored)
        begun = perf_counter()
        done(store.execute(batch))
        self.slowest_single_s = max(self.slowest_single_s, perf_counter() - begun)
        self._count(taken)

    def _count(self, taken: list[bytes]) -> None:
        self.stored += len(taken)
        self.payload_bytes += sum(map(len, taken))


def _look(store: MemoryStore, stored: int, first_query: int) -> dict[str, Any]:
    """Times of searches and retrievals, what was found, and the process's memory.

    Once what the load left to do in the background is done: what is built is what is searched.
    """
    loaded_bytes = rss_bytes()
    wait_until_quiet()
    if counts(store).total != stored:
        raise MeasurementError(f"of {stored} memories the store has {counts(store)}")
    for payload in queries(_WARM_UPS, _FIRST_WARM_UP + first_query):
        done(store.execute([Search(AGENT, payload, k=SEARCH_K)]))
    found, searches_s = [], []
    for payload in queries(SEARCHES, first_query):
        begun = perf_counter()
        [hits] = store.execute([Search(AGENT, payload, k=SEARCH_K)])
        searches_s.append(perf_counter() - begun)
        found.append(numbers(hits))
    retrieves_s = []
    for number in np.random.default_rng(1).integers(0, stored, _RETRIEVES).tolist():
        asked = [Retrieve(AGENT, state_id(number))]
        begun = perf_counter()
        [record] = store.execute(asked)
        retrieves_s.append(perf_counter() - begun)
        if not isinstance(record, Record):
            raise MeasurementError(f"state_{number} gave {record!r}")
    return {
        "search_p50_s": float(np.median(searches_s)),
        "retrieve_p50_s": float(np.median(retrieves_s)),
        "rss_bytes": max(loaded_bytes, rss_bytes()),
        "found": found,
    }


def many_agents(folder: str, agents: int, each: int) -> dict[str, float]:
    """Give each of many agents a few memories; the process's memory and the time of a search."""
    with MemoryStore(MemoryConfig(path=folder)) as store:
        for first in range(0, agents, BATCH):
            owners = range(first, min(first + BATCH, agents))
            walks = [agents_states(owner, each) for owner in owners]
            for place in range(each):
                done(
                    store.execute(
                        [
                            Store(f"agent_{owner}", state_id(place), states[place])
                            for owner, states in zip(owners, walks, strict=True)
                        ]
                    )
                )
        wait_until_quiet()
        resident_bytes = rss_bytes()
        chosen = np.random.default_rng(1).integers(0, agents, SEARCHES).tolist()
        took_s = []
        for owner, payload in zip(chosen, queries(SEARCHES), strict=True):
            asked = [Search(f"agent_{owner}", payload, k=SEARCH_K)]
            begun = perf_counter()
            [hits] = store.execute(asked)
            took_s.append(perf_counter() - begun)
            if len(numbers(hits)) != min(each, SEARCH_K):
                raise MeasurementError(f"a search of agent_{owner} found {numbers(hits)}")
        resident_bytes = max(resident_bytes, rss_bytes())
    return {
        "rss_bytes": resident_bytes,
        "peak_rss_bytes": peak_rss_bytes(),
        "search_p50_s": float(np.median(took_s)),
    }

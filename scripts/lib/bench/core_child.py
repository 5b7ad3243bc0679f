"""What `bench.core` measures, each in a process of its own, whose memory is the store's.

States are those of one forager's random walk (`harness.forager`), packed before a clock starts;
queries are states of other foragers. Times are of single operations, one after another.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import psutil

from harness.forager import Forager, pack
from memory_core import (
    Hits,
    MemoryConfig,
    MemoryStore,
    Record,
    Result,
    Retrieve,
    Search,
    Store,
    Transition,
)

__all__ = [
    "SEARCH_K",
    "grow",
    "killed_after_load",
    "many_agents",
    "open_again",
    "queries",
    "walk",
]

AGENT = "agent_0"
BATCH = 256
SEARCH_K = 10
_SEED = 1
_SINGLE_EVERY = 16  # batches
_SEARCHES = 300
_RETRIEVES = 1_000
_CHUNK = 250


def walk(stream: int) -> Iterator[bytes]:
    """Packed states of a forager, without end."""
    forager = Forager(_SEED, stream)
    chunk = 0
    while True:
        yield from map(pack, forager.walk(chunk, _CHUNK))
        chunk += 1


def queries(count: int) -> list[bytes]:
    """Packed states of as many other foragers, some way into their walks."""
    return [pack(Forager(_SEED, 1_000_000 + number).walk(0, 20)[-1]) for number in range(count)]


def grow(folder: str, memories: int, volumes: list[int], options: dict[str, Any]) -> dict[str, Any]:
    """Load one agent's memories, looking at the store at each volume."""
    states = walk(0)
    store = MemoryStore(MemoryConfig(path=folder, **options))
    stored, batches, loading_s, singles_s = 0, 0, 0.0, [0.0]
    seen: dict[str, Any] = {}
    for volume in volumes:
        while stored < volume:
            batch = _stores(states, stored, min(BATCH, volume - stored))
            begun = perf_counter()
            _require(store.execute(batch))
            loading_s += perf_counter() - begun
            stored += len(batch)
            batches += 1
            if stored < volume and batches % _SINGLE_EVERY == 1:
                [one] = _stores(states, stored, 1)
                begun = perf_counter()
                _require(store.execute([one]))
                singles_s.append(perf_counter() - begun)
                stored += 1
        seen[str(volume)] = _look(store, stored)
    store.close()
    loaded = memories - len(singles_s) + 1
    return {
        "store_ops_s": loaded / loading_s,
        "slowest_single_s": max(singles_s),
        "volumes": seen,
    }


def _look(store: MemoryStore, stored: int) -> dict[str, Any]:
    """Times of searches and retrievals, what was found, and the process's memory."""
    asked = queries(_SEARCHES)
    found, searches_s = [], []
    for payload in asked:
        begun = perf_counter()
        [hits] = store.execute([Search(AGENT, payload, k=SEARCH_K)])
        searches_s.append(perf_counter() - begun)
        if not isinstance(hits, Hits):
            raise TypeError(f"a search gave {hits!r}")
        found.append([int(hit.state_id.rpartition("_")[2]) for hit in hits.hits])
    numbers = np.random.default_rng(1).integers(0, stored, _RETRIEVES).tolist()
    retrieves_s = []
    for number in numbers:
        begun = perf_counter()
        [record] = store.execute([Retrieve(AGENT, f"state_{number}")])
        retrieves_s.append(perf_counter() - begun)
        if not isinstance(record, Record):
            raise TypeError(f"state_{number} gave {record!r}")
    return {
        "search_p50_s": float(np.median(searches_s)),
        "retrieve_p50_s": float(np.median(retrieves_s)),
        "rss_bytes": psutil.Process().memory_info().rss,
        "found": found,
    }


def open_again(folder: str, options: dict[str, Any]) -> dict[str, float]:
    """Open what a killed process left; then move a third down while other calls go on."""
    begun = perf_counter()
    store = MemoryStore(MemoryConfig(path=folder, **options))
    _require(store.execute([Search(AGENT, queries(1)[0], k=SEARCH_K)]))
    first_answer_s = perf_counter() - begun
    waits_s = [0.0]
    done = threading.Event()

    def others() -> None:
        states, number = walk(1), 0
        while not done.is_set():
            calls = [Store("other", f"state_{number}", next(states)), Retrieve(AGENT, "state_0")]
            for call in calls:
                asked = perf_counter()
                _require(store.execute([call]))
                waits_s.append(perf_counter() - asked)
            number += 1
            time.sleep(0.002)

    thread = threading.Thread(target=others)
    thread.start()
    begun = perf_counter()
    _require(store.execute([Transition("im", 30.0, AGENT)]))
    transition_s = perf_counter() - begun
    done.set()
    thread.join()
    store.close()
    return {
        "first_answer_s": first_answer_s,
        "transition_s": transition_s,
        "longest_wait_s": max(waits_s),
    }


def killed_after_load(folder: str, memories: int, options: dict[str, Any]) -> None:
    """Load, and be killed while the store is open."""
    states = walk(0)
    store = MemoryStore(MemoryConfig(path=folder, **options))
    for first in range(0, memories, BATCH):
        _require(store.execute(_stores(states, first, min(BATCH, memories - first))))
    os.kill(os.getpid(), signal.SIGKILL)


def many_agents(folder: str, agents: int, each: int) -> dict[str, float]:
    """Give each of many agents a few memories; the process's memory and the time of a search."""
    store = MemoryStore(MemoryConfig(path=Path(folder)))
    for first in range(0, agents, BATCH):
        owners = range(first, min(first + BATCH, agents))
        walks = {owner: list(map(pack, Forager(_SEED, owner).walk(0, each))) for owner in owners}
        for place in range(each):
            _require(
                store.execute(
                    [
                        Store(f"agent_{owner}", f"state_{owner}_{place}", walks[owner][place])
                        for owner in owners
                    ]
                )
            )
    asked = queries(_SEARCHES)
    chosen = np.random.default_rng(1).integers(0, agents, _SEARCHES).tolist()
    took_s = []
    for owner, payload in zip(chosen, asked, strict=True):
        begun = perf_counter()
        _require(store.execute([Search(f"agent_{owner}", payload, k=SEARCH_K)]))
        took_s.append(perf_counter() - begun)
    rss_bytes = psutil.Process().memory_info().rss
    store.close()
    return {"rss_bytes": rss_bytes, "search_p50_s": float(np.median(took_s))}


def _stores(states: Iterator[bytes], first: int, count: int) -> list[Store]:
    return [Store(AGENT, f"state_{first + place}", next(states)) for place in range(count)]


def _require(results: list[Result]) -> None:
    for result in results:
        if type(result).__name__ == "Failure":
            raise TypeError(f"an operation failed: {result!r}")

"""A process killed with all its memories, the next one that opens them, and a transition."""

from __future__ import annotations

import json
import os
import signal
from itertools import islice
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from bench.errors import MeasurementError
from bench.loading import AGENT, SEARCH_K, counts, load, numbers, state_id
from bench.others import OtherCalls
from bench.walk import WalkFile, queries, walk
from memory_core import (
    Counts,
    MemoryConfig,
    MemoryStore,
    Moved,
    Retrieve,
    Search,
    Store,
    Transition,
)

__all__ = ["killed_after_load", "open_again", "transition"]

_PERCENTAGE = 30.0
_OTHER_STATES = 1_000
_PAUSE_S = 0.001
_SINGLES_PAUSE_S = 0.005
_MAX_AFTERWARDS_S = 5.0
# A transition leaves indexes to build: the others are watched on for so long, a memory moved.
_AFTERWARDS_S_A_MEMORY = 1 / 60_000


def killed_after_load(
    file: str, folder: str, memories: int, options: dict[str, Any], waits: str
) -> None:
    """Load the states of a file, and be killed while the store is open.

    Meanwhile another thread makes single stores, for another agent; the longest that one took is
    written to the file ``waits`` before the end.
    """
    store = MemoryStore(MemoryConfig(path=folder, **options))
    made, _ = _own_states()
    singles = OtherCalls(
        store,
        lambda number: [Store("other", state_id(number), made[number % len(made)])],
        _SINGLES_PAUSE_S,
    )
    singles.start()
    begun = perf_counter()
    with WalkFile(file) as states:
        load(store, states, memories)
    singles.end()
    waits_s = singles.waits_s(begun)
    Path(waits).write_text(json.dumps({"slowest_s": max(waits_s), "waits": len(waits_s)}))
    os.kill(os.getpid(), signal.SIGKILL)


def open_again(folder: str, memories: int, options: dict[str, Any]) -> dict[str, float]:
    """Open what a killed process left, and search; then see that all memories are there."""
    asked = [Search(AGENT, queries(1)[0], k=SEARCH_K)]
    begun = perf_counter()
    with MemoryStore(MemoryConfig(path=folder, **options)) as store:
        [hits] = store.execute(asked)
        first_answer_s = perf_counter() - begun
        if len(numbers(hits)) != min(SEARCH_K, memories):
            raise MeasurementError(f"the first answer has {len(numbers(hits))} memories")
        _require_all(counts(store), memories)
    return {"first_answer_s": first_answer_s}


def transition(folder: str, memories: int, options: dict[str, Any]) -> dict[str, float]:
    """Move a part of the short-term memories down while other calls go on.

    A search, a store and a retrieval come by turns from another thread, a millisecond after the
    one before them, from before the transition until the indexes that it leaves to build are
    likely to be there.
    """
    with MemoryStore(MemoryConfig(path=folder, **options)) as store:
        held = counts(store)
        made, asked = _own_states()
        others = OtherCalls(
            store,
            lambda number: [
                Search(AGENT, asked[number % len(asked)], k=SEARCH_K),
                Store("other", state_id(number), made[number % len(made)]),
                Retrieve(AGENT, state_id(0)),
            ],
            _PAUSE_S,
        )
        others.start()
        begun = perf_counter()
        [moved] = store.execute([Transition("im", _PERCENTAGE, AGENT)])
        transition_s = perf_counter() - begun
        if not isinstance(moved, Moved):
            raise MeasurementError(f"the transition gave {moved!r}")
        sleep(min(_MAX_AFTERWARDS_S, moved.count * _AFTERWARDS_S_A_MEMORY))
        others.end()
        waits_s = others.waits_s(begun)
        now = counts(store)
        _require_all(now, memories)
        # those that the other calls retrieved often may have moved up again since
        left = range(held.im + moved.count // 2, held.im + moved.count + 1)
        if moved.count != round(held.stm * _PERCENTAGE / 100) or now.im not in left:
            raise MeasurementError(f"the transition moved {moved.count} and led to {now}")
    return {"transition_s": transition_s, "longest_wait_s": max(waits_s), "waits": len(waits_s)}


def _own_states() -> tuple[list[bytes], list[bytes]]:
    """States to store and to search with, made before a clock starts."""
    return list(islice(walk(1), _OTHER_STATES)), queries(_OTHER_STATES)


def _require_all(found: Counts, memories: int) -> None:
    if found.total != memories:
        raise MeasurementError(f"of {memories} memories the store has {found}")

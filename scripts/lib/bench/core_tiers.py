"""Memories forced down into each tier: which are where, and what searches of each tier find."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import MeasurementError
from bench.loading import AGENT, SEARCH_K, counts, done, load, numbers
from bench.quiet import wait_until_quiet
from bench.walk import WalkFile, queries
from memory_core import Export, Exported, MemoryConfig, MemoryStore, Search, Transition

__all__ = ["IM_PERCENTAGE", "LTM_PERCENTAGE", "SEARCHES", "TARGETS", "force_down"]

TARGETS = ("all", "stm", "im", "ltm")
SEARCHES = 200
IM_PERCENTAGE = 30.0
LTM_PERCENTAGE = 20.0
_PAGE = 4_096


def force_down(walk: str, folder: str, memories: int, dimension: int, tiers: str) -> dict[str, Any]:
    """Hold everything in the short-term tier, force a part down twice, and search each tier.

    Searches ask the first `SEARCHES` queries, once the indexes that the transitions left to build
    are built. The place in `TARGETS` of each memory's tier, as the store exports it, is written
    to the file ``tiers``, uint8 by the state's number.
    """
    config = MemoryConfig(
        path=folder, dimension=dimension, stm_capacity=memories, im_capacity=memories
    )
    with WalkFile(walk) as states, MemoryStore(config) as store:
        load(store, states, memories)
        done(store.execute([Transition("im", IM_PERCENTAGE, AGENT)]))
        done(store.execute([Transition("ltm", LTM_PERCENTAGE, AGENT)]))
        wait_until_quiet()
        places = _places(store, memories)
        found = {
            tier: [
                numbers(store.execute([Search(AGENT, payload, k=SEARCH_K, tier=tier)])[0])
                for payload in queries(SEARCHES)
            ]
            for tier in TARGETS
        }
        held = counts(store)
    in_tiers = [int(np.sum(places == place)) for place in range(1, len(TARGETS))]
    if in_tiers != [held.stm, held.im, held.ltm]:
        raise MeasurementError(f"the store counts {held}, but exports {in_tiers}")
    down = round(memories * IM_PERCENTAGE / 100)
    lowest = round(down * LTM_PERCENTAGE / 100)
    if in_tiers != [memories - down, down - lowest, lowest]:
        raise MeasurementError(f"the transitions led to {held}")
    np.save(Path(tiers), places)
    return {"found": found}


def _places(store: MemoryStore, memories: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The tier of each memory; every one of them must be exported, and once."""
    places = np.zeros(memories, dtype=np.uint8)
    after, more = 0, True
    while more:
        [page] = store.execute([Export(AGENT, after, _PAGE)])
        if not isinstance(page, Exported):
            raise MeasurementError(f"an export gave {page!r}")
        for memory in page.memories:
            number = int(memory.state_id.rpartition("_")[2])
            if places[number]:
                raise MeasurementError(f"{memory.state_id} is exported twice")
            places[number] = TARGETS.index(memory.tier)
        after, more = page.last, page.more
    if not places.all():
        raise MeasurementError(f"{np.sum(places == 0)} memories are not exported")
    return places

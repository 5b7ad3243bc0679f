"""The store at depth, ``scripts/bench core``: a million memories of one agent, and many agents.

Each measurement runs in a process of its own (`bench.child`), on states that were written to a
file before (`bench.walk`). Recall is against exact search on vectors that are made here,
independently of the store (`bench.exact`).
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.child import in_child
from bench.core_child import SEARCHES
from bench.core_tiers import SEARCHES as TIER_SEARCHES
from bench.core_tiers import TARGETS
from bench.exact import Exact
from bench.figures import Measured
from bench.loading import SEARCH_K
from bench.sizes import size
from bench.walk import queries, write_walk

__all__ = ["MEASUREMENTS", "ROWS", "CoreSizes", "skipped_rows", "volumes"]

DIMENSION = 64


@dataclass(frozen=True, kw_only=True)
class CoreSizes:
    """Counts, all positive; each is an option of the command."""

    memories: int = size(1_000_000, "memories of one agent")
    few_memories: int = size(1_000, "memories that they are compared with")
    many_agents: int = size(100_000, "agents of a few memories each")
    few_agents: int = size(500, "agents that they are compared with")
    memories_each: int = size(10, "memories of each of them")
    usearch_memories: int = size(100_000, "memories beside usearch")
    wide_memories: int = size(200_000, "memories of more dimensions")
    wide_dimension: int = size(384, "dimensions of those")


def volumes(few: int, memories: int) -> list[int]:
    """Volumes that grow tenfold, from ``few`` to ``memories``."""
    found = [min(few, memories)]
    while found[-1] * 10 < memories:
        found.append(found[-1] * 10)
    return found if found[-1] == memories else [*found, memories]


def grown(sizes: CoreSizes, folder: Path) -> Measured:
    """One agent's memories with default tiers, at volumes that grow tenfold."""
    return _grown(sizes, folder, sizes.memories, DIMENSION)


def wide(sizes: CoreSizes, folder: Path) -> Measured:
    """The same in more dimensions, and forced down at the largest volume."""
    memories, dimension = sizes.wide_memories, sizes.wide_dimension
    forced = _forced(sizes, folder, [memories], dimension)
    return {**_grown(sizes, folder, memories, dimension), **forced}


def forced(sizes: CoreSizes, folder: Path) -> Measured:
    """Recall of each tier with everything held, then forced down, at volumes that grow tenfold."""
    return _forced(sizes, folder, volumes(sizes.few_memories, sizes.memories), DIMENSION)


def killed(sizes: CoreSizes, folder: Path) -> Measured:
    """A process killed with all its memories, and the next one that opens them."""
    call, single_s = _killed(sizes, folder, {})
    return {"slowest_single_s": single_s, **in_child("core_opening.open_again", **call)}


def moved(sizes: CoreSizes, folder: Path) -> Measured:
    """The same with a short-term tier that holds them all, from which a part is moved down."""
    options = {"stm_capacity": sizes.memories, "im_capacity": sizes.memories}
    call, _ = _killed(sizes, folder, options)
    opened = in_child("core_opening.open_again", **call)
    return {**opened, **in_child("core_opening.transition", **call)}


def many(sizes: CoreSizes, folder: Path) -> Measured:
    """Many agents of a few memories each, against few."""
    few, lots = (
        in_child(
            "core_child.many_agents",
            folder=str(folder / str(agents)),
            agents=agents,
            each=sizes.memories_each,
        )
        for agents in (sizes.few_agents, sizes.many_agents)
    )
    return {
        "rss_bytes": lots["rss_bytes"],
        "peak_rss_bytes": lots["peak_rss_bytes"],
        "search_us": lots["search_p50_s"] * 1e6,
        "search_few_us": few["search_p50_s"] * 1e6,
    }


def usearch(sizes: CoreSizes, folder: Path) -> Measured:
    """One agent's memories beside usearch."""
    return in_child(
        "core_usearch.beside_usearch",
        walk=_walk(sizes, folder),
        folder=str(folder / "usearch"),
        memories=sizes.usearch_memories,
        dimension=DIMENSION,
    )


MEASUREMENTS: dict[str, Callable[[Any, Path], Measured]] = {
    "grown": grown,
    "forced": forced,
    "killed": killed,
    "moved": moved,
    "many": many,
    "usearch": usearch,
    "wide": wide,
}
ROWS: dict[str, tuple[str, ...]] = {
    "million": ("grown", "killed"),
    "recall": ("grown", "forced"),
    "opening": ("killed", "moved"),
    "transition": ("moved",),
    "many-agents": ("many",),
    "usearch": ("usearch",),
    "folder": ("grown",),
    "dimensions": ("wide",),
}


def skipped_rows() -> dict[str, str]:
    """Rows that cannot be measured here, and why in a sentence."""
    if importlib.util.find_spec("usearch") is None:
        return {"usearch": "usearch is not installed; the dev extra brings it"}
    return {}


def _killed(
    sizes: CoreSizes, folder: Path, options: dict[str, int]
) -> tuple[dict[str, Any], float]:
    """The arguments for what opens the database of a killed process; its slowest single store."""
    waits = folder / "waits.json"
    call = {"folder": str(folder / "killed"), "memories": sizes.memories, "options": options}
    load = {"file": _walk(sizes, folder), "waits": str(waits)}
    in_child("core_opening.killed_after_load", killed=True, **load, **call)
    return call, json.loads(waits.read_text())["slowest_s"]


def _grown(sizes: CoreSizes, folder: Path, memories: int, dimension: int) -> dict[str, float]:
    walk, database = _walk(sizes, folder), folder / f"grown-{dimension}"
    at = volumes(sizes.few_memories, memories)
    seen = in_child(
        "core_child.grow",
        walk=walk,
        folder=str(database),
        volumes=at,
        options={"dimension": dimension},
    )
    compacted = in_child("core_folder.compact", folder=str(database))
    shutil.rmtree(database)
    exact = Exact(walk, memories, dimension)
    measured = {}
    for place, (volume, look) in enumerate(zip(at, seen["volumes"], strict=True)):
        asked = exact.encode(queries(SEARCHES, place * SEARCHES))
        members = np.ones(volume, dtype=np.bool_)
        measured[f"recall_{volume}"] = exact.recall(asked, look["found"], SEARCH_K, members)
    few, all_of_them = seen["volumes"][0], seen["volumes"][-1]
    return {
        "store_ops_s": seen["store_ops_s"],
        "slowest_single_s": seen["slowest_single_s"],
        "slowest_batch_s": seen["slowest_batch_s"],
        "search_few_us": few["search_p50_s"] * 1e6,
        "search_us": all_of_them["search_p50_s"] * 1e6,
        "retrieve_few_us": few["retrieve_p50_s"] * 1e6,
        "retrieve_us": all_of_them["retrieve_p50_s"] * 1e6,
        "rss_bytes": all_of_them["rss_bytes"],
        "peak_rss_bytes": seen["peak_rss_bytes"],
        "recall": min(measured.values()),
        **measured,
        "folder_bytes": compacted["folder_bytes"],
        "uncompacted_bytes": compacted["before_bytes"],
        "payload_and_vector_bytes": seen["payload_bytes"] + 4 * dimension * memories,
    }


def _forced(sizes: CoreSizes, folder: Path, at: list[int], dimension: int) -> dict[str, float]:
    """The recall of each target at each volume, and the lowest of each target."""
    walk, tiers = _walk(sizes, folder), folder / "tiers.npy"
    exact = Exact(walk, max(at), dimension)
    asked = exact.encode(queries(TIER_SEARCHES))
    measured: dict[str, float] = {}
    for volume in at:
        database = folder / f"forced-{dimension}-{volume}"
        found = in_child(
            "core_tiers.force_down",
            walk=walk,
            folder=str(database),
            memories=volume,
            dimension=dimension,
            tiers=str(tiers),
        )["found"]
        shutil.rmtree(database)
        places = np.load(tiers)
        for place, target in enumerate(TARGETS):
            members = places == place if place else np.ones(volume, dtype=np.bool_)
            recall = exact.recall(asked, found[target], SEARCH_K, members)
            measured[f"forced_{target}_{volume}"] = recall
            lowest = min(recall, measured.get(f"forced_{target}", 1.0))
            measured[f"forced_{target}"] = lowest
    return measured


def _walk(sizes: CoreSizes, folder: Path) -> str:
    """The file with the states, made when it is first needed; it goes when the command ends."""
    needed = max(sizes.memories, sizes.wide_memories, sizes.usearch_memories)
    path = folder.parent / f"walk-{needed}"
    if not path.exists():
        write_walk(path, needed)
    return str(path)

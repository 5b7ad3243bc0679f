"""One agent's memories beside usearch: its default HNSW, and a dict for the payloads.

They take turns in one process, each with the machine to itself: whole loads in the order ours,
usearch, usearch, ours; searches in blocks. usearch gets the vectors ready and keeps all in memory;
ours encodes the states as it stores them, and syncs each batch to the disk. Both get batches of
the same size, made of states that are in memory already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.errors import MeasurementError
from bench.exact import Exact
from bench.loading import AGENT, BATCH, SEARCH_K, done, numbers, stores
from bench.quiet import wait_until_quiet
from bench.walk import WalkFile, queries
from memory_core import MemoryConfig, MemoryStore, Search

__all__ = ["MIN_RECALL_RATIO", "beside_usearch"]

MIN_RECALL_RATIO = 0.98
_SEARCHES = 300
_BLOCK = 50
_WARM_UPS = 20
_MAX_EXPANSION = 4_096

_Floats = npt.NDArray[np.float32]


def beside_usearch(walk: str, folder: str, memories: int, dimension: int) -> dict[str, float]:
    """Load both, then search both for ids and scores, and for states too."""
    exact = Exact(walk, memories, dimension)
    with WalkFile(walk) as file:
        states = file.take(memories)
    searched: dict[str, float] = {}
    loading_s: dict[str, list[float]] = {"ours": [], "usearch": [], "settled": []}
    for turn, ours_first in enumerate((True, False)):
        rival = _Usearch(exact.vectors, states)
        config = MemoryConfig(path=Path(folder) / str(turn), dimension=dimension)
        with MemoryStore(config) as store:
            if not ours_first:
                loading_s["usearch"].append(rival.load())
            took_s, settled_s = _load(store, states)
            loading_s["ours"].append(took_s)
            loading_s["settled"].append(settled_s)
            if ours_first:
                loading_s["usearch"].append(rival.load())
            else:
                searched = _search_both(store, rival, exact)
    rates = {
        f"{name}_store_ops_s": memories * len(took_s) / sum(took_s)
        for name, took_s in loading_s.items()
    }
    return rates | searched


class _Usearch:
    """The index and the dict."""

    def __init__(self, vectors: _Floats, states: list[bytes]) -> None:
        from usearch.index import Index

        self.index: Any = Index(ndim=vectors.shape[1], metric="cos")
        self.default_expansion: int = self.index.expansion_search
        self._payloads: dict[int, bytes] = {}
        self._vectors, self._states = vectors, states

    def load(self) -> float:
        """Add everything; the seconds it took."""
        keys = np.arange(len(self._states), dtype=np.uint64)
        begun = perf_counter()
        for first in range(0, len(keys), BATCH):
            last = min(first + BATCH, len(keys))
            self.index.add(keys[first:last], self._vectors[first:last])
            self._payloads.update(zip(range(first, last), self._states[first:last], strict=True))
        return perf_counter() - begun

    def ids(self, query: _Floats) -> tuple[Any, Any]:
        """Keys and distances of a search, as arrays."""
        matches = self.index.search(query, SEARCH_K)
        return matches.keys, matches.distances

    def states(self, query: _Floats) -> tuple[Any, Any]:
        """Those, having looked up the payloads."""
        matches = self.index.search(query, SEARCH_K)
        payloads = self._payloads
        _ = [payloads[key] for key in matches.keys.tolist()]
        return matches.keys, matches.distances

    def reach(self, exact: Exact, asked: _Floats) -> float:
        """Raise the expansion until the recall is `MIN_RECALL_RATIO`; the recall."""
        members = np.ones(len(exact.vectors), dtype=np.bool_)
        while True:
            found = [self.ids(query)[0].tolist() for query in asked]
            recall = exact.recall(asked, found, SEARCH_K, members)
            expansion = self.index.expansion_search
            if recall >= MIN_RECALL_RATIO:
                return recall
            if expansion >= _MAX_EXPANSION:
                raise MeasurementError(
                    f"usearch has recall {recall:.3f} at an expansion of {expansion}"
                )
            self.index.expansion_search = expansion + max(1, expansion // 4)


def _load(store: MemoryStore, states: list[bytes]) -> tuple[float, float]:
    """Store everything; the seconds until it was acknowledged, and until all was done."""
    begun = perf_counter()
    for first in range(0, len(states), BATCH):
        done(store.execute(stores(states[first : first + BATCH], first)))
    took_s = perf_counter() - begun
    return took_s, max(took_s, wait_until_quiet() - begun)


def _search_both(store: MemoryStore, rival: _Usearch, exact: Exact) -> dict[str, float]:
    """Times of searches, by blocks: of ids and scores of one block, with states of the next."""
    asked = exact.encode(queries(2 * _SEARCHES))
    recall = rival.reach(exact, asked)
    for query in exact.encode(queries(_WARM_UPS, 2 * _SEARCHES)):
        done(store.execute([Search(AGENT, vector=query.tobytes(), k=SEARCH_K)]))
    times: dict[str, list[float]] = {}
    found: list[list[int]] = []
    for number, first in enumerate(range(0, len(asked), _BLOCK)):
        block = asked[first : first + _BLOCK]
        if number % 2:
            kind, ours, theirs = "ids", _ids_search(store), rival.ids
        else:
            kind, ours, theirs = "states", _states_search(store), rival.states
        took_us, results = _timed(ours, [query.tobytes() for query in block])
        times.setdefault(f"ours_{kind}_us", []).extend(took_us)
        found += [numbers(result) for [result] in results]
        took_us, _ = _timed(theirs, list(block))
        times.setdefault(f"usearch_{kind}_us", []).extend(took_us)
    members = np.ones(len(exact.vectors), dtype=np.bool_)
    return {name: float(np.median(took)) for name, took in times.items()} | {
        "ours_recall": exact.recall(asked, found, SEARCH_K, members),
        "usearch_recall": recall,
        "usearch_expansion": float(rival.index.expansion_search),
        "usearch_default_expansion": float(rival.default_expansion),
    }


def _states_search(store: MemoryStore) -> Callable[[bytes], Any]:
    """A search by the bytes of a ready vector, for ids, scores and states."""
    return lambda vector: store.execute([Search(AGENT, vector=vector, k=SEARCH_K)])


# A search that leaves the states out, where the store gets one, takes this one's place.
_ids_search = _states_search


def _timed(search: Callable[[Any], Any], asked: Sequence[Any]) -> tuple[list[float], list[Any]]:
    """Microseconds and results of a search for each query."""
    took_us, results = [], []
    for query in asked:
        begun = perf_counter()
        result = search(query)
        took_us.append(1e6 * (perf_counter() - begun))
        results.append(result)
    return took_us, results

"""Similarity search over the tiers of one agent.

The short-term tier is searched exactly. So is a lower tier while its index is exact; an
approximate one gives candidates, and these are ranked again by their full vectors, which the
records in RocksDB have or their states give. Candidates of all tiers compete by the scores that
their indexes give them, so that only the best of all are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from memory_core.index import Searcher
from memory_core.memories import AgentMemories, LowerTier
from memory_core.operations import TIERS
from memory_core.reading import Applied, Place, Reader
from memory_core.results import Hit

__all__ = ["Candidate", "by_similarity", "nearest"]

_STM = 0
# More than k are ranked again, since codes put some in the wrong order.
_MORE = 10
_MORE_RATIO = 0.25
# What a score by codes may differ from the one by full vectors; many times what was seen.
_CODE_ERROR = 0.01
_FIRST_DEPTH = 32
_DEPTH_GROWTH = 4
_MAX_READ_TOGETHER = 256
# As few as these are read and compared, which takes less than a search among them.
_FEW = 256

Vector = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
# score, place, whether the score is of the full vector
_Found = tuple[float, Place, bool]


class Candidate(NamedTuple):
    """A memory that a search looks at; none that comes later has a score above ``bound``."""

    place: Place
    state_id: str
    payload: bytes
    score: float
    bound: float


def nearest(
    reader: Reader,
    searcher: Searcher,
    memories: AgentMemories,
    tiers: Sequence[int],
    query: Vector,
    k: int,
    applied: Applied,
) -> list[Hit]:
    """The k most similar memories of some tiers, best first; of equals the upper tier's.

    Args:
        reader: of the store.
        searcher: for the short-term tier.
        memories: of the agent.
        tiers: uppermost first, each with something in it.
        query: unit vector of shape (dim,).
        k: at least 1.
        applied: what the batch has done so far.

    Raises:
        CorruptionError: a record that is needed is damaged.
    """
    found: list[_Found] = []
    depth = k
    for tier in tiers:
        if tier == _STM:
            scores, rows = searcher.search(memories.make_short().index, query, k)
            found += [(score, (_STM, row), True) for score, row in zip(scores, rows, strict=True)]
            continue
        index = memories.make_lower(tier).index
        exact = index.is_exact
        if not exact:
            depth = k + _MORE + int(_MORE_RATIO * k)
        scores, sequences = index.search(query, k if exact else depth)
        found += [
            (score, (tier, sequence), exact)
            for score, sequence in zip(scores, sequences, strict=True)
        ]
    found.sort(key=_score, reverse=True)
    if depth == k:
        chosen = found[:k]
        states = reader.states(memories, [place for _, place, _ in chosen], applied, hold=True)
        return [
            Hit(state_id, score, TIERS[place[0]], payload)
            for (score, place, _), (state_id, payload) in zip(chosen, states, strict=True)
        ]
    ranked = _ranked_again(reader, memories, found[:depth], query, applied)[:k]
    unread = [place for _, place, record in ranked if record is None]
    read = dict(zip(unread, reader.states(memories, unread, applied, hold=True), strict=True))
    hits = []
    for score, place, record in ranked:
        state_id, payload = record or read[place]
        hits.append(Hit(state_id, score, TIERS[place[0]], payload))
    return hits


def by_similarity(
    reader: Reader,
    memories: AgentMemories,
    chosen: Sequence[tuple[int, Ints | None]],
    query: Vector,
    k: int,
    applied: Applied,
) -> Iterator[Candidate]:
    """All memories of the chosen tiers with their states, the most similar first.

    They come in the order of their indexes' scores, read some at a time.

    Args:
        reader: of the store.
        memories: of the agent.
        chosen: tiers, uppermost first, and the rows or sequences there, ascending; None for all.
        query: unit vector of shape (dim,).
        k: how many the caller needs at least.
        applied: what the batch has done so far.
    """
    sources = [_Source(reader, memories, tier, at, query, applied) for tier, at in chosen]
    error = 0.0 if all(source.is_exact for source in sources) else _CODE_ERROR
    taken: set[Place] = set()
    depth, together = max(k, _FIRST_DEPTH), min(k, _MAX_READ_TOGETHER)
    while True:
        found: list[_Found] = []
        unseen = -np.inf  # the highest score that is not among what was found
        for source in sources:
            some = source.best(depth)
            found += some
            if len(some) == depth and len(some) < source.count:
                unseen = max(unseen, some[-1][0])
        found.sort(key=_score, reverse=True)
        new = [one for one in found if one[0] >= unseen and one[1] not in taken]
        taken.update(place for _, place, _ in new)
        while new:
            some, new = new[:together], new[together:]
            together = min(2 * together, _MAX_READ_TOGETHER)
            yield from _read(reader, memories, some, query, error, applied)
        if unseen == -np.inf:
            return
        depth *= _DEPTH_GROWTH


class _Source:
    """A tier, or what is chosen of it, as a search takes from it."""

    def __init__(
        self,
        reader: Reader,
        memories: AgentMemories,
        tier: int,
        at: Ints | None,
        query: Vector,
        applied: Applied,
    ) -> None:
        self._tier, self._at, self._query = tier, at, query
        self._sorted: list[_Found] | None = None
        self._lower: LowerTier | None = None
        self.is_exact = True
        if tier == _STM:
            table = memories.make_short()
            rows = np.arange(len(table)) if at is None else at
            self._sort(table.index.vectors[rows] @ query, rows)
        else:
            self._lower = memories.make_lower(tier)
            if at is not None and len(at) <= _FEW:
                records = reader.lower(memories, tier, at.tolist(), applied)
                if records:
                    self._sort(reader.vectors([parts for _, parts in records]) @ query, at)
                else:
                    self._sorted = []
            else:
                self.is_exact = self._lower.index.is_exact
        whole = len(self._lower) if self._lower is not None else 0
        if self._sorted is not None:
            whole = len(self._sorted)
        elif at is not None:
            whole = len(at)
        self.count = whole

    def _sort(self, scores: Vector, at: Ints) -> None:
        order = np.argsort(-scores, kind="stable")
        self._sorted = [
            (score, (self._tier, one), True)
            for score, one in zip(scores[order].tolist(), at[order].tolist(), strict=True)
        ]

    def best(self, depth: int) -> list[_Found]:
        """The ``depth`` most similar, best first."""
        if self._sorted is not None or self._lower is None:
            return (self._sorted or [])[:depth]
        scores, sequences = self._lower.index.search(self._query, depth, among=self._at)
        return [
            (score, (self._tier, sequence), self.is_exact)
            for score, sequence in zip(scores, sequences, strict=True)
        ]


def _read(
    reader: Reader,
    memories: AgentMemories,
    some: list[_Found],
    query: Vector,
    error: float,
    applied: Applied,
) -> Iterator[Candidate]:
    bounds = {place: score + error for score, place, _ in some}
    ranked = {
        place: (score, record)
        for score, place, record in _ranked_again(reader, memories, some, query, applied)
    }
    unread = [place for place, (_, record) in ranked.items() if record is None]
    read = dict(zip(unread, reader.states(memories, unread, applied), strict=True))
    for _, place, _ in some:
        score, record = ranked[place]
        state_id, payload = record or read[place]
        yield Candidate(place, state_id, payload, score, bounds[place])


def _ranked_again(
    reader: Reader,
    memories: AgentMemories,
    found: list[_Found],
    query: Vector,
    applied: Applied,
) -> list[tuple[float, Place, tuple[str, bytes] | None]]:
    """Scores by full vectors, best first, with id and state where these had to be read."""
    ranked: list[tuple[float, Place, tuple[str, bytes] | None]] = [
        (score, place, None) for score, place, exact in found if exact
    ]
    coded: dict[int, list[int]] = {}
    for _, (tier, sequence), exact in found:
        if not exact:
            coded.setdefault(tier, []).append(sequence)
    records = []
    places: list[Place] = []
    for tier, sequences in coded.items():
        records += reader.lower(memories, tier, sequences, applied)
        places += [(tier, sequence) for sequence in sequences]
    if records:
        scores = (reader.vectors([parts for _, parts in records]) @ query).tolist()
        ranked += [
            (score, place, (state_id, parts.payload))
            for score, place, (state_id, parts) in zip(scores, places, records, strict=True)
        ]
    ranked.sort(key=_upper_first)
    return ranked


def _score(found: tuple[float, Place, bool]) -> float:
    return found[0]


def _upper_first(ranked: tuple[float, Place, object]) -> tuple[float, int]:
    return -ranked[0], ranked[1][0]

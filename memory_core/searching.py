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

from memory_core.candidates import (
    ROUNDING,
    Below,
    Found,
    Ranked,
    found_below,
    k_best,
    ranked_again,
    score_of,
)
from memory_core.index import Searcher
from memory_core.memories import AgentMemories, LowerMemories
from memory_core.operations import TIERS
from memory_core.reading import Applied, Place, Reader
from memory_core.results import Hit
from memory_core.short_term import TierTable

__all__ = ["Candidate", "by_similarity", "nearest"]

_STM = 0
_FIRST_DEPTH = 32
_DEPTH_GROWTH = 4
_MAX_READ_TOGETHER = 256
# As few as these are read and compared, which takes less than a search among them.
_FEW = 256

Vector = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


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
    found: list[Found] = []
    if _STM in tiers:
        scores, rows = searcher.search(memories.make_short().index, query, k)
        found += [(score, (_STM, row), True) for score, row in zip(scores, rows, strict=True)]
    lower = memories.lower
    if lower is not None and any(tiers):
        among = None
        if sum(lower.rows.held[tier] for tier in tiers if tier) < len(lower.rows):
            among = lower.rows.sequences(max(tiers))
        below = Below(lower, query, among)
        coded = below.first(k)
        if coded and not coded[0][2]:
            ranked = k_best(reader, memories, found, coded, below, query, k, applied)
            return _hits(reader, memories, ranked, applied)
        found += coded
    found.sort(key=score_of, reverse=True)
    ranked = [(score, place, None) for score, place, _ in found[:k]]
    return _hits(reader, memories, ranked, applied)


def _hits(
    reader: Reader, memories: AgentMemories, ranked: list[Ranked], applied: Applied
) -> list[Hit]:
    places = [place for _, place, _ in ranked]
    unread = [place for _, place, record in ranked if record is None]
    read = dict(zip(unread, reader.states(memories, unread, applied, hold=True), strict=True))
    hits = []
    for score, place, record in ranked:
        state_id, payload = record or read[place]
        hits.append(Hit(state_id, score, TIERS[place[0]], payload))
    reader.accesses.note(memories, places)
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
    sources: list[_Rows | _Sequences] = []
    error = 0.0
    wanted = [(tier, at) for tier, at in chosen if tier != _STM]
    if len(wanted) < len(chosen):
        sources.append(_Rows(memories.make_short(), chosen[0][1], query))
    if wanted and memories.lower is not None:
        sources.append(_Sequences(reader, memories, memories.lower, wanted, query, applied))
    taken: set[Place] = set()
    depth, together = max(k, _FIRST_DEPTH), min(k, _MAX_READ_TOGETHER)
    while True:
        found: list[Found] = []
        unseen = -np.inf  # the highest score that is not among what was found
        for source in sources:
            some = source.best(depth)
            found += some
            if len(some) == depth and len(some) < source.count:
                unseen = max(unseen, some[-1][0])
        if memories.lower is not None and not all(exact for _, _, exact in found):
            error = memories.lower.index.score_error(query) + ROUNDING
        found.sort(key=score_of, reverse=True)
        new = [one for one in found if one[0] >= unseen and one[1] not in taken]
        taken.update(place for _, place, _ in new)
        while new:
            some, new = new[:together], new[together:]
            together = min(2 * together, _MAX_READ_TOGETHER)
            yield from _read(reader, memories, some, query, error, applied)
        if unseen == -np.inf:
            return
        depth *= _DEPTH_GROWTH


class _Rows:
    """What is chosen of the short-term tier, in the order of similarity."""

    def __init__(self, table: TierTable, rows: Ints | None, query: Vector) -> None:
        chosen = np.arange(table.held) if rows is None else rows
        self._sorted = _sorted(table.index.vectors[chosen] @ query, chosen.tolist(), _STM)
        self.count = len(chosen)

    def best(self, depth: int) -> list[Found]:
        """The ``depth`` most similar, best first."""
        return self._sorted[:depth]


class _Sequences:
    """What is chosen of the lower tiers, as their index finds it."""

    def __init__(
        self,
        reader: Reader,
        memories: AgentMemories,
        lower: LowerMemories,
        chosen: Sequence[tuple[int, Ints | None]],
        query: Vector,
        applied: Applied,
    ) -> None:
        self._lower, self._query = lower, query
        self._among: Ints | None = None
        self._sorted: list[Found] | None = None
        self.count = sum(lower.rows.held[tier] if at is None else len(at) for tier, at in chosen)
        if self.count == len(lower.rows):
            return
        parts = [lower.rows.sequences(tier) if at is None else at for tier, at in chosen]
        self._among = np.sort(np.concatenate(parts))
        if self.count <= _FEW:
            self._sorted = []
            for (tier, _), part in zip(chosen, parts, strict=True):
                if len(part):
                    at = part.tolist()
                    _, scores = reader.compared(memories, tier, at, query, applied)
                    self._sorted += _sorted(np.array(scores), at, tier)
            self._sorted.sort(key=score_of, reverse=True)

    def best(self, depth: int) -> list[Found]:
        """The ``depth`` most similar, best first."""
        if self._sorted is not None:
            return self._sorted[:depth]
        return found_below(self._lower, self._query, depth, self._among)


def _sorted(scores: Vector, places: list[int], tier: int) -> list[Found]:
    order = np.argsort(-scores, kind="stable").tolist()
    given = scores.tolist()
    return [(given[at], (tier, places[at]), True) for at in order]


def _read(
    reader: Reader,
    memories: AgentMemories,
    some: list[Found],
    query: Vector,
    error: float,
    applied: Applied,
) -> Iterator[Candidate]:
    bounds = {place: score + error for score, place, _ in some}
    ranked = {
        place: (score, record)
        for score, place, record in ranked_again(reader, memories, some, query, applied)
    }
    unread = [place for place, (_, record) in ranked.items() if record is None]
    read = dict(zip(unread, reader.states(memories, unread, applied), strict=True))
    for _, place, _ in some:
        score, record = ranked[place]
        state_id, payload = record or read[place]
        yield Candidate(place, state_id, payload, score, bounds[place])

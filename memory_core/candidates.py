"""Candidates of an approximate index, ranked by their full vectors until the k best are known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from memory_core.memories import AgentMemories, LowerMemories
from memory_core.reading import Applied, Place, Reader

__all__ = [
    "ROUNDING",
    "Below",
    "Found",
    "Ranked",
    "found_below",
    "k_best",
    "ranked_again",
    "score_of",
]

Vector = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
# score, place, whether the score is of the full vector
Found = tuple[float, Place, bool]
# score by the full vector, place, id and state where they had to be read
Ranked = tuple[float, Place, tuple[str, bytes] | None]

# More than k are asked of the index, since codes put some in the wrong order.
_MORE = 6
_MORE_RATIO = 0.25
_MOST_MORE = 800
# So many more than k are read at first, and others as long as they may belong to the k best.
_FIRST_MORE = 2
_MARGIN = 3.0
# What sums of floats may differ from each other besides.
ROUNDING = 1e-5
_DEPTH_GROWTH = 4


class Below:
    """What the approximate index of the lower tiers finds, a little and then more of it."""

    def __init__(self, lower: LowerMemories, query: Vector, among: Ints | None) -> None:
        self._lower, self._query, self._among = lower, query, among
        self._depth = self._most = 0
        self._is_all = False
        self._lowest = 0.0

    def may_have(self, floor: float) -> bool:
        """Whether something that was not found yet may have a score above the floor."""
        return not self._is_all and self._lowest > floor

    def first(self, k: int) -> list[Found]:
        """The nearest k, and some more if their scores are of codes."""
        self._most = k + _MOST_MORE
        self._depth = k if self._lower.index.is_exact else k + max(_MORE, int(_MORE_RATIO * k))
        found = self._search()
        if self._depth == k and found and not found[0][2]:  # a build has ended since it was asked
            return self.more()
        return found

    def more(self) -> list[Found]:
        """What the index finds when it is asked for several times as many."""
        self._depth = min(_DEPTH_GROWTH * self._depth, self._most)
        return self._search()

    def _search(self) -> list[Found]:
        found = found_below(self._lower, self._query, self._depth, self._among)
        self._is_all = len(found) < self._depth or self._depth >= self._most
        self._lowest = found[-1][0] if found else 0.0
        return found


def k_best(
    reader: Reader,
    memories: AgentMemories,
    exact: list[Found],
    coded: list[Found],
    below: Below,
    query: Vector,
    k: int,
    applied: Applied,
) -> list[Ranked]:
    """The k best by their full vectors, of what is exact and what scores of codes put first.

    A code's score is off by some thousandths. So candidates are read until the next one would
    have to be off by more than `_MARGIN` standard deviations to be among the k best: a few where
    scores lie apart, hundreds where many memories are nearly alike.
    """
    margin = 0.0
    if memories.lower is not None:
        margin = _MARGIN * memories.lower.index.score_deviation(query) + ROUNDING
    ranked: list[Ranked] = []
    waiting = sorted(exact + coded, key=score_of, reverse=True)
    seen: set[Place] = set()
    wanted = k + _FIRST_MORE
    while True:
        some, waiting = waiting[:wanted], waiting[wanted:]
        seen.update(place for _, place, _ in some)
        ranked += ranked_again(reader, memories, some, query, applied)
        ranked.sort(key=_upper_first)
        del ranked[k:]
        floor = ranked[-1][0] - margin if len(ranked) == k else -np.inf
        if below.may_have(floor):
            more = [one for one in below.more() if one[1] not in seen]
            known = {place for _, place, _ in more}
            more += [one for one in waiting if one[1] not in known]
            waiting = sorted(more, key=score_of, reverse=True)
        wanted = sum(1 for score, _, _ in waiting if score > floor)
        if not wanted:
            return ranked


def found_below(lower: LowerMemories, query: Vector, depth: int, among: Ints | None) -> list[Found]:
    """The ``depth`` nearest as the index of the lower tiers finds them, best first."""
    scores, sequences = lower.index.search(query, depth, among=among)
    exact = lower.index.is_exact  # asked afterwards: a build may have ended meanwhile
    tiers = lower.rows.tiers_of(sequences) if sequences else []
    return [
        (score, (tier, sequence), exact)
        for score, tier, sequence in zip(scores, tiers, sequences, strict=True)
    ]


def ranked_again(
    reader: Reader,
    memories: AgentMemories,
    found: list[Found],
    query: Vector,
    applied: Applied,
) -> list[Ranked]:
    """Scores by full vectors, best first, with id and state where these had to be read."""
    ranked: list[Ranked] = [(score, place, None) for score, place, exact in found if exact]
    coded: dict[int, list[int]] = {}
    for _, (tier, sequence), exact in found:
        if not exact:
            coded.setdefault(tier, []).append(sequence)
    for tier, sequences in coded.items():
        records, scores = reader.compared(memories, tier, sequences, query, applied)
        ranked += [
            (score, (tier, sequence), (state_id, parts.payload))
            for score, sequence, (state_id, parts) in zip(scores, sequences, records, strict=True)
        ]
    ranked.sort(key=_upper_first)
    return ranked


def score_of(found: Found) -> float:
    """By which what is found is sorted."""
    return found[0]


def _upper_first(ranked: Ranked) -> tuple[float, int]:
    return -ranked[0], ranked[1][0]

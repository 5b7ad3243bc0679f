"""How often and how lately memories were retrieved; in memory only, and lost when the store closes.

Each agent has a dict of what was retrieved: the sequence of a memory, and its strength
(`memory_core.tiering`). Strengths are kept as seen from a fixed moment, the origin: a retrieval at
the time t adds 2 ** ((t - origin) / half-life), its weight. So nothing has to fade by itself, and
their order is right at any time; a strength as seen from now is what is kept, divided by the weight
of a retrieval now. This is forward decay (Cormode et al., "Forward Decay: A Practical Time Decay
Model for Streaming Systems", ICDE 2009). When weights become too large, the origin is moved.

A retrieval costs a look-up and a number. A sequence is given to one memory only, so a memory that
is replaced begins anew. An agent's dict has at most `MAX_READ` memories: when there are more, the
weaker half is forgotten. An answer of more memories than that tells nothing of any of them, and
does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

import numpy as np
import numpy.typing as npt

from memory_core.memories import AgentMemories
from memory_core.tables import Tables
from memory_core.tiering import RISING_STRENGTH, access

__all__ = ["MAX_READ", "Accesses"]

MAX_READ = 4_096
_MAX_RISING = 10_000
_MAX_EXPONENT = 256.0
_LEAST_STRENGTH = 1e-3
_NS_A_SECOND = 1_000_000_000

Ints = npt.NDArray[np.int64]
Place = tuple[int, int]


class Accesses:
    """Notes what the agents of some tables retrieve. Not thread-safe.

    Args:
        tables: of the store.
        half_life_s: in which a retrieval comes to count for half as much.

    Attributes:
        rising: sequences of memories of a lower tier that were retrieved often, at most 10,000,
            with the prefix of their agent; in the order in which they came to be.
    """

    def __init__(self, tables: Tables, half_life_s: float) -> None:
        self._tables = tables
        self._rate = 1 / (half_life_s * _NS_A_SECOND)
        self._origin_ns = 0
        self._weight = 1.0
        self.rising: dict[int, bytes] = {}

    def begin(self, now_ns: int) -> None:
        """Have what is retrieved next be retrieved now, by the wall clock."""
        exponent = (now_ns - self._origin_ns) * self._rate
        if not 0.0 <= exponent <= _MAX_EXPONENT:
            self._move_origin(now_ns, exponent)
            exponent = 0.0
        self._weight = 2.0**exponent

    def clear(self) -> None:
        """Forget which memories are rising; what is known of each goes with its agent."""
        self.rising.clear()

    def note_one(self, memories: AgentMemories, sequence: int) -> None:
        """A short-term memory was retrieved."""
        reads = memories.reads
        if reads is not None and sequence in reads:
            reads[sequence] += self._weight
        else:
            self.note_short(memories, (sequence,))

    def note_short(self, memories: AgentMemories, sequences: Sequence[int]) -> None:
        """Short-term memories were retrieved."""
        reads = memories.reads
        if reads is None:
            reads = memories.reads = {}
        weight, get = self._weight, reads.get
        for sequence in sequences:
            reads[sequence] = get(sequence, 0.0) + weight
        if len(reads) > MAX_READ:
            _forget_weaker_half(memories)

    def note(self, memories: AgentMemories, places: Sequence[Place]) -> None:
        """Memories of any tiers were retrieved: tier, and row or, in a lower tier, sequence."""
        if not 0 < len(places) <= MAX_READ:
            return
        reads = memories.reads
        if reads is None:
            reads = memories.reads = {}
        short = () if memories.short is None else memories.short.sequences
        weight, get = self._weight, reads.get
        limit = RISING_STRENGTH * weight
        for tier, at in places:
            sequence = at if tier else short[at]
            reads[sequence] = kept = get(sequence, 0.0) + weight
            if kept > limit and tier and len(self.rising) < _MAX_RISING:
                self.rising[sequence] = memories.prefix
        if len(reads) > MAX_READ:
            _forget_weaker_half(memories)

    def rising_of(self, memories: AgentMemories) -> list[int]:
        """Sequences of an agent's memories, of any tier, whose access is over a half."""
        limit = RISING_STRENGTH * self._weight
        return [sequence for sequence, kept in (memories.reads or {}).items() if kept > limit]

    def is_rising(self, memories: AgentMemories, sequence: int) -> bool:
        """Whether the access of a memory is over a half."""
        reads = memories.reads
        return reads is not None and reads.get(sequence, 0.0) > RISING_STRENGTH * self._weight

    def of(self, memories: AgentMemories) -> tuple[Ints, npt.NDArray[np.float64]] | None:
        """Sequences (m,) of what an agent has retrieved, and access (m,); None for nothing."""
        reads = memories.reads
        if not reads:
            return None
        kept = np.fromiter(reads.values(), np.float64, len(reads))
        return np.fromiter(reads, np.int64, len(reads)), access(kept / self._weight)

    def _move_origin(self, now_ns: int, exponent: float) -> None:
        """Keep strengths as seen from now; a clock that was set back goes on from its latest."""
        factor = 2.0**-exponent if exponent > 0.0 else 1.0 / self._weight
        self._origin_ns = now_ns
        for memories in self._tables.agents.values():
            if memories.reads is not None:
                faded = ((one, factor * kept) for one, kept in memories.reads.items())
                memories.reads = dict(pair for pair in faded if pair[1] >= _LEAST_STRENGTH) or None


def _forget_weaker_half(memories: AgentMemories) -> None:
    kept = sorted((memories.reads or {}).items(), key=itemgetter(1))
    memories.reads = dict(kept[len(kept) // 2 :])

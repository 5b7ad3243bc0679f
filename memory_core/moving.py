"""Memories on their way down: from a tier to the one below it, some at a time.

What moves down is as if it had never been retrieved (`memory_core.tiering` says why).

A tier that has more than its capacity gives its excess away, a tenth of its capacity with it.
Few go at once. Many are noted, and some of them go with each batch that writes, so that no batch
waits for thousands; until then the tier holds more than its capacity. What is noted is forgotten
when the store closes: the tier is then too full again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from memory_core.access import Accesses
from memory_core.errors import CorruptionError
from memory_core.expiry import Expiry
from memory_core.log import IDS
from memory_core.memories import AgentMemories, LowerMemories, rows_from
from memory_core.movement import Chosen, Movement, split
from memory_core.operations import TIERS
from memory_core.reading import Applied, Reader
from memory_core.record import SEQUENCE_BYTES, lower_keys, lower_value, lower_values
from memory_core.results import Demotion
from memory_core.short_term import KIND_MASK
from memory_core.tables import Tables
from memory_core.tiering import demotion_count, lowest_retention, retention, transition_count

__all__ = ["Mover"]

_STM, _IM, _LTM = range(len(TIERS))
_AT_ONCE = 512
_LEAST_TOGETHER = 64
_MOVES_A_WRITE = 2
_LOOKED_AT_TOGETHER = 100_000
_AGENTS_LOOKED_AT_TOGETHER = 1_000
_PART = 512
# What it costs to begin with another agent, in memories.
_AGENT_COST = 16

Ints = npt.NDArray[np.int64]


class Mover:
    """Moves memories between the tables' tiers and in the write batch. Not thread-safe.

    Args:
        tables: of the store.
        reader: reads records.
        capacities: of the short-term and the intermediate tier.
        accesses: knows what was retrieved how often.
        expiry: is told what comes to a tier.

    Attributes:
        demoted: how many memories it has moved down in all.
        blocked: tiers that keep what they have, because of damage that moving would have to read.
    """

    def __init__(
        self,
        tables: Tables,
        reader: Reader,
        capacities: tuple[int, int],
        accesses: Accesses,
        expiry: Expiry,
    ) -> None:
        self._accesses = accesses
        self._expiry = expiry
        self._tables = tables
        self._reader = reader
        self._capacities = capacities
        self._queue: deque[Chosen] = deque()
        self._queued: set[tuple[str, int]] = set()
        self.demoted = 0
        self.blocked: dict[tuple[str, int], CorruptionError] = {}

    @property
    def is_waiting(self) -> bool:
        """Whether anything is noted to move down."""
        return bool(self._queue)

    @property
    def waiting(self) -> int:
        """Memories that are noted to move down."""
        return sum(len(one.sequences) for one in self._queue)

    def clear(self) -> None:
        """Forget what is noted."""
        self._queue.clear()
        self._queued.clear()
        self.blocked.clear()

    def forget(self, agent_id: str) -> None:
        """Forget what is noted of an agent that is deleted."""
        for tier in (_STM, _IM):
            self.blocked.pop((agent_id, tier), None)
            if (agent_id, tier) in self._queued:
                self._queued.discard((agent_id, tier))
                kept = [one for one in self._queue if (one.agent_id, one.tier) != (agent_id, tier)]
                self._queue = deque(kept)

    def make_room(
        self,
        agent_id: str,
        memories: AgentMemories,
        tier: int,
        applied: Applied,
        *,
        may_move: bool = True,
    ) -> None:
        """Move down, or note, what a tier has too much; only note it unless it ``may_move``."""
        if tier == _LTM:
            return
        count = demotion_count(memories.held(tier), self._capacities[tier])
        if not count or (agent_id, tier) in self._queued or (agent_id, tier) in self.blocked:
            return
        sequences, scores = self._scored(memories, tier)
        chosen = lowest_retention(sequences, scores, count)
        if may_move and count <= _AT_ONCE:
            try:
                if tier == _STM:
                    self._from_short(agent_id, memories, chosen.tolist(), applied)
                else:
                    self._from_intermediate(agent_id, memories, sequences[chosen], applied)
            except CorruptionError as error:  # met before anything was moved
                self.blocked[agent_id, tier] = error
            return
        self._note(agent_id, memories, tier, sequences, chosen)

    def note(self, agent_id: str, memories: AgentMemories, tier: int, count: int) -> int:
        """Have ``count`` memories move down though their tier has room; how many were noted."""
        if (agent_id, tier) in self._queued or (agent_id, tier) in self.blocked:
            return 0
        sequences, scores = self._scored(memories, tier)
        chosen = lowest_retention(sequences, scores, count)
        self._note(agent_id, memories, tier, sequences, chosen)
        return len(chosen)

    def _note(
        self, agent_id: str, memories: AgentMemories, tier: int, sequences: Ints, chosen: Ints
    ) -> None:
        self._queued.add((agent_id, tier))
        self._queue.append(_chosen(agent_id, memories, tier, sequences, chosen))

    def go_on(self, applied: Applied) -> None:
        """Move some of what is noted: twice as many as the batch has writes."""
        self.settle(None, max(_LEAST_TOGETHER, _MOVES_A_WRITE * len(applied.writes)), applied)

    def settle(self, agent_id: str | None, limit: int, applied: Applied) -> int:
        """Move at most ``limit`` of what is noted, of one agent or of all; how many it took."""
        left = limit
        while left > 0 and (first := self._first(agent_id)) is not None:
            some, rest = split(first, left)
            if rest is None:
                self._queued.discard((first.agent_id, first.tier))
            else:
                self._queue.appendleft(rest)
            try:
                self._move(some, applied)
            except CorruptionError as error:
                self.blocked[first.agent_id, first.tier] = error
            left -= len(some.sequences)
            memories = self._tables.agents.get(first.agent_id)
            if rest is None and memories is not None:  # more may have come meanwhile
                self.make_room(first.agent_id, memories, first.tier, applied, may_move=False)
        return limit - left

    def _first(self, agent_id: str | None) -> Chosen | None:
        """What is noted first, of one agent or of all; it is noted no more."""
        for at, one in enumerate(self._queue):
            if agent_id is None or one.agent_id == agent_id:
                del self._queue[at]
                return one
        return None

    def advance(self, movement: Movement, applied: Applied) -> None:
        """Do the next part of a transition. Raises CorruptionError."""
        if movement.unseen is None:
            agent_id = movement.operation.agent_id
            movement.unseen = list(self._tables.agents) if agent_id is None else [agent_id]
        if movement.unseen:
            self._look(movement)
            return
        if movement.found:
            _choose(movement)
            movement.is_done = not movement.parts
            return
        left = _PART
        while left > 0 and movement.parts:
            some, rest = split(movement.parts.popleft(), left)
            if rest is not None:
                movement.parts.appendleft(rest)
            movement.moved += self._move(some, applied)
            left -= len(some.sequences) + _AGENT_COST
        movement.is_done = not movement.parts

    def _look(self, movement: Movement) -> None:
        """Note what some more agents have in the tier above."""
        tier, seen = TIERS.index(movement.operation.to) - 1, 0
        for _ in range(min(_AGENTS_LOOKED_AT_TOGETHER, len(movement.unseen or ()))):
            agent_id = movement.unseen.pop()  # type: ignore[union-attr]
            memories = self._tables.agents.get(agent_id)
            if memories is None or not memories.held(tier):
                continue
            sequences, scores = self._scored(memories, tier)
            movement.found.append(_chosen(agent_id, memories, tier, sequences, None))
            movement.scores.append(scores)
            seen += len(sequences)
            if seen >= _LOOKED_AT_TOGETHER:
                return

    def _move(self, chosen: Chosen, applied: Applied) -> int:
        """Move what is still where it was; how many."""
        memories = self._tables.agents.get(chosen.agent_id)
        if memories is None:
            return 0
        if chosen.tier == _STM:
            table = memories.short
            if table is None:
                return 0
            rows = []
            for state_id, sequence in zip(chosen.state_ids, chosen.sequences.tolist(), strict=True):
                row = table.rows.get(state_id)
                if row is not None and table.sequences[row] == sequence:
                    rows.append(row)
            if rows:
                self._from_short(chosen.agent_id, memories, rows, applied)
            return len(rows)
        if memories.lower is None:
            return 0
        here = memories.lower.rows.present(chosen.sequences, chosen.tier)
        if len(here):
            self._from_intermediate(chosen.agent_id, memories, here, applied)
        return len(here)

    def _from_short(
        self, agent_id: str, memories: AgentMemories, rows: list[int], applied: Applied
    ) -> None:
        table, below = memories.make_short(), self._tables.make_lower(memories)
        columns = table.taken(rows)
        state_ids = [table.ids[row] for row in rows]
        encoded = [state_id.encode() for state_id in state_ids]
        values = self._lower_values(memories, rows, columns, encoded, applied)
        vectors = table.index.vectors[rows]
        prefix, put, delete = memories.prefix, applied.put, applied.delete
        for state_id, key, value in zip(
            encoded, lower_keys(prefix, columns["sequence"]), values, strict=True
        ):
            delete(_STM, prefix + state_id)
            put(_IM, key, value)
            put(IDS, prefix + state_id, key[-SEQUENCE_BYTES:])
        if self._reader.may_hold:
            _hold(below, columns["sequence"].tolist(), values, vectors)
            held = [len(one) for row in rows if (one := table.payloads[row]) is not None]
            applied.held += len(rows) - len(held)
            applied.held_bytes += sum(map(len, values)) + vectors.nbytes - sum(held)
        table.remove(rows)
        if not table.ids:
            memories.short = None
        below.add(columns["sequence"], rows_from(columns, len(rows), _IM), vectors)
        self._tables.changed.add(agent_id)
        memories.forget_reads(columns["sequence"])
        self._expiry.enter(agent_id, _IM, int(columns["stored_ns"].min()))
        self.demoted += len(rows)
        applied.tell(Demotion, agent_id, state_ids, _STM)
        if below.rows.held[_IM] > self._capacities[_IM]:
            self.make_room(agent_id, memories, _IM, applied)

    def _lower_values(
        self,
        memories: AgentMemories,
        rows: list[int],
        columns: Mapping[str, npt.NDArray[Any]],
        state_ids: list[bytes],
        applied: Applied,
    ) -> list[bytes]:
        """What short-term memories are in a lower tier; what the table has whole is not read."""
        held = memories.make_short().payloads
        # of a record with a vector or metadata the state alone is not enough
        marks = columns["mark"].tolist()
        payloads = [
            (None if mark & ~KIND_MASK else held[row]) or b""
            for row, mark in zip(rows, marks, strict=True)
        ]
        read = [at for at, payload in enumerate(payloads) if not payload]
        values = lower_values(
            columns["sequence"].tolist(),
            columns["stored_ns"].tolist(),
            columns["importance"].tolist(),
            (columns["mark"] & KIND_MASK).tolist(),
            columns["step"].tolist(),
            state_ids,
            payloads,
        )
        keys = [memories.prefix + state_ids[at] for at in read]
        for at, value in zip(read, self._reader.values(_STM, keys, applied), strict=True):
            values[at] = lower_value(state_ids[at], value)
        return values

    def _from_intermediate(
        self, agent_id: str, memories: AgentMemories, sequences: Ints, applied: Applied
    ) -> None:
        keys = lower_keys(memories.prefix, sequences)
        lower = memories.make_lower()
        values = self._intermediate_values(lower, keys, sequences, applied)
        if applied.demotions is not None:
            records = self._reader.checked(keys, values)
            applied.tell(Demotion, agent_id, [state_id for state_id, _ in records], _IM)
        for key, value in zip(keys, values, strict=True):
            applied.delete(_IM, key)
            applied.put(_LTM, key, value)
        lower.rows.move(sequences, _LTM)
        memories.forget_reads(sequences)
        self._expiry.enter(agent_id, _LTM, lower.rows.first_stored_ns(sequences))
        self.demoted += len(sequences)

    def _scored(self, memories: AgentMemories, tier: int) -> tuple[Ints, npt.NDArray[np.float64]]:
        """Sequences and retention of all memories of a tier, (n,) each, in its rows' order."""
        table = memories.tier(tier) or memories.make_short()
        sequences = table.all_sequences()
        read, accesses = self._accesses.of(memories) or (None, None)
        return sequences, retention(sequences, table.column("importance"), read, accesses)

    def _intermediate_values(
        self, lower: LowerMemories, keys: list[bytes], sequences: Ints, applied: Applied
    ) -> list[bytes]:
        """Values that are leaving the intermediate tier, and so are held no longer."""
        held = [lower.held.pop(sequence, None) for sequence in sequences.tolist()]
        unread = [key for key, both in zip(keys, held, strict=True) if both is None]
        read = iter(self._reader.values_between(_IM, unread, applied) if unread else ())
        given = [both for both in held if both is not None]
        applied.held -= len(given)
        applied.held_bytes -= sum(map(len, given))
        end = -4 * self._tables.settings.dimension
        return [next(read) if both is None else both[:end] for both in held]


def _hold(
    lower: LowerMemories,
    sequences: list[int],
    values: list[bytes],
    vectors: npt.NDArray[np.float32],
) -> None:
    together, size = vectors.tobytes(), 4 * vectors.shape[1]
    for at, (sequence, value) in enumerate(zip(sequences, values, strict=True)):
        lower.held[sequence] = value + together[at * size : at * size + size]


def _chosen(
    agent_id: str, memories: AgentMemories, tier: int, sequences: Ints, positions: Ints | None
) -> Chosen:
    """Memories at positions of a tier, or all of them."""
    state_ids: Sequence[str] = ()
    if tier == _STM:
        ids = memories.make_short().ids
        state_ids = ids[:] if positions is None else [ids[at] for at in positions.tolist()]
    taken = sequences.copy() if positions is None else sequences[positions]
    return Chosen(agent_id, tier, taken, state_ids)


def _choose(movement: Movement) -> None:
    """Of all that was found, keep what is to move."""
    if not movement.found:
        return
    scores = np.concatenate(movement.scores)
    sequences = np.concatenate([one.sequences for one in movement.found])
    count = transition_count(len(sequences), movement.operation.percentage)
    chosen = np.sort(lowest_retention(sequences, scores, count))
    first = 0
    for agent_id, tier, own, state_ids in movement.found:
        start, stop = np.searchsorted(chosen, (first, first + len(own)))
        positions = chosen[start:stop] - first
        positions = positions[np.argsort(own[positions], kind="stable")]
        first += len(own)
        if len(positions):
            ids = [state_ids[at] for at in positions.tolist()] if tier == _STM else ()
            movement.parts.append(Chosen(agent_id, tier, own[positions], ids))
    movement.found, movement.scores = [], []

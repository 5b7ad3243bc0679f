"""What a store keeps in memory of one agent: where each memory is, its vector, and its state.

All of it can be rebuilt from RocksDB. A memory is in exactly one tier. Its packed state is here
while the store's `memory_core.payload_budget` allows it.
"""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
import numpy.typing as npt

from memory_core.index import FlatIndex
from memory_core.ops import TIERS
from memory_core.record import agent_prefix

__all__ = ["HAS_METADATA", "AgentMemories", "Entry", "TierTable"]


# sequence, importance, stored_ns, step (or NO_STEP), mark, bytes of the packed state
Entry = tuple[int, float, int, int, int, int]
# A mark is a memory's kind, and this where it has metadata.
HAS_METADATA = 128


class TierTable:
    """The memories of one agent in one tier, a row each: what is asked for without the record."""

    __slots__ = (
        *("ids", "importances", "index", "marks", "payloads", "rows", "sequences", "sizes"),
        *("steps", "stored_ns"),
    )

    def __init__(self, dimension: int) -> None:
        self.ids: list[str] = []
        self.payloads: list[bytes | None] = []
        self.rows: dict[str, int] = {}
        self.sequences = array("q")
        self.importances = array("f")
        self.stored_ns = array("q")
        self.steps = array("q")
        self.marks = array("B")
        self.sizes = array("I")
        self.index = FlatIndex(dimension)

    def __len__(self) -> int:
        return len(self.ids)

    def put(
        self,
        state_id: str,
        vector: npt.NDArray[np.float32],
        entry: Entry,
        payload: bytes | None,
    ) -> None:
        """Insert a memory, or replace the one of that id."""
        sequence, importance, stored_ns, step, mark, size = entry
        row = self.rows.get(state_id)
        if row is None:
            self.rows[state_id] = self.index.add(vector)
            self.ids.append(state_id)
            self.payloads.append(payload)
            self.sequences.append(sequence)
            self.importances.append(importance)
            self.stored_ns.append(stored_ns)
            self.steps.append(step)
            self.marks.append(mark)
            self.sizes.append(size)
        else:
            self.index.replace(row, vector)
            self.payloads[row] = payload
            self.sequences[row] = sequence
            self.importances[row] = importance
            self.stored_ns[row] = stored_ns
            self.steps[row] = step
            self.marks[row] = mark
            self.sizes[row] = size

    def entry(self, row: int) -> Entry:
        """What `put` was given for a row."""
        return (
            self.sequences[row],
            self.importances[row],
            self.stored_ns[row],
            self.steps[row],
            self.marks[row],
            self.sizes[row],
        )

    def remove(self, state_id: str) -> None:
        """Take a memory away. Raises KeyError when it is not here."""
        row = self.rows.pop(state_id)
        self.index.remove(row)
        last_id = self.ids[-1]
        columns: tuple[Any, ...] = (
            *(self.ids, self.payloads, self.sequences, self.importances, self.stored_ns),
            *(self.steps, self.marks, self.sizes),
        )
        for column in columns:
            last = column.pop()
            if last_id != state_id:
                column[row] = last
        if last_id != state_id:
            self.rows[last_id] = row

    def forget_payloads(self) -> tuple[int, int]:
        """Hold no packed states; how many and how many bytes were held."""
        held = [payload for payload in self.payloads if payload is not None]
        if held:
            self.payloads = [None] * len(self.ids)
        return len(held), sum(map(len, held))


class AgentMemories:
    """The three tiers of one agent; a tier is made when the first memory enters it."""

    __slots__ = ("_dimension", "prefix", "tables")

    def __init__(self, agent_id: str, dimension: int) -> None:
        self.prefix = agent_prefix(agent_id)
        self._dimension = dimension
        self.tables: list[TierTable | None] = [None] * len(TIERS)

    def table(self, tier: int) -> TierTable:
        """The table of a tier, made if need be."""
        table = self.tables[tier]
        if table is None:
            table = self.tables[tier] = TierTable(self._dimension)
        return table

    def find(self, state_id: str) -> tuple[int, TierTable, int] | None:
        """Tier, its table and the row that hold ``state_id``, or None."""
        for tier, table in enumerate(self.tables):
            if table is not None:
                row = table.rows.get(state_id)
                if row is not None:
                    return tier, table, row
        return None

    def held(self, tier: int) -> int:
        """How many memories a tier holds."""
        table = self.tables[tier]
        return 0 if table is None else len(table)

    def held_bytes(self, tier: int) -> int:
        """How many bytes the packed states of a tier are together."""
        table = self.tables[tier]
        return 0 if table is None else sum(table.sizes)

"""What a store keeps in memory of one agent: where each memory is, its vector, and its state.

All of it can be rebuilt from RocksDB. A memory is in exactly one tier. Its packed state is here
while the store's `memory_core.payload_budget` allows it.
"""

from __future__ import annotations

from array import array

import numpy as np
import numpy.typing as npt

from memory_core.index import FlatIndex
from memory_core.ops import TIERS
from memory_core.record import agent_prefix

__all__ = ["AgentMemories", "TierTable"]


class TierTable:
    """The memories of one agent in one tier: rows of ids, order, importance and vectors."""

    __slots__ = ("ids", "importances", "index", "payloads", "rows", "sequences")

    def __init__(self, dimension: int) -> None:
        self.ids: list[str] = []
        self.payloads: list[bytes | None] = []
        self.rows: dict[str, int] = {}
        self.sequences = array("q")
        self.importances = array("f")
        self.index = FlatIndex(dimension)

    def __len__(self) -> int:
        return len(self.ids)

    def put(
        self,
        state_id: str,
        vector: npt.NDArray[np.float32],
        sequence: int,
        importance: float,
        payload: bytes | None,
    ) -> None:
        """Insert a memory, or replace the one of that id."""
        row = self.rows.get(state_id)
        if row is None:
            self.rows[state_id] = self.index.add(vector)
            self.ids.append(state_id)
            self.payloads.append(payload)
            self.sequences.append(sequence)
            self.importances.append(importance)
        else:
            self.index.replace(row, vector)
            self.payloads[row] = payload
            self.sequences[row] = sequence
            self.importances[row] = importance

    def remove(self, state_id: str) -> None:
        """Take a memory away. Raises KeyError when it is not here."""
        row = self.rows.pop(state_id)
        self.index.remove(row)
        last_id, last_sequence = self.ids.pop(), self.sequences.pop()
        last_importance, last_payload = self.importances.pop(), self.payloads.pop()
        if last_id != state_id:
            self.ids[row] = last_id
            self.rows[last_id] = row
            self.sequences[row] = last_sequence
            self.importances[row] = last_importance
            self.payloads[row] = last_payload

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

"""What a store does of itself between its tiers: along with batches, or at once when told to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from memory_core.access import Accesses
from memory_core.config import MemoryConfig
from memory_core.expiry import Expiry
from memory_core.maintenance import Maintenance
from memory_core.movement import Movement
from memory_core.moving import Mover
from memory_core.operations import TIERS, Operation
from memory_core.promoting import Promoter
from memory_core.reading import Applied, Reader
from memory_core.tables import Tables

__all__ = ["Maintainer"]

_AGENTS_TOGETHER = 1_000
_PART = 1_024
# which have what moves, and in what order, to themselves
_IN_PARTS = frozenset({Movement, Maintenance})


class Maintainer:
    """Has what waits move or be deleted. Not thread-safe.

    Args:
        config: of the store.
        tables: of the store.
        reader: reads records.
        accesses: knows what was retrieved how often.

    Attributes:
        mover: moves memories down.
        expiry: hides and deletes what is too old.
    """

    def __init__(
        self, config: MemoryConfig, tables: Tables, reader: Reader, accesses: Accesses
    ) -> None:
        self._tables = tables
        self._accesses = accesses
        ttls_s = (config.stm_ttl_s, config.im_ttl_s, config.ltm_ttl_s)
        self.expiry = Expiry(ttls_s, tables, reader)
        capacities = (config.stm_capacity, config.im_capacity)
        self.mover = Mover(tables, reader, capacities, accesses, self.expiry)
        self._promoter = Promoter(tables, reader, accesses, self.expiry, self.mover)

    def clear(self) -> None:
        """Forget what was to be done to tables that are made again."""
        self.mover.clear()
        self._accesses.clear()
        self.expiry.clear()

    def begin(self, now_ns: int) -> None:
        """Let it be now: what is too old is gone, what is retrieved is retrieved now."""
        if self.expiry.next_ns < now_ns:
            self.hide(now_ns)
        self._accesses.begin(now_ns)

    def hide(self, now_ns: int) -> None:
        """Take out of the tables what is too old now."""
        for agent_id in self.expiry.hide(now_ns):
            self.mover.forget(agent_id)

    def go_on(self, operations: Sequence[Operation], now_ns: int, applied: Applied) -> None:
        """Do some of what waits for a batch that writes."""
        if not (self.mover.is_waiting or self._promoter.is_waiting or self.expiry.is_waiting):
            return
        kinds: set[type[Any]] = {type(operations[at]) for at in applied.writes}
        if kinds == {Maintenance}:  # which does it by itself, and says how much
            return
        if self.mover.is_waiting:
            self.mover.go_on(applied)
        if self._promoter.is_waiting and not kinds <= _IN_PARTS:
            self._promoter.go_on(now_ns, applied)
        if self.expiry.is_waiting:
            self.expiry.go_on(applied)

    def advance(self, maintenance: Maintenance, now_ns: int, applied: Applied) -> None:
        """Do the next part."""
        agent_id = maintenance.operation.agent_id
        if maintenance.unseen is None:
            maintenance.unseen = list(self._tables.agents) if agent_id is None else [agent_id]
        demoted = self.mover.demoted
        left = _PART
        for _ in range(min(_AGENTS_TOGETHER, len(maintenance.unseen))):
            if left <= 0:
                break
            left -= self._look(maintenance, left, now_ns, applied)
        if not maintenance.unseen:
            left -= self.mover.settle(agent_id, left, applied)
            if left > 0:
                deleted = self.expiry.delete(agent_id, left, applied)
                maintenance.expired += deleted
                left -= deleted
            # with something left to do there was more to do than a part is
            maintenance.is_done = left > 0
        maintenance.demoted += self.mover.demoted - demoted

    def _look(self, maintenance: Maintenance, limit: int, now_ns: int, applied: Applied) -> int:
        """Move up what one more agent retrieves often, and make room; how many memories moved."""
        unseen = maintenance.unseen or []
        agent_id, demoted = unseen[-1], self.mover.demoted
        promoted = self._promoter.promote_all(agent_id, limit, now_ns, applied)
        maintenance.promoted += promoted
        memories = self._tables.agents.get(agent_id)
        if promoted < limit:
            unseen.pop()
            for tier in range(len(TIERS) - 1) if memories is not None else ():
                self.mover.make_room(agent_id, memories, tier, applied)  # type: ignore[arg-type]
        return promoted + self.mover.demoted - demoted

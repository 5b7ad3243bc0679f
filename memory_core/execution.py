"""How a batch of operations is applied: to the tables in memory and to one write batch.

Nothing here writes to the disk. `Execution.run` gives back the write batch, which the store
commits before it acknowledges anything; until then the tables are ahead of the database, and a
commit that fails has the store make them again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from typing import Any

from memory_core.access import Accesses
from memory_core.answering import Answers
from memory_core.config import MemoryConfig
from memory_core.errors import (
    DatabaseError,
    MemoryCoreError,
    UnavailableError,
)
from memory_core.log import Log
from memory_core.log_statistics import held_bytes
from memory_core.maintaining import Maintainer
from memory_core.maintenance import Maintenance
from memory_core.memory_bound import MemoryBound
from memory_core.memory_shares import shares_of
from memory_core.movement import Movement
from memory_core.moving import Mover
from memory_core.operations import (
    Delete,
    Operation,
    Restore,
    Retrieve,
    Store,
)
from memory_core.payload_budget import PayloadBudget
from memory_core.preparation import Preparation, Vector
from memory_core.reading import Applied, Reader
from memory_core.results import (
    DONE,
    Failure,
    Moved,
    Result,
)
from memory_core.storing import Storing
from memory_core.surveying import Surveyor
from memory_core.tables import Tables
from memory_core.vectors import Vectorizer

__all__ = ["Execution"]

_WRITES = frozenset({Store, Delete, Movement, Maintenance, Restore})
_STORING = frozenset({Store, Restore})


class Execution:
    """Applies batches to the tables of one store. Not thread-safe: the store calls it in turn."""

    def __init__(
        self,
        config: MemoryConfig,
        vectorizer: Vectorizer,
        log: Log,
        tables: Tables,
        budget: PayloadBudget,
    ) -> None:
        self._log = log
        self._preparation = Preparation(vectorizer, config.max_state_bytes)
        self._tables = tables
        self._budget = budget
        self._accesses = Accesses(tables, config.access_half_life_s)
        self._reader = Reader(log, budget, vectorizer.dimension, vectorizer.encode, self._accesses)
        self._maintainer = Maintainer(config, tables, self._reader, self._accesses)
        self._mover, self._expiry = self._maintainer.mover, self._maintainer.expiry
        self._bound = _bound(config, log, tables, budget, self._mover)
        self._surveyor = Surveyor(
            log, tables, self._mover, budget, self._bound, config.memory_limit_bytes
        )
        self._storing = Storing(
            config, vectorizer, tables, self._reader, self._mover, self._expiry, budget
        )
        self._answers = Answers(vectorizer, tables, self._reader, self._accesses, self._surveyor)

    def run(
        self,
        operations: Sequence[Operation],
        now_ns: int,
        refusal: str | None,
        watched: bool = False,
    ) -> Applied:
        """Apply operations in their order.

        Args:
            operations: what to do.
            now_ns: wall clock, stored with each memory; what is too old by it is gone.
            refusal: why writes are refused, or None.
            watched: whether moves between tiers are to be told.
        """
        results, vectors = self._preparation.prepare(operations)
        applied = Applied(results, self._log.batch())
        if watched:
            applied.demotions = []
        self._maintainer.begin(now_ns)
        bound = self._bound
        if bound is not None:
            bound.begin()
        if (
            refusal is None
            and (bound is None or bound.has_room(len(operations)))
            and self._storing.store_together(operations, vectors, now_ns, applied)
        ):
            if bound is not None:
                bound.take(len(operations))
        else:
            self._look_up(operations, applied)
            self._run_each(operations, vectors, now_ns, refusal, applied)
        if applied.writes:
            self._maintainer.go_on(operations, now_ns, applied)
        if applied.held or applied.held_bytes:
            self._budget.add(applied.held, applied.held_bytes, self._tables.agents)
        if bound is not None:
            bound.end(operations, applied)
        return applied

    def _run_each(
        self,
        operations: Sequence[Operation],
        vectors: Sequence[Vector | None],
        now_ns: int,
        refusal: str | None,
        applied: Applied,
    ) -> None:
        results, expiry = applied.results, self._expiry
        store, answer = self._storing.store, self._answers.give
        may_refuse = refusal is not None or self._bound is not None
        for position, operation in enumerate(operations):
            if results[position] is not None:
                continue
            one: Any = operation
            if type(operation) in _WRITES:
                if may_refuse and self._refuses(operation, position, refusal, applied):
                    continue
                applied.writes.append(position)
            try:
                if type(operation) is Store:
                    store(one, vectors[position], now_ns, applied)  # type: ignore[arg-type]
                    results[position] = DONE
                elif type(operation) in _WRITES:
                    results[position] = self._change(one, vectors[position], now_ns, applied)
                else:
                    results[position] = answer(one, vectors[position], applied)
            except DatabaseError as error:  # met before anything was changed
                results[position] = Failure.of(error)
            if expiry.next_ns < now_ns:  # of what it has moved or restored
                self._maintainer.hide(now_ns)

    def _refuses(
        self, operation: Operation, position: int, refusal: str | None, applied: Applied
    ) -> bool:
        """Whether a write is refused, with the failure as its result."""
        error: MemoryCoreError
        if refusal is not None:
            error = UnavailableError(refusal)
        elif self._bound is None or type(operation) not in _STORING or self._bound.takes_one():
            return False
        else:
            # a write all the same: what waits goes down meanwhile, and makes room
            applied.writes.append(position)
            error = self._bound.error()
        applied.results[position] = Failure.of(error)
        return True

    def _look_up(self, operations: Sequence[Any], applied: Applied) -> None:
        """Read together where the memories are that the batch names and memory does not know."""
        if len(operations) == 1 or not self._tables.have_lower:
            return
        agents, keys = self._tables.agents, []
        for operation in operations:
            if type(operation) is not Store and type(operation) is not Retrieve:
                continue
            memories = agents.get(operation.agent_id)
            if memories is None or memories.lower is None:
                continue
            if memories.short is None or operation.state_id not in memories.short.rows:
                keys.append(memories.prefix + operation.state_id.encode())
        if keys:
            with contextlib.suppress(DatabaseError):  # which whoever needs it will meet
                self._reader.look_up(keys, applied)

    def clear(self) -> None:
        """Forget what was to be done to tables that are made again."""
        self._maintainer.clear()
        if self._bound is not None:
            self._bound.clear()

    def _change(self, operation: Any, vector: Any, now_ns: int, applied: Applied) -> Result:
        """The result of an operation that changes something but is no plain store."""
        if type(operation) is Restore:
            self._storing.restore(operation, vector, applied)
            return DONE
        if type(operation) is Delete:
            return self._storing.delete(operation, applied)
        if type(operation) is Maintenance:
            self._maintainer.advance(operation, now_ns, applied)
            return operation.result
        self._mover.advance(operation, applied)
        return Moved(operation.moved)


def _bound(
    config: MemoryConfig, log: Log, tables: Tables, budget: PayloadBudget, mover: Mover
) -> MemoryBound | None:
    limit = config.memory_limit_bytes
    if limit is None:
        return None
    held = partial(held_bytes, log)
    return MemoryBound(limit, shares_of(config), config.dimension, tables, budget, mover, held)

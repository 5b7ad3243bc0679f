"""Functions of a program's that are called after what happens to its memories.

A hook is called when the operation has been acknowledged, in the thread that called for it, while
no lock of the store is held; the call returns when its hooks have. Events of one batch come in
the order of its operations, and what an operation moved to another tier after the operation
itself; what waited for a batch that writes moves with the last one of it that does.

A hook that raises harms nothing: the operation's result is given as if there were no hook, the
other hooks are called, the failure is counted, and the first of each hook is logged. What a hook
itself does with the memory calls no hooks. Imported memories, having been stored before, are no
stores.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from memory_core.errors import BadInputError
from memory_core.operations import TIERS, Operation, Query, Retrieve, RetrieveMany, Search, Store
from memory_core.payload import unpack_state
from memory_core.results import Done, Failure, Hits, Memories, Move, Promotion, Record, Result

__all__ = [
    "EVENTS",
    "DemotionEvent",
    "Hooks",
    "MemoryHook",
    "PromotionEvent",
    "RetrievalEvent",
    "StoreEvent",
]

EVENTS = ("store", "demotion", "promotion", "retrieval")

_log = logging.getLogger(__name__)
_CALLS: dict[Any, str] = {
    Retrieve: "retrieve",
    RetrieveMany: "retrieve",
    Search: "search",
    Query: "query",
}


@dataclass(frozen=True, slots=True)
class StoreEvent:
    """A memory was stored, and is as durable as configured; ``payload`` is its packed state."""

    agent_id: str
    state_id: str
    memory_type: str
    importance: float
    step_number: int | None
    payload: bytes

    @property
    def state(self) -> dict[str, Any]:
        """The state as it was stored (decoded at each access)."""
        return unpack_state(self.payload)


@dataclass(frozen=True, slots=True)
class DemotionEvent:
    """A memory moved down a tier: told to, or because its tier had become too full."""

    agent_id: str
    state_id: str
    from_tier: str
    to_tier: str


@dataclass(frozen=True, slots=True)
class PromotionEvent:
    """A memory moved up a tier, because it was retrieved often."""

    agent_id: str
    state_id: str
    from_tier: str
    to_tier: str


@dataclass(frozen=True, slots=True)
class RetrievalEvent:
    """An agent's memories were asked for; ``state_ids`` are those that were given, in order.

    ``call`` is ``retrieve`` (by id), ``search`` (by similarity) or ``query`` (by anything else).
    """

    agent_id: str
    call: str
    state_ids: tuple[str, ...]


class MemoryHook:
    """A registered hook, until it is removed. Thread-safe.

    Attributes:
        event: what it is called after.
        failures: how many times it has raised.
        last_error: what it raised last, or None.
    """

    def __init__(self, hooks: Hooks, event: str, function: Callable[[Any], object]) -> None:
        self.event = event
        self.failures = 0
        self.last_error: Exception | None = None
        self._hooks = hooks
        self._function = function
        self._lock = threading.Lock()

    def remove(self) -> None:
        """Have it called no more, but for a call that is under way; twice is once."""
        self._hooks._remove(self)

    def _call(self, event: object) -> None:
        try:
            self._function(event)
        except Exception as error:  # noqa: BLE001 - a hook of the user's raises what it likes
            with self._lock:
                self.failures += 1
                self.last_error = error
                is_first = self.failures == 1
            if is_first:
                _log.warning(
                    "a hook after each %s failed; further failures are only counted",
                    self.event,
                    exc_info=error,
                )


class Hooks:
    """The hooks of one memory. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._registered: tuple[MemoryHook, ...] = ()
        self._calling = threading.local()

    def add(self, event: Any, function: Any) -> MemoryHook:
        """Register a function that takes an event. Raises BadInputError."""
        if not isinstance(event, str) or event not in EVENTS:
            wanted = "store, demotion, promotion or retrieval"
            raise BadInputError("event", f"must be {wanted}, not {event!r:.80}")
        if not callable(function):
            name = type(function).__name__
            raise BadInputError("hook", f"must be a function that takes an event, not {name}")
        hook = MemoryHook(self, event, function)
        with self._lock:
            self._registered = (*self._registered, hook)
        return hook

    @property
    def are_called(self) -> bool:
        """Whether any would be called by this thread now."""
        return bool(self._registered) and not getattr(self._calling, "now", False)

    def listen_to(self, *events: str) -> bool:
        """Whether any is called after one of these events."""
        return any(hook.event in events for hook in self._registered)

    def tell(
        self,
        operations: Sequence[Operation],
        results: Sequence[Result],
        moves: Sequence[Move] = (),
    ) -> None:
        """Call the hooks after a batch that this thread has called for."""
        moved: dict[int, list[tuple[str, DemotionEvent | PromotionEvent]]] = {}
        for one in moves:
            moved.setdefault(one.position, []).append(_moved(one))
        self._calling.now = True
        try:
            for position, (operation, result) in enumerate(zip(operations, results, strict=True)):
                if type(operation) is Store:
                    if type(result) is Done:
                        self._call("store", _stored(operation))
                elif type(operation) in _CALLS:
                    retrieved = _retrieved(operation, result)
                    if retrieved is not None:
                        self._call("retrieval", retrieved)
                for name, event in moved.get(position, ()):
                    self._call(name, event)
        finally:
            self._calling.now = False

    def _call(self, name: str, event: object) -> None:
        for hook in self._registered:
            if hook.event == name:
                hook._call(event)

    def _remove(self, hook: MemoryHook) -> None:
        with self._lock:
            self._registered = tuple(one for one in self._registered if one is not hook)


def _stored(operation: Store) -> StoreEvent:
    return StoreEvent(
        operation.agent_id,
        operation.state_id,
        operation.kind,
        operation.importance,
        operation.step,
        operation.payload,
    )


def _moved(one: Move) -> tuple[str, DemotionEvent | PromotionEvent]:
    """What a memory's move is called, and the event."""
    ids = (one.agent_id, one.state_id)
    if isinstance(one, Promotion):
        return "promotion", PromotionEvent(*ids, TIERS[one.tier], TIERS[one.tier - 1])
    return "demotion", DemotionEvent(*ids, TIERS[one.tier], TIERS[one.tier + 1])


def _retrieved(operation: Any, result: Result) -> RetrievalEvent | None:
    """What was given; None when the operation failed."""
    if isinstance(result, Failure):
        return None
    state_ids: tuple[str, ...] = ()
    if isinstance(result, Record):
        state_ids = (operation.state_id,)
    elif isinstance(result, Hits):
        state_ids = tuple(hit.state_id for hit in result.hits)
    elif isinstance(result, Memories):
        state_ids = tuple(memory.state_id for memory in result.memories)
    return RetrievalEvent(operation.agent_id, _CALLS[type(operation)], state_ids)

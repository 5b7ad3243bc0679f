"""Results: what `MemoryStore.execute` gives for each operation of a batch, in its place.

As with `memory_core.operations`, each struct is an array on the wire: fields are only ever added
at the end.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from memory_core import errors
from memory_core.errors import MemoryCoreError
from memory_core.payload import unpack_state

__all__ = [
    "DONE",
    "MISSING",
    "AgentSize",
    "Counts",
    "Deleted",
    "Demotion",
    "Described",
    "Done",
    "Exported",
    "Failure",
    "Hit",
    "Hits",
    "Listed",
    "Memories",
    "Memory",
    "Missing",
    "Moved",
    "Record",
    "Result",
]


class Done(msgspec.Struct, tag=0, array_like=True, gc=False, frozen=True):
    """The store is acknowledged: durable as configured."""


class Record(msgspec.Struct, tag=1, array_like=True, gc=False, frozen=True):
    """What a retrieval found."""

    payload: bytes
    tier: str

    @property
    def state(self) -> dict[str, Any]:
        """The state as it was stored (decoded at each access)."""
        return unpack_state(self.payload)


class Missing(msgspec.Struct, tag=2, array_like=True, gc=False, frozen=True):
    """The agent has no memory of that id in that tier."""


class Hit(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """One result of a search; ``score`` is the cosine similarity, in [-1, 1]."""

    state_id: str
    score: float
    tier: str
    payload: bytes

    @property
    def state(self) -> dict[str, Any]:
        """The state as it was stored (decoded at each access)."""
        return unpack_state(self.payload)


class Hits(msgspec.Struct, tag=3, array_like=True, gc=False, frozen=True):
    """What a search found, best first."""

    hits: list[Hit]


class Moved(msgspec.Struct, tag=4, array_like=True, gc=False, frozen=True):
    """How many memories a transition moved."""

    count: int


class Counts(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """Memories by tier."""

    stm: int = 0
    im: int = 0
    ltm: int = 0

    @property
    def total(self) -> int:
        """Memories in all tiers."""
        return self.stm + self.im + self.ltm


class Described(msgspec.Struct, tag=5, array_like=True, gc=False, frozen=True):
    """What `Describe` counted; ``agents`` is 0 when the agent asked for is not known.

    ``payload_bytes`` are those of the packed states, by tier.
    """

    agents: int
    counts: Counts
    payload_bytes: Counts = Counts()


class Memory(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """A memory with all that is kept of it; ``stored_ns`` since the epoch."""

    state_id: str
    tier: str
    kind: str
    importance: float
    stored_ns: int
    step: int | None
    payload: bytes
    metadata: bytes | None

    @property
    def state(self) -> dict[str, Any]:
        """The state as it was stored (decoded at each access)."""
        return unpack_state(self.payload)


class Memories(msgspec.Struct, tag=7, array_like=True, gc=False, frozen=True):
    """What a query found."""

    memories: list[Memory]


class Deleted(msgspec.Struct, tag=8, array_like=True, gc=False, frozen=True):
    """How many memories were deleted."""

    count: int


class AgentSize(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """How many memories an agent has, and the bytes of their packed states."""

    agent_id: str
    memories: int
    payload_bytes: int


class Listed(msgspec.Struct, tag=9, array_like=True, gc=False, frozen=True):
    """What `Agents` found, by agent id."""

    agents: list[AgentSize]


class Exported(msgspec.Struct, tag=10, array_like=True, gc=False, frozen=True):
    """A page of memories.

    ``vectors`` are float32 bytes, one for each, or None where the vector follows from the state.
    ``last`` is the ``after`` of the next page, which there is if ``more``.
    """

    memories: list[Memory]
    vectors: list[bytes | None]
    last: int
    more: bool


class Demotion(NamedTuple):
    """A memory that moved from a tier (a place in `TIERS`) to the one below it.

    ``position`` is that of the operation that led to it, in its batch.
    """

    position: int
    agent_id: str
    state_id: str
    tier: int


class Failure(msgspec.Struct, tag=6, array_like=True, gc=False, frozen=True):
    """The operation failed and changed nothing, unless ``error`` is an UnavailableError's."""

    error: str
    args: list[str]

    @classmethod
    def of(cls, error: MemoryCoreError) -> Failure:
        """A failure that carries ``error`` over the wire."""
        return cls(type(error).__name__, [str(part) for part in error.args])

    def exception(self) -> MemoryCoreError:
        """The error again, of its own class."""
        kind = getattr(errors, self.error, MemoryCoreError)
        if not (isinstance(kind, type) and issubclass(kind, MemoryCoreError)):
            kind = MemoryCoreError
        try:
            error = kind(*self.args)
        except TypeError:  # a reply that nobody of ours has made
            error = MemoryCoreError(f"{self.error}: {' '.join(self.args)}")
        return error


Result = (
    Done
    | Record
    | Missing
    | Hits
    | Moved
    | Described
    | Failure
    | Memories
    | Deleted
    | Listed
    | Exported
)

DONE = Done()
MISSING = Missing()

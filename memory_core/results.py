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
from memory_core.store_statistics import (
    BlockedTier,
    DatabaseStatistics,
    FamilyStatistics,
    IndexStatistics,
    MemoryUse,
    SnapshotStatistics,
    as_plain,
    summed,
)

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
    "Maintained",
    "Memories",
    "Memory",
    "Missing",
    "Move",
    "Moved",
    "Promotion",
    "Record",
    "Result",
    "Statistics",
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


class Statistics(msgspec.Struct, tag=11, array_like=True, gc=False, frozen=True):
    """What a store says of itself; the parts say more (`memory_core.store_statistics`).

    ``payload_bytes`` are those of the packed states, by tier; ``demotions_waiting`` memories that
    are noted to move down; ``blocked`` the first of the tiers that damage keeps from moving
    anything down, ``blocked_count`` how many these are; ``refusal`` why writes are refused since
    one failed. Over several shards numbers are sums, ``shards`` has each by itself, and the age of
    the last snapshot is the oldest one's.
    """

    agents: int = 0
    counts: Counts = Counts()
    payload_bytes: Counts = Counts()
    families: list[FamilyStatistics] = []
    database: DatabaseStatistics = DatabaseStatistics()
    indexes: IndexStatistics = IndexStatistics()
    memory: MemoryUse = MemoryUse()
    demotions_waiting: int = 0
    blocked: list[BlockedTier] = []
    blocked_count: int = 0
    snapshot: SnapshotStatistics = SnapshotStatistics()
    refusal: str | None = None
    shards: list[Statistics] = []

    def as_dict(self) -> dict[str, Any]:
        """All of it by name, as JSON can hold it."""
        plain: dict[str, Any] = as_plain(self)
        return plain

    @classmethod
    def of_shards(cls, shards: list[Statistics]) -> Statistics:
        """Those of several shards together. Raises ValueError for none."""
        ages = [one.snapshot.age_s for one in shards if one.snapshot.age_s is not None]
        families = zip(*(one.families for one in shards), strict=True)
        return cls(
            agents=sum(one.agents for one in shards),
            counts=summed([one.counts for one in shards]),
            payload_bytes=summed([one.payload_bytes for one in shards]),
            families=[
                msgspec.structs.replace(
                    summed([msgspec.structs.replace(one, name="") for one in same]),
                    name=same[0].name,
                )
                for same in families
            ],
            database=summed([one.database for one in shards]),
            indexes=summed([one.indexes for one in shards]),
            memory=summed([one.memory for one in shards]),
            demotions_waiting=sum(one.demotions_waiting for one in shards),
            blocked=[tier for one in shards for tier in one.blocked],
            blocked_count=sum(one.blocked_count for one in shards),
            snapshot=msgspec.structs.replace(
                summed([one.snapshot for one in shards]), age_s=max(ages, default=None)
            ),
            refusal="; ".join(one.refusal for one in shards if one.refusal is not None) or None,
            shards=shards,
        )


class Demotion(NamedTuple):
    """A memory that moved from a tier (a place in `TIERS`) to the one below it.

    ``position`` is that of the operation that led to it, in its batch.
    """

    position: int
    agent_id: str
    state_id: str
    tier: int


class Promotion(NamedTuple):
    """A memory that moved from a tier (a place in `TIERS`) to the one above it.

    ``position`` is that of the operation that led to it, in its batch.
    """

    position: int
    agent_id: str
    state_id: str
    tier: int


Move = Demotion | Promotion


class Maintained(msgspec.Struct, tag=12, array_like=True, gc=False, frozen=True):
    """What maintenance did: memories that it moved down, moved up, and deleted as too old."""

    demoted: int = 0
    promoted: int = 0
    expired: int = 0


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
    | Statistics
    | Maintained
)

DONE = Done()
MISSING = Missing()

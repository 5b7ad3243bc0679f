"""Operations: what `MemoryStore.execute` takes, in batches; `memory_core.results` is what it gives.

The batch is the unit everywhere: a list of operations goes in, a list of results of the same
length and order comes out. `memory_core.wire` has their form as bytes, for which each struct is
an array whose first element is its tag: fields are only ever added at the end.

An operation that is wrong yields a `Failure` in its own place and disturbs no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
import numpy as np
import numpy.typing as npt

from memory_core.conditions import Condition, Filter
from memory_core.errors import BadInputError
from memory_core.payload import pack_state

__all__ = [
    "KINDS",
    "TIERS",
    "Agents",
    "Delete",
    "Describe",
    "Export",
    "Inspect",
    "Maintain",
    "Operation",
    "Query",
    "Restore",
    "Retrieve",
    "RetrieveMany",
    "Search",
    "Store",
    "Transition",
    "vector_bytes",
]

TIERS = ("stm", "im", "ltm")
KINDS = ("state", "action", "interaction")


class Store(msgspec.Struct, tag=0, array_like=True, gc=False):
    """Store a state under (agent_id, state_id), replacing what was there.

    ``payload`` is a state packed by `pack_state`; ``vector`` float32 bytes that take the place
    of the encoder's, or None; ``importance`` in [0, 1]; ``kind`` one of `KINDS`; ``step`` of the
    agent, a 64-bit number; ``metadata`` a packed mapping that is kept beside the state.
    """

    agent_id: str
    state_id: str
    payload: bytes
    importance: float = 0.5
    vector: bytes | None = None
    kind: str = "state"
    step: int | None = None
    metadata: bytes | None = None

    @classmethod
    def of(
        cls,
        agent_id: str,
        state_id: str,
        state_data: Mapping[str, Any],
        *,
        importance: float = 0.5,
        vector: npt.ArrayLike | None = None,
        kind: str = "state",
        step: int | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Store:
        """A store of a plain mapping. Raises BadInputError for a state that cannot be kept."""
        return cls(
            agent_id,
            state_id,
            pack_state(state_data),
            importance,
            vector_bytes("vector", vector),
            kind,
            step,
            None if metadata is None else pack_state(metadata, "metadata"),
        )


class Retrieve(msgspec.Struct, tag=1, array_like=True, gc=False):
    """Fetch one state by id, from one tier or from ``"all"``."""

    agent_id: str
    state_id: str
    tier: str = "all"


class Search(msgspec.Struct, tag=2, array_like=True, gc=False):
    """Find the ``k`` memories of an agent that are most similar to a query, best first.

    The query is a packed state or a ready ``vector`` (float32 bytes). ``min_score`` and ``filter``
    leave out what does not fit before the k are chosen. With ``prefer``, a memory's score is
    ``vector_weight`` times its similarity plus ``attribute_weight`` times the fraction of those
    conditions that hold of it (hybrid search).
    """

    agent_id: str
    payload: bytes | None = None
    vector: bytes | None = None
    k: int = 5
    tier: str = "all"
    min_score: float | None = None
    filter: Filter | None = None
    prefer: list[Condition] = []
    vector_weight: float = 1.0
    attribute_weight: float = 0.0

    @classmethod
    def of(
        cls,
        agent_id: str,
        query_state: Mapping[str, Any] | None = None,
        *,
        vector: npt.ArrayLike | None = None,
        k: int = 5,
        tier: str = "all",
        min_score: float | None = None,
        filter: Filter | None = None,  # noqa: A002 - what the field is called
    ) -> Search:
        """A search by a plain mapping or a vector of shape (dim,). Raises BadInputError."""
        payload = None if query_state is None else pack_state(query_state, "query_state")
        return cls(agent_id, payload, vector_bytes("vector", vector), k, tier, min_score, filter)


class RetrieveMany(msgspec.Struct, tag=5, array_like=True, gc=False):
    """Fetch memories by their ids, those that there are, in the order of the ids."""

    agent_id: str
    state_ids: list[str]
    tier: str = "all"


class Query(msgspec.Struct, tag=6, array_like=True, gc=False):
    """Fetch the memories of an agent that a filter lets through, in the order of storing.

    ``limit`` takes the first so many, or all with None; ``newest_first`` turns the order round.
    """

    agent_id: str
    filter: Filter = Filter()
    tier: str = "all"
    limit: int | None = None
    newest_first: bool = True


class Delete(msgspec.Struct, tag=7, array_like=True, gc=False):
    """Delete one memory; or all of an agent, with ``state_id`` None; or all, with no agent."""

    agent_id: str | None
    state_id: str | None = None


class Transition(msgspec.Struct, tag=3, array_like=True, gc=False):
    """Move ``percentage`` of the memories in the tier above down to ``to`` (``im``, ``ltm``).

    The least important and oldest go first; of one agent, or of all with ``agent_id`` None.
    """

    to: str
    percentage: float
    agent_id: str | None = None


class Describe(msgspec.Struct, tag=4, array_like=True, gc=False):
    """Count the memories by tier, of one agent or of the whole store."""

    agent_id: str | None = None


class Restore(msgspec.Struct, tag=8, array_like=True, gc=False):
    """Store a memory as it was: with the time when it was stored, in the tier where it was.

    The other fields are those of `Store`. It is the newest of its tier, in the order of storing;
    a tier that it makes too full moves others down. A ``vector`` of unit length is kept to the
    bit.
    """

    agent_id: str
    state_id: str
    payload: bytes
    importance: float
    vector: bytes | None
    kind: str
    step: int | None
    metadata: bytes | None
    stored_ns: int
    tier: str


class Agents(msgspec.Struct, tag=9, array_like=True, gc=False):
    """List the agents that have memories, by agent id: the first ``limit`` after ``after``.

    With a ``prefix``, those whose ids begin with it.
    """

    # of all agents, so a client asks every shard
    agent_id: ClassVar[None] = None
    after: str | None = None
    limit: int = 1_000
    prefix: str | None = None


class Export(msgspec.Struct, tag=10, array_like=True, gc=False):
    """Fetch an agent's memories with their vectors, a page at a time, in the order of storing.

    Those stored after the memory of sequence ``after`` (0 for the first page): at most ``limit``,
    and once their states and metadata have reached ``max_bytes`` no more.
    """

    agent_id: str
    after: int = 0
    limit: int = 1_000
    max_bytes: int = 8 * 1024 * 1024


class Inspect(msgspec.Struct, tag=11, array_like=True, gc=False):
    """Ask the store for its statistics: RocksDB's, and those of indexes, memory and demotions."""

    # of the whole store, so a client asks every shard
    agent_id: ClassVar[None] = None


class Maintain(msgspec.Struct, tag=12, array_like=True, gc=False):
    """Do now what otherwise happens with later batches, of one agent or of all.

    Memories that a tier has too much move down, those that are retrieved often move up one tier,
    and those that are older than a tier's time-to-live, which nobody sees any more, are deleted.
    """

    agent_id: str | None = None


Operation = (
    Store
    | Retrieve
    | Search
    | Transition
    | Describe
    | RetrieveMany
    | Query
    | Delete
    | Restore
    | Agents
    | Export
    | Inspect
    | Maintain
)


def vector_bytes(field: str, vector: npt.ArrayLike | None) -> bytes | None:
    """A vector of shape (dim,) as an operation has it. Raises BadInputError of that field."""
    if vector is None:
        return None
    try:
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused so
            array = np.asarray(vector, dtype=np.float32)
    except (TypeError, ValueError, OverflowError):
        raise BadInputError(field, "must be a sequence of numbers") from None
    if array.ndim != 1:
        raise BadInputError(field, f"must have one dimension, not the shape {array.shape}")
    return array.tobytes()

"""Operations and results: what `MemoryStore.execute` takes and gives.

The batch is the unit everywhere: a list of operations goes in, a list of results of the same
length and order comes out. `memory_core.wire` has their form as bytes, for which each struct is
an array whose first element is its tag: fields are only ever added at the end.

An operation that is wrong yields a `Failure` in its own place and disturbs no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from memory_core import errors
from memory_core.errors import BadInputError, MemoryCoreError
from memory_core.payload import pack_state, unpack_state

__all__ = [
    "MAX_ID_BYTES",
    "TIERS",
    "Counts",
    "Describe",
    "Described",
    "Done",
    "Failure",
    "Hit",
    "Hits",
    "Missing",
    "Moved",
    "Operation",
    "Record",
    "Result",
    "Retrieve",
    "Search",
    "Store",
    "Transition",
    "validate",
]

TIERS = ("stm", "im", "ltm")
_TIER_CHOICES = frozenset({*TIERS, "all"})
MAX_ID_BYTES = 1024
_MAX_K = 2**63 - 1
_MAX_SHOWN = 80


class Store(msgspec.Struct, tag=0, array_like=True, gc=False):
    """Store a state under (agent_id, state_id), replacing what was there.

    ``payload`` is a state packed by `pack_state`; ``vector`` float32 bytes that take the place
    of the encoder's, or None; ``importance`` in [0, 1].
    """

    agent_id: str
    state_id: str
    payload: bytes
    importance: float = 0.5
    vector: bytes | None = None

    @classmethod
    def of(
        cls,
        agent_id: str,
        state_id: str,
        state_data: Mapping[str, Any],
        *,
        importance: float = 0.5,
        vector: npt.ArrayLike | None = None,
    ) -> Store:
        """A store of a plain mapping. Raises BadInputError for a state that cannot be kept."""
        return cls(
            agent_id, state_id, pack_state(state_data), importance, _vector_bytes("vector", vector)
        )


class Retrieve(msgspec.Struct, tag=1, array_like=True, gc=False):
    """Fetch one state by id, from one tier or from ``"all"``."""

    agent_id: str
    state_id: str
    tier: str = "all"


class Search(msgspec.Struct, tag=2, array_like=True, gc=False):
    """Find the ``k`` memories of an agent that are most similar to a query, best first.

    The query is a packed state or a ready ``vector`` (float32 bytes).
    """

    agent_id: str
    payload: bytes | None = None
    vector: bytes | None = None
    k: int = 5
    tier: str = "all"

    @classmethod
    def of(
        cls,
        agent_id: str,
        query_state: Mapping[str, Any] | None = None,
        *,
        vector: npt.ArrayLike | None = None,
        k: int = 5,
        tier: str = "all",
    ) -> Search:
        """A search by a plain mapping or a vector of shape (dim,). Raises BadInputError."""
        payload = None if query_state is None else pack_state(query_state, "query_state")
        return cls(agent_id, payload, _vector_bytes("vector", vector), k, tier)


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


Operation = Store | Retrieve | Search | Transition | Describe


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
    """What `Describe` counted; ``agents`` is 0 when the agent asked for is not known."""

    agents: int
    counts: Counts


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


Result = Done | Record | Missing | Hits | Moved | Described | Failure

DONE = Done()
MISSING = Missing()


def validate(operation: Operation) -> None:
    """Check the fields that need no database to be checked; what passes can be encoded.

    Raises:
        BadInputError: names the field.
    """
    kind: Any = type(operation)
    one: Any = operation
    if kind is Store or kind is Retrieve:
        agent_id, state_id = one.agent_id, one.state_id
        if not (
            type(agent_id) is str
            and type(state_id) is str
            and 0 < len(agent_id) <= MAX_ID_BYTES
            and 0 < len(state_id) <= MAX_ID_BYTES
            and agent_id.isascii()
            and state_id.isascii()
        ):
            _check_id("agent_id", agent_id)
            _check_id("state_id", state_id)
        if kind is Retrieve:
            _check_tier(one.tier)
            return
        importance = one.importance
        if not (type(importance) is float and 0.0 <= importance <= 1.0):
            _check_importance(importance)
        if type(one.payload) is not bytes:
            raise BadInputError("state_data", "must be bytes, as pack_state makes them")
        if one.vector is not None:
            _check_vector(one.vector)
    elif kind is Search:
        _check_search(operation)  # type: ignore[arg-type]
    elif kind is Transition:
        _check_transition(operation)  # type: ignore[arg-type]
    elif kind is Describe:
        if operation.agent_id is not None:
            _check_id("agent_id", operation.agent_id)
    else:
        raise BadInputError("batch", f"holds a {kind.__name__}, which is no operation")


def _check_id(field: str, value: Any) -> None:
    if type(value) is str and value.isascii() and 0 < len(value) <= MAX_ID_BYTES:
        return
    if type(value) is not str:
        raise BadInputError(field, f"must be a string, not {type(value).__name__}")
    if not value:
        raise BadInputError(field, "is empty; name one")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise BadInputError(field, "holds a lone surrogate, which is no valid text") from None
    if size > MAX_ID_BYTES:
        raise BadInputError(field, f"is {size:,} bytes long; at most {MAX_ID_BYTES:,}")


def _shown(value: Any) -> str:
    """A value in an error: on one line, and short, whatever it is."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of thousands of digits
        return f"a {type(value).__name__} that is too large to show"
    text = " ".join(text.split())
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _check_importance(value: Any) -> None:
    if type(value) is not float and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise BadInputError("importance", f"must be a number from 0 to 1, not {_shown(value)}")
    if not 0.0 <= value <= 1.0:
        raise BadInputError("importance", f"must be from 0 to 1, not {_shown(value)}")


def _check_tier(value: Any) -> None:
    if not isinstance(value, str) or value not in _TIER_CHOICES:
        raise BadInputError("tier", f"must be stm, im, ltm or all, not {_shown(value)}")


def _check_search(operation: Search) -> None:
    _check_id("agent_id", operation.agent_id)
    _check_tier(operation.tier)
    k = operation.k
    if type(k) is not int or not 1 <= k <= _MAX_K:
        raise BadInputError("k", f"must be a whole number from 1 to 2**63 - 1, not {_shown(k)}")
    if (operation.payload is None) == (operation.vector is None):
        raise BadInputError("query_state", "give either a query state or a vector")
    if operation.payload is not None and type(operation.payload) is not bytes:
        raise BadInputError("query_state", "must be bytes, as pack_state makes them")
    _check_vector(operation.vector)


def _check_vector(value: Any) -> None:
    if value is not None and type(value) is not bytes:
        raise BadInputError("vector", f"must be float32 bytes, not {type(value).__name__}")


def _check_transition(operation: Transition) -> None:
    to: Any = operation.to
    if not isinstance(to, str) or to not in TIERS[1:]:
        raise BadInputError("to", f"must be im or ltm, not {_shown(to)}")
    percentage = operation.percentage
    if isinstance(percentage, bool) or not isinstance(percentage, int | float):
        raise BadInputError(
            "percentage", f"must be a number from 0 to 100, not {_shown(percentage)}"
        )
    if not 0.0 <= percentage <= 100.0:
        raise BadInputError("percentage", f"must be from 0 to 100, not {_shown(percentage)}")
    if operation.agent_id is not None:
        _check_id("agent_id", operation.agent_id)


def _vector_bytes(field: str, vector: npt.ArrayLike | None) -> bytes | None:
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

"""Asking a session as an agent does, with plain states and vectors.

Answers are taken apart here: one of the wrong kind, and a failure, break the point in which they
are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from harness.errors import first_line
from harness.targets.base import Scalar
from harness.targets.driven import Session
from memory_core import Condition, Filter
from memory_core.errors import BadInputError, MemoryCoreError
from memory_core.operations import Delete, Retrieve, Search, Store
from memory_core.results import Deleted, Done, Failure, Hit, Hits, Missing, Record, Result

__all__ = [
    "Asker",
    "BrokenError",
    "Found",
    "RefusedError",
    "State",
    "Vector",
    "around",
    "names",
    "require",
    "unit_vectors",
]

State = dict[str, Any]
Vector = npt.NDArray[np.float32]


class BrokenError(Exception):
    """A point that does not hold; the text is a sentence about what was seen instead."""


class RefusedError(BrokenError):
    """An operation failed."""


class Found(NamedTuple):
    """What a search found."""

    state_id: str
    score: float
    state: State


def require(holds: bool, sentence: str) -> None:
    """Raise BrokenError with the sentence unless it holds."""
    if not holds:
        raise BrokenError(sentence)


def unit_vectors(random: np.random.Generator, count: int, dimension: int) -> Vector:
    """Vectors of length 1 in random directions, (count, dimension) float32."""
    drawn = random.standard_normal((count, dimension))
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return drawn.astype(np.float32)


def around(query: Vector, random: np.random.Generator, cosines: Vector) -> Vector:
    """Vectors of length 1 that have these cosines with a query, in random directions else."""
    drawn = random.standard_normal((len(cosines), len(query)))
    drawn -= np.outer(drawn @ query, query)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    across = np.sqrt(1.0 - cosines.astype(np.float64) ** 2)
    vectors = cosines[:, None] * query + across[:, None] * drawn
    return vectors.astype(np.float32)


class Asker:
    """A session, asked with plain values.

    Every method raises RefusedError for an operation that fails, and BrokenError for an answer of
    the wrong kind.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    async def store(
        self, agent_id: str, state_id: str, state: State, vector: Vector | None = None
    ) -> None:
        """Store a state, with a vector or the encoder's."""
        what = f"the store of {state_id!r} of agent {agent_id!r}"
        operation = Store.of(agent_id, state_id, state, vector=vector)
        _of_kind(await self._answer(operation, what), Done, what)

    async def retrieve(self, agent_id: str, state_id: str) -> State | None:
        """The state of that id, or None."""
        what = f"the retrieval of {state_id!r} of agent {agent_id!r}"
        result = await self._answer(Retrieve(agent_id, state_id), what)
        if isinstance(result, Missing):
            return None
        return _state(_of_kind(result, Record, what), what)

    async def search(
        self,
        agent_id: str,
        query: Vector | State,
        k: int,
        where: Mapping[str, Scalar] | None = None,
    ) -> list[Found]:
        """The memories that a search finds, in its order."""
        what = f"a search of agent {agent_id!r}"
        conditions = [Condition([name], "eq", value) for name, value in (where or {}).items()]
        chosen = Filter(conditions=conditions) if conditions else None
        if isinstance(query, dict):
            operation = Search.of(agent_id, query, k=k, filter=chosen)
        else:
            operation = Search.of(agent_id, vector=query, k=k, filter=chosen)
        found = _of_kind(await self._answer(operation, what), Hits, what)
        return [Found(hit.state_id, float(hit.score), _state(hit, what)) for hit in found.hits]

    async def delete(self, agent_id: str, state_id: str) -> int:
        """Delete a memory; how many there were."""
        what = f"the deletion of {state_id!r} of agent {agent_id!r}"
        result = await self._answer(Delete(agent_id, state_id), what)
        return int(_of_kind(result, Deleted, what).count)

    async def flush(self) -> None:
        """Have the store bring what waits to where it stays."""
        try:
            await self._session.flush()
        except Exception as error:  # what a store raises
            problem = f"the flush raised {type(error).__name__}: {first_line(error)}"
            raise RefusedError(problem) from error

    async def expect(self, agent_id: str, state_id: str, state: State) -> None:
        """Break unless a retrieval gives this state."""
        found = await self.retrieve(agent_id, state_id)
        require(found is not None, f"{state_id!r} of agent {agent_id!r} was stored and not found")
        require(
            found == state,
            f"{state_id!r} of agent {agent_id!r} came back as another state than was stored",
        )

    async def expect_nearest(
        self, agent_id: str, state_id: str, state: State, query: Vector | State
    ) -> None:
        """Break unless a search for a memory's own vector finds it first, with its state."""
        hits = await self.search(agent_id, query, 1)
        require(
            bool(hits) and hits[0].state_id == state_id,
            f"a search of agent {agent_id!r} for what {state_id!r} was stored with found "
            + (f"{hits[0].state_id!r}" if hits else "nothing"),
        )
        require(
            hits[0].state == state,
            f"a search of agent {agent_id!r} found {state_id!r} with another state than was stored",
        )

    async def _answer(self, operation: Store | Retrieve | Search | Delete, what: str) -> Result:
        try:
            result = (await self._session.submit(operation)).result
        except MemoryCoreError as error:
            raise RefusedError(f"{what} failed: {error}") from None
        if isinstance(result, Failure):
            raise RefusedError(f"{what} failed: {result.exception()}")
        return result


def names(ids: Iterable[str], most: int = 3) -> str:
    """Some ids, as a sentence has them."""
    listed: Sequence[str] = list(ids)
    shown = ", ".join(map(repr, listed[:most]))
    return shown if len(listed) <= most else f"{shown} and {len(listed) - most} more"


def _state(holder: Record | Hit, what: str) -> State:
    try:
        return holder.state
    except BadInputError:
        raise BrokenError(f"{what} gave bytes that are no state") from None


def _of_kind(result: Result, kind: type[Any], what: str) -> Any:
    if not isinstance(result, kind):
        raise BrokenError(
            f"{what} was answered with a {type(result).__name__}, not a {kind.__name__}"
        )
    return result

"""Where the target ``redis`` keeps vectors, and how it searches them: two ways.

`ClientVectors` is what works with any server, and what agent-memory libraries do that have Redis
without a search module: one hash an agent, of which a search reads all vectors and compares them
here, with numpy. (Dooders/AgentMemory, ``RedisSTMStore.search_similar``, reads an agent's memories
one by one as JSON and takes each one's cosine; llmgatekeeper's ``RedisSimpleBackend`` does so with
hashes, and advises it up to about 10,000 entries. This here is the same in one round trip and one
matrix product, with the vectors as bytes.) It is exact, and its cost grows with the agent's
memories.

`VectorSets` is Redis 8's own type (redis.io, "Redis vector sets"): one set an agent, an HNSW graph
with the documented defaults (Q8, M 16, EF 200 when building), searched in threads of the server's.
Scores of it are from 0 to 1, ``(1 + cosine) / 2``, of quantised vectors. Its filter expressions
know names of letters, digits, ``_`` and ``-``, and strings as they stand between quotes. A VADD of
what is in the set already is not written to the append-only file (Redis 8.2.3), so that a server
that was killed would have the old vector again: it is removed first, which is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from harness.targets.base import Memory, Query, Scalar
from memory_core.errors import BadInputError

__all__ = ["ClientVectors", "Found", "VectorSets", "Vectors", "filter_expression"]

# Ids and cosines, best first.
Found = list[tuple[bytes, float]]

_ATTRIBUTE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)
_FILTER_EFFORT = 2**31 - 1  # as many nodes as it takes; 0, which documentation names, is refused


class Vectors(Protocol):
    """The vectors of all agents, of each agent under a key of its own.

    Commands are added to a redis-py pipeline; ``key`` is the agent's, ``payloads`` the key of the
    hash with its payloads.
    """

    def add(self, pipeline: Any, key: str, memory: Memory) -> None:
        """Keep a vector, in place of what was there."""

    def remove(self, pipeline: Any, key: str, state_id: str) -> None:
        """Forget a vector."""

    def ask(self, pipeline: Any, key: str, payloads: str, query: Query) -> int:
        """Add the commands of a search; how many they are."""

    def found(self, replies: Sequence[Any], query: Query) -> Found:
        """What a search found, from the replies to its commands."""


class ClientVectors:
    """Vectors in a hash, read whole and compared here."""

    def add(self, pipeline: Any, key: str, memory: Memory) -> None:
        """See `Vectors`."""
        vector = np.ascontiguousarray(memory.vector, "<f4").tobytes()
        pipeline.execute_command("HSET", key, memory.state_id, vector)

    def remove(self, pipeline: Any, key: str, state_id: str) -> None:
        """See `Vectors`."""
        pipeline.hdel(key, state_id)

    def ask(self, pipeline: Any, key: str, payloads: str, query: Query) -> int:
        """See `Vectors`."""
        pipeline.hgetall(key)
        if not query.where:
            return 1
        pipeline.hgetall(payloads)
        return 2

    def found(self, replies: Sequence[Any], query: Query) -> Found:
        """See `Vectors`."""
        vectors: Mapping[bytes, bytes] = replies[0]
        if query.where:
            vectors = _matching(vectors, replies[1], query.where)
        if not vectors:
            return []
        ids = list(vectors)
        matrix = np.frombuffer(b"".join(vectors.values()), "<f4").reshape(len(ids), -1)
        cosines = matrix @ query.vector
        return [(ids[row], float(cosines[row])) for row in _best(cosines, query.k)]


def _matching(
    vectors: Mapping[bytes, bytes], payloads: Mapping[bytes, bytes], where: Mapping[str, Scalar]
) -> dict[bytes, bytes]:
    """The vectors of memories whose attributes are as ``where`` says."""
    wanted = where.items()
    return {
        state_id: vectors[state_id]
        for state_id, payload in payloads.items()
        if state_id in vectors and wanted <= _scalars(payload).items()
    }


def _scalars(payload: bytes) -> dict[str, Scalar]:
    state: dict[str, Any] = msgspec.msgpack.decode(payload)
    return {name: value for name, value in state.items() if isinstance(value, Scalar)}


def _best(scores: npt.NDArray[np.float32], k: int) -> list[int]:
    """The rows of the ``k`` highest scores, highest first."""
    rows = np.arange(len(scores))
    if k < len(scores):
        rows = np.argpartition(-scores, k - 1)[:k]
    best: list[int] = rows[np.argsort(-scores[rows], kind="stable")].tolist()
    return best


class VectorSets:
    """Vectors in a vector set with the attributes of their memories, searched by the server."""

    def add(self, pipeline: Any, key: str, memory: Memory) -> None:
        """See `Vectors`."""
        vector = np.ascontiguousarray(memory.vector, "<f4").tobytes()
        pipeline.execute_command("VREM", key, memory.state_id)
        attributes = msgspec.json.encode(memory.attributes)
        pipeline.execute_command(
            "VADD", key, "FP32", vector, memory.state_id, "SETATTR", attributes
        )

    def remove(self, pipeline: Any, key: str, state_id: str) -> None:
        """See `Vectors`."""
        pipeline.execute_command("VREM", key, state_id)

    def ask(self, pipeline: Any, key: str, payloads: str, query: Query) -> int:
        """See `Vectors`."""
        del payloads
        vector = np.ascontiguousarray(query.vector, "<f4").tobytes()
        words: list[Any] = ["VSIM", key, "FP32", vector, "COUNT", query.k, "WITHSCORES"]
        if query.where:
            words += ["FILTER", filter_expression(query.where), "FILTER-EF", _FILTER_EFFORT]
        pipeline.execute_command(*words)
        return 1

    def found(self, replies: Sequence[Any], query: Query) -> Found:
        """See `Vectors`."""
        del query
        reply = replies[0]
        if not reply:  # of an agent without any it is an empty list
            return []
        scored = [(state_id, 2.0 * score - 1.0) for state_id, score in reply.items()]
        return sorted(scored, key=lambda found: -found[1])


def filter_expression(where: Mapping[str, Scalar]) -> str:
    """Conditions of equality as a filter expression of vector sets.

    Raises:
        BadInputError: its language cannot say them.
    """
    return " and ".join(f".{_name(name)} == {_literal(value)}" for name, value in where.items())


def _name(name: str) -> str:
    if not _ATTRIBUTE_NAME.fullmatch(name):
        raise BadInputError(
            "filter", f"Redis's filter expressions have no way to write the name {name!r}"
        )
    return name


def _literal(value: Scalar) -> str:
    if isinstance(value, str):
        quotes = [quote for quote in "\"'" if quote not in value]
        if not quotes or "\\" in value:
            raise BadInputError(
                "filter", f"Redis's filter expressions have no way to write the text {value!r}"
            )
        return f"{quotes[0]}{value}{quotes[0]}"
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    return str(int(value))

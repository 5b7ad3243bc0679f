"""Items of LangGraph's as memories, and back.

An item is the memory of its namespace's agent with its key as id: its value is the state, the first
of its vectors the memory's. ``updated_at`` is when the memory was stored. What else there is to
keep is in the memory's metadata, under ``langgraph``: when the item was created, if it was stored
more than once (``created_ns``), and how many vectors it has, if any (``vectors``). A memory without
that, stored by another face, is an item without vectors.

The vectors after the first are memories of another agent (`langgraph_namespaces`), with the id
``1:<key>`` and so on. One may be left there by two puts of one item at the same moment; it counts
for nothing unless the item says that it has so many.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from langgraph.store.base import Item, SearchItem

from memory_core.langgraph_namespaces import Namespace, agent_of, further_of
from memory_core.operations import Delete, Store, vector_bytes
from memory_core.payload import pack_state, unpack_state
from memory_core.results import Memory

__all__ = [
    "Kept",
    "deletions_of",
    "found_item_of",
    "further_vector",
    "item_of",
    "kept_of",
    "stores_of",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OURS = "langgraph"

Vectors = Sequence[npt.NDArray[np.float32]]


class Kept(NamedTuple):
    """What is kept of an item beside its value.

    ``created_ns`` is since the epoch; ``vectors`` how many it has.
    """

    created_ns: int
    vectors: int


def kept_of(memory: Memory) -> Kept:
    """What is kept of the item that a memory is."""
    ours: Any = None
    if memory.metadata is not None:
        ours = unpack_state(memory.metadata).get(_OURS)
    if not isinstance(ours, dict):
        return Kept(memory.stored_ns, 0)
    return Kept(
        _number(ours.get("created_ns"), memory.stored_ns),
        _number(ours.get("vectors"), 0),
    )


def item_of(namespace: Namespace, memory: Memory) -> Item:
    """The item that a memory is."""
    return Item(
        value=memory.state,
        key=memory.state_id,
        namespace=namespace,
        created_at=_moment(kept_of(memory).created_ns),
        updated_at=_moment(memory.stored_ns),
    )


def found_item_of(
    namespace: Namespace, memory: Memory, kept: Kept, score: float | None
) -> SearchItem:
    """The item that a memory is, as a search gives it; ``score`` None for one without."""
    return SearchItem(
        namespace,
        memory.state_id,
        memory.state,
        _moment(kept.created_ns),
        _moment(memory.stored_ns),
        score,
    )


def stores_of(
    namespace: Namespace,
    key: str,
    payload: bytes,
    vectors: Vectors,
    before: Memory | None,
) -> list[Store | Delete]:
    """What puts an item in the place of the one that was there; ``payload`` is its value."""
    agent_id = agent_of(namespace)
    ours: dict[str, int] = {}
    left = 0
    if before is not None:
        kept = kept_of(before)
        ours["created_ns"], left = kept.created_ns, kept.vectors
    if vectors:
        ours["vectors"] = len(vectors)
    store = Store(
        agent_id,
        key,
        payload,
        vector=vector_bytes("index.embed", vectors[0]) if vectors else None,
        metadata=pack_state({_OURS: ours}) if ours else None,
    )
    operations: list[Store | Delete] = [store]
    for number, vector in enumerate(vectors[1:], start=1):
        further = Store.of(further_of(agent_id), f"{number}:{key}", {"key": key}, vector=vector)
        operations.append(further)
    return operations + _deletions(agent_id, key, range(max(len(vectors), 1), left))


def deletions_of(namespace: Namespace, key: str, before: Memory | None) -> list[Store | Delete]:
    """What deletes an item, of which there is what ``before`` says."""
    agent_id = agent_of(namespace)
    if before is None:
        return []
    return [Delete(agent_id, key), *_deletions(agent_id, key, range(1, kept_of(before).vectors))]


def further_vector(state_id: str) -> tuple[str, int]:
    """The key of the item that a further vector is of, and the vector's number."""
    number, _, key = state_id.partition(":")
    return key, int(number) if number.isdecimal() else 0


def _deletions(agent_id: str, key: str, numbers: range) -> list[Store | Delete]:
    return [Delete(further_of(agent_id), f"{number}:{key}") for number in numbers]


def _number(value: Any, otherwise: int) -> int:
    return value if type(value) is int and 0 <= value < 2**63 else otherwise


def _moment(since_epoch_ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=since_epoch_ns // 1_000)

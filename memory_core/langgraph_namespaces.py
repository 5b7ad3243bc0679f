"""Namespaces of LangGraph's as agents of a memory, and back.

A namespace ``("users", "ana")`` is the agent ``users.ana``: no label may hold a period, so nothing
is lost. An item with more than one vector has those after the first in the agent of its namespace
with a period at the end, ``users.ana.``, which is no namespace (its last label is empty). An agent
whose id is no namespace is not seen through LangGraph's face.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from memory_core.errors import BadInputError
from memory_core.face import MemoryFace

__all__ = [
    "MAX_KEY_BYTES",
    "MAX_NAMESPACE_BYTES",
    "Namespace",
    "agent_of",
    "agents_within",
    "check_key",
    "check_namespace",
    "further_of",
    "namespace_of",
]

Namespace = tuple[str, ...]

# What is left of the 1,024 bytes of an id beside what marks further vectors.
MAX_NAMESPACE_BYTES = 1_023
MAX_KEY_BYTES = 1_000
_SEPARATOR = "."
_AGENTS_TOGETHER = 10_000


def agent_of(namespace: Sequence[str]) -> str:
    """The agent whose memories are the items of a namespace."""
    return _SEPARATOR.join(namespace)


def further_of(agent_id: str) -> str:
    """The agent that has the second and later vectors of a namespace's items."""
    return agent_id + _SEPARATOR


def namespace_of(agent_id: str) -> Namespace | None:
    """The namespace that an agent is; None for one that is none."""
    labels = tuple(agent_id.split(_SEPARATOR))
    return labels if all(labels) and "\0" not in agent_id else None


def check_namespace(namespace: Sequence[str]) -> None:
    """Whether items can be stored there. Raises BadInputError."""
    _check_text("namespace", agent_of(namespace), MAX_NAMESPACE_BYTES)


def check_key(key: object) -> None:
    """Whether an item can have that key. Raises BadInputError."""
    if not isinstance(key, str):
        raise BadInputError("key", f"must be a string, not {type(key).__name__}")
    _check_text("key", key, MAX_KEY_BYTES)


def agents_within(memory: MemoryFace, prefix: Namespace) -> Iterator[str]:
    """The agents of a namespace and of all below it, and those with their further vectors.

    Each is there once, by id; a page is asked for when the one before was used up.
    """
    base = agent_of(prefix) or None
    after = None
    while True:
        listed = memory.list_agents(prefix=base, after=after, limit=_AGENTS_TOGETHER)
        for one in listed:
            # "users" is a prefix of "users_of_yesterday", too, which is not below it
            if base is None or one.agent_id == base or one.agent_id.startswith(further_of(base)):
                yield one.agent_id
        if len(listed) < _AGENTS_TOGETHER:
            return
        after = listed[-1].agent_id


def _check_text(field: str, text: str, max_bytes: int) -> None:
    if not text:
        raise BadInputError(field, "is empty; name one")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise BadInputError(field, "holds a lone surrogate, which is no valid text") from None
    if size > max_bytes:
        raise BadInputError(field, f"is {size:,} bytes long; at most {max_bytes:,}")

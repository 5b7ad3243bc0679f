"""Whether an open store has the methods that it says it has, all of one sort."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from harness.errors import UsageError
from harness.targets.base import Capabilities, OpenStore
from memory_core.operations import Delete, Retrieve, Search, Store

__all__ = ["KINDS", "OneOperation", "batched_kinds", "check_methods", "is_asynchronous"]

OneOperation = Store | Retrieve | Search | Delete

KINDS: Mapping[type[Any], str] = {
    Store: "store",
    Retrieve: "retrieve",
    Search: "search",
    Delete: "delete",
}
_BATCHED = ("store", "retrieve", "search")


def batched_kinds(capabilities: Capabilities) -> frozenset[type[Any]]:
    """The kinds of operations of which many go in one call."""
    return frozenset(kind for kind, name in KINDS.items() if name in capabilities.batch)


def is_asynchronous(store: OpenStore) -> bool:
    """Whether the methods of a store are ``async def``."""
    return any(inspect.iscoroutinefunction(getattr(store, name)) for name in KINDS.values())


def check_methods(name: str, store: Any, capabilities: Capabilities) -> None:
    """See that a store has the methods that it says it has, all of one sort.

    Args:
        name: of the target.
        store: what its `open` gave.
        capabilities: of the target.

    Raises:
        UsageError: names the method and what to do.
    """
    kind = type(store).__name__
    if not isinstance(store, OpenStore):
        raise UsageError("--target", f"{name}: open must give an OpenStore, not {kind}")
    unknown = sorted(capabilities.batch - set(_BATCHED))
    if unknown:
        problem = (
            f"{name}: its capability batch has {unknown[0]!r}; known are {', '.join(_BATCHED)}"
        )
        raise UsageError("--target", problem)
    used = [
        f"{one}_many" if one in capabilities.batch else one
        for one in KINDS.values()
        if one != "delete" or capabilities.delete
    ]
    for one in used:
        if getattr(type(store), one, None) is getattr(OpenStore, one):
            claimed = "batch" if one.endswith("_many") else "delete" if one == "delete" else None
            why = "" if claimed is None else f", which its capability {claimed} promises"
            raise UsageError("--target", f"{name}: {kind} has no method {one}{why}")
    own = used + [
        one
        for one in ("flush", "statistics", "close")
        if getattr(type(store), one, None) is not getattr(OpenStore, one)
    ]
    sorts = {one: inspect.iscoroutinefunction(getattr(store, one)) for one in own}
    if len(set(sorts.values())) > 1:
        plain = next(one for one, awaited in sorts.items() if not awaited)
        awaited = next(one for one, awaited in sorts.items() if awaited)
        problem = f"{kind}.{awaited} is async def and {kind}.{plain} is not; make all of one sort"
        raise UsageError("--target", f"{name}: {problem}")

"""What the targets that drive our own store say of it."""

from __future__ import annotations

from typing import Protocol

from harness import __version__
from harness.plan import RunPlan
from harness.targets.base import Capabilities, Scalar
from harness.targets.driven import target_document
from memory_core.results import Result, Statistics

__all__ = ["own_document", "store_statistics"]

_DURABILITY = {
    "fsync": "The write-ahead log is synced before a batch is acknowledged.",
    "os": "The operating system has the write-ahead log when a batch is acknowledged.",
}


class _Described(Protocol):
    name: str
    in_process: bool
    capabilities: Capabilities


def own_document(target: _Described, plan: RunPlan, stores: str) -> dict[str, object]:
    """`harness.targets.driven.target_document` of a target of ours."""
    settings: dict[str, Scalar] = {"dimension": plan.dimension}
    if plan.memory_limit_bytes is not None:
        settings["memory_limit_bytes"] = plan.memory_limit_bytes
    kept = target.capabilities.durable
    return target_document(
        name=target.name,
        version=__version__,
        durability=_DURABILITY[plan.durability] if kept else "Nothing is kept.",
        settings=settings,
        capabilities=target.capabilities,
        in_process=target.in_process,
        stores=stores,
        holds="memory_core" if kept else "nothing",
    )


def store_statistics(found: Result) -> dict[str, Scalar]:
    """What our store tells of itself, of an `Inspect`; nothing where that was not answered."""
    if not isinstance(found, Statistics):
        return {}
    return {
        "agents": found.agents,
        "memories": found.counts.total,
        "payload_bytes": found.payload_bytes.total,
    }

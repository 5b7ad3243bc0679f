"""The store that a run drove, from ``run.json``: what analysis and reports have to know of it.

``topology.target`` says it (`harness.targets.driven.target_document`). Runs of earlier releases
have only the name of the target, of which there were four then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["DrivenStore", "driven_store"]

# What targets of earlier releases were, and what one that gives no document is taken for.
_IN_PROCESS = frozenset({"embedded", "threads"})
_NO_STORE = "noop"


@dataclass(frozen=True, kw_only=True)
class DrivenStore:
    """A store that was driven.

    Attributes:
        name: as ``--target`` has it.
        version: of its library or server; empty where that is not known.
        durability: a sentence, or empty.
        in_process: it works in the agents' processes.
        holds: what a memory takes of the memory of the store's process: ``memory_core`` is our
            store, of which it is known, ``nothing``, or ``unknown``.
        calls_at_once: how many calls of one process of agents may be in progress at once.
    """

    name: str
    version: str = ""
    durability: str = ""
    in_process: bool = False
    holds: str = "memory_core"
    calls_at_once: int = 1

    @property
    def is_ours(self) -> bool:
        """Whether it is our store, in shards or in the agents' processes."""
        return self.holds == "memory_core"

    @property
    def is_other_server(self) -> bool:
        """Whether it is another store, that works in processes of its own."""
        return self.holds == "unknown" and not self.in_process


def driven_store(run: Mapping[str, Any]) -> DrivenStore:
    """The store of a run, by its ``run.json``, which may be of an earlier release."""
    topology, plan = run.get("topology"), run.get("plan")
    document = topology.get("target") if isinstance(topology, Mapping) else None
    if isinstance(document, Mapping) and isinstance(document.get("name"), str):
        calls = document.get("calls_at_once")
        return DrivenStore(
            name=document["name"],
            version=_text(document.get("version")),
            durability=_text(document.get("durability")),
            in_process=document.get("in_process") is True,
            holds=_text(document.get("holds")) or "unknown",
            calls_at_once=calls if type(calls) is int and calls > 0 else 1,
        )
    name = _text(plan.get("target")) if isinstance(plan, Mapping) else ""
    return DrivenStore(
        name=name,
        in_process=name in _IN_PROCESS,
        holds="nothing" if name == _NO_STORE else "memory_core",
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""

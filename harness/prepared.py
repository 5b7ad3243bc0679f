"""A plan that was found good, what was loaded to find out, and the wish to end its run early."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from harness.placement import Node, Places, Wanted, place
from harness.plan import RunPlan
from harness.targets.driven import DrivenTarget
from harness.trace import Trace

__all__ = ["PreparedRun", "StopRequest", "places_of"]


class StopRequest:
    """A wish to end the run early; set by a signal handler, looked at between steps."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Ask for the end."""
        self._event.set()

    @property
    def requested(self) -> bool:
        """Whether the end was asked for."""
        return self._event.is_set()


@dataclass(frozen=True, kw_only=True)
class PreparedRun:
    """A plan that was found good, with what was loaded to find out."""

    plan: RunPlan
    agents: int
    target: DrivenTarget
    trace: Trace | None


def places_of(
    plan: RunPlan, agents: int, target: DrivenTarget, nodes: Sequence[Node], driver_node_id: str
) -> Places:
    """Where the shards and the agents of a plan go.

    Raises:
        UsageError: there is no node for them, or they cannot all run at once.
    """
    wanted = Wanted(
        agents=agents,
        shards=plan.shards,
        shards_per_node=plan.shards_per_node,
        agents_per_task=plan.agents_per_task,
        in_process=not getattr(target, "has_shards", not target.in_process),
        one_process=target.agents_are_threads,
    )
    return place(nodes, driver_node_id, wanted)

"""The steps of a comparison: which there are, in which order, and what they are called. Pure.

Each repeat goes over the counts and then over the volumes, every second one over the counts from
the last to the first. Within a count the targets take turns: two repeats that follow each other go
through them in opposite orders, so that a steady drift meets all alike, and the next two begin
with another target, as do neighbouring counts, so that none always runs after the same one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

__all__ = ["STEP_NAME", "TargetStep", "planned_steps", "turns"]

# What a step measures: agents, the store without a memory, a volume of memories.
KINDS = ("agents", "empty", "volume")
STEP_NAME = re.compile(rf"(.+)\.({'|'.join(KINDS)})-(0|[1-9][0-9]*)-([1-9][0-9]*)")


class TargetStep(NamedTuple):
    """A part of the comparison that has a store of its own.

    Attributes:
        target: as it was named.
        kind: ``agents`` or ``volume``; of volumes, all of a repeat share one store.
        agents: how many; 0 for volumes.
        repeat: from 1.
    """

    target: str
    kind: str
    agents: int
    repeat: int

    def name(self, slug: str) -> str:
        """Of the folder of a step with agents."""
        return f"{slug}.{self.kind}-{self.agents}-{self.repeat}"

    def volume_name(self, slug: str, volume: int) -> str:
        """Of the folder of the step of one volume; 0 is the empty store."""
        return f"{slug}.{'volume' if volume else 'empty'}-{volume}-{self.repeat}"


def turns(targets: Sequence[str], repeat: int, place: int) -> list[str]:
    """The order of the targets in a repeat, from 0, at the place of a count, from 0."""
    first = (repeat // 2 + place) % len(targets)
    order = [*targets[first:], *targets[:first]]
    return order[::-1] if repeat % 2 else order


def planned_steps(
    targets: Sequence[str], counts: Sequence[int], repeats: int, *, volumes: bool
) -> Iterator[TargetStep]:
    """All steps in their order.

    Args:
        targets: to be compared.
        counts: of agents.
        repeats: of everything.
        volumes: whether there are any.
    """
    for repeat in range(repeats):
        places = list(enumerate(counts))
        for place, count in reversed(places) if repeat % 2 else places:
            for target in turns(targets, repeat, place):
                yield TargetStep(target, "agents", count, repeat + 1)
        if volumes:
            for target in turns(targets, repeat, len(counts)):
                yield TargetStep(target, "volume", 0, repeat + 1)

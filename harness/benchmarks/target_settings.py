"""What a comparison of targets is told, beside the plan. Loads no Ray: it is asked for first.

Invariant: each target has a name of its own for folders, its slug, of the characters that every
file system has.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.benchmarks.memory_settings import MAX_VOLUME
from harness.errors import UsageError, quoted

__all__ = ["COUNTS", "MAX_TARGETS", "VOLUMES", "TargetSettings", "parse_targets", "slugs_of"]

COUNTS = (1, 10, 100, 500)
VOLUMES = (1_000, 10_000)
MAX_TARGETS = 32
MAX_REPEATS = 100
_SLUG_LENGTH = 40
# ``key=value`` that no colon comes before goes on with the options of the target before it.
_OPTION = re.compile(r"[^:=]+=")


def parse_targets(text: str) -> tuple[str, ...]:
    """Targets from ``memory_core,chroma:server=true,hnsw=8,lancedb``, in the order given.

    Raises:
        UsageError: there are none, one is empty or comes twice, or there are too many.
    """
    found: list[str] = []
    for part in (one.strip() for one in text.split(",")):
        if not part:
            raise UsageError("--targets", "has an empty name; give memory_core,embedded")
        if _OPTION.match(part) and found and ":" in found[-1]:
            found[-1] += f",{part}"
        else:
            found.append(part)
    for one in found:
        if found.count(one) > 1:
            raise UsageError(
                "--targets", f"names {quoted(one)} twice; --repeats measures all again"
            )
    if len(found) > MAX_TARGETS:
        raise UsageError("--targets", f"has {len(found)} targets; give at most {MAX_TARGETS}")
    return tuple(found)


def slugs_of(targets: Sequence[str]) -> dict[str, str]:
    """A name for folders for each target, no two the same."""
    slugs: dict[str, str] = {}
    for target in targets:
        plain = re.sub(r"[^A-Za-z0-9_]+", "-", target).strip("-")[:_SLUG_LENGTH] or "target"
        slug, number = plain, 2
        while slug in slugs.values():
            slug, number = f"{plain}-{number}", number + 1
        slugs[target] = slug
    return slugs


@dataclass(frozen=True, kw_only=True)
class TargetSettings:
    """What the comparison was told, beside the plan.

    Attributes:
        targets: as ``--target`` names them.
        counts: of agents, ascending.
        repeats: of everything.
        step_duration_s: for which a step begins rounds; None with ``rounds``.
        rounds: of each agent in a step, instead.
        volumes: in memories, ascending.
        volume_agents: over which the memories of a volume are spread.
        probes: operations of each kind at each volume.
        k: hits of a search.
        time_cap_s: that a step with agents, a load, or the probes of a kind may take.

    Raises:
        UsageError: a value is out of its range.
    """

    targets: tuple[str, ...]
    counts: tuple[int, ...] = COUNTS
    repeats: int = 3
    step_duration_s: float | None = 3.0
    rounds: int | None = None
    volumes: tuple[int, ...] = VOLUMES
    volume_agents: int = 10
    probes: int = 300
    k: int = 10
    time_cap_s: float = 60.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "volumes", tuple(sorted(set(self.volumes))))
        whole = (
            ("--repeats", self.repeats, MAX_REPEATS),
            ("--probes", self.probes, 1_000_000),
            ("--k", self.k, 1_000),
            ("--volume-agents", self.volume_agents, 1_000_000),
        )
        for name, value, most in whole:
            if not 1 <= value <= most:
                raise UsageError(name, f"must be from 1 to {most:,}, not {value}")
        if self.volumes and not 1 <= self.volumes[0] <= self.volumes[-1] <= MAX_VOLUME:
            raise UsageError("--volumes", f"must be from 1 to {MAX_VOLUME:,}")
        if self.volumes and self.volume_agents > self.volumes[0]:
            smallest = f"{self.volumes[0]:,}"
            raise UsageError("--volume-agents", f"is more than the {smallest} of --volumes")
        if self.rounds is not None and self.step_duration_s is not None:
            raise UsageError("--rounds", "contradicts --step-duration: give one of the two")
        for name, time_s in (
            ("--step-duration", self.step_duration_s),
            ("--time-cap", self.time_cap_s),
        ):
            if time_s is not None and not 0 < time_s <= 86_400:
                raise UsageError(name, f"must be above 0 and at most 86,400, not {time_s}")

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it; with the slug of each target."""
        lists = {name: list(getattr(self, name)) for name in ("counts", "volumes")}
        slugs = [{"target": one, "slug": slug} for one, slug in slugs_of(self.targets).items()]
        return {**asdict(self), **lists, "targets": slugs}

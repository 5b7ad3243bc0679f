"""What the benchmark of memory is told, beside the plan. Loads no Ray: it is asked for first."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from harness.errors import UsageError

__all__ = ["MAX_VOLUME", "VOLUMES", "MemorySettings"]

VOLUMES = (1_000, 10_000, 100_000, 1_000_000)
MAX_VOLUME = 100_000_000


@dataclass(frozen=True, kw_only=True)
class MemorySettings:
    """What the benchmark was told, beside the plan.

    Attributes:
        volumes: in memories, ascending.
        probes: stores at each volume, and as many retrieves.
        searches: at each volume, and as many across tiers.
        k: hits of a search.

    Raises:
        UsageError: a value is out of its range.
    """

    volumes: tuple[int, ...] = VOLUMES
    probes: int = 10_000
    searches: int = 1_000
    k: int = 10

    def __post_init__(self) -> None:
        wanted = tuple(sorted(set(self.volumes)))
        if not wanted:
            raise UsageError("--volumes", "are missing; give some, such as 1000,10000")
        if wanted[0] < 1 or wanted[-1] > MAX_VOLUME:
            raise UsageError("--volumes", f"must be from 1 to {MAX_VOLUME:,}")
        object.__setattr__(self, "volumes", wanted)
        for name, value in (("--probes", self.probes), ("--searches", self.searches)):
            if not 1 <= value <= 10_000_000:
                raise UsageError(name, f"must be from 1 to 10,000,000, not {value}")
        if not 1 <= self.k <= 1_000:
            raise UsageError("--k", f"must be from 1 to 1,000, not {self.k}")

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**asdict(self), "volumes": list(self.volumes)}

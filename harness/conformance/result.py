"""What a check of a target found: one point after another, each in a sentence."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["POINTS", "SCHEMA_VERSION", "Conformance", "Point", "State"]

SCHEMA_VERSION = 1

State = Literal["passed", "failed", "not claimed"]

POINTS = {
    "read_your_writes": "what was stored is read and found at once, as it was stored",
    "overwrite": "storing an id again replaces it, in the record and in the index",
    "isolation": "an agent sees its own memories only",
    "k_and_order": "a search gives the k nearest, best first, scored by their cosine",
    "missing_ids": "what is not there is answered so, and is no error",
    "unicode": "ids and states are kept to the character",
    "concurrency": "what many agents do at one moment is as if each were alone",
    "filter": "a search with conditions gives only what meets them",
    "delete": "what was deleted is neither read nor found any more",
    "durability": "what was acknowledged is there after SIGKILL",
}
"""The points in the order in which they are checked, and what each says."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One point.

    Attributes:
        name: a key of `POINTS`.
        state: ``not claimed`` where the target does not say that it can.
        sentence: what was seen.
    """

    name: str
    state: State
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Conformance:
    """A target, checked.

    Attributes:
        target: as ``--target`` names it, with its options.
        version: of the store; empty when it is not told.
        durability: what an acknowledgement means, as the target tells it; may be empty.
        seed: what was stored, and when what was killed, follow from it.
        duration_s: how long the check took.
        points: all of `POINTS`, in their order.
    """

    target: str
    version: str
    durability: str
    seed: int
    duration_s: float
    points: list[Point]

    @property
    def failed(self) -> list[Point]:
        """The points that the target fails."""
        return [point for point in self.points if point.state == "failed"]

    @property
    def passed(self) -> bool:
        """Whether it fails none."""
        return not self.failed

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON has it, with a ``verdict``, ``passed`` or ``failed``."""
        return {
            "schema_version": SCHEMA_VERSION,
            "verdict": "passed" if self.passed else "failed",
            **asdict(self),
        }

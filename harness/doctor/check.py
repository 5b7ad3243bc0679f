"""One check of this machine: a verdict, what was found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["VERDICTS", "Check", "Verdict", "worst"]

Verdict = Literal["failed", "warning", "ok"]

# The most serious first.
VERDICTS: tuple[Verdict, ...] = ("failed", "warning", "ok")


@dataclass(frozen=True, kw_only=True)
class Check:
    """What a check found.

    Attributes:
        name: what was looked at.
        verdict: ``ok``; ``warning``, figures will suffer; ``failed``, runs will.
        sentence: what was found, with its figures.
        remedy: what to do; None where nothing is to be done.
    """

    name: str
    verdict: Verdict
    sentence: str
    remedy: str | None = None


def worst(checks: list[Check]) -> Verdict:
    """The most serious verdict; ``ok`` of none."""
    found = {one.verdict for one in checks}
    return next((verdict for verdict in VERDICTS if verdict in found), "ok")

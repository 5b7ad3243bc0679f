"""The verdict of whether a store slows down as it fills, by what was measured.

Two things are looked at for each operation: how many times as long its median service time was at
the largest volume as at the smallest, and the interval of the exponent that was fitted. "ok" is
said of a factor that is small, and of an exponent that is below `SLOWS_FROM_EXPONENT` with all of
its interval. What is neither is a warning, which claims that the store slows down where the
interval is above 0, and else gives the factor and no more: two or three volumes hardly ever have
an interval that says anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.analysis.verdicts import Verdict

__all__ = ["SLOWS_FROM_EXPONENT", "slowdown_verdict"]

# A time that grows as the volume to this power doubles with 4 times the memories.
SLOWS_FROM_EXPONENT = 0.5
# Fewer times as long than this is little. Over fewer than 9 times the memories it is the factor
# that `SLOWS_FROM_EXPONENT` gives, but never so few that chance alone brings them about.
_SMALL_FACTOR = 3.0
_LEAST_FACTOR = 1.5
_HARDLY_LONGER = 1.05
_PLURAL = {
    "store": "stores",
    "retrieve": "retrieves",
    "search": "searches",
    "cross_tier": "cross-tier searches",
}
# From the best on.
_LITTLE, _BOUNDED, _UNPROVEN, _PROVEN = range(4)


@dataclass(frozen=True)
class _Growth:
    """How one operation fared from the smallest volume to the largest."""

    name: str
    smallest: int
    largest: int
    factor: float
    volumes: int
    fit: Mapping[str, Any]

    @property
    def judged(self) -> int:
        memories = self.largest / self.smallest
        small = min(_SMALL_FACTOR, max(_LEAST_FACTOR, memories**SLOWS_FROM_EXPONENT))
        if self.factor < small:
            return _LITTLE
        exponent, after = self.fit["exponent"], self.fit["exponent_after"] or {}
        low, high = exponent["low"], exponent["high"]
        estimates = [one for one in (exponent["estimate"], after.get("estimate")) if one]
        steep = max(estimates, default=0.0) >= SLOWS_FROM_EXPONENT
        if not steep and high is not None and high < SLOWS_FROM_EXPONENT:
            return _BOUNDED
        return _PROVEN if steep and low is not None and low > 0 else _UNPROVEN

    @property
    def sentence(self) -> str:
        times = f"{self.factor:.1f}" if self.factor < 99.95 else f"{self.factor:,.0f}"
        return (
            f"{_PLURAL[self.name]} took {times} times as long at {self.largest:,} memories "
            f"as at {self.smallest:,}"
        )


def slowdown_verdict(target: str, fits: Mapping[str, Mapping[str, Any]]) -> Verdict:
    """Judge the operation that fared worst.

    Args:
        target: its name.
        fits: ``degradation`` of a summary: by operation its fit, and ``points`` with
            ``memories`` and ``service_p50_ms``.
    """
    found = [one for name, fit in fits.items() if (one := _growth(name, fit)) is not None]
    if not found:
        sentence = "How time grows with the volume takes two volumes with a median time to tell."
        return _verdict("ok", sentence)
    worst = max(found, key=lambda one: (one.judged, one.factor))
    medians = "(median service time)"
    if worst.judged == _LITTLE:
        if worst.factor <= _HARDLY_LONGER:
            sentence = (
                f"{target} did not slow down: no operation took over 5% longer at "
                f"{worst.largest:,} memories than at {worst.smallest:,} {medians}."
            )
        else:
            sentence = f"{target} did not slow down much: at worst, {worst.sentence} {medians}."
        return _verdict("ok", sentence)
    if worst.judged == _BOUNDED:
        sentence = (
            f"{target} slows down by less than the square root of the volume: at worst, "
            f"{worst.sentence} {medians}. {worst.fit['sentence']}"
        )
        return _verdict("ok", sentence)
    if worst.judged == _PROVEN:
        sentence = (
            f"{target} slows down with volume, {_PLURAL[worst.name]} most: {worst.sentence} "
            f"{medians}. {worst.fit['sentence']}"
        )
        return _verdict("warning", sentence)
    said = worst.sentence[0].upper() + worst.sentence[1:]
    if worst.fit["bend_at"] is not None:
        return _verdict("warning", f"{said} {medians}. {worst.fit['sentence']}")
    sentence = f"{said} {medians}; {worst.volumes} volumes do not tell by what law time grows."
    return _verdict("warning", sentence)


def _growth(name: str, fit: Mapping[str, Any]) -> _Growth | None:
    """None without two volumes that have a time."""
    known = sorted(
        (point["memories"], point["service_p50_ms"])
        for point in fit["points"]
        if point["service_p50_ms"] is not None and point["service_p50_ms"] > 0
    )
    if len(known) < 2:
        return None
    (smallest, first_ms), (largest, last_ms) = known[0], known[-1]
    factor = last_ms / first_ms
    if not math.isfinite(factor):
        return None
    return _Growth(name, smallest, largest, factor, len(known), fit)


def _verdict(verdict: str, sentence: str) -> Verdict:
    return {"name": "degradation", "verdict": verdict, "sentence": sentence}

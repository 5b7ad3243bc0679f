"""Numbers from documents that may say anything."""

from __future__ import annotations

from math import isfinite

__all__ = ["finite_number"]


def finite_number(value: object) -> float | None:
    """Give a value as a float; None unless it is a finite number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if isfinite(number) else None

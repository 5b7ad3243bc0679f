"""Single fields looked at by themselves, for `memory_core.validation`.

Each raises BadInputError, which names the field, and is safe to call with whatever there is.
"""

from __future__ import annotations

import math
from typing import Any

from memory_core.errors import BadInputError
from memory_core.operations import TIERS

__all__ = [
    "MAX_ID_BYTES",
    "check_id",
    "check_importance",
    "check_number",
    "check_page",
    "check_range",
    "check_step",
    "check_tier",
    "check_vector",
    "is_finite",
    "shown",
]

MAX_ID_BYTES = 1024
_TIER_CHOICES = frozenset({*TIERS, "all"})
_MAX_STEP = 2**63 - 1
_MAX_SHOWN = 80
_MAX_PAGE = 100_000


def check_id(field: str, value: Any) -> None:
    """An id: text of 1 to `MAX_ID_BYTES` bytes."""
    if type(value) is str and value.isascii() and 0 < len(value) <= MAX_ID_BYTES:
        return
    if type(value) is not str:
        raise BadInputError(field, f"must be a string, not {type(value).__name__}")
    if not value:
        raise BadInputError(field, "is empty; name one")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise BadInputError(field, "holds a lone surrogate, which is no valid text") from None
    if size > MAX_ID_BYTES:
        raise BadInputError(field, f"is {size:,} bytes long; at most {MAX_ID_BYTES:,}")


def shown(value: Any) -> str:
    """A value in an error: on one line, and short, whatever it is."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of thousands of digits
        return f"a {type(value).__name__} that is too large to show"
    text = " ".join(text.split())
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def check_importance(value: Any) -> None:
    """A number from 0 to 1."""
    if type(value) is not float and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise BadInputError("importance", f"must be a number from 0 to 1, not {shown(value)}")
    if not 0.0 <= value <= 1.0:
        raise BadInputError("importance", f"must be from 0 to 1, not {shown(value)}")


def check_tier(value: Any) -> None:
    """A tier, or all."""
    if not isinstance(value, str) or value not in _TIER_CHOICES:
        raise BadInputError("tier", f"must be stm, im, ltm or all, not {shown(value)}")


def check_step(field: str, value: Any) -> None:
    """A whole number of 64 bits."""
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _MAX_STEP:
        raise BadInputError(field, f"must be a whole number of 64 bits, not {shown(value)}")


def check_number(field: str, value: Any) -> None:
    """A number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not is_finite(value):
        raise BadInputError(field, f"must be a finite number, not {shown(value)}")


def is_finite(value: float) -> bool:
    """Whether it is a number that a float can hold."""
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond the largest float
        return False


def check_range(field: str, bounds: Any, check: Any) -> None:
    """Two bounds in their order, each None or what ``check`` lets pass."""
    if bounds is None:
        return
    if not isinstance(bounds, tuple | list) or len(bounds) != 2:
        raise BadInputError(field, f"must be a lowest and a highest value, not {shown(bounds)}")
    low, high = bounds
    for at, bound in enumerate(bounds):
        if bound is not None:
            check(f"{field}[{at}]", bound)
    if low is not None and high is not None and low > high:
        raise BadInputError(field, f"ends ({shown(high)}) before it begins ({shown(low)})")


def check_page(limit: Any) -> None:
    """How many a page may have."""
    if type(limit) is not int or not 1 <= limit <= _MAX_PAGE:
        raise BadInputError(
            "limit", f"must be a whole number from 1 to {_MAX_PAGE:,}, not {shown(limit)}"
        )


def check_vector(value: Any) -> None:
    """Bytes, or None."""
    if value is not None and type(value) is not bytes:
        raise BadInputError("vector", f"must be float32 bytes, not {type(value).__name__}")

"""Values of any origin as what JSON has, of bounded length: what a plan or an event may contain."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["plain_value", "text_of"]

_TEXT_MAX = 2_000
_ITEMS_MAX = 200
_DEPTH_MAX = 6
# What every reader of JSON takes for a whole number.
_WHOLE_MAX = 2**53


def text_of(value: object) -> str:
    """Text that can be written as UTF-8, cut where it is very long."""
    text = str(value)
    if len(text) > _TEXT_MAX:
        text = f"{text[: _TEXT_MAX - 1]}…"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def plain_value(value: object, depth: int = _DEPTH_MAX) -> Any:
    """A copy of a value that JSON has; what is too deep or too long is left out."""
    match value:
        case None | bool():
            return value
        case int() if abs(value) <= _WHOLE_MAX:
            return value
        case float() if math.isfinite(value):
            return value
        case float():
            return None
        case Mapping() if depth:
            items = list(value.items())[:_ITEMS_MAX]
            return {text_of(key): plain_value(one, depth - 1) for key, one in items}
        case Sequence() if depth and not isinstance(value, str | bytes):
            return [plain_value(one, depth - 1) for one in value[:_ITEMS_MAX]]
        case Mapping() | Sequence() if not isinstance(value, str | bytes):
            return "…"
        case _:
            return text_of(value)

"""Filters of LangGraph's: whether they let a value through, and what a memory can do of them.

A filter names keys at the top of a value; all of them have to fit::

    {"color": "red"}                       equal
    {"score": {"$gte": 3, "$lt": 5}}       $eq $ne $gt $gte $lt $lte
    {"address": {"city": "Oslo"}}          a mapping with at least that in it
    {"tags": ["a", "b"]}                   a list of the same length whose items fit

A key that is not there is None. Numbers compare with numbers and texts with texts; what has no
order between it is neither less nor greater, where LangGraph's own store in memory raises.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from memory_core.conditions import Condition
from memory_core.errors import BadInputError

__all__ = ["check_filter", "conditions_within", "lets_through"]

_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "$eq": operator.eq,
    "$ne": operator.ne,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
_MAX_CONDITIONS = 64


def check_filter(wanted: Any) -> None:
    """Look for what no filter may be. Raises BadInputError."""
    if not isinstance(wanted, Mapping):
        raise BadInputError("filter", f"must be a mapping, not {type(wanted).__name__}")
    for value in wanted.values():
        _check_wanted(value)


def lets_through(wanted: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    """Whether a value is one that a filter wants."""
    return all(_fits(value.get(key), one) for key, one in wanted.items())


def conditions_within(wanted: Mapping[str, Any] | None) -> tuple[list[Condition], bool]:
    """Conditions that hold of all values that a filter lets through, for the memory to look at.

    With whether they are all that it wants, so that `lets_through` need not be asked any more.
    """
    conditions: list[Condition] = []
    is_whole = True
    for key, value in (wanted or {}).items():
        parts = value.items() if _has_operators(value) else [("$eq", value)]
        for name, operand in parts:
            if _can_be_asked(key, operand) and len(conditions) < _MAX_CONDITIONS:
                conditions.append(Condition([key], name[1:], operand))
            else:
                is_whole = False
    return conditions, is_whole


def _fits(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        if _has_operators(wanted):
            return all(_compares(name, value, one) for name, one in wanted.items())
        return isinstance(value, Mapping) and all(
            _fits(value.get(key), one) for key, one in wanted.items()
        )
    if isinstance(wanted, list | tuple):
        return (
            isinstance(value, list)
            and len(value) == len(wanted)
            and all(_fits(item, one) for item, one in zip(value, wanted, strict=True))
        )
    return bool(value == wanted)


def _compares(name: str, value: Any, operand: Any) -> bool:
    try:
        return bool(_OPERATORS[name](value, operand))
    except TypeError:  # kinds without an order
        return False


def _check_wanted(wanted: Any) -> None:
    if isinstance(wanted, Mapping):
        if _has_operators(wanted):
            for name in wanted:
                if name not in _OPERATORS:
                    known = ", ".join(_OPERATORS)
                    raise BadInputError("filter", f"has the operator {name!r}; known are {known}")
        else:
            for one in wanted.values():
                _check_wanted(one)
    elif isinstance(wanted, list | tuple):
        for one in wanted:
            _check_wanted(one)


def _has_operators(wanted: Any) -> bool:
    return isinstance(wanted, Mapping) and any(str(key).startswith("$") for key in wanted)


def _can_be_asked(key: Any, operand: Any) -> bool:
    """Whether a condition means the same: of a scalar that can travel, and a key that is text."""
    if not isinstance(key, str) or not _is_text(key):
        return False
    if isinstance(operand, str):
        return _is_text(operand)
    if isinstance(operand, float):
        return math.isfinite(operand)
    return isinstance(operand, int) and -(2**63) <= operand < 2**63


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

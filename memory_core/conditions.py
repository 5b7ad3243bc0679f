"""Which memories are meant: conditions on what a state holds and on what is known beside it.

A `Condition` compares the value at a place of a state. A place is a path of keys; in a list, a
key of digits is a position. `conditions_of` reads the notation that callers write, which is that
of document databases::

    {"health": 0.9}                     equal
    {"inventory.food": {"$gte": 3}}     $eq $ne $lt $lte $gt $gte
    {"action": {"$in": ["move"]}}       $in $nin; $contains for an item of a list or mapping
    {("a.b", "c"): 1}                   a key with a dot in it: give the keys one by one

Values of kinds that have no order between them (a number and a string) are not less or greater
than each other: such a condition does not hold.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from memory_core.errors import BadInputError
from memory_core.payload import pack_state, unpack_state

__all__ = [
    "OPERATORS",
    "Condition",
    "Filter",
    "conditions_of",
    "fraction_held",
    "has_words",
    "holds_all",
]

_ABSENT = object()
_MAX_CONDITIONS = 64


def _among(value: Any, listed: Any) -> bool:
    return any(value == one for one in listed)


def _not_among(value: Any, listed: Any) -> bool:
    return not _among(value, listed)


def _contains(value: Any, item: Any) -> bool:
    return isinstance(value, list | dict) and _among(item, value)


OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
    "in": _among,
    "nin": _not_among,
    "contains": _contains,
}
# These hold for a place that a state does not have.
_HELD_BY_ABSENCE = frozenset({"ne", "nin"})


class Condition(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The value at ``path`` stands to ``value`` as ``operator`` says (a key of `OPERATORS`)."""

    path: list[str]
    operator: str
    value: Any


class Filter(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a memory has to be; ranges include both ends, and None is no bound.

    ``kinds`` of memory, or None for all; ``time_ns`` when it was stored; ``steps``, which a memory
    without a step is never within; ``importance``; ``conditions`` that all hold of the state;
    ``words`` that all occur, whatever their case, in its keys and texts.
    """

    kinds: list[str] | None = None
    time_ns: tuple[int | None, int | None] | None = None
    steps: tuple[int | None, int | None] | None = None
    importance: tuple[float | None, float | None] | None = None
    conditions: list[Condition] = []
    words: list[str] = []

    @property
    def reads_states(self) -> bool:
        """Whether states have to be looked into."""
        return bool(self.conditions or self.words)

    @property
    def has_ranges(self) -> bool:
        """Whether it leaves anything out before states are looked into."""
        bounds = (self.kinds, self.time_ns, self.steps, self.importance)
        return any(bound is not None for bound in bounds)


def conditions_of(
    attributes: Mapping[Any, Any] | None, field: str = "attributes"
) -> list[Condition]:
    """Conditions in the notation of the module's head.

    Raises:
        BadInputError: names what cannot be read.
    """
    if attributes is None:
        return []
    if not isinstance(attributes, Mapping):
        raise BadInputError(field, f"must be a mapping, not {type(attributes).__name__}")
    conditions = []
    for place, wanted in attributes.items():
        path = _path(place, field)
        if isinstance(wanted, Mapping) and any(str(key).startswith("$") for key in wanted):
            for name, value in wanted.items():
                if not str(name).startswith("$") or str(name)[1:] not in OPERATORS:
                    known = ", ".join(f"${one}" for one in OPERATORS)
                    raise BadInputError(field, f"has the operator {name!r}; known are {known}")
                conditions.append(_condition(path, str(name)[1:], value, field))
        else:
            conditions.append(_condition(path, "eq", wanted, field))
    if len(conditions) > _MAX_CONDITIONS:
        raise BadInputError(field, f"has {len(conditions)} conditions; at most {_MAX_CONDITIONS}")
    return conditions


def holds_all(state: Any, conditions: Sequence[Condition]) -> bool:
    """Whether every condition holds of a state."""
    return all(_holds(state, condition) for condition in conditions)


def fraction_held(state: Any, conditions: Sequence[Condition]) -> float:
    """How many of the conditions hold, from 0 to 1; 1 of none."""
    if not conditions:
        return 1.0
    return sum(_holds(state, condition) for condition in conditions) / len(conditions)


def has_words(state: Any, words: Sequence[str]) -> bool:
    """Whether each word, in lower case, occurs in a key or a text of a state."""
    missing = set(words)
    for text in _texts(state):
        if not missing:
            return True
        lowered = text.casefold()
        missing = {word for word in missing if word not in lowered}
    return not missing


def _texts(value: Any) -> Any:
    if type(value) is str:
        yield value
    elif type(value) is dict:
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif type(value) is list:
        for item in value:
            yield from _texts(item)


def _holds(state: Any, condition: Condition) -> bool:
    value = state
    for key in condition.path:
        if type(value) is dict:
            value = value.get(key, _ABSENT)
        elif type(value) is list and key.isdecimal() and len(key) < 10 and int(key) < len(value):
            value = value[int(key)]
        else:
            value = _ABSENT
        if value is _ABSENT:
            return condition.operator in _HELD_BY_ABSENCE
    try:
        return bool(OPERATORS[condition.operator](value, condition.value))
    except TypeError:  # kinds without an order
        return False


def _path(place: Any, field: str) -> list[str]:
    if isinstance(place, str):
        path = place.split(".")
    elif isinstance(place, tuple) and all(isinstance(key, str | int) for key in place):
        path = [str(key) for key in place]
    else:
        raise BadInputError(field, f"has the place {place!r}; it must be text or a tuple of keys")
    if not path or place == "":
        raise BadInputError(field, "has an empty place; name one")
    return path


def _condition(path: list[str], name: str, value: Any, field: str) -> Condition:
    if name in {"in", "nin"} and not isinstance(value, list | tuple | set | frozenset):
        raise BadInputError(field, f"${name} needs a list, not {type(value).__name__}")
    if isinstance(value, set | frozenset):
        value = list(value)
    # as it would be in a state: plain, and checked
    place = ".".join(path)
    return Condition(path, name, unpack_state(pack_state({place: value}, field))[place])

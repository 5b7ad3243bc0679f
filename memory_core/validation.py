"""Operations looked at by themselves: what passes can be encoded, sent and executed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from memory_core.conditions import OPERATORS, Condition, Filter
from memory_core.errors import BadInputError
from memory_core.maintenance import Maintenance
from memory_core.movement import Movement
from memory_core.operations import (
    KINDS,
    TIERS,
    Agents,
    Delete,
    Describe,
    Export,
    Inspect,
    Maintain,
    Operation,
    Query,
    Restore,
    Retrieve,
    RetrieveMany,
    Search,
    Store,
    Transition,
)
from memory_core.payload import check_packed
from memory_core.survey import Survey
from memory_core.wire import can_travel

__all__ = ["MAX_ID_BYTES", "validate"]

MAX_ID_BYTES = 1024
_TIER_CHOICES = frozenset({*TIERS, "all"})
_KIND_CHOICES = frozenset(KINDS)
_MAX_K = 2**63 - 1
_MAX_STEP = 2**63 - 1
_MAX_SHOWN = 80
_MAX_IDS = 100_000
_MAX_PAGE = 100_000


def validate(operation: Operation) -> None:
    """Check the fields that need no database to be checked; what passes can be encoded.

    Raises:
        BadInputError: names the field.
    """
    kind: Any = type(operation)
    one: Any = operation
    if kind is Store or kind is Retrieve:
        agent_id, state_id = one.agent_id, one.state_id
        if not (
            type(agent_id) is str
            and type(state_id) is str
            and 0 < len(agent_id) <= MAX_ID_BYTES
            and 0 < len(state_id) <= MAX_ID_BYTES
            and agent_id.isascii()
            and state_id.isascii()
        ):
            _check_id("agent_id", agent_id)
            _check_id("state_id", state_id)
        if kind is Retrieve:
            _check_tier(one.tier)
            return
        importance = one.importance
        if not (type(importance) is float and 0.0 <= importance <= 1.0):
            _check_importance(importance)
        if type(one.payload) is not bytes:
            raise BadInputError("state_data", "must be bytes, as pack_state makes them")
        if one.vector is not None:
            _check_vector(one.vector)
        if one.kind != "state" or one.step is not None or one.metadata is not None:
            _check_kept_beside(one)
        return
    check = _CHECKS.get(kind)
    if check is None:
        raise BadInputError("batch", f"holds a {kind.__name__}, which is no operation")
    check(one)


def _check_id(field: str, value: Any) -> None:
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


def _shown(value: Any) -> str:
    """A value in an error: on one line, and short, whatever it is."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of thousands of digits
        return f"a {type(value).__name__} that is too large to show"
    text = " ".join(text.split())
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _check_importance(value: Any) -> None:
    if type(value) is not float and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise BadInputError("importance", f"must be a number from 0 to 1, not {_shown(value)}")
    if not 0.0 <= value <= 1.0:
        raise BadInputError("importance", f"must be from 0 to 1, not {_shown(value)}")


def _check_tier(value: Any) -> None:
    if not isinstance(value, str) or value not in _TIER_CHOICES:
        raise BadInputError("tier", f"must be stm, im, ltm or all, not {_shown(value)}")


def _check_search(operation: Search) -> None:
    _check_id("agent_id", operation.agent_id)
    _check_tier(operation.tier)
    k = operation.k
    if type(k) is not int or not 1 <= k <= _MAX_K:
        raise BadInputError("k", f"must be a whole number from 1 to 2**63 - 1, not {_shown(k)}")
    if (operation.payload is None) == (operation.vector is None):
        raise BadInputError("query_state", "give either a query state or a vector")
    if operation.payload is not None and type(operation.payload) is not bytes:
        raise BadInputError("query_state", "must be bytes, as pack_state makes them")
    _check_vector(operation.vector)

    if operation.min_score is not None:
        _check_number("min_score", operation.min_score)
    if operation.filter is not None:
        _check_filter(operation.filter)
    if operation.prefer:
        _check_conditions(operation.prefer)
        for field in ("vector_weight", "attribute_weight"):
            weight = getattr(operation, field)
            _check_number(field, weight)
            if weight < 0:
                raise BadInputError(field, f"must be at least 0, not {_shown(weight)}")


def _check_kept_beside(operation: Store | Restore) -> None:
    kind: Any = operation.kind
    if not isinstance(kind, str) or kind not in _KIND_CHOICES:
        raise BadInputError("kind", f"must be state, action or interaction, not {_shown(kind)}")
    if operation.step is not None:
        _check_step("step", operation.step)
    metadata: Any = operation.metadata
    if metadata is not None:
        if type(metadata) is not bytes:
            raise BadInputError("metadata", "must be bytes, as pack_state makes them")
        try:
            check_packed(metadata)
        except BadInputError as error:
            field = "metadata" + error.field.removeprefix("state_data")
            raise BadInputError(field, error.problem) from None


def _check_step(field: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _MAX_STEP:
        raise BadInputError(field, f"must be a whole number of 64 bits, not {_shown(value)}")


def _check_number(field: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadInputError(field, f"must be a finite number, not {_shown(value)}")


def _check_filter(given: Any) -> None:
    if not isinstance(given, Filter):
        raise BadInputError("filter", f"must be a Filter, not {type(given).__name__}")
    for kind in given.kinds or ():
        if kind not in _KIND_CHOICES:
            raise BadInputError(
                "kinds", f"must be of state, action and interaction, not {_shown(kind)}"
            )
    _check_range("time_ns", given.time_ns, _check_step)
    _check_range("steps", given.steps, _check_step)
    _check_range("importance", given.importance, _check_number)
    _check_conditions(given.conditions)
    words: list[Any] = given.words
    for word in words:
        if not isinstance(word, str) or not word or not can_travel(word):
            raise BadInputError("words", f"must be words, not {_shown(word)}")


def _check_range(field: str, bounds: Any, check: Any) -> None:
    if bounds is None:
        return
    if not isinstance(bounds, tuple | list) or len(bounds) != 2:
        raise BadInputError(field, f"must be a lowest and a highest value, not {_shown(bounds)}")
    low, high = bounds
    for at, bound in enumerate(bounds):
        if bound is not None:
            check(f"{field}[{at}]", bound)
    if low is not None and high is not None and low > high:
        raise BadInputError(field, f"ends ({_shown(high)}) before it begins ({_shown(low)})")


def _check_conditions(conditions: list[Any]) -> None:
    for one in conditions:
        if not isinstance(one, Condition) or one.operator not in OPERATORS or not one.path:
            raise BadInputError(
                "attributes", f"must be conditions, as conditions_of makes them, not {_shown(one)}"
            )
        # what a message cannot hold would fail the whole batch that it is sent in
        if not can_travel(one):
            problem = f"hold what no condition can, or a number beyond 64 bits: {_shown(one.value)}"
            raise BadInputError("attributes", problem)


def _check_restore(operation: Restore) -> None:
    _check_id("agent_id", operation.agent_id)
    _check_id("state_id", operation.state_id)
    _check_importance(operation.importance)
    if type(operation.payload) is not bytes:
        raise BadInputError("state_data", "must be bytes, as pack_state makes them")
    _check_vector(operation.vector)
    _check_kept_beside(operation)
    _check_step("stored_ns", operation.stored_ns)
    tier: Any = operation.tier
    if not isinstance(tier, str) or tier not in TIERS:
        raise BadInputError("tier", f"must be stm, im or ltm, not {_shown(tier)}")


def _check_agents(operation: Agents) -> None:
    if operation.after is not None:
        _check_id("after", operation.after)
    _check_page(operation.limit)


def _check_export(operation: Export) -> None:
    _check_id("agent_id", operation.agent_id)
    _check_step("after", operation.after)
    _check_page(operation.limit)
    _check_step("max_bytes", operation.max_bytes)


def _check_page(limit: Any) -> None:
    if type(limit) is not int or not 1 <= limit <= _MAX_PAGE:
        raise BadInputError(
            "limit", f"must be a whole number from 1 to {_MAX_PAGE:,}, not {_shown(limit)}"
        )


def _check_many(operation: RetrieveMany) -> None:
    _check_id("agent_id", operation.agent_id)
    _check_tier(operation.tier)
    ids: Any = operation.state_ids
    if not isinstance(ids, list):
        raise BadInputError("state_ids", f"must be a list of ids, not {type(ids).__name__}")
    if len(ids) > _MAX_IDS:
        raise BadInputError("state_ids", f"are {len(ids):,}; at most {_MAX_IDS:,} at once")
    for state_id in ids:
        _check_id("state_ids", state_id)


def _check_query(operation: Query) -> None:
    _check_id("agent_id", operation.agent_id)
    _check_tier(operation.tier)
    _check_filter(operation.filter)
    limit: Any = operation.limit
    if limit is not None and (type(limit) is not int or not 1 <= limit <= _MAX_K):
        raise BadInputError("limit", f"must be a whole number >= 1 or None, not {_shown(limit)}")


def _check_delete(operation: Delete) -> None:
    if operation.agent_id is None:
        if operation.state_id is not None:
            raise BadInputError("agent_id", "is missing; a memory is named by agent and id")
        return
    _check_id("agent_id", operation.agent_id)
    if operation.state_id is not None:
        _check_id("state_id", operation.state_id)


def _check_describe(operation: Describe | Maintain) -> None:
    if operation.agent_id is not None:
        _check_id("agent_id", operation.agent_id)


def _check_vector(value: Any) -> None:
    if value is not None and type(value) is not bytes:
        raise BadInputError("vector", f"must be float32 bytes, not {type(value).__name__}")


def _check_transition(operation: Transition) -> None:
    to: Any = operation.to
    if not isinstance(to, str) or to not in TIERS[1:]:
        raise BadInputError("to", f"must be im or ltm, not {_shown(to)}")
    percentage = operation.percentage
    if isinstance(percentage, bool) or not isinstance(percentage, int | float):
        raise BadInputError(
            "percentage", f"must be a number from 0 to 100, not {_shown(percentage)}"
        )
    if not 0.0 <= percentage <= 100.0:
        raise BadInputError("percentage", f"must be from 0 to 100, not {_shown(percentage)}")
    if operation.agent_id is not None:
        _check_id("agent_id", operation.agent_id)


_CHECKS: Mapping[type[Any], Callable[[Any], None]] = {
    Search: _check_search,
    Transition: _check_transition,
    Describe: _check_describe,
    RetrieveMany: _check_many,
    Query: _check_query,
    Delete: _check_delete,
    Restore: _check_restore,
    Agents: _check_agents,
    Export: _check_export,
    Inspect: lambda _: None,
    Movement: lambda one: _check_transition(one.operation),
    Survey: lambda _: None,
    Maintain: _check_describe,
    Maintenance: lambda one: _check_describe(one.operation),
}

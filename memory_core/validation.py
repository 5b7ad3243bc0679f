"""Operations looked at by themselves: what passes can be encoded, sent and executed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from memory_core.conditions import OPERATORS, Condition, Filter
from memory_core.errors import BadInputError
from memory_core.field_checks import (
    MAX_ID_BYTES,
    check_id,
    check_importance,
    check_number,
    check_page,
    check_range,
    check_step,
    check_tier,
    check_vector,
    shown,
)
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

_KIND_CHOICES = frozenset(KINDS)
_MAX_K = 2**63 - 1
_MAX_IDS = 100_000


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
            check_id("agent_id", agent_id)
            check_id("state_id", state_id)
        if kind is Retrieve:
            check_tier(one.tier)
            return
        importance = one.importance
        if not (type(importance) is float and 0.0 <= importance <= 1.0):
            check_importance(importance)
        if type(one.payload) is not bytes:
            raise BadInputError("state_data", "must be bytes, as pack_state makes them")
        if one.vector is not None:
            check_vector(one.vector)
        if one.kind != "state" or one.step is not None or one.metadata is not None:
            _check_kept_beside(one)
        return
    check = _CHECKS.get(kind)
    if check is None:
        raise BadInputError("batch", f"holds a {kind.__name__}, which is no operation")
    try:
        check(one)
    except BadInputError:
        raise
    except Exception as error:  # noqa: BLE001 - what nobody thought of fails no other operation
        problem = f"holds a {kind.__name__} that cannot be read: {shown(error)}"
        raise BadInputError("batch", problem) from None


def _check_search(operation: Search) -> None:
    check_id("agent_id", operation.agent_id)
    check_tier(operation.tier)
    k = operation.k
    if type(k) is not int or not 1 <= k <= _MAX_K:
        raise BadInputError("k", f"must be a whole number from 1 to 2**63 - 1, not {shown(k)}")
    if (operation.payload is None) == (operation.vector is None):
        raise BadInputError("query_state", "give either a query state or a vector")
    if operation.payload is not None and type(operation.payload) is not bytes:
        raise BadInputError("query_state", "must be bytes, as pack_state makes them")
    check_vector(operation.vector)

    if operation.min_score is not None:
        check_number("min_score", operation.min_score)
    if operation.filter is not None:
        _check_filter(operation.filter)
    if operation.prefer:
        _check_conditions(operation.prefer)
        for field in ("vector_weight", "attribute_weight"):
            weight = getattr(operation, field)
            check_number(field, weight)
            if weight < 0:
                raise BadInputError(field, f"must be at least 0, not {shown(weight)}")
        if not (operation.vector_weight or operation.attribute_weight):
            raise BadInputError("vector_weight", "and attribute_weight are 0: nothing would count")


def _check_kept_beside(operation: Store | Restore) -> None:
    kind: Any = operation.kind
    if not isinstance(kind, str) or kind not in _KIND_CHOICES:
        raise BadInputError("kind", f"must be state, action or interaction, not {shown(kind)}")
    if operation.step is not None:
        check_step("step", operation.step)
    metadata: Any = operation.metadata
    if metadata is not None:
        if type(metadata) is not bytes:
            raise BadInputError("metadata", "must be bytes, as pack_state makes them")
        try:
            check_packed(metadata)
        except BadInputError as error:
            field = "metadata" + error.field.removeprefix("state_data")
            raise BadInputError(field, error.problem) from None


def _check_filter(given: Any) -> None:
    if not isinstance(given, Filter):
        raise BadInputError("filter", f"must be a Filter, not {type(given).__name__}")
    for kind in _listed("kinds", [] if given.kinds is None else given.kinds):
        if not isinstance(kind, str) or kind not in _KIND_CHOICES:
            raise BadInputError(
                "kinds", f"must be of state, action and interaction, not {shown(kind)}"
            )
    check_range("time_ns", given.time_ns, check_step)
    check_range("steps", given.steps, check_step)
    check_range("importance", given.importance, check_number)
    for at, bound in enumerate(given.importance or ()):
        if bound is not None and not 0.0 <= bound <= 1.0:
            raise BadInputError(f"importance[{at}]", f"must be from 0 to 1, not {shown(bound)}")
    _check_conditions(given.conditions)
    for word in _listed("words", given.words):
        if not isinstance(word, str) or not word or not can_travel(word):
            raise BadInputError("words", f"must be words, not {shown(word)}")


def _listed(field: str, value: Any) -> list[Any] | tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise BadInputError(field, f"must be a list, not {type(value).__name__}")
    return value


def _check_conditions(conditions: Any) -> None:
    for one in _listed("attributes", conditions):
        if not isinstance(one, Condition) or one.operator not in OPERATORS or not one.path:
            raise BadInputError(
                "attributes", f"must be conditions, as conditions_of makes them, not {shown(one)}"
            )
        # what a message cannot hold would fail the whole batch that it is sent in
        if not can_travel(one):
            problem = f"hold what no condition can, or a number beyond 64 bits: {shown(one.value)}"
            raise BadInputError("attributes", problem)


def _check_restore(operation: Restore) -> None:
    check_id("agent_id", operation.agent_id)
    check_id("state_id", operation.state_id)
    check_importance(operation.importance)
    if type(operation.payload) is not bytes:
        raise BadInputError("state_data", "must be bytes, as pack_state makes them")
    check_vector(operation.vector)
    _check_kept_beside(operation)
    check_step("stored_ns", operation.stored_ns)
    tier: Any = operation.tier
    if not isinstance(tier, str) or tier not in TIERS:
        raise BadInputError("tier", f"must be stm, im or ltm, not {shown(tier)}")


def _check_agents(operation: Agents) -> None:
    if operation.after is not None:
        check_id("after", operation.after)
    if operation.prefix is not None:
        check_id("prefix", operation.prefix)
    check_page(operation.limit)


def _check_export(operation: Export) -> None:
    check_id("agent_id", operation.agent_id)
    check_step("after", operation.after)
    check_page(operation.limit)
    check_step("max_bytes", operation.max_bytes)


def _check_many(operation: RetrieveMany) -> None:
    check_id("agent_id", operation.agent_id)
    check_tier(operation.tier)
    ids: Any = operation.state_ids
    if not isinstance(ids, list):
        raise BadInputError("state_ids", f"must be a list of ids, not {type(ids).__name__}")
    if len(ids) > _MAX_IDS:
        raise BadInputError("state_ids", f"are {len(ids):,}; at most {_MAX_IDS:,} at once")
    for state_id in ids:
        check_id("state_ids", state_id)


def _check_query(operation: Query) -> None:
    check_id("agent_id", operation.agent_id)
    check_tier(operation.tier)
    _check_filter(operation.filter)
    limit: Any = operation.limit
    if limit is not None and (type(limit) is not int or not 1 <= limit <= _MAX_K):
        raise BadInputError("limit", f"must be a whole number >= 1 or None, not {shown(limit)}")
    newest_first: Any = operation.newest_first
    if not isinstance(newest_first, bool):
        problem = f"must be True or False, not {shown(newest_first)}"
        raise BadInputError("newest_first", problem)


def _check_delete(operation: Delete) -> None:
    if operation.agent_id is None:
        if operation.state_id is not None:
            raise BadInputError("agent_id", "is missing; a memory is named by agent and id")
        return
    check_id("agent_id", operation.agent_id)
    if operation.state_id is not None:
        check_id("state_id", operation.state_id)


def _check_describe(operation: Describe | Maintain) -> None:
    if operation.agent_id is not None:
        check_id("agent_id", operation.agent_id)


def _check_transition(operation: Transition) -> None:
    to: Any = operation.to
    if not isinstance(to, str) or to not in TIERS[1:]:
        raise BadInputError("to", f"must be im or ltm, not {shown(to)}")
    percentage = operation.percentage
    if isinstance(percentage, bool) or not isinstance(percentage, int | float):
        raise BadInputError(
            "percentage", f"must be a number from 0 to 100, not {shown(percentage)}"
        )
    if not 0.0 <= percentage <= 100.0:
        raise BadInputError("percentage", f"must be from 0 to 100, not {shown(percentage)}")
    if operation.agent_id is not None:
        check_id("agent_id", operation.agent_id)


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

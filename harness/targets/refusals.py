"""What a store is not asked: operations that it says it cannot do, or that no adapter knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.targets.base import Capabilities, Scalar
from harness.targets.method_checks import KINDS
from memory_core.errors import BadInputError
from memory_core.operations import Delete, Search, Store

__all__ = ["refusal", "where_of"]

# A store has no tiers that it is told of.
_TIER = "all"


def refusal(operation: Any, capabilities: Capabilities) -> BadInputError | None:
    """Why a store of such capabilities is not asked this, if it is not."""
    kind = type(operation)
    if kind not in KINDS:
        return BadInputError("batch", f"holds a {kind.__name__}, which this target does not know")
    if kind is Delete:
        if not capabilities.delete:
            return BadInputError("batch", "holds a Delete, which this target cannot do")
        if operation.state_id is None:
            return BadInputError("state_id", "is missing: this target deletes one at a time")
        return None
    if kind is not Store and operation.tier != _TIER:
        return BadInputError("tier", f"must be {_TIER}: this target has no tiers")
    return _refused_search(operation, capabilities) if kind is Search else None


def _refused_search(search: Search, capabilities: Capabilities) -> BadInputError | None:
    if search.min_score is not None or search.prefer:
        field = "prefer" if search.prefer else "min_score"
        return BadInputError(field, "is not known to this target")
    if search.filter is None:
        return None
    if not capabilities.filter:
        return BadInputError("filter", "is not known to this target")
    try:
        where_of(search)
    except BadInputError as error:
        return error
    return None


def where_of(search: Search) -> Mapping[str, Scalar] | None:
    """A search's filter as `Query.where` has it.

    Raises:
        BadInputError: it asks for more than equal scalars at the top of the state.
    """
    wanted = search.filter
    if wanted is None:
        return None
    if wanted.has_ranges or wanted.words:
        raise BadInputError("filter", "must be of conditions only for this target")
    where: dict[str, Scalar] = {}
    for one in wanted.conditions:
        if one.operator != "eq" or len(one.path) != 1 or one.path[0] in where:
            problem = "must ask for equal values at the top of the state only, each place once"
            raise BadInputError("attributes", problem)
        if not isinstance(one.value, str | int | float | bool):
            raise BadInputError("attributes", "must be text, numbers and booleans for this target")
        where[one.path[0]] = one.value
    return where

"""Which columns a trace has, and of which types they may be. Pure: types only, no values.

A column may be dictionary- or run-end-encoded, or an extension of the types named here.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

__all__ = ["COLUMNS", "MAX_DEPTH", "REQUIRED", "lacking", "schema_problem"]

REQUIRED = ("agent_id", "state")
COLUMNS = (*REQUIRED, "step", "state_id")
MAX_DEPTH = 128
"""How deep a state may be nested, as in the store."""

_SHOWN_COLUMNS = 12
_SCALAR_TYPES = (
    pa.types.is_null,
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
)


def schema_problem(schema: pa.Schema) -> str | None:
    """What is wrong with the columns of a table, or None."""
    for name in COLUMNS:
        if len(schema.get_all_field_indices(name)) > 1:
            return f"has the column {name} more than once; keep one of them"
    for name in REQUIRED:
        if name not in schema.names:
            return lacking("column", name, schema.names)
    for name in COLUMNS:
        if name in schema.names:
            kind = _plain_type(schema.field(name).type)
            problem = _TYPE_PROBLEMS[name](kind)
            if problem is not None:
                return f"has a column {name} {problem}"
    return None


def lacking(noun: str, name: str, present: list[str]) -> str:
    """The words for an absent column or field ``name``, with what there is instead."""
    shown = ", ".join(present[:_SHOWN_COLUMNS]) or "none"
    more = ", ..." if len(present) > _SHOWN_COLUMNS else ""
    return f"lacks the {noun} {name}; there is {shown}{more}"


def _plain_type(kind: pa.DataType) -> pa.DataType:
    while True:
        if isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        elif pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
            kind = kind.value_type
        else:
            return kind


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _id_type_problem(kind: pa.DataType) -> str | None:
    if _is_text(kind) or pa.types.is_integer(kind):
        return None
    return f"of type {kind}; it must hold strings or integers"


def _state_id_type_problem(kind: pa.DataType) -> str | None:
    return None if pa.types.is_null(kind) else _id_type_problem(kind)


def _step_type_problem(kind: pa.DataType) -> str | None:
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return None
    return f"of type {kind}; it must hold numbers"


def _state_type_problem(kind: pa.DataType) -> str | None:
    if _is_text(kind):
        return None
    if not (pa.types.is_struct(kind) or pa.types.is_map(kind)):
        return f"of type {kind}; it must hold structs, maps or JSON strings"
    unfit = _unfit(kind, "state", 0)
    return None if unfit is None else f"with {unfit}"


_TYPE_PROBLEMS: dict[str, Callable[[pa.DataType], str | None]] = {
    "agent_id": _id_type_problem,
    "state": _state_type_problem,
    "step": _step_type_problem,
    "state_id": _state_id_type_problem,
}


def _unfit(kind: pa.DataType, path: str, depth: int) -> str | None:
    """The first place inside a column's type that a state cannot hold, or None."""
    types = pa.types
    if depth > MAX_DEPTH:
        return f"{path.split('.', 1)[0]} nested deeper than {MAX_DEPTH} levels"
    parts: list[tuple[str, pa.DataType]] = []
    if types.is_dictionary(kind):
        parts = [(path, kind.value_type)]
    elif types.is_struct(kind):
        parts = [(f"{path}.{part.name}", part.type) for part in kind]
        if len({name for name, _ in parts}) < len(parts):
            return f"two fields of one name in {path}"
    elif types.is_map(kind):
        if not _is_text(_plain_type(kind.key_type)):
            return f"keys of type {kind.key_type} in {path}, and keys must be strings"
        parts = [(f"{path}.*", kind.item_type)]
    elif types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        parts = [(f"{path}[*]", kind.value_type)]
    elif not (_is_text(kind) or any(is_kind(kind) for is_kind in _SCALAR_TYPES)):
        return f"{path} of type {kind}, and a state holds strings, numbers, booleans and nulls"
    problems = (_unfit(part, name, depth + 1) for name, part in parts)
    return next((problem for problem in problems if problem is not None), None)

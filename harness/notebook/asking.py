"""Which columns a question needs, and which rows it wants: pure functions on Arrow."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from harness.errors import quoted

__all__ = ["asked_columns", "filtered", "read_columns"]

_WORDS = re.compile(r"\w+")


def asked_columns(schema: pa.Schema, columns: Sequence[str] | None) -> list[str]:
    """The columns that are asked for, by default all; ValueError for one that there is not."""
    if columns is None:
        return list(schema.names)
    if isinstance(columns, str):
        raise ValueError(f"columns: give a list, [{columns!r}], not a text")
    unknown = [str(name) for name in columns if name not in schema.names]
    if unknown:
        raise ValueError(f"columns: no {', '.join(unknown)}; there are {', '.join(schema.names)}")
    return list(columns)


def read_columns(
    schema: pa.Schema, columns: Sequence[str], where: pc.Expression | None
) -> list[str]:
    """The columns to read: those that are asked for, and after them those of the expression.

    An expression does not say which columns it is of, but its text has their names. A word that
    happens to be in a value as well costs a column that is read for nothing.
    """
    if where is None:
        return list(columns)
    text = str(where)
    words = set(schema.names) if "FieldPath(" in text else set(_WORDS.findall(text))
    return [*columns, *(name for name in schema.names if name in words and name not in columns)]


def filtered(table: pa.Table, where: pc.Expression) -> pa.Table:
    """The rows for which an expression is true; ValueError where it is none for this table."""
    if not isinstance(where, pc.Expression):
        raise ValueError(f"where: {quoted(where)} is no expression of pyarrow.compute")
    try:
        return table.filter(where)
    except (pa.ArrowException, TypeError) as error:
        first = str(error).partition("\n")[0]
        raise ValueError(f"where: {first}") from None

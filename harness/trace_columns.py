"""What the rows of a trace may hold, and Arrow columns as checked rows.

Pure: nothing here knows the file. A flaw is a `RowFlawError` that says which row of the batch it
is in; whoever reads the file knows what that row is called there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from harness.trace_schema import MAX_DEPTH
from memory_core.errors import BadInputError
from memory_core.operations import Store
from memory_core.results import Record

__all__ = [
    "MAX_ID_BYTES",
    "RowFlawError",
    "TraceRows",
    "checked_ids",
    "json_object",
    "packed",
    "rows_of",
    "unpacked",
]

MAX_ID_BYTES = 1024
"""The longest id in UTF-8, as in the store."""

_DECODE_JSON = msgspec.json.Decoder().decode


class RowFlawError(Exception):
    """A row that is wrong. Attributes: ``row`` (from 0, in its batch) and ``problem``."""

    def __init__(self, row: int, problem: str) -> None:
        super().__init__(row, problem)
        self.row = row
        self.problem = problem


@dataclass(frozen=True, kw_only=True)
class TraceRows:
    """Some consecutive rows of a trace, all of them good.

    Attributes:
        agent_id: large_string, no nulls.
        state: large_binary, no nulls: states as `packed` packs them.
        state_id: large_string, null where the trace names none.
        step: (n,) int64 or finite float64, or None for a trace without steps.
    """

    agent_id: pa.LargeStringArray
    state: pa.LargeBinaryArray
    state_id: pa.LargeStringArray
    step: npt.NDArray[np.int64] | npt.NDArray[np.float64] | None


def rows_of(batch: pa.RecordBatch) -> TraceRows:
    """The rows of a batch whose schema `harness.trace_schema` finds no problem in.

    Raises:
        RowFlawError: the first row found that is wrong.
    """
    names = batch.schema.names
    unnamed = pa.nulls(batch.num_rows, pa.large_string())
    return TraceRows(
        agent_id=checked_ids("agent_id", _text(_plain(batch.column("agent_id")))),
        state=_packed_column(_plain(batch.column("state"))),
        state_id=(
            checked_ids("state_id", _text(_plain(batch.column("state_id"))), nullable=True)
            if "state_id" in names
            else unnamed
        ),
        step=_checked_steps(_plain(batch.column("step"))) if "step" in names else None,
    )


def checked_ids(name: str, ids: pa.LargeStringArray, *, nullable: bool = False) -> Any:
    """``ids`` (large_string) as they are, all of them fit to be ids.

    Raises:
        RowFlawError: one is empty, longer than `MAX_ID_BYTES`, or null without ``nullable``.
    """
    if ids.null_count and not nullable:
        raise RowFlawError(pc.index(ids.is_null(), True).as_py(), f"{name} is null")
    size_bytes = pc.binary_length(ids)
    for bad, problem in (
        (pc.equal(size_bytes, 0), "is empty"),
        (pc.greater(size_bytes, MAX_ID_BYTES), f"is longer than {MAX_ID_BYTES:,} bytes"),
    ):
        row = pc.index(bad, True).as_py()
        if row >= 0:
            raise RowFlawError(row, f"{name} {problem}")
    return ids


def json_object(text: str | bytes, subject: str) -> dict[str, Any]:
    """The JSON object in ``text``.

    Raises:
        ValueError: it is something else; the text says so of ``subject``.
    """
    try:
        value = _DECODE_JSON(text)
    except msgspec.ValidationError as error:
        raise ValueError(f"{subject} holds a number that is too large ({error})") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ValueError(f"{subject} is not valid JSON ({error})") from None
    except RecursionError:
        raise ValueError(f"{subject} is nested deeper than {MAX_DEPTH} levels") from None
    if not isinstance(value, dict):
        raise ValueError(f"{subject} is {_article(value)}, not a JSON object")
    return value


def packed(state: Any) -> bytes:
    """A state, or a JSON string that holds one, as bytes for `unpacked`.

    The store's own packing, so that whatever it would refuse is refused here.

    Raises:
        ValueError: it is no mapping, or one that a state cannot be; the text says why.
    """
    if isinstance(state, str):
        state = json_object(state, "state")
    if not isinstance(state, dict):
        raise ValueError(f"state is {_article(state)}; it must be a mapping")
    try:
        return Store.of("agent", "state", state).payload
    except BadInputError as error:
        place = error.field.removeprefix("state_data")
        raise ValueError(f"state{place} {error.problem}") from None


def unpacked(payload: bytes) -> dict[str, Any]:
    """The state that `packed` was given."""
    return Record(payload, "").state


def _article(value: Any) -> str:
    words = {
        type(None): "null",
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "a list",
    }
    return words.get(type(value), f"of type {type(value).__name__}")


def _plain(column: pa.Array) -> pa.Array:
    """The column's values without the encoding or the extension type around them."""
    while True:
        if isinstance(column, pa.ExtensionArray):
            column = column.storage
        elif pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        elif pa.types.is_run_end_encoded(column.type):
            column = pc.run_end_decode(column)
        else:
            return column


def _text(ids: pa.Array) -> pa.LargeStringArray:
    return ids.cast(pa.large_string())


def _packed_column(states: pa.Array) -> pa.LargeBinaryArray:
    """The states of a column, packed; flaws are found in the order of the rows."""
    result = []
    for row, state in enumerate(_python_values(states)):
        try:
            result.append(packed(state))
        except ValueError as error:
            raise RowFlawError(row, str(error)) from None
    return pa.array(result, pa.large_binary())


def _python_values(states: pa.Array) -> list[Any]:
    try:
        return _values(states)
    except KeyError:
        for row, state in enumerate(states):
            try:
                state.as_py(maps_as_pydicts="strict")
            except KeyError:
                raise RowFlawError(row, "state has a map with one key twice") from None
        raise


def _values(column: pa.Array) -> list[Any]:
    """What ``to_pylist`` gives, field by field: three times as fast for structs of numbers.

    Raises:
        KeyError: a map holds a key twice.
    """
    kind = column.type
    if pa.types.is_struct(kind) and kind.num_fields:
        names = [part.name for part in kind]
        rows = [
            dict(zip(names, values, strict=True))
            for values in zip(*map(_values, column.flatten()), strict=True)
        ]
        if not column.null_count:
            return rows
        valid = column.is_valid().to_pylist()
        return [row if there else None for row, there in zip(rows, valid, strict=True)]
    if (pa.types.is_integer(kind) or pa.types.is_floating(kind)) and not column.null_count:
        return column.to_numpy(zero_copy_only=False).tolist()  # type: ignore[no-any-return]
    return column.to_pylist(maps_as_pydicts="strict")  # type: ignore[no-any-return]


def _checked_steps(steps: pa.Array) -> npt.NDArray[np.int64] | npt.NDArray[np.float64]:
    if steps.null_count:
        raise RowFlawError(pc.index(steps.is_null(), True).as_py(), "step is null")
    if pa.types.is_floating(steps.type):
        numbers: npt.NDArray[np.float64] = steps.to_numpy(zero_copy_only=False).astype(np.float64)
        not_finite = np.flatnonzero(~np.isfinite(numbers))
        if not_finite.size:
            row = int(not_finite[0])
            raise RowFlawError(row, f"step is {numbers[row]}; it must be a number")
        return numbers
    whole = steps.to_numpy(zero_copy_only=False)
    if pa.types.is_uint64(steps.type):
        too_large = np.flatnonzero(whole > np.uint64(2**63 - 1))
        if too_large.size:
            raise RowFlawError(int(too_large[0]), "step is beyond 64 bits with a sign")
    return whole.astype(np.int64)  # type: ignore[no-any-return]

"""Arrow arrays made from numpy and Python values by their buffers.

``pyarrow.array`` imports pandas, if it is installed, to see whether it was given a series. In each
cohort and sampler that would cost 0.3 s under the interpreter's lock, in the middle of a run, and
some 40 MB. Nothing here imports more than numpy and pyarrow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

__all__ = ["from_numbers", "from_numpy", "from_strings"]


def from_numpy(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    """An array of a fixed-width type; it shares the memory of a contiguous array of that type.

    Raises:
        ValueError: `values` is not one-dimensional, or has what the type cannot hold.
    """
    if values.ndim != 1:
        raise ValueError(f"a column has one dimension, not {values.ndim}")
    dtype = np.dtype(kind.to_pandas_dtype())
    if values.dtype != dtype:
        given, values = values, values.astype(dtype)
        if not np.array_equal(given, values):
            raise ValueError(f"a value has no place in {kind}")
    buffer = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(kind, len(values), [None, buffer], null_count=0)


def from_numbers(values: Sequence[float | None], kind: pa.DataType) -> pa.Array:
    """An array of a number type, null where the value is None. Floats are rounded to the type."""
    dtype = np.dtype(kind.to_pandas_dtype())
    present = np.array([value is not None for value in values], bool)
    filled = np.array([0 if value is None else value for value in values], dtype)
    validity = None if present.all() else pa.py_buffer(np.packbits(present, bitorder="little"))
    return pa.Array.from_buffers(kind, len(values), [validity, pa.py_buffer(filled)])


def from_strings(values: Sequence[str]) -> pa.Array:
    """An array of strings, none of them null."""
    encoded = [value.encode() for value in values]
    offsets = np.zeros(len(encoded) + 1, np.int32)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), buffers, null_count=0)

"""Arrays made from buffers hold what pyarrow would have put into them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.columns import from_numbers, from_numpy, from_strings


@given(st.lists(st.text()))
def test_strings(values: list[str]) -> None:
    """Any strings come back, empty ones and an empty list included."""
    array = from_strings(values)
    array.validate(full=True)
    assert array.to_pylist() == values


@given(st.lists(st.none() | st.integers(-(2**31), 2**31 - 1)))
def test_numbers(values: list[int | None]) -> None:
    """Numbers come back, with null where there is none."""
    array = from_numbers(values, pa.int32())
    array.validate(full=True)
    assert array.to_pylist() == values
    assert array.null_count == values.count(None)


def test_numpy_array_is_shared() -> None:
    """An array of the right type is not copied."""
    values = np.arange(5, dtype=np.int64)
    array = from_numpy(values, pa.int64())
    assert array.equals(pa.array(values))
    assert array.buffers()[1].address == values.ctypes.data


def test_numpy_conversion() -> None:
    """Another width or a stride is taken when every value has a place."""
    assert from_numpy(np.arange(10)[::3], pa.int16()).to_pylist() == [0, 3, 6, 9]


@pytest.mark.parametrize("values", [np.array([2**20]), np.array([1.5]), np.zeros((1, 1), np.int8)])
def test_numpy_values_without_a_place(values: np.ndarray) -> None:
    """A value that the type cannot hold is refused, never wrapped round."""
    with pytest.raises(ValueError, match=r"no place|one dimension"):
        from_numpy(values, pa.int16())

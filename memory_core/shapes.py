"""States of a known shape, read from their packed bytes without looking at each leaf.

Agents of one kind store states of one shape: the same keys, with values of the same types. A
`Shape` is compiled from one such state to a msgspec struct, so that decoding a packed state
checks its shape in C, and its leaves are where they are expected: numbers, categories (strings,
booleans, None) and lists of numbers, which may differ in length. A state of another shape does
not decode and is walked leaf by leaf instead (`memory_core.encoder`), with the same vector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from memory_core.features import MAX_NUMBER

__all__ = ["Leaf", "Rows", "Shape"]

_MAX_DEPTH = 8
_MAX_LEAVES = 512
_MAX_LISTED = 4_096
_MAX_COMBINATIONS = 1_024
_MAX_TEXT = 256
_Number = int | float
_NUMBERS = frozenset({int, float})

Leaf = Any  # a path of the encoder's: has `categories`, and children by key


class Rows(Protocol):
    """What a shape asks of the encoder: where the features of leaves go."""

    def child(self, parent: Leaf, key: str | int) -> Leaf:
        """The path below ``parent``."""

    def number_row(self, path: Leaf) -> int:
        """The row of a number at ``path``."""

    def category_row(self, path: Leaf, value: str | bool | None) -> int:
        """The row of a category at ``path``."""


class _Leaves:
    """The leaves of a shape: where a decoded state has them (dotted), and their paths."""

    def __init__(self) -> None:
        self.numbers: list[tuple[str, Leaf]] = []
        self.categories: list[tuple[str, Leaf]] = []
        self.lists: list[tuple[str, Leaf]] = []

    def struct_of(
        self, state: Mapping[str, Any], path: Leaf, rows: Rows, prefix: str, depth: int
    ) -> type[msgspec.Struct]:
        """The struct of a mapping; its leaves are added."""
        if depth > _MAX_DEPTH or not state:
            raise _NoShapeError
        fields: list[tuple[str, Any]] = []
        names: dict[str, str] = {}
        for position, (key, value) in enumerate(state.items()):
            name, kind, child = f"f{position}", type(value), rows.child(path, key)
            place = (prefix + name, child)
            typed: Any
            if kind is int or kind is float:
                typed = _Number
                self.numbers.append(place)
            elif kind is str or kind is bool or value is None:
                typed = kind
                self.categories.append(place)
            elif kind is list and value and _NUMBERS.issuperset(map(type, value)):
                typed = list[_Number]
                self.lists.append(place)
            elif kind is dict:
                typed = self.struct_of(value, child, rows, f"{prefix}{name}.", depth + 1)
            else:
                raise _NoShapeError
            fields.append((name, typed))
            names[name] = key
        try:
            return msgspec.defstruct(
                "Level", fields, rename=names, forbid_unknown_fields=True, gc=False
            )
        except ValueError:  # a key with a quote, a backslash or a control character
            raise _NoShapeError from None


class Shape:
    """Reads packed states of one shape.

    Args:
        state: a state of the shape.
        root: the encoder's path of a whole state.
        rows: the encoder.
    """

    def __init__(self, state: Mapping[str, Any], root: Leaf, rows: Rows) -> None:
        leaves = _Leaves()
        self._decode = msgspec.msgpack.Decoder(leaves.struct_of(state, root, rows, "", 0)).decode
        if len(leaves.numbers) + len(leaves.categories) + len(leaves.lists) > _MAX_LEAVES:
            raise _NoShapeError
        self._get_numbers = _getter([place for place, _ in leaves.numbers])
        self._get_categories = _getter([place for place, _ in leaves.categories])
        self._get_lists = _getter([place for place, _ in leaves.lists])
        self._numbers = tuple(rows.number_row(path) for _, path in leaves.numbers)
        self._categories = [path for _, path in leaves.categories]
        self._lists = [path for _, path in leaves.lists]
        self._rows = rows
        self._rows_by_lengths: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._rows_by_categories: dict[tuple[str | bool | None, ...], tuple[int, ...]] = {}

    @classmethod
    def of(cls, state: Mapping[str, Any], root: Leaf, rows: Rows) -> Shape | None:
        """The shape of a state, or None when it has something that shapes do not cover."""
        try:
            return cls(state, root, rows)
        except _NoShapeError:
            return None

    def read(
        self, packed: bytes, values: list[float], categories: list[int]
    ) -> tuple[int, ...] | None:
        """Append the numbers and the categories' rows of a packed state.

        Returns:
            The rows of the numbers, in their order; None when the state is of another shape,
            and then nothing was appended.
        """
        try:
            state = self._decode(packed)
        except msgspec.DecodeError:
            return None
        lists: tuple[list[float], ...] = ()
        lengths: tuple[int, ...] = ()
        if self._lists:
            lists = self._get_lists(state)
            lengths = tuple(map(len, lists))
            if sum(lengths) > _MAX_LISTED:
                return None
        values += self._get_numbers(state)
        held = self._get_categories(state)
        rows = self._rows_by_categories.get(held)
        categories += rows if rows is not None else self._category_rows(held)
        if not lists:
            return self._numbers
        for items in lists:
            values += items
        known = self._rows_by_lengths.get(lengths)
        if known is None:
            known = self._list_rows(lengths)
        if 0 in lengths:
            categories += [
                self._rows.category_row(path, "[]")
                for path, length in zip(self._lists, lengths, strict=True)
                if not length
            ]
        return known

    def read_all(
        self, packed: Sequence[bytes]
    ) -> tuple[tuple[int, ...], npt.NDArray[np.float64], npt.NDArray[np.int64]] | None:
        """The leaves of states that are all of this shape, with lists of the same lengths.

        Returns:
            The rows of the numbers (p of them), the numbers of shape (n, p), and the rows of the
            categories, of shape (n, c); None when a state is of another shape or has a number
            that is infinite or larger than `MAX_NUMBER`.
        """
        n = len(packed)
        try:
            states = list(map(self._decode, packed))
        except msgspec.DecodeError:
            return None
        rows, parts = self._numbers, [_matrix(map(self._get_numbers, states), n, float)]
        if self._lists:
            columns = list(zip(*map(self._get_lists, states), strict=True))
            lengths = tuple(map(len, next(zip(*columns, strict=True))))
            for column, length in zip(columns, lengths, strict=True):
                if not length or length > _MAX_LISTED or set(map(len, column)) != {length}:
                    return None
                parts.append(_matrix(column, n, float))
            rows = self._rows_by_lengths.get(lengths) or self._list_rows(lengths)
        held = list(map(self._get_categories, states))
        chosen = [self._rows_by_categories.get(one) or self._category_rows(one) for one in held]
        values = np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]
        if np.abs(values).max(initial=0.0) > MAX_NUMBER:
            return None
        return rows, values, _matrix(chosen, n, int)

    def _category_rows(self, held: tuple[str | bool | None, ...]) -> tuple[int, ...]:
        rows = tuple(map(self._rows.category_row, self._categories, held))
        if len(self._rows_by_categories) >= _MAX_COMBINATIONS:
            self._rows_by_categories.clear()
        if all(type(value) is not str or len(value) <= _MAX_TEXT for value in held):
            self._rows_by_categories[held] = rows
        return rows

    def _list_rows(self, lengths: tuple[int, ...]) -> tuple[int, ...]:
        rows = self._rows
        known = (
            *self._numbers,
            *(
                rows.number_row(rows.child(path, position))
                for path, length in zip(self._lists, lengths, strict=True)
                for position in range(length)
            ),
        )
        if len(self._rows_by_lengths) >= _MAX_COMBINATIONS:
            self._rows_by_lengths.clear()
        if len(known) <= _MAX_LEAVES:
            self._rows_by_lengths[lengths] = known
        return known


def _matrix(rows: Iterable[Iterable[float]], n: int, kind: type[Any]) -> npt.NDArray[Any]:
    """``n`` rows of the same length as an array of shape (n, length)."""
    return np.fromiter(chain.from_iterable(rows), kind).reshape(n, -1)


def _getter(places: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Gives the values at dotted places of an object, as a tuple."""
    if not places:
        return lambda _: ()
    if len(places) == 1:
        get = attrgetter(places[0])
        return lambda state: (get(state),)
    return attrgetter(*places)


class _NoShapeError(Exception):
    """The state has something that shapes do not cover."""

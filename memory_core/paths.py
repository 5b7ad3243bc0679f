"""The places of states' leaves, each with the rows of its features.

A tree of paths grows with what the encoder meets; `Paths` bounds it. A row is of the bucket
tables (`memory_core.features.BucketRows`): where the features of a leaf go, and with which sign.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from memory_core.errors import BadInputError
from memory_core.features import (
    CATEGORY_FEATURES,
    NUMBER_FEATURES,
    BucketRows,
    signed_buckets,
)
from memory_core.payload import pack_state

__all__ = ["Path", "Paths"]

_MAX_DEPTH = 32
_MAX_LEAVES = 100_000
_MAX_KNOWN = 100_000
_LONG_NAME = 64
_MAX_REMEMBERED_TEXT = 256


class Path:
    """A place in a state: where its features go, what it has held, and what is below it.

    ``number`` is a row of the number buckets, or -1 before the place has held a number;
    ``categories`` has a row of the category buckets for each string, boolean or None held.
    """

    __slots__ = ("categories", "children", "name", "number")

    def __init__(self, name: str) -> None:
        self.name = name
        self.number = -1
        self.categories: dict[str | bool | None, int] = {}
        self.children: dict[str | int, Path] = {}


class Paths:
    """The paths met so far, and the buckets of what they have held.

    Args:
        dimension: how many buckets there are.
    """

    def __init__(self, dimension: int) -> None:
        self.root = Path("")
        self.numbers = BucketRows(NUMBER_FEATURES)
        self.categories = BucketRows(CATEGORY_FEATURES)
        self._dimension = dimension
        self._known = 0
        self._is_cut = False  # whether a part of the last state was not looked into

    @property
    def is_full(self) -> bool:
        """Whether it holds so much that it is time to begin anew."""
        return self._known > _MAX_KNOWN

    def read(
        self, state: Any, numbers: list[int], values: list[float], categories: list[int]
    ) -> None:
        """Append the leaves of a state, at most 100,000 of them.

        Args:
            state: a mapping.
            numbers: rows of the paths that hold numbers, and
            values: those numbers, in the same order.
            categories: rows of the categories.

        Raises:
            BadInputError: the state holds something that no state may.
        """
        if state:
            limit = len(categories) + _MAX_LEAVES
            self._is_cut = False
            self._walk(self.root, state.items(), numbers, values, categories, limit, 0)
            if self._is_cut:
                pack_state(state)  # which looks at the rest as well
        else:
            categories.append(self.category_row(self.root, "{}"))

    def _walk(
        self,
        parent: Path,
        items: Iterable[tuple[Any, Any]],
        numbers: list[int],
        values: list[float],
        categories: list[int],
        limit: int,
        depth: int,
    ) -> None:
        children = parent.children
        for key, value in items:
            if len(numbers) + len(categories) >= limit:
                self._is_cut = True
                return
            path = children.get(key)
            if path is None:
                path = self.child(parent, key)
            kind = type(value)
            if kind is float or kind is int:
                number = path.number
                numbers.append(number if number >= 0 else self.number_row(path))
                values.append(value)
            elif kind is str or kind is bool or value is None:
                row = path.categories.get(value)
                categories.append(row if row is not None else self.category_row(path, value))
            elif depth >= _MAX_DEPTH:
                self._is_cut = True
                categories.append(self.category_row(path, _text_of(value)))
            elif kind is dict or kind is list:
                if value:
                    below = value.items() if kind is dict else enumerate(value)
                    self._walk(path, below, numbers, values, categories, limit, depth + 1)
                else:
                    categories.append(self.category_row(path, "{}" if kind is dict else "[]"))
            else:
                raise BadInputError(f"state_data{path.name}", f"is of type {kind.__name__}")

    def child(self, parent: Path, key: str | int) -> Path:
        """The path below ``parent``, made if need be."""
        path = parent.children.get(key)
        if path is None:
            name = f"{parent.name}[{key}]" if type(key) is int else f"{parent.name}.{key}"
            self._known += 1 + len(name) // _LONG_NAME
            path = parent.children[key] = Path(name)
        return path

    def number_row(self, path: Path) -> int:
        """The row of a number at ``path``, made if need be."""
        if path.number < 0:
            path.number = self.numbers.append(
                signed_buckets(b"n" + path.name.encode(), NUMBER_FEATURES, self._dimension)
            )
        return path.number

    def category_row(self, path: Path, value: str | bool | None) -> int:
        """The row of a category at ``path``, made if need be."""
        row = path.categories.get(value)
        if row is not None:
            return row
        self._known += 1
        # a string is kept apart from True, None and their like of the same text
        text = f"s{value}" if type(value) is str else f"v{value}"
        hashed = b"c" + path.name.encode() + b"\0" + text.encode()
        row = self.categories.append(signed_buckets(hashed, CATEGORY_FEATURES, self._dimension))
        if len(text) <= _MAX_REMEMBERED_TEXT:
            path.categories[value] = row
        return row


def _text_of(value: Any) -> str:
    try:
        return repr(value)
    except ValueError:  # a whole number of thousands of digits
        return pack_state({"": value}).hex()

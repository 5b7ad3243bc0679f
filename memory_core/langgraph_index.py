"""What of an item is embedded, and by what: LangGraph's ``index`` configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from langgraph.store.base import (
    Embeddings,
    IndexConfig,
    PutOp,
    ensure_embeddings,
    get_text_at_path,
    tokenize_path,
)

from memory_core.errors import BadInputError

__all__ = ["Embedded", "Index"]

_Vector = npt.NDArray[np.float32]
_WHOLE = "$"


class Embedded(dict[str, _Vector | None]):
    """Vectors of texts; None of one that has no direction, all of its numbers being zero."""


class Index:
    """An ``index`` configuration, looked at once.

    Attributes:
        dims: length of the vectors.
        embeddings: what makes them.

    Raises:
        BadInputError: the configuration lacks something, or names it wrongly.
    """

    def __init__(self, config: IndexConfig) -> None:
        given: Any = config
        if not isinstance(given, Mapping):
            raise BadInputError("index", f"must be a mapping, not {type(given).__name__}")
        dims, fields = given.get("dims"), given.get("fields")
        if isinstance(dims, bool) or not isinstance(dims, int) or dims < 1:
            raise BadInputError("index.dims", f"must be a whole number above 0, not {dims!r}")
        if given.get("embed") is None:
            raise BadInputError("index.embed", "is missing; name what makes vectors of texts")
        self.dims = dims
        self.embeddings: Embeddings = ensure_embeddings(given["embed"])
        self._paths = _paths(fields or [_WHOLE], "index.fields")

    def texts_of(self, put: PutOp) -> list[str]:
        """The texts of an item that are embedded, each once; none for a deletion."""
        if put.value is None or put.index is False:
            return []
        paths = self._paths if put.index is None else _paths(put.index, "index")
        texts: dict[str, None] = {}
        for path in paths:
            texts.update(dict.fromkeys(get_text_at_path(put.value, path)))
        return list(texts)

    def vectors_of(self, texts: Sequence[str], made: Any) -> Embedded:
        """The vectors that the embeddings made of texts, checked.

        Raises:
            BadInputError: they are no vectors, too many, too few, or of another length.
        """
        try:
            matrix = np.asarray(made, np.float32)
        except (TypeError, ValueError, OverflowError):
            raise BadInputError("index.embed", "gave what are no vectors of one length") from None
        expected = (len(texts), self.dims)
        if matrix.shape != expected:
            raise BadInputError(
                "index.embed", f"gave the shape {matrix.shape}; with these dims it is {expected}"
            )
        if not np.isfinite(matrix).all():
            raise BadInputError("index.embed", "gave NaN or infinity; numbers must be finite")
        rows = zip(texts, matrix, strict=True)
        return Embedded({text: row if row.any() else None for text, row in rows})


def _paths(fields: Any, field: str) -> list[Any]:
    if isinstance(fields, str) or not isinstance(fields, Sequence):
        raise BadInputError(field, f"must be a list of paths, not {type(fields).__name__}")
    paths = []
    for path in fields:
        if not isinstance(path, str):
            raise BadInputError(field, f"has the path {path!r}; a path is text")
        paths.append(path if path == _WHOLE else tokenize_path(path))
    return paths

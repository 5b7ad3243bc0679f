"""Arrow tables as frames of libraries that the reader has or has not: pandas, polars.

The only module that knows them. They are imported when a frame is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow as pa

__all__ = ["installed", "pandas_frame", "polars_frame"]


def installed(name: str, install: str | None = None) -> Any:
    """Import a library that a plain installation does not have.

    Args:
        name: of the library.
        install: what ``pip install`` is to be given, where that is not the name.

    Raises:
        ImportError: it is not there; says in one sentence how to install it.
    """
    try:
        return import_module(name)
    except ImportError as error:
        if error.name is not None and error.name.partition(".")[0] != name:
            raise
        raise ImportError(
            f"{name} is not installed; pip install {install or name}", name=name
        ) from None


def pandas_frame(table: pa.Table) -> pandas.DataFrame:
    """A pandas frame; labels (``op``, ``outcome``, ``phase``, ``step``) are categories."""
    return table.to_pandas(split_blocks=True)


def polars_frame(table: pa.Table) -> polars.DataFrame:
    """A polars frame; labels are categories."""
    import polars

    frame = polars.from_arrow(table)
    if not isinstance(frame, polars.DataFrame):  # a table makes nothing else
        raise TypeError(f"polars made a {type(frame).__name__} of a table")
    return frame

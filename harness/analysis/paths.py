"""Paths into a summary: how thresholds and objectives name a figure.

A path joins keys by dots (``search.p99_ms``, ``resources.shard.cpu_percent_max``). A bare name
that is no key at the top is looked up in ``all``: ``p99_ms`` is ``all.p99_ms``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from harness.errors import UsageError

__all__ = ["known_figures", "summary_path", "summary_paths", "summary_value"]

_NEAR_MAX = 3


def summary_value(summary: Mapping[str, Any], path: str) -> int | float | None:
    """Give the figure that a path names; None where the run has too little to say.

    Raises:
        UsageError: the summary has no such figure; names those with a similar path.
    """
    known = dict(_figures(summary, ""))
    return known[_found(known, path)]


def summary_path(summary: Mapping[str, Any], path: str) -> str:
    """Give a figure's whole path: ``all.p99_ms`` for ``p99_ms``.

    Raises:
        UsageError: as for `summary_value`.
    """
    return _found(dict(_figures(summary, "")), path)


def known_figures(
    summary: Mapping[str, Any], paths: Iterable[str]
) -> dict[str, int | float | None]:
    """Give the figures at those of the paths that the summary has, by the path as it was given."""
    known = dict(_figures(summary, ""))
    return {
        path: known[candidate]
        for path in paths
        for candidate in (f"all.{path}", path)
        if candidate in known
    }


def _found(known: Mapping[str, Any], path: str) -> str:
    for candidate in (path, f"all.{path}"):
        if candidate in known:
            return candidate
    group = sorted(name for name in known if name.startswith(f"{path}."))
    if group:
        shown = ", ".join(group[:_NEAR_MAX])
        raise UsageError(path, f"is a group of figures; name one of them, such as {shown}")
    bare = [name.removeprefix("all.") for name in known if name.startswith("all.")]
    near = get_close_matches(path, [*known, *bare], n=_NEAR_MAX, cutoff=0.5)
    remedy = f"did you mean {', '.join(near)}?" if near else "search.p99_ms would be one"
    raise UsageError(path, f"a summary has no such figure; {remedy}")


def summary_paths(summary: Mapping[str, Any]) -> list[str]:
    """Give the path of every figure, in the summary's order."""
    return [path for path, _ in _figures(summary, "")]


def _figures(group: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, int | float | None]]:
    for name, value in group.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _figures(value, f"{path}.")
        elif value is None or isinstance(value, int | float):
            yield path, value

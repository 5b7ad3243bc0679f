"""Taking values out of documents of a run directory, which may say anything.

A document may be of another release, of another program, or made to mislead. What is not of the
kind that is asked for is taken as not there: nothing here raises.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

from harness.analysis.verdicts import VERDICTS
from harness.report.document import Verdict
from harness.report.figures import plain

__all__ = [
    "TEXT_CHARACTERS_MAX",
    "group",
    "groups",
    "integer",
    "listed",
    "number",
    "sized_groups",
    "text",
    "verdicts_of",
]

# Longer text than this from a file is cut: a report is read by people.
TEXT_CHARACTERS_MAX = 2_000


def group(document: object, *path: str) -> Mapping[str, Any]:
    """The mapping at a path of keys; an empty one where there is none."""
    for key in path:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document if isinstance(document, Mapping) else {}


def listed(document: object, *path: str) -> list[Any]:
    """The list at a path of keys; an empty one where there is none."""
    *folders, last = path
    found = group(document, *folders).get(last)
    return found if isinstance(found, list) else []


def groups(document: object, *path: str) -> list[Mapping[str, Any]]:
    """The mappings of the list at a path."""
    return [one for one in listed(document, *path) if isinstance(one, Mapping)]


def number(document: object, *path: str) -> float | None:
    """The finite number at a path of keys, else None; a boolean is none."""
    *folders, last = path
    found = group(document, *folders).get(last)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    try:
        value = float(found)
    except OverflowError:
        return None
    return value if isfinite(value) else None


def integer(document: object, *path: str) -> int | None:
    """The number at a path as a whole one, else None."""
    found = number(document, *path)
    return None if found is None else int(found)


def text(document: object, *path: str) -> str:
    """The text at a path of keys in printable characters; "" where there is none."""
    *folders, last = path
    found = group(document, *folders).get(last)
    return plain(found)[:TEXT_CHARACTERS_MAX] if isinstance(found, str) else ""


def sized_groups(document: object, *path: str) -> Iterator[tuple[float, Mapping[str, Any]]]:
    """The mappings whose keys are numbers (``counts``, ``volumes``, ``rates``), smallest first.

    Whole numbers are ints; keys of another form, and beyond 15 characters, are left out.
    """
    found = group(document, *path)
    sized = [(_size(key), inner) for key, inner in found.items() if isinstance(inner, Mapping)]
    yield from sorted(
        ((size, inner) for size, inner in sized if size is not None), key=lambda one: one[0]
    )


def _size(key: str) -> float | None:
    digits = key.replace(".", "", 1)
    if not (digits.isascii() and digits.isdigit() and len(key) < 16):
        return None
    return int(key) if key.isdigit() else float(key)


def verdicts_of(summary: object) -> list[Verdict]:
    """The verdicts of a summary, the most serious first."""
    found = [
        Verdict(text(one, "name"), text(one, "verdict"), text(one, "sentence"))
        for one in groups(summary, "verdicts")
    ]
    known = [one for one in found if one.verdict in VERDICTS and one.sentence]
    return sorted(known, key=lambda one: VERDICTS.index(one.verdict))

"""Numbers as figures of a report: the value, and how it is written by its quantity.

Three significant digits, however small: what `harness.report.figures.digits` would write as 0
is written in powers of ten here.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from harness.report import figures
from harness.report.document import Figure, Quantity

__all__ = ["exponent", "figure", "quantity_of", "significant", "written"]


def significant(value: float | None) -> str:
    """A number to three significant digits (``1,240``, ``0.0312``, ``1.20e-5``)."""
    if value is None:
        return figures.UNKNOWN
    size = abs(value)
    if size == 0 or size >= 0.0995:
        return figures.digits(value)
    if size >= 0.000995:
        return f"{value:#.3g}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def written(value: float | None, quantity: Quantity) -> str:
    """Write a number as its quantity is written; `figures.UNKNOWN` for None."""
    return figures.UNKNOWN if value is None else _WRITERS[quantity](value)


def quantity_of(path: str) -> Quantity:
    """What a figure of a summary is, by its path: units are the last word of a name.

    ``search.p99_ms`` and ``store_latency_ms.p99`` are times; what says nothing is a number.
    """
    leaf = path.rpartition(".")[2]
    for name in (leaf, *reversed(path.split("."))):
        for quantity, pattern in _NAMED.items():
            if pattern.search(name):
                return quantity
    return "number"


def exponent(value: float | None) -> Figure:
    """An exponent of a power law, in which a thousandth is as good as nothing."""
    return Figure(value, figures.digits(value))


def _seconds(value: float) -> str:
    return figures.time(value * 1e3) if abs(value) < 59.95 else figures.span(value)


_WRITERS: dict[Quantity, Callable[[float], str]] = {
    "number": significant,
    "count": figures.count,
    "milliseconds": figures.time,
    "seconds": _seconds,
    "bytes": figures.size,
    "bytes_s": lambda value: f"{figures.size(value)}/s",
    "percent": lambda value: f"{significant(value)}%",
    "rate": lambda value: f"{significant(value)}/s",
    "ratio": lambda value: f"{significant(value * 100)}%",
}


def figure(value: float | None, quantity: Quantity = "number") -> Figure:
    """A number as it is shown, which keeps its value."""
    if value is not None:  # plain Python's numbers, whatever they were
        is_count = quantity == "count" and float(value).is_integer()
        value = int(value) if is_count else float(value)
    return Figure(value, written(value, quantity))


# The first that fits; a rate of operations is not one of bytes, and what is for each of something
# is no count.
_NAMED: dict[Quantity, re.Pattern[str]] = {
    "bytes_s": re.compile(r"(^|_)bytes(_per_second|_s)$"),
    "rate": re.compile(r"(_ops_s|_per_second)$"),
    "number": re.compile(r"(^|_)(us|ns)(_|$)|_per_(cpu|mb)"),
    "percent": re.compile(r"(^|_)percent(_|$)"),
    "ratio": re.compile(r"_ratio$|^efficiency$|^recall$"),
    "milliseconds": re.compile(r"(^|_)ms(_|$)"),
    "bytes": re.compile(r"(^|_)bytes(_|$)"),
    "seconds": re.compile(r"(_s|_seconds|_duration)$"),
    "count": re.compile(r"^(count|operations|failed|agents|processes)$"),
}

"""Figures as short text: times, sizes, rates, spans, and text that is not ours.

Three significant digits, in the unit that suits the size. What is not known is `UNKNOWN`.
"""

from __future__ import annotations

from math import isfinite

__all__ = [
    "UNKNOWN",
    "count",
    "counted",
    "digits",
    "percent",
    "plain",
    "rate",
    "size",
    "span",
    "time",
]

UNKNOWN = "-"
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")


def digits(value: float | None) -> str:
    """Give a number to three significant digits, and never with more than three decimals."""
    if value is None or not isfinite(value):
        return UNKNOWN
    size = abs(value)
    if size < 0.0005:
        return "0"
    decimals = 3 if size < 0.9995 else 2 if size < 9.995 else 1 if size < 99.95 else 0
    return f"{value:,.{decimals}f}"


def time(milliseconds: float | None) -> str:
    """Give a time in µs, ms or s (``870 µs``, ``4.42 ms``, ``1.25 s``)."""
    if milliseconds is None or not isfinite(milliseconds):
        return UNKNOWN
    if abs(milliseconds) < 0.9995:
        return f"{digits(milliseconds * 1e3)} µs"
    if abs(milliseconds) < 999.5:
        return f"{digits(milliseconds)} ms"
    return f"{digits(milliseconds / 1e3)} s"


def span(seconds: float | None) -> str:
    """Give a span for people (``4.2 s``, ``1 min 05 s``, ``2 h 03 min``)."""
    if seconds is None or not isfinite(seconds):
        return UNKNOWN
    if seconds < 59.95:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def size(size_bytes: float | None) -> str:
    """Give bytes in binary units (``512 B``, ``1.25 GiB``)."""
    if size_bytes is None or not isfinite(size_bytes):
        return UNKNOWN
    value, unit = float(size_bytes), _SIZES[0]
    for unit in _SIZES:
        if abs(value) < 999.5 or unit == _SIZES[-1]:
            break
        value /= 1024
    return f"{digits(value)} {unit}"


def rate(per_second: float | None) -> str:
    """Give a rate without its unit: whole from 100 on, three digits below."""
    return digits(per_second)


def count(number: float | None) -> str:
    """Give a whole number with its thousands apart."""
    return UNKNOWN if number is None else f"{number:,.0f}"


def counted(number: float | None, name: str, plural: str = "") -> str:
    """Give a count with what is counted (``1 node``, ``4 nodes``)."""
    return f"{count(number)} {name if number == 1 else plural or f'{name}s'}"


def percent(value: float | None) -> str:
    """Give a percentage: whole from 10 on, one decimal below."""
    if value is None or not isfinite(value):
        return UNKNOWN
    return f"{value:,.0f}%" if value >= 9.95 else f"{value:.1f}%"


def plain(text: object) -> str:
    """Give text that may come from anywhere as one printable line: no control characters."""
    return "".join(
        char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in str(text)
    )

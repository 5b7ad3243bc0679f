"""The few figures of a summary that the live page shows, by the summary's own paths."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from harness.schema import OPERATIONS

__all__ = ["Figures", "figures_of"]

Figures = Mapping[str, float | None]

_SCALARS = ("operations", "failed", "duration_s", "throughput_ops_s")
_GROUPS = {
    **dict.fromkeys(
        ("all", *OPERATIONS), ("count", "mean_ms", "p50_ms", "p90_ms", "p99_ms", "max_ms")
    ),
    "agents": ("count", "in_flight_max"),
}


def figures_of(summary: Mapping[str, Any], status: str) -> Figures:
    """A summary's figures by path (``search.p99_ms``); those that are not there are left out.

    The times of a run that is INVALID are withheld, as everywhere.
    """
    found: dict[str, float | None] = {}
    for name in _SCALARS:
        if name in summary:
            found[name] = _number(summary[name])
    for group, names in _GROUPS.items():
        inside = summary.get(group)
        if isinstance(inside, Mapping):
            for name in names:
                if name in inside:
                    withheld = status == "invalid" and name.endswith("_ms")
                    found[f"{group}.{name}"] = None if withheld else _number(inside[name])
    return found


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and math.isfinite(value) else None  # type: ignore[arg-type,return-value]

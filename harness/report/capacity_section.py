"""The search for capacity in a report: the objectives by load, and every load that was tried."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from harness.report.document import Block, Cell, Chart, Mark, Quantity, Section, Series, Table
from harness.report.fields import group, groups, listed, number, text
from harness.report.figures import plain
from harness.report.quantities import figure

__all__ = ["capacity_sections", "capacity_title"]

Summary = Mapping[str, Any]
Loads = Sequence[tuple[float, Summary]]

_UNITS = {"agents": "agents", "rate": "operations a second"}


def capacity_sections(summary: Summary) -> list[Section]:
    """The section of a search; none without ``capacity``."""
    capacity = group(summary, "capacity")
    loads = _loads(capacity)
    if not loads:
        return []
    blocks: list[Block] = [_chart(capacity, path, loads) for path in _paths(loads)]
    blocks.append(_table(capacity, loads))
    return [Section("capacity", "Capacity", text(capacity, "sentence"), blocks)]


def capacity_title(summary: Summary) -> str:
    """The answer in a few words; "" where there is no search."""
    capacity = group(summary, "capacity")
    if not capacity:
        return ""
    asked = " and ".join(one for one in listed(capacity, "objectives") if isinstance(one, str))
    low, unit = number(capacity, "low"), _UNITS.get(text(capacity, "search"), "")
    return f"{plain(asked)}: up to {low:,.10g} {unit}" if low else f"{plain(asked)}: not kept"


def _loads(capacity: Summary) -> list[tuple[float, Summary]]:
    """The loads with what they came to, smallest first; what is no load is left out."""
    found = []
    for name, one in group(capacity, "loads").items():
        try:
            load = float(name)
        except ValueError:
            continue
        if isinstance(one, Mapping) and math.isfinite(load):
            found.append((load, one))
    return sorted(found, key=lambda pair: pair[0])


def _paths(loads: Loads) -> list[str]:
    return list(dict.fromkeys(path for _, one in loads for path in group(one, "values")))


def _unit(capacity: Summary) -> str:
    return _UNITS.get(text(capacity, "search"), "load")


def _chart(capacity: Summary, path: str, loads: Loads) -> Chart:
    """An objective's figure by load, with its limits and the two sides of the answer."""
    values = [number(group(one, "values"), path) for _, one in loads]
    series = [Series(label=path, values=values)]
    for limit in _limits(capacity, path):
        line = [limit] * len(loads)
        series.append(Series(label=f"limit {limit:g}", values=line, style="dashed"))
    sides = (("low", "kept it"), ("high", "broke it"))
    marks = [
        Mark(load, None, words, "event")
        for name, words in sides
        if (load := number(capacity, name)) is not None
    ]
    return Chart(
        key=f"capacity-{''.join(sign if sign.isalnum() else '-' for sign in path)}",
        title=path,
        caption="The median over the trials of each load.",
        x=[load for load, _ in loads],
        x_label=_unit(capacity),
        x_quantity="count" if all(load.is_integer() for load, _ in loads) else "number",
        y_label=path,
        y_quantity=_quantity(path),
        series=series,
        marks=marks,
        x_spacing="log",
    )


def _quantity(path: str) -> Quantity:
    return "milliseconds" if path.endswith("_ms") else "number"


def _limits(capacity: Summary, path: str) -> list[float]:
    found = {
        limit
        for one in groups(capacity, "limits")
        if text(one, "path") == path and (limit := number(one, "limit")) is not None
    }
    return sorted(found)


def _table(capacity: Summary, loads: Loads) -> Table:
    paths = _paths(loads)
    rows: list[list[Cell]] = [
        [
            figure(load, "count" if load.is_integer() else "number"),
            *(figure(number(one, name), "count") for name in ("trials", "kept", "settled")),
            *(figure(number(group(one, "values"), path), _quantity(path)) for path in paths),
            figure(number(one, "throughput_ops_s"), "rate"),
            text(one, "why") or text(group(one, "limit"), "sentence"),
        ]
        for load, one in loads
    ]
    columns = [_unit(capacity), "trials", "kept", "settled", *paths, "operations a second"]
    return Table(title="Loads", columns=[*columns, "what broke it, or limited it"], rows=rows)

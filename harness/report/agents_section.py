"""The agents of a run: how long they took, and whom the store served worst."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.report import figures
from harness.report.document import Block, Cell, Section, Table
from harness.report.fields import TEXT_CHARACTERS_MAX, number
from harness.report.quantities import figure
from harness.report.run_data import RunData

__all__ = ["agents_section"]

_SLOWEST = 10
_DURATIONS = (
    ("duration_avg_s", "mean"),
    ("duration_min_s", "shortest"),
    ("duration_max_s", "longest"),
    ("duration_std_s", "standard deviation"),
    ("duration_p95_s", "p95"),
)


def agents_section(data: RunData) -> Section | None:
    """Durations of the agents, and those whose operations took longest on average."""
    if not number(data.summary, "agents", "count"):
        return None
    blocks: list[Block] = [_durations(data.summary)]
    if not data.is_invalid and data.agents.operations.any():
        blocks.append(_slowest(data))
    return Section("agents", "Agents", _in_words(data), blocks)


def _in_words(data: RunData) -> str:
    at_once = number(data.summary, "agents", "in_flight_max")
    count = number(data.summary, "agents", "count")
    first = f"{figures.count(count)} agents, {figures.count(at_once)} of them at the same time."
    active = data.agents.operations > 0
    if data.is_invalid or not active.any():
        return first
    means = data.agents.response_ns[active] / data.agents.operations[active] / 1e6
    return (
        f"{first} The mean response time of an agent was between {figures.time(means.min())} "
        f"and {figures.time(means.max())}."
    )


def _durations(summary: Mapping[str, Any]) -> Table:
    return Table(
        title="How long agents took",
        columns=["agents", "at once, most", *(words for _, words in _DURATIONS)],
        rows=[
            [
                figure(number(summary, "agents", "count"), "count"),
                figure(number(summary, "agents", "in_flight_max"), "count"),
                *(figure(number(summary, "agents", key), "seconds") for key, _ in _DURATIONS),
            ]
        ],
        caption="From an agent's first measured operation to the end of its last.",
    )


def _slowest(data: RunData) -> Table:
    totals = data.agents
    active = np.flatnonzero(totals.operations)
    means_ms = totals.response_ns[active] / totals.operations[active] / 1e6
    worst = active[np.argsort(-means_ms, kind="stable")[:_SLOWEST]]
    ids = _ids(data, worst.tolist())
    rows: list[list[Cell]] = [
        [
            ids.get(agent, f"agent {agent}"),
            figure(int(totals.operations[agent]), "count"),
            figure(totals.response_ns[agent] / totals.operations[agent] / 1e6, "milliseconds"),
            figure(totals.longest_ns[agent] / 1e6, "milliseconds"),
        ]
        for agent in worst.tolist()
    ]
    return Table(
        title="Agents with the longest mean response time",
        columns=["agent", "operations", "mean", "most"],
        rows=rows,
    )


def _ids(data: RunData, wanted: list[int]) -> dict[int, str]:
    numbers = data.agent_ids["agent"].to_numpy()
    places = np.flatnonzero(np.isin(numbers, wanted))
    return {
        int(numbers[place]): figures.plain(data.agent_ids["agent_id"][int(place)].as_py())[
            :TEXT_CHARACTERS_MAX
        ]
        for place in places.tolist()
    }

"""Who ran where, and how far each node's clock was off: a table of the nodes, where there are more.

A run on one machine has nothing to tell here. What a ``run.json`` says is taken as it is: what is
not of the kind that is asked for counts as not there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from harness.report import figures
from harness.report.document import Cell, Section, Table
from harness.report.fields import group, groups, integer, number, text
from harness.report.figures import counted
from harness.report.grid import Column, Grid
from harness.report.quantities import figure

__all__ = ["nodes_section", "render_nodes"]

_ROWS_MAX = 50
_LINES_MAX = 16
_SHARDS_MAX = 12
_ROLES = {"memory_node": "memory", "agent_node": "agents"}


@dataclass(frozen=True)
class _Node:
    """A node as it is shown; `offset_ms` and `error_ms` are None where its clock is not known."""

    name: str
    node_id: str
    role: str
    cpus: float | None
    memory_bytes: float | None
    shards: Sequence[int]
    agents: int
    tasks: int
    offset_ms: float | None
    error_ms: float | None
    when: str

    @property
    def shards_shown(self) -> str:
        """The numbers of its shards, the first of them if there are many."""
        shown = ", ".join(str(one) for one in self.shards[:_SHARDS_MAX])
        more = len(self.shards) - _SHARDS_MAX
        return f"{shown} and {more:,} more" if more > 0 else shown or figures.UNKNOWN


def nodes_section(run: Mapping[str, Any]) -> Section | None:
    """The table of a run's nodes; None where there is one, or none is known."""
    nodes = list(_nodes(run))
    if len(nodes) < 2:
        return None
    rows: list[list[Cell]] = [
        [
            one.name,
            one.node_id,
            one.role,
            figure(one.cpus, "count"),
            figure(one.memory_bytes, "bytes"),
            one.shards_shown,
            figure(one.agents, "count"),
            figure(one.tasks, "count"),
            figure(one.offset_ms, "milliseconds"),
            figure(one.error_ms, "milliseconds"),
            one.when,
        ]
        for one in nodes[:_ROWS_MAX]
    ]
    left_out = len(nodes) - len(rows)
    table = Table(
        title="Who ran where",
        columns=[
            *("host", "node", "role", "CPUs", "memory", "shards", "agents", "tasks"),
            *("clock ahead by", "give or take", "there"),
        ],
        rows=rows,
        caption="Clocks are compared with the driver's, and rows and samples of a node are moved "
        "by what its clock was ahead. No duration is made of two hosts' clocks."
        + (f" {left_out:,} more nodes are in run.json." if left_out > 0 else ""),
    )
    return Section("nodes", "Who ran where", _in_words(nodes), [table])


def render_nodes(run: Mapping[str, Any]) -> RenderableType | None:
    """The same for a terminal."""
    nodes = list(_nodes(run))
    if len(nodes) < 2:
        return None
    shown = nodes[:_LINES_MAX]
    clocks = [
        figures.UNKNOWN
        if one.offset_ms is None
        else f"{figures.time(one.offset_ms)} ± {figures.time(one.error_ms)}"
        for one in shown
    ]
    columns = [
        Column(heading="host", cells=[one.name for one in shown], left=True, style="bold"),
        Column(heading="node", cells=[one.node_id for one in shown], left=True, drop=5),
        Column(heading="role", cells=[one.role for one in shown], left=True, drop=2),
        Column(heading="CPUs", cells=[figures.count(one.cpus) for one in shown], drop=3),
        Column(heading="shards", cells=[one.shards_shown for one in shown]),
        Column(heading="agents", cells=[figures.count(one.agents) for one in shown]),
        Column(heading="tasks", cells=[figures.count(one.tasks) for one in shown], drop=4),
        Column(heading="clock ahead by", cells=clocks, drop=1),
        Column(heading="there", cells=[one.when for one in shown], left=True, drop=2),
    ]
    left_out = len(nodes) - len(shown)
    more = [Text(f" {left_out:,} more nodes are in run.json", "dim")] if left_out > 0 else []
    return Group(Grid(columns), *more)


def _nodes(run: Mapping[str, Any]) -> Iterator[_Node]:
    """The nodes in the order of the file, the driver's first."""
    driver = text(run, "topology", "driver_node_id")
    shards: defaultdict[str, list[int]] = defaultdict(list)
    cohorts: defaultdict[str, list[int]] = defaultdict(list)
    for one in groups(run, "topology", "target", "shards"):
        shards[text(one, "node_id")].append(integer(one, "shard") or 0)
    for one in groups(run, "topology", "cohorts"):
        cohorts[text(one, "node_id")].append(integer(one, "agents") or 0)
    nodes = groups(run, "topology", "nodes")
    for node in sorted(nodes, key=lambda node: text(node, "node_id") != driver):
        node_id = text(node, "node_id")
        clock = group(run, "clocks", node_id)
        role = text(node, "role")
        yield _Node(
            name=text(node, "host") or text(node, "address"),
            node_id=node_id[:8],
            role=", ".join(
                words for words in (_ROLES.get(role, role), "driver" * (node_id == driver)) if words
            ),
            cpus=number(node, "cpus"),
            memory_bytes=number(node, "memory_bytes"),
            shards=sorted(shards[node_id]),
            agents=sum(cohorts[node_id]),
            tasks=len(cohorts[node_id]),
            offset_ms=_milliseconds(clock, "offset_ns"),
            error_ms=_milliseconds(clock, "error_ns"),
            when=_when(node),
        )


def _when(node: Mapping[str, Any]) -> str:
    late, gone = (number(node, name) is not None for name in ("joined_wall_ns", "gone_wall_ns"))
    if late:
        return "came late, and went" if gone else "came late"
    return "went" if gone else ""


def _milliseconds(clock: Mapping[str, Any], name: str) -> float | None:
    value = number(clock, name)
    return None if value is None else value / 1e6


def _in_words(nodes: Sequence[_Node]) -> str:
    with_shards, with_agents = (
        [one for one in nodes if one.shards],
        [one for one in nodes if one.tasks],
    )
    facts = []
    if with_shards:
        shards = sum(len(one.shards) for one in with_shards)
        facts.append(f"{counted(shards, 'shard')} on {counted(len(with_shards), 'node')}")
    if with_agents:
        agents = sum(one.agents for one in with_agents)
        facts.append(f"{counted(agents, 'agent')} on {counted(len(with_agents), 'node')}")
    together = sum(bool(one.shards and one.tasks) for one in nodes)
    if with_shards and with_agents:
        facts.append(f"both on {counted(together, 'node')}" if together else "none has both")
    errors = [one.error_ms for one in nodes if one.error_ms is not None]
    unknown = sum(one.error_ms is None for one in nodes)
    words = f"{counted(len(nodes), 'node')}: {', '.join(facts)}." if facts else ""
    if errors:
        words += f" Clocks are known to within {figures.time(max(errors))}"
        words += f", those of {counted(unknown, 'node')} are not." if unknown else "."
    return words.strip()

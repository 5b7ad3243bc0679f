"""Who ran where is told where there is more than one node, and nothing of it otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from harness.report import render_summary
from harness.report.document import Table
from harness.report.nodes_section import nodes_section, render_nodes
from tests.report.made_runs import HOSTILE

RUN: dict[str, Any] = {
    "topology": {
        "driver_node_id": "a" * 56,
        "nodes": [
            {"node_id": "a" * 56, "host": "head", "role": None, "cpus": 0.0, "memory_bytes": 2**30},
            {"node_id": "b" * 56, "host": "store", "role": "memory_node", "cpus": 4.0},
            {"node_id": "c" * 56, "host": "agents", "role": "agent_node", "cpus": 8.0},
            {"node_id": "d" * 56, "address": "10.0.0.4", "cpus": 2.0, "joined_wall_ns": 1},
        ],
        "target": {
            "shards": [{"shard": shard, "node_id": "b" * 56} for shard in (1, 0, 2)],
        },
        "cohorts": [{"cohort": n, "node_id": "c" * 56, "agents": 250} for n in range(2)],
    },
    "clocks": {
        "a" * 56: {"offset_ns": 0, "error_ns": 0},
        "b" * 56: {"offset_ns": -1_250_000, "error_ns": 310_000},
        "c" * 56: {"offset_ns": 3_500_000_000, "error_ns": 420_000},
    },
}


def test_each_node_has_a_row_with_what_ran_there():
    """Host, role, shards by number, agents, tasks, what its clock was off by, when it was there."""
    section = nodes_section(RUN)
    assert section is not None
    [table] = section.blocks
    assert isinstance(table, Table)
    rows = {
        str(row[0]): dict(
            zip(table.columns, [getattr(one, "shown", one) for one in row], strict=True)
        )
        for row in table.rows
    }
    assert list(rows) == ["head", "store", "agents", "10.0.0.4"]
    assert rows["head"]["role"] == "driver"
    assert (rows["store"]["role"], rows["store"]["shards"]) == ("memory", "0, 1, 2")
    assert (rows["store"]["clock ahead by"], rows["store"]["give or take"]) == (
        "-1.25 ms",
        "310 µs",
    )
    assert (rows["agents"]["agents"], rows["agents"]["tasks"]) == ("500", "2")
    assert rows["agents"]["clock ahead by"] == "3.50 s"
    assert rows["10.0.0.4"]["there"] == "came late"
    assert rows["10.0.0.4"]["clock ahead by"] == "-"
    assert section.lead == (
        "4 nodes: 3 shards on 1 node, 500 agents on 1 node, none has both. "
        "Clocks are known to within 420 µs, those of 1 node are not."
    )


def test_a_terminal_shows_the_same(shown):
    """One line a node, and the clock with its error in one cell."""
    lines = shown(render_nodes(RUN))
    assert len(lines) == 5
    assert "-1.25 ms ± 310 µs" in next(line for line in lines if line.startswith(" store"))
    assert "came late" in lines[-1]


def test_one_machine_is_told_nothing(summary, shown):
    """A run on one node has neither the section nor the lines."""
    alone = {"topology": {**RUN["topology"], "nodes": RUN["topology"]["nodes"][:1]}}
    assert nodes_section(alone) is None
    assert nodes_section({}) is None
    assert shown(render_summary(summary, alone)) == shown(render_summary(summary, {}))
    assert shown(render_summary(summary, RUN)) != shown(render_summary(summary, {}))


def test_many_nodes_are_cut_and_counted(shown):
    """The table of a cluster of hundreds has its first nodes, and says how many there are more."""
    nodes = [{"node_id": f"{number:056}", "host": f"h{number}"} for number in range(300)]
    run = {"topology": {"nodes": nodes}}
    section = nodes_section(run)
    assert section is not None
    assert len(section.blocks[0].rows) == 50
    assert "250 more nodes" in section.blocks[0].caption
    lines = shown(render_nodes(run))
    assert lines[-1].endswith("284 more nodes are in run.json")


@pytest.mark.parametrize(
    "odd",
    [
        HOSTILE,
        None,
        [],
        {"node_id": [HOSTILE], "host": {}, "cpus": "many", "role": 3},
        {"node_id": HOSTILE, "host": HOSTILE, "role": HOSTILE, "cpus": 1e300},
    ],
)
def test_a_document_may_say_anything(odd, shown):
    """What is no node, shard, cohort or clock is left out or shown as text."""
    run = {
        "topology": {
            "nodes": [odd, *RUN["topology"]["nodes"]],
            "target": {"shards": [odd, {"shard": True, "node_id": "b" * 56}]},
            "cohorts": [odd, {"agents": "x", "node_id": 7}],
        },
        "clocks": {"a" * 56: odd, "b" * 56: {"offset_ns": 10**400, "error_ns": "x"}},
    }
    assert nodes_section(run) is not None
    assert all("\x00" not in line for line in shown(render_nodes(run)))

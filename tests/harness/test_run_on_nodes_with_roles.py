"""A run on nodes with roles: who runs where, nodes that come late or go, and their clocks."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.rundir_reader import open_run
from tests.harness.driving import Driven, poll, short_folder
from tests.harness.ray_nodes import RayNodes
from tests.processes import below

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.fault]


@pytest.fixture
def nodes() -> Iterator[tuple[RayNodes, subprocess.Popen[bytes], Path]]:
    """A head without cores, a memory node, an agent node, and one that has nothing."""
    with short_folder() as folder, RayNodes(folder / "ray") as started:
        started.start_head("--num-cpus=0")
        for role in ("memory_node", "agent_node"):
            started.start("--num-cpus=2", "--resources=" + json.dumps({role: 1}))
        yield started, started.start("--num-cpus=0"), folder


def take_away(node: subprocess.Popen[bytes]) -> None:
    """End a node's raylet, which signs off: Ray takes half a minute to miss one that does not."""
    for raylet in below(node.pid, name="raylet"):
        raylet.terminate()


def nodes_of(run: Driven) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = run.document()["topology"]["nodes"]
    return found


def kinds(run: Driven) -> set[str]:
    """The kinds of the run's events so far."""
    run.look()
    return {event["kind"] for event in open_run(run.out).events()}


def test_roles_late_nodes_and_nodes_that_go(nodes: Any):
    """Shards and agents keep to their nodes; a late node is sampled; one that goes is told of.

    Clocks of all nodes are this machine's, so their offsets are within their errors.
    """
    started, idle, folder = nodes
    run = Driven(
        *(folder, "--agents", 6, "--duration", 3_600, "--seed", 5, "--shards-per-node", 2),
        *("--address", started.address, "--data-dir", folder / "data", "--think-time", 0.05),
        HOME=str(folder / "ray"),
    )
    try:
        run.until("measuring")
        take_away(idle)
        started.start("--num-cpus=0", wait=False)
        poll(lambda: {"node joined", "node gone"} <= kinds(run), "nodes that come and go")
        [late] = poll(
            lambda: [one["node_id"] for one in nodes_of(run) if "joined_wall_ns" in one],
            "the late node in run.json",
        )
        poll(lambda: late in run.document()["clocks"], "the clock of the late node")
        poll((run.out / f"resources/nodes-{late}.arrows").exists, "its samples")
        run.process.send_signal(signal.SIGINT)
        assert run.wait() == 130, run.stderr
    finally:
        run.end()
    reader = open_run(run.out)
    topology = reader.run["topology"]
    roles = {one["node_id"]: one["role"] for one in topology["nodes"]}
    assert {roles[one["node_id"]] for one in topology["target"]["shards"]} == {"memory_node"}
    assert len(topology["target"]["shards"]) == 2
    assert {roles[one["node_id"]] for one in topology["cohorts"]} == {"agent_node"}
    assert {roles[metadata.node_id] for metadata, _ in reader.operation_batches()} == {"agent_node"}
    assert all(one["host"] for one in topology["nodes"])
    assert late in reader.nodes()["node_id"].to_pylist()
    assert len(set(reader.nodes()["node_id"].to_pylist())) == 5
    for clock in reader.run["clocks"].values():
        assert abs(clock["offset_ns"]) <= clock["error_ns"]
    assert len(reader.run["clocks"]) >= 4

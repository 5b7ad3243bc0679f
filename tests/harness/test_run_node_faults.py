"""Faults of whole nodes, on a cluster of two on this machine."""

from __future__ import annotations

import json

import pytest

from tests.harness.driving import command, short_folder
from tests.harness.ray_nodes import RayNodes

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.fault,
    pytest.mark.timeout(300),
]

TEXTS = ("at 500ms for 1s stall node of shard 0", "at 3s kill node of shard 0")


def test_a_node_is_stalled_and_then_killed():
    """It goes on after the stall; its end is the end of its shard, whose memories nobody has.

    That is no failure of the run, which asked for it; and the driver's own node is spared.
    """
    with short_folder() as folder, RayNodes(folder / "ray") as nodes:
        home = {"HOME": str(folder / "ray")}
        nodes.start_head("--num-cpus=1")
        nodes.start("--num-cpus=1")
        shared = ("run", "--address", nodes.address, "--shards", 1, "--agents", 4)
        done = command(
            *(*shared, "--duration", 6, "--deadline", 3, "--audit", "--json", "--think-time", 0.01),
            *(word for text in TEXTS for word in ("--fault", text)),
            temp=folder,
            patience_s=200,
            **home,
        )
        refused = command(
            *(*shared, "--rounds", 1, "--fault", "at 1s kill node of cohort 0"),
            temp=folder,
            patience_s=200,
            **home,
        )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    stalled, killed = summary["faults"]
    assert [one["fault"] for one in (stalled, killed)] == list(TEXTS)
    assert stalled["done"]
    assert killed["done"]
    assert stalled["recovery_s"] is None or stalled["recovery_s"] >= 1.0
    assert killed["recovery_s"] is None
    audit = summary["audit"]
    # for a moment a shard may outlive its node's raylet, and answer
    assert audit["verdict"] in {"incomplete", "passed"}
    assert audit["unreachable"] + audit["verified"] == audit["acknowledged"] > 0
    assert not any(audit[name] for name in ("missing", "wrong", "doubled", "foreign"))
    assert refused.returncode == 2
    assert "cohort 0 is on the driver's own node" in refused.stderr

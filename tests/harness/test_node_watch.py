"""Nodes that come and go while a run goes on: samplers, events, and what run.json says of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import node_watch
from harness.clock_offsets import ClockOffset
from harness.node_watch import NodeWatch
from harness.placement import Node
from harness.ray_session import RaySession
from harness.rundir import RunDirectory
from harness.rundir_reader import open_run
from tests.harness.driving import poll


def node(name: str) -> Node:
    return Node(
        node_id=name, address=f"10.0.0.{ord(name)}", host=f"host-{name}", cpus=2, memory_bytes=1
    )


class FakeSamplers:
    """Notes who joins and leaves; a node's clock is what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.clocks: dict[str, int] = {}
        self.asked = 0

    def join(self, joined: Node) -> None:
        self.calls.append(("join", joined.node_id))

    def leave(self, node_id: str) -> None:
        self.calls.append(("leave", node_id))

    def measure_clock(self, node_id: str) -> ClockOffset | None:
        self.asked += 1
        offset_ns = self.clocks.get(node_id)
        return None if offset_ns is None else ClockOffset(offset_ns=offset_ns, error_ns=5)


class Cluster:
    """What Ray says is alive; each answer is counted."""

    def __init__(self, *names: str) -> None:
        self.nodes = [node(name) for name in names]
        self.answers = 0

    def alive(self) -> list[Node]:
        self.answers += 1
        return list(self.nodes)

    def until_seen(self) -> None:
        """Wait until what is there now was seen."""
        before = self.answers
        poll(lambda: self.answers >= before + 2, "a look at the nodes")


@pytest.fixture
def watching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Starts to watch a cluster, from node ``a``."""
    monkeypatch.setattr(node_watch, "_INTERVAL_S", 0.01)
    begun: list[NodeWatch] = []

    def start(cluster: Cluster, samplers: FakeSamplers, alive: Any = None) -> tuple[NodeWatch, Any]:
        session = RaySession(node_id="a", owned=False, nodes=list(cluster.nodes))
        directory = RunDirectory.create(tmp_path / "run", "run")
        watch = NodeWatch(session, samplers, directory, alive or cluster.alive)  # type: ignore[arg-type]
        begun.append(watch)
        return watch, directory

    yield start
    for watch in begun:
        watch.close()


def test_a_node_that_joins_gets_a_sampler_and_one_that_goes_is_left(watching):
    """Both are events, and run.json has them with when they came or went."""
    cluster, samplers = Cluster("a", "b"), FakeSamplers()
    watch, directory = watching(cluster, samplers)
    watch.describe(target={"memory": "m"})
    cluster.until_seen()
    watch.look()
    assert samplers.calls == []
    cluster.nodes = [node("a"), node("c")]
    cluster.until_seen()
    watch.look()
    watch.look()
    assert samplers.calls == [("join", "c"), ("leave", "b")]
    reader = open_run(directory.path)
    assert [(one["kind"], one["host"]) for one in reader.events()] == [
        ("node joined", "host-c"),
        ("node gone", "host-b"),
    ]
    nodes = {one["node_id"]: one for one in reader.run["topology"]["nodes"]}
    assert list(nodes) == ["a", "b", "c"]
    assert reader.run["topology"]["target"] == {"memory": "m"}
    assert "joined_wall_ns" in nodes["c"]
    assert "gone_wall_ns" in nodes["b"]
    assert watch.problems == ["node host-b (b) went during the run; its samples end there"]


def test_clocks_are_written_at_the_start_and_again_at_the_end(watching):
    """What is known of a node that never answers is nothing; the driver's own is 0."""
    cluster, samplers = Cluster("a", "b", "c"), FakeSamplers()
    samplers.clocks = {"b": 1_000}
    watch, directory = watching(cluster, samplers)
    poll(lambda: watch.look() or "b" in open_run(directory.path).run.get("clocks", {}), "a clock")
    samplers.clocks = {"b": 1_600}
    watch.finish()
    assert open_run(directory.path).run["clocks"] == {
        "a": {"offset_ns": 0, "error_ns": 0, "drift_ns": 0},
        "b": {"offset_ns": 1_300, "error_ns": 305, "drift_ns": 600},
    }


@pytest.mark.slow
def test_a_cluster_that_does_not_answer_holds_nothing_up(watching):
    """While Ray hangs, looking finds nothing new and returns; so does the end."""
    free, hung = threading.Event(), threading.Event()

    def alive() -> list[Node]:
        hung.set()
        free.wait()
        return []

    cluster, samplers = Cluster("a", "b"), FakeSamplers()
    watch, directory = watching(cluster, samplers, alive)
    try:
        assert hung.wait(60)
        watch.look()
        watch.finish()
        assert samplers.calls == []
        assert "b" not in open_run(directory.path).run["clocks"]
    finally:
        free.set()


def test_a_ray_of_our_own_is_not_watched(tmp_path: Path):
    """It has one node for all its life; nothing runs beside the driver."""
    session = RaySession(node_id="a", owned=True, nodes=[node("a")])
    directory = RunDirectory.create(tmp_path / "run", "run")
    watch = NodeWatch(session, FakeSamplers(), directory)  # type: ignore[arg-type]
    assert watch._thread is None
    watch.finish()
    assert open_run(directory.path).run["clocks"] == {
        "a": {"offset_ns": 0, "error_ns": 0, "drift_ns": 0}
    }

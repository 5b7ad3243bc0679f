"""Runs on a cluster that is there: two nodes on this machine, started in a folder of their own."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.rundir_reader import open_run
from tests.harness.audit import acknowledged, databases, lost
from tests.harness.driving import command, short_folder
from tests.harness.ray_nodes import RayNodes

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[str, Path]]:
    """The address of a cluster of two nodes that asks for a token, and a folder for runs."""
    with short_folder() as folder, RayNodes(folder / "ray") as nodes:
        nodes.start_head("--num-cpus=2")
        nodes.start("--num-cpus=2")
        yield nodes.address, folder


def test_a_run_on_a_cluster_spreads_and_writes_to_the_drivers_directory(
    cluster: tuple[str, Path],
):
    """Rows and samples of both nodes come to the driver, and its databases to where it says.

    The cluster was started in another folder than the run: a relative --out is the driver's.
    """
    address, folder = cluster
    done = command(
        *("run", "--agents", 8, "--agents-per-task", 2, "--rounds", 5, "--seed", 3),
        *("--address", address, "--out", "out", "--keep-data"),
        temp=folder,
        HOME=str(folder / "ray"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "out"
    assert not re.search(r"^\[", done.stderr, re.MULTILINE), "Ray says nothing itself"
    reader = open_run(folder / "out")
    nodes = {node["node_id"] for node in reader.run["topology"]["nodes"]}
    assert len(nodes) == 2
    assert set(reader.nodes()["node_id"].to_pylist()) == nodes
    assert {metadata.node_id for metadata, _ in reader.operation_batches()} == nodes
    assert reader.operations().num_rows == 8 * 5 * 18
    assert reader.damaged_files == 0
    assert reader.summary is not None
    assert reader.summary["agents"]["in_flight_max"] == 8
    assert len(databases(folder / "out" / "data")) == 4
    assert len(acknowledged(folder / "out")) == 8 * 5 * 10
    assert lost(folder / "out", folder / "out" / "data") == []
    assert not list((folder / "ray").glob("out*"))


def test_two_runs_at_once_do_not_meet(cluster: tuple[str, Path]):
    """Runs of one name, with one data folder, on one cluster: each has its own store and files."""
    address, folder = cluster
    data = folder / "data"

    def run(name: str) -> subprocess.CompletedProcess[str]:
        return command(
            *("run", "--agents", 4, "--rounds", 5, "--shards", 1, "--seed", len(name)),
            *("--address", address, "--out", f"{name}/same", "--data-dir", data, "--keep-data"),
            temp=folder,
            HOME=str(folder / "ray"),
        )

    with ThreadPoolExecutor(2) as executor:
        both = list(executor.map(run, ["a", "bb"]))
    for done, name in zip(both, ["a", "bb"], strict=True):
        assert done.returncode == 0, done.stderr
        reader = open_run(folder / name / "same")
        assert reader.operations().num_rows == 4 * 5 * 18
        assert len(acknowledged(folder / name / "same")) == 4 * 5 * 10
    assert sorted(path.name for path in data.iterdir()) == ["same", "same-2"]
    found = {
        name: [path.name for path in data.iterdir() if not lost_in(folder / name / "same", path)]
        for name in ("a", "bb")
    }
    assert sorted(found["a"] + found["bb"]) == ["same", "same-2"]


def lost_in(out: Path, own: Path) -> list[str]:
    """What of a run is not in one folder of databases."""
    with short_folder() as alone:
        (alone / own.name).symlink_to(own)
        return lost(out, alone)


def test_more_tasks_than_a_cluster_carries_are_refused(cluster: tuple[str, Path]):
    """The cluster's own memory and cores decide; nothing of the run is left."""
    address, folder = cluster
    arguments = ("--agents", 5000, "--agents-per-task", 1, "--out", folder / "refused")
    home = str(folder / "ray")
    done = command("run", *arguments, "--address", address, temp=folder, HOME=home)
    assert done.returncode == 2
    assert re.search(r"--agents-per-task: makes 5,000 tasks, but at most [\d,]+ can", done.stderr)
    assert not (folder / "refused").exists()

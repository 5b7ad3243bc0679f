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
    """Rows and samples of both nodes come to the driver, and databases to each node's data root.

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
    root = folder / "ray" / ".memory_core" / "data"
    assert len(databases(root)) == 4
    assert [path.name for path in root.iterdir() if path.is_dir()] == [reader.run["databases"]]
    shards = reader.run["topology"]["target"]["shards"]
    assert {Path(one["path"]) for one in shards} == set(databases(root))
    assert len(acknowledged(folder / "out")) == 8 * 5 * 10
    assert lost(folder / "out", root) == []
    assert not list((folder / "ray").glob("out*"))


def test_two_runs_at_once_do_not_meet(cluster: tuple[str, Path]):
    """Runs of one name, with one data folder, on one cluster: each has its own store and files.

    What was not to be kept is gone from the nodes, and nothing else is.
    """
    address, folder = cluster
    data = folder / "data"

    def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return command(
            *("run", "--agents", 4, "--rounds", 5, "--shards", 1, "--seed", len(name)),
            *("--address", address, "--out", f"{name}/same", "--data-dir", data, *arguments),
            temp=folder,
            HOME=str(folder / "ray"),
        )

    with ThreadPoolExecutor(3) as executor:
        kept = [executor.submit(run, name, "--keep-data") for name in ("a", "bb")]
        gone = executor.submit(run, "ccc")
        done = [one.result() for one in [*kept, gone]]
    for one, name in zip(done, ["a", "bb", "ccc"], strict=True):
        assert one.returncode == 0, one.stderr
        reader = open_run(folder / name / "same")
        assert reader.operations().num_rows == 4 * 5 * 18
        assert len(acknowledged(folder / name / "same")) == 4 * 5 * 10
    places = [Path(open_run(folder / name / "same").run["databases"]) for name in ("a", "bb")]
    assert sorted(data.iterdir()) == sorted(places)
    for name, own in zip(("a", "bb"), places, strict=True):
        assert re.fullmatch("same-[0-9a-f]{8}", own.name)
        assert lost_in(folder / name / "same", own) == []


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

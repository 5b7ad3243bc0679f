"""Where a run's databases go, and that they go with it: here, and on the nodes of a cluster."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import databases
from harness.databases import Databases, databases_of_run, memory_name, remove
from harness.errors import UsageError
from harness.placement import Node
from harness.plan import RunPlan
from harness.ray_session import RaySession
from harness.rundir import RunDirectory
from memory_core.shard_folder import check_memory_name

OWNED = RaySession(node_id="a", owned=True, nodes=[])
CLUSTER = RaySession(node_id="a", owned=False, nodes=[])


def test_databases_get_a_folder_that_nothing_has(tmp_path: Path):
    """A run's folder is new, under the run's name or that with a number, and goes alone."""
    data = tmp_path / "data"
    (data / "out").mkdir(parents=True)
    directory = RunDirectory.create(tmp_path / "out", "run")
    plan = RunPlan(agents=1, data_dir=str(data))
    with databases_of_run(OWNED, directory, plan, []) as own:
        assert own.path == data / "out-2"
        (own.path / "shard-0").mkdir()
    assert [path.name for path in data.iterdir()] == ["out"]


@pytest.mark.parametrize("keep", [True, False])
def test_databases_in_the_run_directory_go_unless_kept(tmp_path: Path, keep: bool):
    """Without a data folder the databases are below the run directory, which stays."""
    directory = RunDirectory.create(tmp_path / "out", "run")
    plan = RunPlan(agents=1, keep_data=keep)
    with databases_of_run(OWNED, directory, plan, []) as own:
        assert own.path is not None
        (own.path / "shard-0").mkdir()
    assert (directory.path / "data").exists() is keep
    assert own.path.exists() is keep
    assert directory.path.exists()


def test_databases_go_when_a_run_breaks_off(tmp_path: Path):
    """Whatever ends a run, what it made goes with it."""
    directory = RunDirectory.create(tmp_path / "out", "run")
    plan = RunPlan(agents=1, data_dir=str(tmp_path / "data"))
    with pytest.raises(KeyboardInterrupt), databases_of_run(OWNED, directory, plan, []):
        raise KeyboardInterrupt
    assert list((tmp_path / "data").iterdir()) == []


def test_a_place_for_databases_that_is_none_is_refused(tmp_path: Path):
    """A data folder that turns out to be a file when the run starts is refused as --data-dir's."""
    (tmp_path / "data").write_text("kept")
    directory = RunDirectory.create(tmp_path / "out", "run")
    plan = RunPlan(agents=1, data_dir=str(tmp_path / "data"))
    with (
        pytest.raises(UsageError, match=r"^--data-dir: "),
        databases_of_run(OWNED, directory, plan, []),
    ):
        pass


def test_on_a_cluster_nothing_is_made_by_the_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The folder is the nodes' own, of a name that no other run has; the head may lack the disk."""
    monkeypatch.setattr(databases, "alive_nodes", list)
    directory = RunDirectory.create(tmp_path / "out", "run")
    with databases_of_run(CLUSTER, directory, RunPlan(agents=1), []) as own:
        assert own.path is None
    data = tmp_path / "not" / "here"
    with databases_of_run(CLUSTER, directory, RunPlan(agents=1, data_dir=str(data)), []) as other:
        assert other.path == data / other.memory
    assert own.memory != other.memory
    assert not (tmp_path / "not").exists()
    assert [path.name for path in directory.path.iterdir() if path.name == "data"] == []


def test_what_cannot_be_removed_is_named(monkeypatch: pytest.MonkeyPatch):
    """A node that is gone keeps its databases; the sentence says which, and where they are."""
    monkeypatch.setattr(databases, "alive_nodes", lambda: [Node(**PLAIN, node_id="b")])
    left = Databases(memory="run-1", path=Path("/data/run-1"), hosts={"a": "h1"})
    remove(left, on_nodes=True)
    assert left.problems == [
        "the databases on h1 could not be removed, for it is not there: /data/run-1"
    ]


PLAIN = {"address": "10.0.0.1", "cpus": 1.0, "memory_bytes": 1.0}


def test_a_node_removes_what_is_being_written_and_what_is_not_there(tmp_path: Path):
    """Removing goes on while something still writes, and nothing to remove is no problem."""
    own = tmp_path / "run-1"
    own.mkdir()

    def write() -> None:
        for number in range(300):
            try:
                (own / str(number)).write_text("x")
            except OSError:
                return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert databases._remove("run-1", str(own)) == ""
    finally:
        writer.join()
    assert not own.exists()
    assert databases._remove("run-1", str(own)) == ""
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_stays_is_told_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A node that may not remove says why, within a bounded time."""
    monkeypatch.setattr(databases, "_PATIENCE_S", 0.3)

    def refuse(_: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(databases.shutil, "rmtree", refuse)
    own = tmp_path / "run-1"
    own.mkdir()
    assert databases._remove("run-1", str(own)) == "Operation not permitted"
    assert own.exists()


@given(st.text(max_size=200))
def test_a_run_of_any_name_has_a_store_with_a_name(name: str):
    """Whatever a run directory is called, its store has a name that every system takes."""
    check_memory_name(memory_name(name))
    assert memory_name(name) != memory_name(name)

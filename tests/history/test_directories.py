"""Run directories are found below a folder, whatever else is there."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.history import directories
from harness.history.directories import find_directories
from tests.conftest import Outcome
from tests.history.made_history import document, made, summary_of


def test_a_benchmark_is_found_and_its_steps_are_not(tmp_path: Path):
    """What has a run.json is one thing, whatever lies inside; folders around it are looked into."""
    made(tmp_path / "a" / "run", document())
    bench = made(tmp_path / "bench", document())
    made(bench / "steps" / "agents-1-1", document())
    (tmp_path / "empty").mkdir()
    found = find_directories(tmp_path)
    assert found.runs == [tmp_path / "a" / "run", bench]
    assert not found.cut
    assert not found.unread


def test_the_folder_itself_may_be_a_run(tmp_path: Path):
    """A run directory that is named is found, alone."""
    run = made(tmp_path / "run", document())
    assert find_directories(run).runs == [run]


def test_loops_of_links_end(tmp_path: Path):
    """A link to a folder above, to itself or to nowhere ends; a run has its own name, once."""
    run = made(tmp_path / "z" / "run", document())
    (tmp_path / "z" / "up").symlink_to(tmp_path)
    (tmp_path / "a-latest").symlink_to(run)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    assert find_directories(tmp_path).runs == [run]


def test_runs_behind_a_link_are_found(tmp_path: Path):
    """A folder of runs on another disk, linked to, is looked into."""
    made(tmp_path / "disk" / "run", document())
    folder = tmp_path / "runs"
    folder.mkdir()
    (folder / "more").symlink_to(tmp_path / "disk")
    assert find_directories(folder).runs == [folder / "more" / "run"]


def test_depth_and_number_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What lies too deep, or beyond so many folders, is left out, and that is told."""
    monkeypatch.setattr(directories, "DEPTH_MAX", 2)
    made(tmp_path / "a" / "b", document())
    assert not find_directories(tmp_path).cut
    made(tmp_path / "c" / "d" / "e", document())
    found = find_directories(tmp_path)
    assert found.cut
    assert found.runs == [tmp_path / "a" / "b"]
    monkeypatch.setattr(directories, "FOLDERS_MAX", 1)
    assert find_directories(tmp_path).cut


@pytest.fixture
def forbidden() -> Iterator[Path]:
    """A folder of which some parts may not be read, by whoever runs the tests."""
    root, user = Path(tempfile.mkdtemp()), os.geteuid()
    root.chmod(0o755)
    made(root / "run", document(), summary_of())
    made(root / "kept", document(), summary_of())
    made(root / "half", document(), summary_of())
    (root / "locked").mkdir(mode=0)
    (root / "kept" / "run.json").chmod(0)
    (root / "half" / "summary.json").chmod(0)
    if user == 0:  # to whom nothing is forbidden
        os.seteuid(65534)
    yield root
    if user == 0:
        os.seteuid(user)
    (root / "locked").chmod(0o700)
    shutil.rmtree(root)


def test_what_may_not_be_read_is_told(forbidden: Path, harness_here: Callable[..., Outcome]):
    """A folder or file that may not be read has its line with the reason, and others theirs."""
    assert find_directories(forbidden).unread == [(forbidden / "locked", "Permission denied")]
    code, out, _ = harness_here("runs", forbidden)
    assert code == 0
    status = {line.split()[0]: line for line in out.splitlines()[1:5]}
    assert "complete" in status["run"]
    assert "complete" in status["half"]
    assert "unreadable" in status["kept"]
    assert "unreadable" in status["locked"]
    assert out.count("cannot be read: Permission denied.") == 3

"""The guard ends what a dead driver's Ray left, spares everybody else, and removes the folder."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from harness import guard, ray_session
from tests.harness.driving import poll, short_folder

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at /proc")

HOLD = "import sys, time; file = open(sys.argv[1], 'w'); print('open', flush=True); time.sleep(600)"


@contextmanager
def holding(program: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has a file open until it is ended."""
    process = subprocess.Popen(
        [program, "-c", HOLD, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "open\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def guarding(folder: Path, driver: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", guard.__file__, str(folder), str(driver)],
        stdin=subprocess.PIPE,
    )


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


@pytest.mark.slow
def test_the_guard_ends_what_has_the_folder_open_but_the_driver(folder: Path):
    """When its pipe ends it waits a moment, ends this Ray's processes, and removes the folder."""
    mine, other = folder / "mine", folder / "mine-too"
    for path in (mine, other):
        path.mkdir()
    with (
        holding(sys.executable, mine / "log") as left,
        holding(sys.executable, mine / "driver") as driver,
        holding(sys.executable, other / "log") as stranger,
    ):
        watching = guarding(mine, driver.pid)
        assert guard.processes_of(str(mine), but=driver.pid) == [left.pid]
        assert watching.stdin is not None
        watching.stdin.close()
        watching.wait(30)
        assert left.wait(5) == -9
        assert driver.poll() is None
        assert stranger.poll() is None
    assert not mine.exists()
    assert other.exists()


def test_the_guard_spares_who_reads_the_logs(folder: Path):
    """A program that is neither Python nor Ray's may have a log open: it goes on."""
    (folder / "log").touch()
    reading = subprocess.Popen(["tail", "-f", folder / "log"], stdout=subprocess.DEVNULL)
    try:
        opened = psutil.Process(reading.pid)
        poll(lambda: any(one.path == str(folder / "log") for one in opened.open_files()), "tail", 5)
        assert guard.processes_of(str(folder), but=0) == []
    finally:
        reading.kill()
        reading.wait()


def test_a_guarded_folder_goes_at_once_when_nothing_is_left():
    """A session that ended well waits for nobody."""
    before = time.monotonic()
    with ray_session._guarded_folder() as folder:
        assert Path(folder).is_dir()
    assert not Path(folder).exists()
    assert time.monotonic() - before < guard.GRACE_S


def test_a_folder_with_a_name_too_long_for_sockets_gives_way(monkeypatch: pytest.MonkeyPatch):
    """Ray's sockets have a bound on their names: a deep temporary folder is not used."""
    monkeypatch.setattr(ray_session.tempfile, "gettempdir", lambda: "/tmp/" + "deep/" * 20)
    assert ray_session._temp_root() == "/tmp"
    monkeypatch.setattr(ray_session.tempfile, "gettempdir", lambda: "/var/tmp")
    assert ray_session._temp_root() == "/var/tmp"


def test_folders_of_drivers_that_are_gone_are_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    """What a killed driver left is removed by the next run; what is in use, or not ours, stays."""
    monkeypatch.setattr(ray_session, "_temp_root", lambda: str(folder))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    names = [f"harness-ray-{ended.pid}-a", f"harness-ray-{psutil.Process().pid}-b", "other-1-c"]
    for name in names:
        (folder / name).mkdir()
    ray_session._remove_stale_folders()
    assert sorted(path.name for path in folder.iterdir()) == sorted(names[1:])

"""A guarded process ends when it is told to, with its driver, and with its guard."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from harness.targets.guarded_process import GuardedProcess
from tests.harness.driving import poll

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(3600)"]


def guarded(folder: Path, command: list[str] = SLEEP, grace_s: float = 60.0) -> GuardedProcess:
    """A process with its log in the folder."""
    return GuardedProcess(command, folder=folder, log=folder / "log", grace_s=grace_s)


def gone(pid: int) -> bool:
    """Whether there is no such process, or only what is left of it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_it_runs_until_it_is_stopped(tmp_path: Path) -> None:
    """It is there with the pid that is given, and gone when `stop` returns, however often."""
    process = guarded(tmp_path)
    assert process.running
    assert not gone(process.pid)
    process.stop()
    assert gone(process.pid)
    assert not process.running
    process.stop()


def test_what_it_says_is_added_to_its_log(tmp_path: Path) -> None:
    """Its output is in the log, behind what was there."""
    (tmp_path / "log").write_text("before\n")
    process = guarded(tmp_path)
    poll(lambda: "up" in (tmp_path / "log").read_text(), "the output is in the log")
    process.stop()
    assert (tmp_path / "log").read_text().splitlines() == ["before", "up"]


def test_it_is_seen_to_end_by_itself(tmp_path: Path) -> None:
    """One that ends is no longer running, and stopping it is fine."""
    process = guarded(tmp_path, [sys.executable, "-c", "raise SystemExit(3)"])
    poll(lambda: not process.running, "the process has ended")
    process.stop()


def test_one_that_will_not_end_is_killed(tmp_path: Path) -> None:
    """After the grace, a process that ignores the request to end is killed."""
    stubborn = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('up', flush=True)\n"
        "time.sleep(3600)\n"
    )
    process = guarded(tmp_path, [sys.executable, "-c", stubborn], grace_s=0.1)
    poll((tmp_path / "log").read_text, "it ignores the signal")
    process.stop()
    assert gone(process.pid)


def test_a_program_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """The error names the program."""
    with pytest.raises(OSError, match="no-such-program"):
        guarded(tmp_path, ["no-such-program"])


def test_an_interrupt_at_the_terminal_does_not_reach_it(tmp_path: Path) -> None:
    """It is in another session than its driver."""
    process = guarded(tmp_path)
    try:
        assert os.getsid(process.pid) != os.getsid(0)
    finally:
        process.stop()


@pytest.mark.fault
def test_it_ends_when_its_driver_is_killed(tmp_path: Path) -> None:
    """A driver that is killed leaves nothing."""
    script = (
        "import pathlib, sys, time\n"
        "from harness.targets.guarded_process import GuardedProcess\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "process = GuardedProcess(sys.argv[2:], folder=folder, log=folder / 'log')\n"
        "print(process.pid, flush=True)\n"
        "time.sleep(3600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path), *SLEEP], stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        pid = int(driver.stdout.readline())
        assert not gone(pid)
        driver.kill()
    poll(lambda: gone(pid), "the process has ended")


@pytest.mark.fault
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's signal at a parent's death")
def test_it_ends_when_its_guard_is_killed(tmp_path: Path) -> None:
    """A guard that is killed takes it along."""
    process = guarded(tmp_path)
    os.kill(psutil.Process(process.pid).ppid(), signal.SIGKILL)
    poll(lambda: gone(process.pid), "the process has ended")
    process.stop()

"""Driving the installed command as a user does, and watching what becomes of its processes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.processes import command_line, is_gone

__all__ = ["COMMAND", "Driven", "command", "poll", "short_folder"]

COMMAND = Path(sys.executable).with_name("harness")
MARK = "HARNESS_TEST_MARK"
# What a run may take on a machine that is busy with other things.
PATIENCE_S = 100.0


def environment(temp: Path, mark: str = "", **settings: str) -> dict[str, str]:
    """This process's environment, without a cluster that it may name."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {**kept, "TMPDIR": str(temp), MARK: mark, "COLUMNS": "100", **settings}


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder with a short name: Ray's sockets are in it, and their names have a bound."""
    folder = Path(tempfile.mkdtemp(prefix="hn-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def command(
    *arguments: object,
    temp: Path,
    cwd: Path | None = None,
    patience_s: float = PATIENCE_S,
    **settings: str,
) -> subprocess.CompletedProcess[str]:
    """Run ``harness`` with these arguments, and settings of the environment, to its end."""
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        check=False,
        cwd=cwd or temp,
        env=environment(temp, **settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=patience_s,
    )


def poll(condition: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> Any:
    """Wait until a condition holds, and give what it gave."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.02)
    return found


def _command(bounds: Mapping[str, float] | None) -> list[str | Path]:
    """The command, with other numbers in its process where some are given."""
    if not bounds:
        return [COMMAND]
    lines = [
        f"import {name.rpartition('.')[0]}; {name} = {bound!r}" for name, bound in bounds.items()
    ]
    return [sys.executable, "-c", "\n".join([*lines, "from harness.cli import main", "main()"])]


class Driven:
    """A run of ``harness run`` in a session of its own, as a terminal starts it.

    Every process that descends from it is noted while it is watched, by id and time of creation.

    Args:
        temp: for its files.
        arguments: of the command.
        out: its run directory, by default below `temp`.
        bounds: numbers that the driver is to have instead of its own, by module and name.
        settings: of its environment.
    """

    def __init__(
        self,
        temp: Path,
        *arguments: object,
        out: Path | None = None,
        bounds: Mapping[str, float] | None = None,
        **settings: str,
    ) -> None:
        self.temp = temp / "temp"
        self.temp.mkdir()
        self.out = out or temp / "out"
        self._mark = f"{os.getpid()}-{time.monotonic_ns()}"
        with (temp / "stdout").open("w") as stdout, (temp / "stderr").open("w") as stderr:
            self.process = subprocess.Popen(
                [*_command(bounds), "run", "--out", self.out, *map(str, arguments)],
                cwd=temp,
                env=environment(self.temp, self._mark, **settings),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        self._folder = temp
        self.seen: dict[tuple[int, float], psutil.Process] = {}

    @property
    def stdout(self) -> str:
        return (self._folder / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self._folder / "stderr").read_text()

    def look(self) -> None:
        """Note the processes that there are now."""
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                self.seen.setdefault((child.pid, child.create_time()), child)

    def phases(self) -> list[str]:
        """The phases that the run has come to."""
        self.look()
        try:
            lines = (self.out / "events.jsonl").read_text().splitlines()
            return [event["phase"] for event in map(json.loads, lines) if "phase" in event]
        except (OSError, ValueError):
            return []

    def document(self, name: str = "run.json") -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.out / name).read_text())
        return found

    def files(self) -> list[Path]:
        """The operation files that are closed."""
        self.look()
        return sorted((self.out / "ops").glob("[!.]*.parquet"))

    def until(self, phase: str) -> None:
        """Wait until the run has come to a phase."""
        poll(lambda: phase in self.phases() or self._ended(), f"phase {phase}")
        assert self.process.poll() is None, self.stderr

    def pids(self, role: str) -> list[int]:
        """The processes of a role, as Ray names them."""
        self.look()
        return [one.pid for one in self.seen.values() if f"ray::{role}" in command_line(one)]

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal as a terminal does: to the whole foreground group."""
        self.look()
        os.killpg(self.process.pid, number)

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """Wait for the end; the exit code."""
        poll(lambda: self.look() or self._ended(), "the end of the run", timeout_s)
        return self.process.returncode

    def left(self) -> list[str]:
        """What is still there of the run's processes."""
        found = [child for key, child in self.seen.items() if _is_alive(*key)]
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(MARK) == self._mark:
                    found.append(process)
        return [str(process) for process in found if process.is_running()]

    def end(self) -> None:
        """End whatever is still there, by its id."""
        self.look()
        for pid in [self.process.pid, *(pid for pid, _ in self.seen)]:
            if (pid == self.process.pid and not self._ended()) or any(
                _is_alive(*key) for key in self.seen if key[0] == pid
            ):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def _ended(self) -> bool:
        return self.process.poll() is not None


def _is_alive(pid: int, created: float) -> bool:
    try:
        process = psutil.Process(pid)
        return process.create_time() == created and not is_gone(process)
    except psutil.Error:
        return False

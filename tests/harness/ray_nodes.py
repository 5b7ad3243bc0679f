"""Nodes of a Ray cluster on this machine, started as a user starts them, that ask for a token."""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
from pathlib import Path

from tests.harness.driving import PATIENCE_S, environment, poll

__all__ = ["RayNodes"]

RAY = Path(sys.executable).with_name("ray")


class RayNodes:
    """A head and other nodes, whose files are in `folder`, which is also the home of who joins.

    Attributes:
        address: of the head, once it is started.
    """

    def __init__(self, folder: Path) -> None:
        self.address = ""
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def head(self) -> int:
        """The head's process, of which all others of its node descend."""
        return self._processes[0].pid

    def __enter__(self) -> RayNodes:
        (self._folder / ".ray").mkdir(parents=True)
        (self._folder / ".ray" / "auth_token").write_text(secrets.token_hex(32))
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.terminate()
        for process in reversed(self._processes):
            process.wait(PATIENCE_S)

    def start_head(self, *arguments: str) -> None:
        """Start the head, and wait until it has an address."""
        log, _ = self._start(
            "--head",
            "--port=0",
            f"--temp-dir={self._folder}",
            "--include-dashboard=false",
            *arguments,
        )
        found = poll(lambda: re.search(r"address='([^']+)'", log.read_text()), "a head")
        self.address = found[1]

    def start(self, *arguments: str, wait: bool = True) -> subprocess.Popen[bytes]:
        """Start another node; when it is ended, it leaves the cluster."""
        log, process = self._start(f"--address={self.address}", *arguments)
        if wait:
            poll(lambda: "Ray runtime started" in log.read_text(), "another node")
        return process

    def _start(self, *arguments: str) -> tuple[Path, subprocess.Popen[bytes]]:
        log = self._folder / f"node-{len(self._processes)}.log"
        settings = {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
        with log.open("w") as output:
            process = subprocess.Popen(
                [RAY, "start", "--block", *arguments],
                cwd=self._folder,
                env=environment(self._folder, HOME=str(self._folder), **settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._processes.append(process)
        return log, process

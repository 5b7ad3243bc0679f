"""Starting Chroma's own server for the adapter ``chroma``, on this machine.

It is what ``chroma run`` starts, by the function that command calls, with this Python, so that it
is the server of the package that is installed here, whatever is on the PATH.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from pathlib import Path

from harness.errors import RunFailedError
from harness.targets.guarded_process import GuardedProcess

__all__ = ["START_TIMEOUT_S", "ChromaServer"]

START_TIMEOUT_S = 120.0
_POLL_INTERVAL_S = 0.05
_PORTS_TRIED_MAX = 3
_LOG_TAIL_LINES = 3
_PROGRAM = """
import os, sys
os.environ.update(ANONYMIZED_TELEMETRY="False", RUST_LOG="warn", NO_COLOR="1")
import chromadb_rust_bindings
chromadb_rust_bindings.cli(["chroma", "run", *sys.argv[1:]])
"""


class ChromaServer:
    """A Chroma server of our own, at a port of this machine that only it can reach.

    Args:
        data: folder of its files. What a server that was killed left there is gone on with.
        log: file of what it writes.

    Attributes:
        host: where it listens.
        port: as `host`, once it was started.
        pid: its process, once it was started.
    """

    host = "127.0.0.1"

    def __init__(self, data: Path, log: Path) -> None:
        self._data = data
        self._log = log
        self._process: GuardedProcess | None = None
        self.port = 0
        self.pid = 0

    def start(self) -> None:
        """Start it and wait until it serves.

        Raises:
            RunFailedError: it ended, or did not answer in time; the text has the end of its log.
        """
        for _ in range(_PORTS_TRIED_MAX):  # another process may take the port before the server
            if self._answers_at(_free_port()):
                return
        raise RunFailedError(f"Chroma's server ended at once: {self._log_tail()}")

    def _answers_at(self, port: int) -> bool:
        """Start it at a port; False when it ended."""
        flags = ["--path", str(self._data), "--host", self.host, "--port", str(port)]
        command = [sys.executable, "-c", _PROGRAM, *flags]
        try:
            process = GuardedProcess(command, folder=self._data, log=self._log)
        except OSError as error:
            raise RunFailedError(f"Chroma's server cannot be started: {error}") from None
        self._process, self.port, self.pid = process, port, process.pid
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if not process.running:
                self.stop()
                return False
            with contextlib.suppress(OSError), socket.create_connection((self.host, port), 1.0):
                return True
            time.sleep(_POLL_INTERVAL_S)
        self.stop()
        problem = f"did not answer in {START_TIMEOUT_S:.0f} s: {self._log_tail()}"
        raise RunFailedError(f"Chroma's server {problem}")

    def _log_tail(self) -> str:
        try:
            lines = self._log.read_text(errors="replace").splitlines()
        except OSError:
            return "it left no log"
        said = [line.strip() for line in lines if line.strip()]
        return " / ".join(said[-_LOG_TAIL_LINES:]) or "it said nothing"

    def stop(self) -> None:
        """End it and wait until it is gone. Safe to call twice."""
        process, self._process = self._process, None
        if process is not None:
            process.stop()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port

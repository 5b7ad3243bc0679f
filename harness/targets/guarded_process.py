"""A server's process that ends with the one that started it, however that ends.

A guard stands between: this file, run as a script, which starts the server as its child and holds
a pipe from the driver as its standard input. The pipe ends when the driver closes it, or is
killed, and then the guard ends the server: politely, and by force after a grace. On Linux the
kernel ends the server, too, should the guard itself be killed. Both are in a session of their own,
so that an interrupt at the terminal reaches the driver alone, which ends them in its own time.

It imports nothing but the standard library, so that the guard starts in milliseconds.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

__all__ = ["GRACE_S", "GuardedProcess"]

GRACE_S = 10.0
_PR_SET_PDEATHSIG = 1


class GuardedProcess:
    """A server that was started. Not thread-safe.

    Args:
        command: program and arguments.
        folder: in which it works.
        log: what it writes to its standard output and error is added to this file.
        grace_s: how long it may take to end when it is asked to, before it is killed.

    Attributes:
        pid: the server's own.

    Raises:
        OSError: the program cannot be started.
    """

    def __init__(
        self, command: Sequence[str], *, folder: Path, log: Path, grace_s: float = GRACE_S
    ) -> None:
        self._grace_s = grace_s
        # `-I` and `-S`: neither this folder nor installed packages, which would take time.
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(grace_s), str(log), *command],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        said = self._said()
        if not said.isdigit():
            self.stop()
            raise OSError(said or "its guard did not start")
        self.pid = int(said)

    def _said(self) -> str:
        if self._guard.stdout is None:
            return ""
        return self._guard.stdout.readline().strip()

    @property
    def running(self) -> bool:
        """Whether the server has not ended."""
        return self._guard.poll() is None

    def stop(self) -> None:
        """End the server and wait until it is gone. Safe to call twice."""
        if self._guard.stdin is not None:
            with contextlib.suppress(OSError):
                self._guard.stdin.close()
        try:
            self._guard.wait(self._grace_s + GRACE_S)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait()
        if self._guard.stdout is not None:
            self._guard.stdout.close()


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_when_told(server: subprocess.Popen[bytes], grace_s: float) -> None:
    while os.read(0, 4096):  # not `sys.stdin`, whose lock a thread must not hold at the end
        pass
    server.terminate()
    try:
        server.wait(grace_s)
    except subprocess.TimeoutExpired:
        server.kill()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _guard(grace_s: float, log: str, command: Sequence[str]) -> int:
    """Run the command until it ends or standard input does; its exit code, as a shell's."""
    with Path(log).open("ab") as output:
        try:
            server = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - one thread so far
            )
        except OSError as error:
            _say(str(error))
            return 127
    _say(str(server.pid))
    threading.Thread(target=_end_when_told, args=(server, grace_s), daemon=True).start()
    return server.wait() & 0xFF


if __name__ == "__main__":
    sys.exit(_guard(float(sys.argv[1]), sys.argv[2], sys.argv[3:]))

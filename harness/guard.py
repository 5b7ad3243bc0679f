"""Ends what is left of a run's own Ray when its driver is gone, however that ended.

Run as a script with Ray's temporary folder and the driver's process id as its arguments, and a
pipe from the driver as its standard input. The pipe ends when the driver closes it, or is killed.
Ray's processes then end by themselves, most of them at once; some wait a minute for a server that
is gone. Those, which have their log files in the folder open, are killed after a grace, and the
folder is removed.

It imports nothing but the standard library, so that it starts in milliseconds. Where there is no
``/proc`` it only removes the folder, after the grace.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

__all__ = ["GRACE_S", "processes_of"]

GRACE_S = 3.0
_POLL_INTERVAL_S = 0.05


def processes_of(folder: str, *, but: int) -> list[int]:
    """Processes of Ray, or of this Python, that have a file below ``folder`` open.

    The driver, process ``but``, keeps one open when it has let go of Ray.
    """
    found = []
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else []:  # noqa: PTH112, PTH208
        if not entry.isdigit() or int(entry) in {os.getpid(), but}:
            continue
        with contextlib.suppress(OSError):
            if _is_ours(int(entry)) and _has_open(int(entry), folder):
                found.append(int(entry))
    return found


def _is_ours(pid: int) -> bool:
    # A reader of the logs, as `tail -f`, has them open too.
    program = os.readlink(f"/proc/{pid}/exe")  # noqa: PTH115
    return program == os.path.realpath(sys.executable) or "/ray/" in program


def _has_open(pid: int, folder: str) -> bool:
    for descriptor in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/fd/{descriptor}").startswith(f"{folder}/"):  # noqa: PTH115
                return True
    return False


def _watch(folder: str, driver: int) -> None:
    sys.stdin.buffer.read()
    deadline = time.monotonic() + GRACE_S
    while processes_of(folder, but=driver) and time.monotonic() < deadline:
        time.sleep(_POLL_INTERVAL_S)
    for pid in processes_of(folder, but=driver):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(Path(folder), ignore_errors=True)


if __name__ == "__main__":
    _watch(os.path.realpath(sys.argv[1]), int(sys.argv[2]))

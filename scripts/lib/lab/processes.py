"""Which processes are a lab's: found in ``/proc``, by what they were started as.

A host is up as long as its PID 1 (`host_init`) is; with it, the kernel ends all that ran there.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lab.errors import LabError
from lab.layout import Lab

__all__ = ["command_lines", "end", "init_of", "inits", "is_init", "members", "wait_for_ends"]

_END_WAIT_S = 60.0


def command_lines() -> Iterator[tuple[int, list[str]]]:
    """The number and the arguments of each process that this machine runs."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with suppress(OSError):
            text = (entry / "cmdline").read_bytes().decode(errors="replace")
            yield int(entry.name), text.rstrip("\0").split("\0")


def is_init(arguments: list[str], folder: Path) -> int | None:
    """The host whose PID 1, of a lab in this folder, has these arguments; None if none's."""
    match arguments:
        case [program, *_, script, given, host] if (
            Path(script).name == "host_init.py"
            and given == str(folder)
            and host.isdecimal()
            and Path(program).name != "unshare"
        ):
            return int(host)
    return None


def inits(folder: Path) -> dict[int, int]:
    """The process number of the PID 1 of each host that is up, by host."""
    found = {}
    for process, arguments in command_lines():
        host = is_init(arguments, folder)
        if host is not None and not _is_dead(process):
            found[host] = process
    return found


def init_of(lab: Lab, host: int) -> int:
    """The process number of the host's PID 1.

    Raises:
        LabError: the host is down.
    """
    process = inits(lab.folder).get(host)
    if process is None:
        raise LabError(f"Host {host} is down: scripts/lab heal {host} starts it.")
    return process


def members(init: int) -> dict[int, str]:
    """The state (a letter, as in ``/proc``) of each process of the host, but of its PID 1."""
    found = {}
    with suppress(OSError):
        namespace = _namespace(init)
        for process, _ in command_lines():
            with suppress(OSError):
                if process != init and _namespace(process) == namespace:
                    found[process] = _state(process)
    return found


def end(processes: list[int]) -> None:
    """Kill these, and wait until they are gone.

    Raises:
        LabError: one is not, after a minute.
    """
    opened = []
    try:
        for process in processes:
            with suppress(ProcessLookupError):
                opened.append(os.pidfd_open(process))
        for file in opened:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(file, signal.SIGKILL)
        wait_for_ends(opened)
    finally:
        for file in opened:
            os.close(file)


def wait_for_ends(opened: list[int]) -> None:
    """Wait until each of these processes, given as open pidfds, has ended.

    Raises:
        LabError: one has not, after a minute.
    """
    deadline_s = time.monotonic() + _END_WAIT_S
    waiting = set(opened)
    while waiting:
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            raise LabError(
                f"{len(waiting)} processes of the lab did not end within {_END_WAIT_S:.0f} s of "
                "SIGKILL: see what holds them (ps, state D), then call scripts/lab down again."
            )
        done, _, _ = select.select(waiting, [], [], left_s)
        waiting.difference_update(done)


def _namespace(process: int) -> Path:
    return Path(f"/proc/{process}/ns/pid").readlink()


def _is_dead(process: int) -> bool:
    return _state(process) in {"Z", "X"}


def _state(process: int) -> str:
    try:
        status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except OSError:
        return "X"
    return status.rpartition(")")[2].split()[0]

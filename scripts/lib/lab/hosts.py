"""One host: booted, killed, stalled, healed."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from lab.disks import empty_temporary
from lab.errors import LabError
from lab.layout import SHARED, Lab
from lab.network import connect, remove_links, restore, slow
from lab.processes import end, init_of, inits, members

__all__ = ["boot", "boot_all", "heal", "kill", "slow_down", "stall"]

_BOOT_TIMEOUT_S = 120.0
_STALL_TIMEOUT_S = 60.0
_POLL_S = 0.02
_UNSHARE = ["unshare", "--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child"]


def boot_all(lab: Lab) -> None:
    """Boot each host that is down."""
    up = inits(lab.folder)
    for host in range(1, lab.hosts + 1):
        if host not in up:
            boot(lab, host)


def boot(lab: Lab, host: int) -> None:
    """Start a host that is down: from its disk as it was left, with a new /tmp.

    Raises:
        LabError: it does not come up, with what it said.
    """
    empty_temporary(lab, host)
    ready, ready_end = os.pipe()
    go_end, go = os.pipe()
    try:
        _write_boot_file(lab, host, ready_fd=ready_end, go_fd=go_end)
        _start_init(lab, host, [ready_end, go_end])
        os.close(ready_end)
        ready_end = -1
        deadline_s = time.monotonic() + _BOOT_TIMEOUT_S
        _await(lab, host, ready, "started", deadline_s)
        connect(lab, host, init_of(lab, host))
        os.write(go, b"go\n")
        _await(lab, host, ready, "ready", deadline_s)
    finally:
        for file in [ready, ready_end, go_end, go]:
            if file >= 0:
                os.close(file)


def kill(lab: Lab, host: int) -> None:
    """End all that runs on a host, and the host, at one stroke; no matter if it is down.

    Its connections are closed by the kernel, as when a host is rebooted; a host that loses its
    power says nothing: cut it off first.
    """
    process = inits(lab.folder).get(host)
    if process is not None:
        end([process])
    remove_links(lab.bridge, host)


def stall(lab: Lab, host: int) -> None:
    """Stop (SIGSTOP) all that runs on a host but its PID 1, and see that it has stopped.

    Raises:
        LabError: the host is down, or something still runs after a minute.
    """
    process = init_of(lab, host)
    os.kill(process, signal.SIGUSR1)
    deadline_s = time.monotonic() + _STALL_TIMEOUT_S
    # D: within a system call; it stops before it returns, and so does one that waits, as long as
    # that takes, for a child of a vfork that was stopped
    while any(state not in "TtZXD" for state in members(process).values()):
        if time.monotonic() > deadline_s:
            raise LabError(f"Something on host {host} still runs {_STALL_TIMEOUT_S:.0f} s later.")
        time.sleep(_POLL_S)


def heal(lab: Lab, host: int) -> None:
    """End what was done to a host: killed, cut, stalled, slow; no matter which, or none."""
    process = inits(lab.folder).get(host)
    if process is None:
        boot(lab, host)
        return
    restore(lab, host, process)
    os.kill(process, signal.SIGUSR2)


def slow_down(
    lab: Lab, host: int, *, rate: str | None, delay: str | None, loss: str | None
) -> None:
    """Limit what a host sends and receives: `network.slow`."""
    slow(lab, host, init_of(lab, host), rate=rate, delay=delay, loss=loss)


def _write_boot_file(lab: Lab, host: int, *, ready_fd: int, go_fd: int) -> None:
    held = {
        "ready_fd": ready_fd,
        "go_fd": go_fd,
        "host_name": lab.host_name(host),
        "address": lab.address(host),
        "environment": lab.environment(),
        "hidden": lab.hidden_folders(),
        "visible": lab.visible_folders(),
        "shared": str(lab.shared),
        "shared_at": SHARED,
        "sshd": shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin:/usr/bin"),
    }
    path = lab.host_folder(host) / "boot.json"
    path.write_text(json.dumps(held), encoding="utf-8")


def _start_init(lab: Lab, host: int, passed: list[int]) -> None:
    script = Path(__file__).with_name("host_init.py")
    with (lab.host_folder(host) / "console.log").open("ab") as console:
        subprocess.Popen(
            [*_UNSHARE, sys.executable, "-I", "-S", script, lab.folder, str(host)],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            cwd="/",
            pass_fds=passed,
            start_new_session=True,
        )


def _await(lab: Lab, host: int, ready: int, word: str, deadline_s: float) -> None:
    """Wait until the host says this word."""
    said = b""
    while not said.endswith(b"\n"):
        readable, _, _ = select.select([ready], [], [], max(0.0, deadline_s - time.monotonic()))
        if not readable:
            raise LabError(f"Host {host} did not come up within {_BOOT_TIMEOUT_S:.0f} s.")
        # a byte at a time: the next word may be there already
        chunk = os.read(ready, 1)
        if not chunk:
            raise LabError(f"Host {host} did not come up: {_last_words(lab, host)}.")
        said += chunk
    if said.decode(errors="replace").strip() != word:
        what = said.decode(errors="replace").strip().removeprefix("failed: ")
        raise LabError(f"Host {host} did not come up: {what}.")


def _last_words(lab: Lab, host: int) -> str:
    with suppress(OSError):
        console = lab.host_folder(host) / "console.log"
        lines = console.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "it said nothing")
    return "it said nothing"

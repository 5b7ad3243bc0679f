"""PID 1 of a host: ``host_init.py FOLDER HOST``, in namespaces of its own, made by `hosts`.

Started by its path, alone: it imports nothing of the package. It reads ``boot.json``, says
``started`` on the pipe ``ready_fd``, waits for a line on ``go_fd`` (its link is there then),
makes the host, says ``ready``, or ``failed`` and why, and then does what a PID 1 does: it reaps.
SIGUSR1 stops all else in the host at one stroke, SIGUSR2 continues it; only SIGKILL ends it, and
with it all that runs here.

The host's root is an overlay: the machine's files below, the host's disk above. What must not be
seen of the machine (/tmp, /run, /var/tmp, /dev/shm, home folders) is covered; what must be seen as
it is (the checkout, Python) is bound over it, read-only.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

_DEVICES = ["null", "zero", "full", "random", "urandom", "tty"]
_CALL_TIMEOUT_S = 60.0
_SHARED_MEMORY = "2g"  # a bound, not a reservation
_OPEN_FILES = 65536
_REAP_INTERVAL_S = 5.0
_STOP, _CONTINUE = signal.SIGUSR1, signal.SIGUSR2


def main() -> None:
    """Make the host, and keep it."""
    folder = Path(sys.argv[1]) / "hosts" / sys.argv[2]
    boot = json.loads((folder / "boot.json").read_text(encoding="utf-8"))
    ready, go = boot["ready_fd"], boot["go_fd"]
    os.write(ready, b"started\n")
    if not os.read(go, 16):
        sys.exit("the one who boots this host has gone")
    os.close(go)
    try:
        _raise_open_files()
        socket.sethostname(boot["host_name"])
        _join_network(boot["address"])
        _enter_root(folder, boot)
        os.environ.clear()
        os.environ.update(boot["environment"])
        _start_sshd(boot)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", "") or ""
        os.write(ready, f"failed: {' '.join(f'{error} {said}'.split())}\n".encode())
        sys.exit(1)
    os.write(ready, b"ready\n")
    os.close(ready)
    _keep()


def _call(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=_CALL_TIMEOUT_S)


def _raise_open_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = hard if 0 <= hard < _OPEN_FILES else _OPEN_FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _join_network(address: str) -> None:
    _call("ip", "link", "set", "lo", "up")
    _call("ip", "link", "set", "eth0", "addrgenmode", "none")
    _call("ip", "address", "add", f"{address}/24", "dev", "eth0")
    _call("ip", "link", "set", "eth0", "up")


def _enter_root(folder: Path, boot: dict[str, Any]) -> None:
    root = folder / "root"
    layers = f"lowerdir=/,upperdir={folder}/disk,workdir={folder}/work"
    _call("mount", "-t", "overlay", "lab", "-o", layers, f"{root}")
    _call("mount", "-t", "proc", "proc", f"{root}/proc")
    _call("mount", "-t", "sysfs", "-o", "ro", "sysfs", f"{root}/sys")
    _make_devices(root / "dev")
    _call("mount", "-t", "tmpfs", "-o", "mode=755", "run", f"{root}/run")
    for name in ["sshd", "lock"]:
        (root / "run" / name).mkdir(mode=0o755)
    for place in ["tmp", "var/tmp"]:
        _call("mount", "--bind", f"{folder}/{place.replace('/', '-')}", f"{root}/{place}")
    for home in boot["hidden"]:
        _call("mount", "-t", "tmpfs", "-o", "mode=755", "home", f"{root}{home}")
    for seen in boot["visible"]:
        _bind(seen, f"{root}{seen}", read_only=True)
    _bind(boot["shared"], f"{root}{boot['shared_at']}", read_only=False)
    old = root / "run" / "machine"
    old.mkdir()
    os.chdir(root)
    _call("pivot_root", ".", "run/machine")
    os.chroot(".")
    os.chdir("/")
    _call("umount", "--lazy", "/run/machine")
    Path("/run/machine").rmdir()


def _make_devices(folder: Path) -> None:
    _call("mount", "-t", "tmpfs", "-o", "mode=755", "dev", f"{folder}")
    for name in _DEVICES:
        (folder / name).touch()
        _call("mount", "--bind", f"/dev/{name}", f"{folder}/{name}")
    for name, kind, options in [
        ("shm", "tmpfs", f"size={_SHARED_MEMORY},mode=1777"),
        ("pts", "devpts", "newinstance,ptmxmode=0666,mode=620"),
    ]:
        (folder / name).mkdir()
        _call("mount", "-t", kind, "-o", options, name, f"{folder}/{name}")
    (folder / "ptmx").symlink_to("pts/ptmx")
    (folder / "fd").symlink_to("/proc/self/fd")
    for number, name in enumerate(["stdin", "stdout", "stderr"]):
        (folder / name).symlink_to(f"/proc/self/fd/{number}")


def _bind(source: str, target: str, *, read_only: bool) -> None:
    Path(target).mkdir(parents=True, exist_ok=True)
    _call("mount", "--bind", source, target)
    if read_only:
        _call("mount", "-o", "remount,bind,ro", target)


def _start_sshd(boot: dict[str, Any]) -> None:
    with open("/var/log/sshd.log", "ab") as log:  # noqa: PTH123 - as Popen wants it
        subprocess.Popen(
            [boot["sshd"], "-D", "-e", "-f", "/etc/ssh/lab_sshd_config"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _keep() -> None:
    awaited = {signal.SIGCHLD, _STOP, _CONTINUE}
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    while True:
        # a child that ended before the mask was set is reaped after the interval
        received = signal.sigtimedwait(awaited, _REAP_INTERVAL_S)
        if received is not None and received.si_signo == _STOP:
            _to_all_others(signal.SIGSTOP)
        elif received is not None and received.si_signo == _CONTINUE:
            _to_all_others(signal.SIGCONT)
        _reap()


def _to_all_others(number: signal.Signals) -> None:
    # -1 is every process of the PID namespace but its PID 1, at one stroke
    with suppress(ProcessLookupError):
        os.kill(-1, number)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except OSError as error:
        if error.errno != errno.ECHILD:
            raise


if __name__ == "__main__":
    main()

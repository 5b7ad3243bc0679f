"""Up and down: a lab made whole or not at all, and removed whatever it is.

One call at a time changes a lab: they wait for each other at an abstract socket, which needs no
file and is let go when its process ends.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from lab.cluster_file import Roles, write_cluster_file
from lab.disks import make_disk, make_secrets
from lab.errors import LabError, UsageError
from lab.hosts import boot_all
from lab.layout import Lab, folder_of
from lab.network import free_network, make_bridge, remove_links
from lab.processes import command_lines, end, inits, is_init

__all__ = ["alone", "down", "up"]

_LOCK_WAIT_S = 300.0
_LOCK_POLL_S = 0.1
# Debian's packages, by the command that is needed of each
_PACKAGES = {
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "mount": "mount",
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "rsync": "rsync",
}
_PLACES = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def up(name: str, hosts: int | None, default_hosts: int, roles: Roles | None = None) -> Lab:
    """A lab with all of its hosts up: made, or, if it is there, with those booted that are down.

    What an `up` that was killed left is removed first. If making it fails, nothing is left.

    Args:
        name: the lab's.
        hosts: how many; None: as many as there are.
        default_hosts: how many if there are none.
        roles: of the hosts, in the file for ``ray up``; None: as the file has them, or none.

    Raises:
        UsageError: it is there, with another number of hosts.
        LabError: the machine does not allow it.
    """
    _check_machine()
    lab = Lab.read(name)
    if lab is not None:
        if hosts not in {None, lab.hosts}:
            raise UsageError(
                f"The lab {name!r} is up with {lab.hosts} hosts, not {hosts}: end it with "
                "scripts/lab down first, or give another a name with HARNESS_LAB=NAME."
            )
        make_bridge(lab)
        boot_all(lab)
        if roles is not None:
            write_cluster_file(lab, roles)
        return lab
    down(name)
    lab = Lab(
        name=name, folder=folder_of(name), hosts=hosts or default_hosts, network=free_network()
    )
    try:
        lab.folder.mkdir(mode=0o700)
        lab.shared.mkdir()
        make_secrets(lab)
        for host in range(1, lab.hosts + 1):
            make_disk(lab, host)
        make_bridge(lab)
        boot_all(lab)
        write_cluster_file(lab, roles or Roles())
        lab = replace(lab, whole=True)
        lab.write()
    except BaseException:
        down(name)
        raise
    return lab


def down(name: str) -> None:
    """Remove every trace of a lab, whole or by halves; no matter if there is none.

    Raises:
        LabError: something of it does not end.
    """
    _check_root()
    folder = folder_of(name)
    # first: from here on it is a lab that was made by halves
    (folder / "lab.json").unlink(missing_ok=True)
    _end_hosts(folder)
    remove_links(f"amh-{name}")
    _remove_rays_files(f"agent-memory-harness-{name}")
    if folder.exists():
        shutil.rmtree(folder)


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Wait until no other call changes a lab; none does before this ends.

    Raises:
        LabError: another takes minutes.
    """
    deadline_s = time.monotonic() + _LOCK_WAIT_S
    with socket.socket(socket.AF_UNIX) as lock:
        while True:
            try:
                lock.bind("\0agent-memory-harness-lab")
                break
            except OSError as error:
                if time.monotonic() > deadline_s:
                    raise LabError(
                        f"Another call of scripts/lab holds the lab {name!r} up for "
                        f"{_LOCK_WAIT_S:.0f} s: end it."
                    ) from error
                time.sleep(_LOCK_POLL_S)
        yield


def _end_hosts(folder: Path) -> None:
    end(list(inits(folder).values()))
    # and those who started them, also when they had not come as far as to a PID 1
    end(
        [
            process
            for process, arguments in command_lines()
            if is_init(["", *arguments[1:]], folder) is not None
        ]
    )


def _remove_rays_files(cluster_name: str) -> None:
    """What ``ray up`` keeps on the machine: its notes on the cluster, and SSH connections."""
    for cached in Path(tempfile.gettempdir()).glob("ray-config-*"):
        with suppress(OSError):  # of another cluster, which may just end
            if f'"cluster_name": "{cluster_name}"' in cached.read_text(errors="replace"):
                cached.unlink()
    temporary = Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray"  # noqa: S108 - Ray's choice
    for kind in ["state", "lock"]:
        (temporary / f"cluster-{cluster_name}.{kind}").unlink(missing_ok=True)
    with suppress(OSError):
        temporary.rmdir()  # if nothing else is in it
    connections = f"/{hashlib.sha256(cluster_name.encode()).hexdigest()[:10]}"
    for folder in Path("/tmp").glob(f"ray_ssh_*{connections}"):  # noqa: S108 - Ray's choice
        end([process for process, line in command_lines() if str(folder) in " ".join(line)])
        shutil.rmtree(folder)
        with suppress(OSError):
            folder.parent.rmdir()


def _check_root() -> None:
    if os.geteuid() != 0:
        raise LabError("A lab needs root: call scripts/lab with sudo.")


def _check_machine() -> None:
    _check_root()
    missing = {
        package for tool, package in _PACKAGES.items() if shutil.which(tool, path=_PLACES) is None
    }
    if missing:
        raise LabError(
            f"A lab needs what is not there: apt-get install {' '.join(sorted(missing))}."
        )

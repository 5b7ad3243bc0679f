"""What a host's disk holds before its first boot: accounts, names, SSH, the shell's settings.

The disk is the upper layer of an overlay: a file here hides the machine's of the same path, for
this host. It outlives the host's boots, and goes with the lab; only /tmp and /var/tmp are folders
beside it, as RocksDB and Ray would else find a file system below theirs that they do not expect.
"""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from lab.errors import LabError
from lab.layout import CHECKOUT, DATA_DIR, HOME, Lab

__all__ = ["empty_temporary", "make_disk", "make_secrets"]

_SSHD_CONFIG = """\
ListenAddress {address}:22
HostKey /etc/ssh/lab_host_key
AuthorizedKeysFile {home}/.ssh/authorized_keys
PidFile none
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
PrintLastLog no
MaxStartups 100
MaxSessions 100
SetEnv {environment}
Subsystem sftp internal-sftp
"""
# The second line is what cluster/setup writes there on a host.
_BASHRC = """\
. /etc/profile.d/zz-lab.sh
. ~/agent-memory-harness/cluster/environment.sh
"""


def make_secrets(lab: Lab) -> None:
    """The lab's own SSH key and Ray token, made for the occasion.

    Raises:
        LabError: ``ssh-keygen`` fails.
    """
    _make_key(lab.key, lab.cluster_name)
    lab.token.touch(mode=0o600)
    lab.token.write_text(secrets.token_hex(32) + "\n", encoding="ascii")


def make_disk(lab: Lab, host: int) -> None:
    """A host's disk as it is when it is new.

    Raises:
        LabError: the file system cannot hold the upper layer of an overlay.
    """
    folder = lab.host_folder(host)
    disk = folder / "disk"
    for name in ["disk", "work", "root"]:
        (folder / name).mkdir(parents=True, mode=0o755)
    home = disk / HOME.lstrip("/")
    for place in ["etc/ssh", "etc/profile.d", f"{HOME}/.ssh", DATA_DIR, "var/log"]:
        (disk / place.lstrip("/")).mkdir(parents=True, mode=0o755)
    for place in [home, disk / DATA_DIR.lstrip("/")]:
        _hide_machines(place)
    (home / ".ssh").chmod(0o700)
    settings = "".join(
        f"export {name}={shlex.quote(value)}\n" for name, value in lab.environment().items()
    )
    quoted = " ".join(f'"{name}={value}"' for name, value in lab.environment().items())
    sshd_config = _SSHD_CONFIG.format(address=lab.address(host), home=HOME, environment=quoted)
    names = "".join(
        f"{lab.address(other)} {lab.host_name(other)}\n" for other in range(1, lab.hosts + 1)
    )
    public_key = lab.key.with_suffix(".pub").read_text(encoding="ascii")
    for path, text, mode in [
        ("etc/passwd", _root_first("/etc/passwd", f"root:x:0:0:root:{HOME}:/bin/bash"), 0o644),
        ("etc/shadow", _root_first("/etc/shadow", "root:*:20000:0:99999:7:::"), 0o600),
        ("etc/hostname", f"{lab.host_name(host)}\n", 0o644),
        ("etc/hosts", f"127.0.0.1 localhost\n{names}", 0o644),
        ("etc/profile.d/zz-lab.sh", settings, 0o644),
        ("etc/ssh/lab_sshd_config", sshd_config, 0o644),
        (f"{HOME}/.bashrc", _BASHRC, 0o644),
        (f"{HOME}/.profile", ". ~/.bashrc\n", 0o644),
        (f"{HOME}/.ssh/authorized_keys", public_key, 0o600),
    ]:
        file = disk / path.lstrip("/")
        file.touch(mode=mode)
        file.write_text(text, encoding="utf-8")
    _link_checkout(home / "agent-memory-harness")
    _make_key(disk / "etc/ssh/lab_host_key", lab.host_name(host))


def empty_temporary(lab: Lab, host: int) -> None:
    """Give the host a new /tmp and /var/tmp, as at a boot; it must be down."""
    for name in ["tmp", "var-tmp"]:
        place = lab.host_folder(host) / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(exist_ok=True)
        place.chmod(0o1777)


def _link_checkout(place: Path) -> None:
    """What the checkout holds, in the place of the one that ``cluster/setup`` makes on a host."""
    place.mkdir()
    for entry in CHECKOUT.iterdir():
        if entry.name != ".venv":
            (place / entry.name).symlink_to(entry)
    # of the Python that runs this, whose environment need not be the checkout's own
    (place / ".venv").symlink_to(sys.prefix)


def _hide_machines(place: Path) -> None:
    """Mark a folder of the disk as the whole of it, whatever the machine has in that place."""
    try:
        os.setxattr(place, "trusted.overlay.opaque", b"y")
    except OSError as error:
        raise LabError(
            f"The file system of {place} cannot hold a host's disk ({error.strerror}): name a "
            "folder on another with HARNESS_LAB_ROOT."
        ) from error


def _root_first(path: str, line: str) -> str:
    """The machine's accounts, with this line for root's."""
    others = Path(path).read_text(encoding="utf-8").splitlines()
    return "\n".join([line, *[one for one in others if not one.startswith("root:")]]) + "\n"


def _make_key(path: Path, comment: str) -> None:
    done = subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise LabError(f"ssh-keygen could not make {path}: {' '.join(done.stderr.split())}.")

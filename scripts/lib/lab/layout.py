"""Names, addresses and files of a lab, and ``lab.json``, which says that it is there.

A lab has a name (``HARNESS_LAB``, by default ``lab``); all that it makes carries it, so labs of
different names stand side by side. Its folder is ``<root>/agent-memory-harness-<name>``, where
the root is ``HARNESS_LAB_ROOT``, by default ``/var/tmp``: on a disk, which ``/run`` often is not.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.errors import LabError, UsageError

__all__ = [
    "CHECKOUT",
    "DATA_DIR",
    "HEAD",
    "HOME",
    "MOST_HOSTS",
    "SHARED",
    "Lab",
    "folder_of",
    "lab_name",
]

MOST_HOSTS = 32
HEAD = 1
# Inside a host. Root's home there is not the machine's, where tokens and settings of its own are.
HOME = "/home/lab"
DATA_DIR = "/var/lib/agent-memory-harness"
SHARED = "/mnt/shared"
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CHECKOUT = Path(__file__).resolve().parent.parent.parent.parent


def lab_name() -> str:
    """The name of the lab that is meant: ``HARNESS_LAB``, or ``lab``.

    Raises:
        UsageError: it cannot be part of an interface's name.
    """
    name = os.environ.get("HARNESS_LAB") or "lab"
    # "amh-<name>-<host>" is the name of an interface, which has 15 characters at most
    if not re.fullmatch(r"[a-z0-9]{1,8}", name):
        raise UsageError(
            f"HARNESS_LAB is {name!r}: name the lab with 1 to 8 letters a-z and digits."
        )
    return name


def folder_of(name: str) -> Path:
    """Where a lab of this name keeps its files.

    Raises:
        UsageError: ``HARNESS_LAB_ROOT`` is no folder, or one that a mount option cannot name.
    """
    root = Path(os.environ.get("HARNESS_LAB_ROOT") or "/var/tmp")  # noqa: S108 - ours below it
    if not root.is_dir() or re.search(r"[\\,:\s]", str(root)):
        raise UsageError(
            f"HARNESS_LAB_ROOT is {root}: name a folder that is there, without spaces, "
            "commas, colons or backslashes in its path."
        )
    return root.resolve() / f"agent-memory-harness-{name}"


@dataclass(frozen=True, kw_only=True)
class Lab:
    """What is fixed about a lab when it is made.

    Attributes:
        hosts: their number; they are 1 to this, and 1 is the head.
        network: the first three numbers of every address, as in ``10.77.0``.
        whole: whether ``up`` came to its end.
    """

    name: str
    folder: Path
    hosts: int
    network: str
    whole: bool = False

    @classmethod
    def read(cls, name: str) -> Lab | None:
        """The lab of this name; None without one, or with one that was made by halves."""
        folder = folder_of(name)
        try:
            held = json.loads((folder / "lab.json").read_text(encoding="utf-8"))
            lab = cls(**{**held, "folder": folder})
        except (OSError, ValueError, TypeError):
            return None
        return lab if lab.whole and lab.name == name else None

    @classmethod
    def there(cls, name: str) -> Lab:
        """The lab of this name.

        Raises:
            LabError: there is none.
        """
        lab = cls.read(name)
        if lab is None:
            raise LabError(f"There is no lab named {name!r}: scripts/lab up makes it.")
        return lab

    def write(self) -> None:
        """Say that the lab is there; in one step, so that it is never read by halves."""
        path = self.folder / "lab.json"
        new = path.with_suffix(".new")
        new.write_text(json.dumps(asdict(self) | {"folder": str(self.folder)}), encoding="utf-8")
        new.replace(path)

    def number(self, host: str) -> int:
        """The host that is meant by this argument.

        Raises:
            UsageError: there is no such host.
        """
        if not host.isdecimal() or not 1 <= int(host) <= self.hosts:
            raise UsageError(f"There is no host {host!r}: the hosts are 1 to {self.hosts}.")
        return int(host)

    @property
    def bridge(self) -> str:
        """The machine's interface to all hosts, which they are joined by."""
        return f"amh-{self.name}"

    @property
    def gateway(self) -> str:
        """The machine's own address in the lab."""
        return f"{self.network}.254"

    @property
    def cluster_name(self) -> str:
        """Under which Ray keeps its own files of this cluster on the machine."""
        return f"agent-memory-harness-{self.name}"

    @property
    def cluster_file(self) -> Path:
        """The file for ``ray up``."""
        return self.folder / "on_prem.yaml"

    @property
    def key(self) -> Path:
        """The private key that opens every host."""
        return self.folder / "id_ed25519"

    @property
    def token(self) -> Path:
        """Ray's authentication token of this lab."""
        return self.folder / "auth_token"

    @property
    def shared(self) -> Path:
        """What every host sees as ``/mnt/shared``, as a network file system would be."""
        return self.folder / "shared"

    def link(self, host: int) -> str:
        """The machine's end of the host's link; the host's own is ``eth0``."""
        return f"{self.bridge}-{host}"

    def address(self, host: int) -> str:
        """The host's address."""
        return f"{self.network}.{host}"

    def hardware_address(self, host: int) -> str:
        """The same at each boot, so that no neighbour remembers another."""
        return f"02:61:6d:68:00:{host:02x}"

    def host_name(self, host: int) -> str:
        """As the host calls itself."""
        return f"{self.name}-{host}"

    def host_folder(self, host: int) -> Path:
        """The host's disk, ``boot.json`` and what its PID 1 has to say."""
        return self.folder / "hosts" / str(host)

    @staticmethod
    def environment() -> dict[str, str]:
        """What a session on a host begins with; ``cluster/environment.sh`` gives it the rest."""
        return {
            "PATH": f"{sys.prefix}/bin:{_SYSTEM_PATH}",
            "HOME": HOME,
            "USER": "root",
            "LOGNAME": "root",
            "SHELL": "/bin/bash",
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(CHECKOUT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "MEMORY_CORE_DATA_DIR": DATA_DIR,
        }

    @staticmethod
    def hidden_folders() -> list[str]:
        """The machine's folders that hosts do not see, but for what `visible_folders` names."""
        homes = {Path(pwd.getpwuid(0).pw_dir).resolve(), Path.home().resolve()}
        return sorted(str(home) for home in homes if home.is_dir() and home != Path("/"))

    @staticmethod
    def visible_folders() -> list[str]:
        """The machine's folders that hosts see as they are, read-only: the checkout and Python.

        The rest of the machine's files is seen through the host's own disk, where what changes
        on the machine later may not show.
        """
        found = [str(CHECKOUT)]
        for folder in [sys.prefix, sys.base_prefix]:
            inside = any(Path(folder).is_relative_to(other) for other in [*found, "/usr"])
            if not inside:
                found.append(folder)
        return found

"""Facts about this host for ``run.json``, so that two runs can be told apart by their machines.

Invariant: a fact that cannot be had is None; asking for it never ends a run.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

import harness

__all__ = [
    "GIT_S_MAX",
    "PACKAGES",
    "available_memory_bytes",
    "filesystem_type",
    "harness_commit",
    "host_facts",
    "is_gone",
    "is_tmpfs",
    "this_process",
]

# What a figure may depend on, besides this package itself.
PACKAGES = (
    "agent-memory-harness",
    "faiss-cpu",
    "msgspec",
    "numpy",
    "psutil",
    "pyarrow",
    "ray",
    "rocksdict",
)

# How long git may take to answer, on a slow disk.
GIT_S_MAX = 10.0

# Of a process's start, as two readings of it may differ.
_START_S_TOLERANCE = 1.0

_MEMORY_FILESYSTEMS = frozenset({"tmpfs", "ramfs", "devtmpfs"})


def host_facts() -> dict[str, Any]:
    """This host and what it runs: values that JSON has.

    ``hostname``, ``cpu_model``, ``cpu_count`` (logical), ``cpu_count_physical``,
    ``cpu_count_usable`` (what this process may run on), ``memory_bytes``, ``system``, ``kernel``,
    ``machine``, ``python`` and ``packages`` (version by name, None where one is not installed).
    """
    return {
        "hostname": platform.node(),
        "cpu_model": _cpu_model(),
        "cpu_count": psutil.cpu_count(),
        "cpu_count_physical": psutil.cpu_count(logical=False),
        "cpu_count_usable": _usable_cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {name: _version(name) for name in PACKAGES},
    }


def available_memory_bytes() -> int:
    """Memory that processes may take now without swapping."""
    return int(psutil.virtual_memory().available)


def filesystem_type(path: Path) -> str | None:
    """The type (``ext4``, ``tmpfs``) of the file system that holds `path`, or will.

    A path that is not there yet counts as its nearest folder that is.
    """
    place = path.resolve()
    best: tuple[int, str] | None = None
    for partition in psutil.disk_partitions(all=True):
        mount = Path(partition.mountpoint)
        # Of two mounts on one folder the later hides the earlier.
        if place.is_relative_to(mount) and (best is None or len(mount.parts) >= best[0]):
            best = len(mount.parts), partition.fstype
    return best[1] or None if best else None


def is_tmpfs(path: Path) -> bool:
    """Whether what is written at `path` goes to memory, so that fsync gives no durability."""
    return filesystem_type(path) in _MEMORY_FILESYSTEMS


def this_process() -> dict[str, Any]:
    """Who this process is: ``hostname``, ``pid``, and ``started_s`` after the machine's start.

    The last tells it from a later one of the same number; that it counts from the machine's start
    keeps it out of reach of whoever sets the clock.
    """
    pid = os.getpid()
    return {"hostname": platform.node(), "pid": pid, "started_s": _started_s(pid)}


def is_gone(process: Mapping[str, Any]) -> bool | None:
    """Whether the process that `this_process` told of has ended; None if that cannot be known.

    It cannot of a process of another host, nor of what is no such description.
    """
    pid, started_s = process.get("pid"), process.get("started_s")
    if process.get("hostname") != platform.node() or not isinstance(pid, int):
        return None
    if not isinstance(started_s, int | float):
        return None
    try:
        found_s = _started_s(pid)
        return found_s is None or abs(found_s - started_s) > _START_S_TOLERANCE
    except (ValueError, OverflowError, psutil.Error):  # no process or time, or kept from us
        return None


def _started_s(pid: int) -> float | None:
    """When a process started; None if there is none, or it has ended and nobody has noticed yet."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return round(process.create_time() - psutil.boot_time(), 2)
    except psutil.NoSuchProcess:
        return None


def harness_commit() -> dict[str, Any] | None:
    """The commit this harness runs from, and whether tracked files were changed since.

    ``{"commit": <hexadecimal>, "modified": bool}``; None when it does not run from a checkout,
    or git is missing.
    """
    return _commit_of(Path(harness.__file__).resolve().parent.parent)


def _commit_of(root: Path) -> dict[str, Any] | None:
    git = shutil.which("git")
    # Not only "inside a checkout": an installed package may lie in someone else's.
    if git is None or not (root / ".git").exists():
        return None
    commit = _git(git, root, "rev-parse", "HEAD")
    status = _git(git, root, "status", "--porcelain", "--untracked-files=no")
    if commit is None or status is None:
        return None
    return {"commit": commit, "modified": bool(status)}


def _git(git: str, root: Path, *arguments: str) -> str | None:
    # Without optional locks, so that looking never gets in the way of a commit being made.
    command = [git, "--no-optional-locks", "-C", str(root), *arguments]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=GIT_S_MAX,
            check=True,
            env=_git_environment(),
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip()


def _git_environment() -> dict[str, str]:
    # Started from a git hook, GIT_DIR would name that hook's repository.
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}


def _cpu_model() -> str | None:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return platform.processor() or None
    found = re.search(r"^(?:model name|Model|Hardware|cpu model)\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.processor() or None


def _usable_cpu_count() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None

"""What there is of a lab on the machine, which is nothing when it is down."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["namespaces", "traces"]


def traces(name: str) -> list[str]:
    """Files, processes, links and mounts of the lab of this name."""
    ours = re.compile(rf"agent-memory-harness-{name}(?![a-z0-9])")
    places = [Path("/var/tmp").iterdir(), Path("/tmp/ray").glob("cluster-*")]
    found = [str(path) for place in places for path in place if ours.search(path.name)]
    # where Ray keeps its connections by SSH, of each cluster
    connections = hashlib.sha256(f"agent-memory-harness-{name}".encode()).hexdigest()[:10]
    found += [str(path) for path in Path("/tmp").glob(f"ray_ssh_*/{connections}")]
    for path in Path("/tmp").glob("ray-config-*"):
        with suppress(OSError):
            found += [str(path)] * bool(ours.search(path.read_text()))
    for process in _processes():
        with suppress(OSError):
            line = (process / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            found += [f"{process.name} {line}"] * bool(ours.search(line))
    links = re.compile(rf"amh-{name}(-\d+)?")
    found += [path.name for path in Path("/sys/class/net").iterdir() if links.fullmatch(path.name)]
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    return found + [line for line in mounts if ours.search(line)]


def namespaces() -> set[str]:
    """The network namespaces of all processes."""
    found = set()
    for process in _processes():
        with suppress(OSError):
            found.add(str((process / "ns" / "net").readlink()))
    return found


def _processes() -> Iterator[Path]:
    return (entry for entry in Path("/proc").iterdir() if entry.name.isdecimal())

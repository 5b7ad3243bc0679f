"""What there is of a lab on the machine, which is nothing when it is down."""

from __future__ import annotations

from pathlib import Path

__all__ = ["namespaces", "traces"]


def traces(name: str) -> list[str]:
    """What there is of a lab on the machine: files, processes, links, mounts, namespaces."""
    found = [str(path) for path in Path("/var/tmp").glob(f"agent-memory-harness-{name}*")]
    for pattern in ["ray/cluster-*", "ray_ssh_*/*"]:
        found += [str(path) for path in Path("/tmp").glob(pattern) if name in path.name]
    for path in Path("/tmp").glob("ray-config-*"):
        found += [str(path)] * (f'agent-memory-harness-{name}"' in path.read_text())
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            found += [f"{entry.name} {line}"] * (f"agent-memory-harness-{name}" in line)
    found += [path.name for path in Path("/sys/class/net").glob(f"amh-{name}*")]
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    found += [line for line in mounts if f"agent-memory-harness-{name}" in line]
    return found


def namespaces() -> set[str]:
    """The network namespaces of all processes."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                found.add(str((entry / "ns" / "net").readlink()))
            except OSError:
                continue
    return found

"""The machine that is measured, and what on it could make the figures worse than they are."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

import harness
from harness.hosts import filesystem_type, harness_commit, host_facts, is_tmpfs

__all__ = ["machine_facts", "machine_line", "warnings"]

_BUSY_RATIO = 0.15
_LOOK_S = 1.0


def machine_facts(folder: Path) -> dict[str, Any]:
    """Facts as JSON has them; takes a second, to see what others use of the CPU.

    Args:
        folder: where databases will be.
    """
    facts = host_facts()
    del facts["hostname"]  # says nothing about the figures
    busy_percent = psutil.cpu_percent(_LOOK_S)
    return facts | {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": harness.__version__,
        "commit": harness_commit(),
        "file_system": filesystem_type(folder),
        "memory_file_system": is_tmpfs(folder),
        "load_average": list(os.getloadavg()),
        "busy_ratio": busy_percent / 100,
    }


def warnings(facts: dict[str, Any]) -> list[str]:
    """What makes the figures doubtful, a sentence each."""
    found = []
    cores = facts["cpu_count_usable"] or facts["cpu_count"] or 1
    load = facts["load_average"][0]
    if facts["busy_ratio"] > _BUSY_RATIO or load > max(_BUSY_RATIO * cores, 0.5):
        found.append(
            "the machine is or was just busy (before anything began, "
            f"{100 * facts['busy_ratio']:.0f}% of its CPU and a load average of {load:.2f}): "
            "figures may be worse than it can do"
        )
    if facts["memory_file_system"]:
        found.append("databases lie on a memory file system, where fsync costs nothing")
    commit = facts["commit"]
    if commit is not None and commit["modified"]:
        found.append("the checkout has changes that are not committed")
    return found


def machine_line(facts: dict[str, Any]) -> str:
    """The machine, versions and date in a few lines."""
    packages = facts["packages"]
    versions = ", ".join(f"{name} {packages[name]}" for name in sorted(packages) if packages[name])
    commit = facts["commit"]
    return "\n".join(
        (
            f"{facts['cpu_count_usable']} of {facts['cpu_count']} cores of "
            f"{facts['cpu_model']}, {(facts['memory_bytes'] or 0) / 2**30:.1f} GiB, databases on "
            f"{facts['file_system']}, {facts['system']} {facts['kernel']}",
            f"{facts['python']}, {versions}",
            f"{facts['date']}, commit {commit['commit'][:12] if commit else 'unknown'}, "
            f"load average {facts['load_average'][0]:.2f}",
        )
    )

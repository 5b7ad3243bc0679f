"""Checks of the machine: cores, memory, disk, and what the system lets a process have.

What a container is given may be less than what the machine has: quotas of control groups
(version 2, else 1) are read where they are.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from harness.capacity import TASK_BYTES
from harness.doctor.check import Check
from harness.hosts import available_memory_bytes, filesystem_type
from harness.report import figures

__all__ = [
    "check_cores",
    "check_disk",
    "check_memory",
    "check_open_files",
    "check_shared_memory",
    "cpu_quota",
    "memory_left_bytes",
    "needed_memory_bytes",
]

_OPEN_FILES_FEW, _OPEN_FILES_TOO_FEW = 4096, 512
_DISK_LITTLE_BYTES, _DISK_TOO_LITTLE_BYTES = 5 * 2**30, 2**29
# What Ray's object store takes (harness.ray_session); with less it goes to the disk.
_OBJECT_STORE_BYTES = 256 * 2**20
# Driver, control and sampler, and as much for Ray's own daemons.
_OTHER_PROCESSES = 5
_UNLIMITED_BYTES = 2**60


def check_cores(
    machine: int, usable: int, quota: float | None = None, load_1m: float | None = None
) -> Check:
    """Whether there are cores for agents and store, and others leave them alone.

    Args:
        machine: logical cores of the machine.
        usable: those that this process may run on.
        quota: cores' worth of time that the container gets; None is no bound.
        load_1m: processes that wanted to run in the last minute, on average.
    """
    has = min(usable, machine, quota or machine)
    words = f"{figures.count(machine)} {'core' if machine == 1 else 'cores'}"
    if has < machine:
        sentence = f"{words}, of which this process may use {has:g}."
        remedy = f"pass --shards {max(1, int(has))}, and give the container whole cores"
        return Check(name="cores", verdict="warning", sentence=sentence, remedy=remedy)
    if machine == 1:
        sentence = "1 core: agents and store take turns on it, so each slows the other."
        return Check(
            name="cores", verdict="warning", sentence=sentence, remedy="measure on two or more"
        )
    if load_1m is not None and load_1m > machine / 2:
        sentence = f"{words}, and in the last minute {load_1m:.1f} processes wanted to run."
        remedy = "measure while nothing else runs: figures will be of that too"
        return Check(name="cores", verdict="warning", sentence=sentence, remedy=remedy)
    load = "" if load_1m is None else f", load {load_1m:.1f} in the last minute"
    return Check(name="cores", verdict="ok", sentence=f"{words}{load}.")


def check_open_files(soft: float, hard: float) -> Check:
    """Whether processes may have enough files and sockets open.

    Args:
        soft: the limit in force; infinity is none.
        hard: what it may be raised to.
    """
    shown = "no limit" if soft == float("inf") else f"at most {figures.count(soft)} a process"
    if soft >= _OPEN_FILES_FEW:
        return Check(name="open files", verdict="ok", sentence=f"{shown.capitalize()}.")
    remedy = "ulimit -n 65536"
    if hard < _OPEN_FILES_FEW:
        remedy = "raise the hard limit: docker run --ulimit nofile=65536, or limits.conf"
    return Check(
        name="open files",
        verdict="failed" if soft < _OPEN_FILES_TOO_FEW else "warning",
        sentence=f"{shown.capitalize()}: shards and Ray's sockets may need more.",
        remedy=remedy,
    )


def needed_memory_bytes(cpus: int) -> int:
    """What a run of the default size takes here: a process a shard, a cohort for two cores."""
    processes = cpus + max(1, cpus // 2) + _OTHER_PROCESSES
    return processes * TASK_BYTES + _OBJECT_STORE_BYTES


def check_memory(available: float, cpus: int) -> Check:
    """Whether a run of the default size has the memory to start; what it stores comes on top."""
    needed = needed_memory_bytes(cpus)
    sentence = f"{figures.size(available)} free; a run's processes take {figures.size(needed)}"
    if available >= 2 * needed:
        return Check(name="memory", verdict="ok", sentence=f"{sentence}.")
    failed = available < needed
    return Check(
        name="memory",
        verdict="failed" if failed else "warning",
        sentence=f"{sentence} on {cpus} cores, before anything is stored.",
        remedy="free some, or run with --shards 1 and few agents",
    )


def check_disk(out: Path) -> Check:
    """Whether runs can be written where they go, and their fsync means something."""
    place = _nearest(out)
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        sentence = f"{place}, where runs go, is no folder that can be written."
        return Check(
            name="disk", verdict="failed", sentence=sentence, remedy="pass --out, or change there"
        )
    free = shutil.disk_usage(place).free
    kind = _filesystem(place)
    sentence = f"{figures.size(free)} free in {place}{f' ({kind})' if kind else ''}, where runs go"
    if free < _DISK_LITTLE_BYTES:
        return Check(
            name="disk",
            verdict="failed" if free < _DISK_TOO_LITTLE_BYTES else "warning",
            sentence=f"{sentence}: a run of millions of operations may fill it.",
            remedy="free some, or pass --out and --data-dir on a larger disk",
        )
    if kind in {"tmpfs", "ramfs"}:
        return Check(
            name="disk",
            verdict="warning",
            sentence=f"{sentence}: it is memory, so fsync makes nothing durable there.",
            remedy="pass --data-dir on a disk",
        )
    return Check(name="disk", verdict="ok", sentence=f"{sentence}.")


def check_shared_memory(folder: Path) -> Check:
    """Whether Ray's object store fits into shared memory.

    Args:
        folder: ``/dev/shm``.
    """
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        free = None
    if free is not None and free >= _OBJECT_STORE_BYTES:
        return Check(name=str(folder), verdict="ok", sentence=f"{figures.size(free)} free.")
    wanted = figures.size(_OBJECT_STORE_BYTES)
    found = "It is not there" if free is None else f"{figures.size(free)} free"
    return Check(
        name=str(folder),
        verdict="warning",
        sentence=f"{found}; Ray's object store wants {wanted}, and goes to a slow disk instead.",
        remedy="docker run --shm-size=1g, or mount a tmpfs there",
    )


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Cores' worth of time that this container gets; None where there is no bound."""
    groups = root / "sys/fs/cgroup"
    parts = _words(groups / "cpu.max")
    if len(parts) != 2:
        parts = [
            *_words(groups / "cpu/cpu.cfs_quota_us"),
            *_words(groups / "cpu/cpu.cfs_period_us"),
        ]
    try:
        quota, period = (float(part) for part in parts)
    except ValueError:  # "max", or nothing
        return None
    return quota / period if quota > 0 and period > 0 else None


def memory_left_bytes(root: Path = Path("/")) -> float:
    """Memory that processes may still take: of the machine, and within the container's bound."""
    groups = root / "sys/fs/cgroup"
    left = float(available_memory_bytes())
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            most, taken = (float(_words(groups / name)[0]) for name in (limit, used))
        except (IndexError, ValueError):  # not there, or "max"
            continue
        if most < _UNLIMITED_BYTES:
            left = min(left, max(0.0, most - taken))
    return left


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _nearest(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    place = path.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    return place


def _filesystem(place: Path) -> str | None:
    try:
        return filesystem_type(place)
    except OSError:  # without /proc nobody knows
        return None

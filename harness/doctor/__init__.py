"""The doctor: is this machine fit to measure on, and what would make it so?

Each check has a verdict, a sentence with the figures, and a remedy. What the checks decide are
pure functions of what was found; `examine` looks and goes on whatever a look brings: in a
container without ``/proc`` a check that cannot look says so.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from harness.doctor.check import Check, Verdict, worst

__all__ = ["Check", "Verdict", "examine", "worst"]


def examine(out: Path, address: str, root: Path = Path("/")) -> Iterator[Check]:
    """Check this machine; the checks come as they are made, Ray's, which take seconds, last.

    Args:
        out: where runs go.
        address: of the Ray cluster, as a run's ``--address``.
        root: where the system's own files are.
    """
    yield from _looked("Python", _python)
    yield from _looked("cores", lambda: [_cores(root)])
    yield from _looked("open files", lambda: [_open_files()])
    yield from _looked("memory", lambda: [_memory(root)])
    yield from _looked("disk", lambda: [_disk(out)])
    if os.uname().sysname == "Linux":
        yield from _looked("/dev/shm", lambda: [_shared_memory(root)])  # noqa: S108 - only measured
    yield from _looked("clock source", lambda: [_clock(root)])
    yield from _looked("Ray", lambda: _ray(address))


def _looked(name: str, look: Callable[[], Iterable[Check]]) -> Iterator[Check]:
    try:
        yield from look()
    except Exception as error:  # noqa: BLE001 - a look that fails is a finding of its own
        sentence = f"Could not be found out ({type(error).__name__}: {error})."
        yield Check(name=name, verdict="warning", sentence=" ".join(sentence.split()))


def _python() -> Iterable[Check]:
    from harness.doctor.python import python_checks

    return python_checks()


def _cores(root: Path) -> Check:
    from harness.doctor.machine import check_cores, cpu_quota

    machine = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else machine
    try:
        load = os.getloadavg()[0]
    except OSError:
        load = None
    return check_cores(machine, usable, cpu_quota(root), load)


def _open_files() -> Check:
    import resource

    from harness.doctor.machine import check_open_files

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = (float("inf") if one == resource.RLIM_INFINITY else one for one in limits)
    return check_open_files(soft, hard)


def _memory(root: Path) -> Check:
    from harness.doctor.machine import check_memory, memory_left_bytes

    return check_memory(memory_left_bytes(root), os.cpu_count() or 1)


def _disk(out: Path) -> Check:
    from harness.doctor.machine import check_disk

    return check_disk(out)


def _shared_memory(root: Path) -> Check:
    from harness.doctor.machine import check_shared_memory

    return check_shared_memory(root / "dev/shm")


def _clock(root: Path) -> Check:
    from harness.doctor.clock import check_clock, clock_sources, read_cost_ns

    return check_clock(*clock_sources(root), read_cost_ns())


def _ray(address: str) -> Iterable[Check]:
    from harness.doctor.ray_reachable import ray_checks

    return ray_checks(address)
